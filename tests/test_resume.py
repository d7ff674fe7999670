"""Runs that were cut off go on from where they were saved, and their records are those of a run that was not."""

import json
import os
import signal
import subprocess
import sys
import time
import types

import jax
import numpy as np
import pytest
from jax.sharding import SingleDeviceSharding

import lrlab as lr
from lrlab import record, study
from lrlab.device import host
from lrlab.experiment import Experiment
from lrlab.optim import adamw, early_stopping
from lrlab.parallel import Axes, strategy
from lrlab.saving import Interrupted, Saves, first_members, first_shapes
from lrlab.task.quadratic import Quadratic
from lrlab.task.vision import Digits

BASE = Experiment(
    task=Digits(hidden=(8,), dropout=0.2),
    schedule=1e-2 * lr.warmup("10%") >> lr.decay(),
    optimizer=adamw(),
    steps=60,
    batch=8,
    evaluate_every=20,
    log_every=1,
    chunk=7,
)


class Fault(Exception):
    """What a watcher raises to cut a run off."""


class Cut(study.Watcher):
    """Raises at a step, as a crash would."""

    def __init__(self, at, error=Fault):
        self.at, self.error, self.remarks = at, error, []

    def step(self, step, losses, rates, per_s):
        if step >= self.at:
            raise self.error

    def remark(self, text):
        self.remarks.append(text)


def run(out, base=BASE, watch=None, seeds=2, saves=Saves(every=10), devices=1, how=None, axes=None, block=None, **arms):  # noqa: B008
    module = types.SimpleNamespace(BASE=base, ARMS=arms or {"one": {}}, PRESETS={"cpu": {}}, verdict=lambda runs: [])
    chosen = lambda e: strategy(how, e.batch, e.accumulate, jax.devices()[:devices], axes)
    prepared = study.prepare(module, "digits", seeds=seeds)
    return study.run(prepared, out, chosen, watch or study.Watcher(), block, saves)


def records(out):
    """The rows of every run."""
    return {str(path.parent.relative_to(out)): list(record.rows(path.parent)) for path in out.rglob("metrics.jsonl")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The records of a study that was never cut off."""
    out = tmp_path_factory.mktemp("whole") / "out"
    run(out, one={}, high={"schedule.peak": 0.03})
    return records(out)


@pytest.mark.parametrize("at", [15, 35, 59])
def test_the_continued_records_are_those_of_an_uninterrupted_run_to_the_bit(whole, tmp_path, at):
    with pytest.raises(Fault):
        run(tmp_path, watch=Cut(at), one={}, high={"schedule.peak": 0.03})
    watch = Cut(1000)
    run(tmp_path, watch=watch, one={}, high={"schedule.peak": 0.03})
    assert f"goes on after {(at - 1) // 10 * 10} updates" in watch.remarks[0]
    assert records(tmp_path) == whole


def test_a_run_that_is_cut_off_again_and_again_comes_to_the_same_end(whole, tmp_path):
    for at in (8, 12, 25, 33, 50):
        with pytest.raises(Fault):
            run(tmp_path, watch=Cut(at), one={}, high={"schedule.peak": 0.03})
    run(tmp_path, one={}, high={"schedule.peak": 0.03})
    assert records(tmp_path) == whole
    resumed = json.loads((tmp_path / "runs/one/seed-0/provenance.json").read_text())["resumed"]
    assert resumed == sorted(resumed)
    assert resumed[-1] == 40


@pytest.mark.parametrize(
    ("how", "devices", "axes"),
    [("pmap", 2, None), ("mesh", 4, None), ("members", 3, None), ("mesh", 8, Axes(data=2, fsdp=2, tensor=2))],
)
def test_it_may_go_on_on_other_devices_to_rounding(whole, tmp_path, how, devices, axes):
    before = None if axes is None else Axes(fsdp=2)
    with pytest.raises(Fault):
        run(
            tmp_path,
            watch=Cut(35),
            devices=1 if before is None else 2,
            axes=before,
            one={},
            high={"schedule.peak": 0.03},
        )
    run(tmp_path, how=how, devices=devices, axes=axes, one={}, high={"schedule.peak": 0.03})
    for name, rows in records(tmp_path).items():
        # another order of summation, grown over 30 updates
        assert rows[-1]["final"]["loss"] == pytest.approx(whole[name][-1]["final"]["loss"], rel=1e-4)


def test_members_that_ended_before_the_cut_stay_ended(tmp_path):
    base = Experiment(
        Quadratic(dimensions=3, sigma=0.0), 0.1 * lr.stable(), lr.optim.sgd(), 60, 2,
        evaluate_every=5, log_every=1, stop=early_stopping(patience=2), chunk=5,
    )  # fmt: skip
    arms = {"good": {}, "still": {"schedule.peak": 1e-30}, "wild": {"schedule.peak": 1e25}}
    run(tmp_path / "whole", base, **arms)
    with pytest.raises(Fault):
        run(tmp_path / "cut", base, watch=Cut(40), **arms)
    run(tmp_path / "cut", base, **arms)
    assert records(tmp_path / "cut") == records(tmp_path / "whole")
    ends = {name: rows[-1]["end"] for name, rows in records(tmp_path / "cut").items()}
    assert ends["runs/still/seed-0"] == "stopped"
    assert ends["runs/wild/seed-0"] == "diverged"


def test_a_study_with_more_seeds_goes_on_with_what_was_saved(whole, tmp_path):
    with pytest.raises(Fault):
        run(tmp_path, watch=Cut(35), one={}, high={"schedule.peak": 0.03})
    watch = Cut(1000)
    run(tmp_path, watch=watch, seeds=3, one={}, high={"schedule.peak": 0.03})
    assert "goes on after 30" in watch.remarks[0]
    assert {name: rows for name, rows in records(tmp_path).items() if not name.endswith("2")} == whole


def test_fewer_runs_than_were_saved_together_begin_anew_and_say_so(tmp_path):
    with pytest.raises(Fault):
        run(tmp_path, watch=Cut(35), seeds=2)
    watch = Cut(1000)
    run(tmp_path, watch=watch, seeds=1)
    assert any("holds checkpoints of 2 runs together, of which 1 are to go on" in remark for remark in watch.remarks)


def test_a_population_that_devices_cannot_share_evenly_is_saved_without_one_of_them_holding_it(tmp_path):
    """Three members on two devices; what was not wanted of a device was gathered on the first."""
    with pytest.raises(Fault):
        run(tmp_path / "cut", watch=Cut(35), seeds=3, devices=2, how="members")
    run(tmp_path / "cut", seeds=3, devices=2, how="members")
    run(tmp_path / "whole", seeds=3, devices=2, how="members")
    assert records(tmp_path / "cut") == records(tmp_path / "whole")
    states = {"w": jax.device_put(np.ones((4, 3)), strategy("members", 8, 1, jax.devices()[:2])._lies("data"))}
    shapes, kept = first_shapes(states, 3), first_members(states, 3)
    assert shapes["w"].sharding == kept["w"].sharding == SingleDeviceSharding(host())
    assert shapes["w"].shape == kept["w"].shape == (3, 3)


def test_a_damaged_checkpoint_is_passed_over_and_told(whole, tmp_path):
    with pytest.raises(Fault):
        run(tmp_path, watch=Cut(35), one={}, high={"schedule.peak": 0.03})
    newest = next(iter((tmp_path / "checkpoints").glob("*/30")))
    for path in (newest / "state").rglob("*"):
        if path.is_file() and path.stat().st_size > 100:
            os.truncate(path, 100)
    watch = Cut(1000)
    run(tmp_path, watch=watch, one={}, high={"schedule.peak": 0.03})
    assert "the checkpoint of step 30 is damaged and was passed over" in " ".join(watch.remarks)
    assert "goes on after 20 updates" in " ".join(watch.remarks)
    assert records(tmp_path) == whole


def test_a_corpus_that_changed_is_refused(tmp_path, monkeypatch):
    with pytest.raises(Fault):
        run(tmp_path, watch=Cut(35))
    load = Digits.load
    monkeypatch.setattr(Digits, "load", lambda self: load(self)._replace(digest="another"))
    from lrlab import runs

    runs._on_device.clear()
    with pytest.raises(lr.Refused, match=r"saved with another data.*choose another folder with --out"):
        run(tmp_path)
    runs._on_device.clear()


def test_a_long_run_is_saved_by_the_clock_and_a_short_one_not_at_all(tmp_path):
    run(tmp_path / "short", saves=Saves(), seeds=1)
    assert not list((tmp_path / "short/checkpoints").glob("*/[0-9]*"))
    run(tmp_path / "long", saves=Saves(seconds=0.0, keep=2), seeds=1)
    kept = sorted(int(path.name) for path in (tmp_path / "long/checkpoints").glob("*/[0-9]*"))
    assert kept[-2:] == [54, 60]  # every chunk, of seven up to an evaluation


def test_a_run_that_was_saved_before_is_saved_at_its_end(tmp_path):
    """Else what goes on from it would train again what was trained since."""
    with pytest.raises(Fault):
        run(tmp_path, watch=Cut(35), seeds=1)
    run(tmp_path, saves=Saves(), seeds=1)
    assert max(int(path.name) for path in (tmp_path / "checkpoints").glob("*/[0-9]*")) == 60


def test_checkpoints_are_pinned_where_they_are_asked_for(tmp_path):
    run(tmp_path, saves=Saves(every=10, at=(13,), keep=1), seeds=1)
    assert {13, 60} <= {int(path.name) for path in (tmp_path / "checkpoints").glob("*/[0-9]*")}
    assert [row["step"] for row in records(tmp_path)["runs/one/seed-0"] if "loss" in row] == list(range(60))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_stops_and_the_same_command_goes_on(whole, tmp_path, signum):
    class Asked(study.Watcher):
        def step(self, step, losses, rates, per_s):
            if step == 27:
                os.kill(os.getpid(), signum)

    before = signal.getsignal(signum)  # ignored, where the tests run in the background of a shell
    with pytest.raises(Interrupted, match=f"stopped by {signum.name} after .* updates, which are saved"):
        run(tmp_path, watch=Asked(), saves=Saves(), one={}, high={"schedule.peak": 0.03})
    assert signal.getsignal(signum) == before
    run(tmp_path, saves=Saves(), one={}, high={"schedule.peak": 0.03})
    assert records(tmp_path) == whole


def test_a_second_process_on_one_folder_is_refused(tmp_path):
    from lrlab.lock import locked

    with locked(tmp_path / "out"), pytest.raises(lr.Refused, match="is being written by"):
        run(tmp_path / "out")  # the kernel holds a lock against every other open file, of this process too


_FILE = '''"""Digits."""
import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import adamw
from lrlab.task.vision import Digits
BASE = Experiment(
    Digits(hidden=(8,)), 1e-2 * lr.decay(), adamw(), steps=30_000, batch=8, evaluate_every=1000, log_every=100
)
ARMS = {"one": {}}
PRESETS = {"cpu": {"seeds": 2}}
def verdict(runs):
    return []
'''


def test_a_real_process_killed_at_any_moment_loses_nothing_that_was_saved(tmp_path):
    (tmp_path / "mine.py").write_text(_FILE)
    words = [sys.executable, "-m", "lrlab", "run", "mine.py", "--save-every", "1000"]
    start = lambda out: subprocess.Popen([*words, "--out", out], cwd=tmp_path, stderr=subprocess.DEVNULL)
    saved = lambda: max(
        [0, *(int(path.name) for path in tmp_path.glob("killed/checkpoints/*/*") if path.name.isdecimal())]
    )
    straight = start("straight")
    for delay in (0.05, 0.2, 0.4):
        process, before = start("killed"), saved()
        while saved() <= before and process.poll() is None:
            time.sleep(0.02)
        time.sleep(delay)
        process.kill()
        process.wait()
    assert start("killed").wait() == 0
    assert straight.wait() == 0
    assert records(tmp_path / "killed") == records(tmp_path / "straight")
    resumed = json.loads((tmp_path / "killed/runs/one/seed-0/provenance.json").read_text())["resumed"]
    assert len(resumed) == 3
