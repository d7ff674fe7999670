"""Work and peaks: what an example costs, and how much of a device a run makes use of, where that can be known."""

import io
import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from rich.console import Console

import lrlab as lr
from lrlab import device
from lrlab.experiment import Experiment
from lrlab.optim import sgd
from lrlab.parallel import strategy
from lrlab.progress import Progress
from lrlab.study import Watcher, prepare, run
from lrlab.task import Work
from lrlab.task.language import Language
from lrlab.task.quadratic import Quadratic
from lrlab.task.vision import Digits


def test_the_work_of_each_task():
    language = Language(sequence=16, width=32, compute="bfloat16")
    assert language.work == Work(16 * language.flops_per_token, "bfloat16")
    assert Digits(hidden=(32, 16)).work == Work(6 * (64 * 32 + 32 * 16 + 16 * 10), "float32")
    convolutions, head = 9 * 64 * 1 * 8 + 9 * 16 * 8 * 4, 2 * 2 * 4 * 10
    assert Digits(network="cnn", hidden=(8, 4)).work == Work(6 * (convolutions + head), "float32")
    assert Quadratic().work is None


def test_gpt2_costs_what_is_published():
    """854.7 MFLOP a token: 6 N + 12 L T d of 124 M parameters at 1024 tokens (Chowdhery et al. 2022, appendix B)."""
    gpt2 = Language(vocabulary=50304, sequence=1024, width=768, layers=12, heads=12, tied=True)
    assert gpt2.flops_per_token == pytest.approx(854.7e6, rel=1e-4)
    assert gpt2.parameters == pytest.approx(124e6, rel=0.005)


def test_work_is_what_the_compiler_counts_for_a_layer_that_is_not_scanned():
    """The compiler also counts what is not matmul and halves attention in blocks: within a fifth for a narrow model."""
    task = Language(sequence=64, width=64, layers=2)
    gradient = jax.jit(jax.grad(lambda p, y: task.loss(p, y, None, None).sum()))
    counted = gradient.lower(task.init(0), np.zeros((4, 65), np.uint8)).compile().cost_analysis()["flops"]
    assert counted == pytest.approx(4 * task.work.flops, rel=0.2)


def test_devices_share_the_work_and_unknown_ones_have_no_peak():
    h200, tpu, other = (SimpleNamespace(device_kind=kind) for kind in ("NVIDIA H200", "TPU v4", "cpu"))
    least = lambda devices, dtype="bfloat16": device.least_seconds(Work(989.4e12, dtype), 2.0, devices)
    assert least([h200]) == 2.0
    assert least([h200] * 4) == 0.5
    assert least([h200, tpu]) == pytest.approx(2 * 989.4 / (989.4 + 275))
    assert least([other]) is least([h200, other]) is least([h200], "float32") is None
    assert device.least_seconds(None, 2.0, [h200]) is None
    assert device.least_seconds(Language().work, 2.0, jax.devices()) is None  # nothing said of a CPU


def study(task):
    base = Experiment(task=task, schedule=0.1 * lr.decay(), optimizer=sgd(), steps=8, batch=4, chunk=2)
    module = SimpleNamespace(BASE=base, ARMS={"decay": {}}, PRESETS={"cpu": {}}, verdict=lambda runs: [])
    return prepare(module, "short", seeds=1)


@pytest.mark.parametrize("peak", [None, 1e9])
def test_records_hold_the_flops_and_the_utilisation_where_it_is_known(tmp_path, monkeypatch, peak):
    kind = jax.devices()[0].device_kind
    monkeypatch.setattr(device, "PEAKS", {} if peak is None else {"float32": {kind: peak}})
    one_device = lambda e: strategy(None, e.batch, e.accumulate, jax.devices()[:1])
    run(study(Digits(hidden=(8,))), tmp_path / "out", one_device, Watcher())
    told = json.loads((tmp_path / "out/runs/decay/seed-0/provenance.json").read_text())
    assert told["flops_per_step"] == 4 * 6 * (64 * 8 + 80)
    if peak is None:
        assert told["mfu"] is None
    else:
        assert told["mfu"] == pytest.approx(told["flops_per_step"] * told["tokens_per_s"] / 4 / peak)


@pytest.mark.parametrize(("least_s", "told"), [(0.02, "2,560 tok/s  20.0 % MFU"), (None, "2,560 tok/s")])
def test_the_progress_line_tells_the_utilisation(least_s, told):
    progress = Progress(study(Quadratic()), Console(file=io.StringIO()))
    progress.began([("decay", 0)], 100, "tok", 256, least_s)
    progress.step(10, np.asarray([3.0]), np.asarray([1e-3]), 10.0)
    assert progress.bar.tasks[progress.one].fields["now"].endswith(told)
