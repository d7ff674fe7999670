"""Several processes as one run, over real collectives on this machine: the losses of one, each row once, and none waits for the dead."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import lrlab as lr
from lrlab import catalogue, cli, record, study
from lrlab.distributed import Vote, first, gathered
from lrlab.parallel import Axes, strategy

EXPERIMENT = '''"""A claim."""
import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import momentum
from lrlab.task.vision import Digits
BASE = Experiment(
    Digits(hidden=(16,), dropout=0.2), 0.02 * lr.warmup(4) >> lr.decay(), momentum(),
    steps=20, batch=8, evaluate_every=10, log_every=1, chunk=5,
)
ARMS = {"one": {}}
PRESETS = {"cpu": {"seeds": 2}}
def verdict(runs):
    return []
'''
WORKER = """
import json, sys
from pathlib import Path
import numpy as np
from lrlab import catalogue, study
from lrlab.distributed import Apart, Processes, alike, joined
from lrlab.parallel import Axes, strategy

place = int(sys.argv[2])
with joined(Processes(sys.argv[1], 2, place)):
    told = {}
    for name, axes in {"pmap": None, "mesh": Axes(data=2, fsdp=2), "fsdp": Axes(fsdp=4)}.items():
        here = lambda experiment: strategy(None, experiment.batch, axes=axes)
        study.run(study.prepare(catalogue.load("claim.py"), "claim"), Path(name), here, study.Watcher())
        rows = np.arange(8) if axes else np.arange(8).reshape(4, 2)
        shards = strategy(None, 8, axes=axes).rows(rows).addressable_shards
        told[name] = [int(row) for shard in shards for row in np.ravel(shard.data)]
    try:
        alike("corpus", f"that of process {place}")
    except Apart as apart:
        told["apart"] = str(apart)
    Path(f"{place}.json").write_text(json.dumps(told))
"""
SLURM = {  # what a job of two tasks finds in its environment; the port follows from the job's number
    "SLURM_JOB_ID": f"{os.getpid()}",
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_NTASKS": "2",
    "SLURM_STEP_NUM_NODES": "1",
}
PATIENCE = 300  # seconds: several times what it takes on two busy cores


def start(folder, *words):
    """Two processes that are started alike but for the last words, each with two devices; `words` get HOST:PORT and the place."""
    (folder / "claim.py").write_text(EXPERIMENT)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": "2", "JAX_ENABLE_COMPILATION_CACHE": "0"}
    processes = []
    for place in range(2):
        told = [word.replace("{address}", address).replace("{place}", str(place)) for word in words]
        environment |= (
            SLURM | {"SLURM_PROCID": f"{place}", "SLURM_LOCALID": f"{place}"} if "--distributed" in words else {}
        )
        with (folder / f"{place}.log").open("w") as log, (folder / f"{place}.out").open("w") as out:
            processes.append(
                subprocess.Popen([sys.executable, *told], cwd=folder, env=environment, stdout=out, stderr=log)
            )
    return processes


def command(folder, *words, by=("--coordinator", "{address}", "--processes", "2", "--process", "{place}")):
    """Two processes of `lrlab run`."""
    return start(folder, "-m", "lrlab", "run", "claim.py", "--out", "out", "--json", *by, *words)


def codes(processes):
    """How they ended."""
    try:
        return [process.wait(PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def when_saved(folder, processes):
    """Wait until both are well into the run."""
    end = time.monotonic() + PATIENCE
    while not list(folder.glob("out/checkpoints/*/[0-9]*/note")):
        if time.monotonic() > end or any(process.poll() is not None for process in processes):
            codes([process for process in processes if not process.kill()])
            pytest.fail((folder / "0.log").read_text() + (folder / "1.log").read_text())
        time.sleep(0.05)


def alone(folder, out="alone", devices=1, axes=None, **changes):
    """The losses of the study when this process runs it, or goes on with it."""
    (folder / "claim.py").write_text(EXPERIMENT)
    here = lambda experiment: strategy(None, experiment.batch, devices=jax.devices()[:devices], axes=axes)
    prepared = study.prepare(catalogue.load(str(folder / "claim.py")), "claim", changes=changes)
    study.run(prepared, folder / out, here, study.Watcher())
    return losses(folder / out)


def losses(out):
    """Training and held-out losses of every run in a folder."""
    rows = {path.parent.name: list(record.rows(path.parent)) for path in sorted(out.rglob("metrics.jsonl"))}
    assert all(own[-1]["end"] == "finished" for own in rows.values())
    return {name: [row.get("held_out", row)["loss"] for row in own[:-1]] for name, own in rows.items()}


def agree(found, expected):
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=5e-6
        )  # another order of sums, grown over 20 updates


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder in which two processes ran the study by pmap and by two meshes, and what each told."""
    folder = tmp_path_factory.mktemp("two")
    ended = codes(start(folder, "-c", WORKER, "{address}", "{place}"))
    assert ended == [0, 0], (folder / "0.log").read_text() + (folder / "1.log").read_text()
    return folder, [json.loads((folder / f"{place}.json").read_text()) for place in range(2)]


def test_two_processes_give_the_losses_of_one(two, tmp_path):
    expected = alone(tmp_path)
    for way in ("pmap", "mesh", "fsdp"):
        agree(losses(two[0] / way), expected)


@pytest.mark.parametrize("way", ["pmap", "mesh", "fsdp"])
def test_every_row_of_a_batch_is_in_one_process_once(two, way):
    here, there = (told[way] for told in two[1])
    assert sorted(here + there) == list(range(8))
    assert len(here) == len(there) == 4


def test_processes_that_disagree_are_refused_in_all_of_them(two):
    sentence = "process 1 has another corpus than process 0; start all by the same command on the same data"
    assert [told["apart"] for told in two[1]] == [sentence] * 2


def test_only_the_first_process_writes(two):
    assert len(list(two[0].glob("pmap/runs/*/*/metrics.jsonl"))) == 2
    assert (
        json.loads((two[0] / "pmap/runs/one/seed-0/provenance.json").read_text())["strategy"]
        == "pmap on 4 of 2 processes"
    )
    assert len({path.name for path in two[0].glob("pmap/*")}) == len(list(two[0].glob("pmap/*")))


def test_a_signal_to_one_process_stops_both_after_the_same_step_and_other_devices_go_on(tmp_path):
    processes = command(tmp_path, "--set", "steps=4000", "--save-every", "50", "--mesh", "fsdp=4")
    when_saved(tmp_path, processes)
    processes[1].send_signal(signal.SIGTERM)
    assert codes(processes) == [128 + signal.SIGTERM] * 2, (tmp_path / "0.log").read_text()
    said = [
        re.findall(r"stopped by SIGTERM after (\d+) updates, which are saved", (tmp_path / f"{i}.log").read_text())
        for i in (0, 1)
    ]
    assert len(said[0]) == 1
    assert said[0] == said[1]
    found = alone(tmp_path, "out", 2, Axes(data=2), steps=4000)
    resumed = json.loads((tmp_path / "out/runs/one/seed-0/provenance.json").read_text())["resumed"]
    assert resumed == [int(said[0][0])]
    assert len(found["seed-0"]) == 4000 + 400  # each step once, and each evaluation


def test_when_a_process_that_slurm_started_is_killed_the_other_says_so_and_ends(tmp_path):
    words = ("--set", "steps=50000", "--save-every", "50", "--heartbeat", "5")
    processes = command(tmp_path, *words, by=("--distributed",))
    when_saved(tmp_path, processes)
    processes[1].kill()
    began = time.monotonic()
    assert codes(processes) == [3, -signal.SIGKILL]
    assert time.monotonic() - began < 60  # a heartbeat of 5 s
    last = (tmp_path / "0.log").read_text().splitlines()[-1]
    assert re.match("lrlab: (another process of this run died|lost the other processes)", last)
    assert last.endswith("the same command in each process goes on from the last checkpoint")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--distributed", "--heartbeat", "0"], "--heartbeat 0: write at least 1 second"),
        (["--processes", "2"], "are told by --coordinator HOST:PORT, --processes N and --process I together"),
        (
            ["--coordinator", "here", "--processes", "2", "--process", "0"],
            "--coordinator here: write HOST:PORT of the first",
        ),
        (
            ["--coordinator", "a:1", "--processes", "2", "--process", "2"],
            "--process 2 --processes 2: processes are numbered",
        ),
    ],
)
def test_processes_that_cannot_find_each_other_are_refused(tmp_path, monkeypatch, words, sentence, capfd):
    monkeypatch.chdir(tmp_path)
    Path("claim.py").write_text(EXPERIMENT)
    assert cli.main(["run", "claim.py", *words]) == 2
    assert sentence in capfd.readouterr().err


def test_a_machine_that_is_of_no_cluster_is_told_so(tmp_path):
    (tmp_path / "claim.py").write_text(EXPERIMENT)
    words = [sys.executable, "-m", "lrlab", "run", "claim.py", "--distributed"]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "lrlab: --distributed: neither Slurm nor a cloud that JAX knows says where the other "
    )
    assert ended.stdout == ""


def test_a_process_alone_is_the_first_and_hears_itself_at_once():
    assert first()
    assert gathered([3, 4]).tolist() == [[3, 4]]
    assert Vote()(1, 15) == [1, 15]


def test_members_are_not_shared_by_processes(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(lr.Refused, match="--parallel members is for the devices of one process; write --parallel mesh"):
        strategy("members", 8)
