"""Searches: a trial is taken once and counts once whoever dies, TPE learns, pruners prune, and what is refused."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import submitit

import lrlab as lr
from lrlab import cli, runs, sweep
from lrlab.experiment import Experiment
from lrlab.optim import momentum
from lrlab.parallel import strategy
from lrlab.record import read_json
from lrlab.study import Runs
from lrlab.sweep import Range, plan, search, storage, workers
from lrlab.sweep.outcome import Trial
from lrlab.task.quadratic import Quadratic

ROOT = Path(__file__).parent.parent
BASE = Experiment(
    task=Quadratic(dimensions=4, sigma=0.5),
    schedule=0.5 * lr.warmup(4) >> lr.decay(),
    optimizer=momentum(),
    steps=40,
    batch=2,
    evaluate_every=10,
    log_every=10,
)
PEAKS = {"schedule.peak": Range(1e-3, 10.0, log=True)}
GRID = {"schedule.peak": (0.01, 0.1, 1.0), "optimizer.momentum": (0.5, 0.9)}


def here(experiment):
    return strategy(None, experiment.batch, experiment.accumulate, jax.devices()[:1])


def searched(out, planned, prune="", **options):
    """What came out of a search that this process works at alone."""
    return search.run(search.begin(planned, out, prune=prune), out, here, **options)


# --- trials ----------------------------------------------------------------------------------------------------------


def test_a_trial_is_taken_by_one_worker(tmp_path):
    """Four workers ask at once until nothing is left: between them they have every trial of the plan, once."""
    planned, url = plan(BASE, GRID | {"warmup": (0, 4)}), f"sqlite:///{tmp_path / 'shared.db'}"
    storage.join(planned, url)
    asked, errors = [], []

    def work():
        try:
            mine = storage.join(planned, url)
            while some := mine.ask(2):
                asked.extend(some)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    assert not errors
    assert sorted(asked) == list(planned.trials)


def test_what_a_worker_gives_up_another_takes_with_the_same_values(tmp_path):
    planned, url = plan(BASE, PEAKS, search="tpe", trials=3), f"sqlite:///{tmp_path / 'shared.db'}"
    one, other = storage.join(planned, url), storage.join(planned, url)
    given = one.ask(2)
    with pytest.raises(ZeroDivisionError), one.heard(given.values()):
        raise ZeroDivisionError
    taken = other.ask(3)
    assert set(given) < set(taken)
    assert {arm: taken[arm].params for arm in given} == {arm: trial.params for arm, trial in given.items()}


def test_a_trial_that_two_workers_finish_counts_once(tmp_path):
    planned, url = plan(BASE, PEAKS, search="tpe", trials=2), f"sqlite:///{tmp_path / 'shared.db'}"
    slow, other = storage.join(planned, url), storage.join(planned, url)
    ((arm, late),) = slow.ask(1).items()
    came = lambda loss: Trial({}, Runs("", [0], {"loss": [loss]}, [None], [None], [""]), 1.0)
    slow._put_back([late])  # as if it had fallen silent
    other.tell(other.ask(1)[arm], came(0.5), 0.5)
    slow.report(late, 10, 0.1)
    slow.tell(late, came(0.1), 0.1)
    assert {arm: done.runs.final for arm, done in other.done().items()} == {arm: {"loss": [0.5]}}


def test_a_trial_that_takes_every_worker_with_it_is_told_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "RETRIES", 1)
    monkeypatch.setattr(search, "RETRIES", 1)
    planned = plan(BASE, GRID)
    poison = list(planned.trials)[2]

    def train(wanted, *_):
        if any(run.arm == poison for run in wanted):
            raise MemoryError
        return runs_train(wanted, *_)

    runs_train = runs.train
    monkeypatch.setattr(runs, "train", train)
    for _ in range(2):
        with pytest.raises(MemoryError):
            searched(tmp_path, planned, together=1)
    with pytest.raises(lr.Failed, match="1 of 6 trials took 2 workers with them"):
        searched(tmp_path, planned, together=1)


# --- what is tried ---------------------------------------------------------------------------------------------------


def test_a_shared_grid_gives_what_the_grid_gives_alone(tmp_path):
    planned = plan(BASE, GRID, seeds=2)
    alone, shared = sweep.run(planned, tmp_path / "alone", here), searched(tmp_path / "shared", planned)
    for name in ("digest", "members", "best", "basins"):
        assert json.dumps(shared[name]) == json.dumps(alone[name])


def test_tpe_chooses_within_the_space_learns_and_is_repeatable(tmp_path):
    vary, shapes = PEAKS | {"optimizer.momentum": (0.5, 0.9)}, ["decay()", "stable()"]
    result, shorter = (
        searched(tmp_path / f"{trials}", plan(BASE, vary, shapes, 1, "tpe", trials), together=4)["members"]
        for trials in (24, 12)
    )
    assert result[:12] == shorter
    tried = [member["vary"] for member in result]
    assert {one["shape"] for one in tried} == set(shapes)
    assert {one["optimizer.momentum"] for one in tried} == {0.5, 0.9}
    assert all(1e-3 <= one["schedule.peak"] <= 10 for one in tried)
    losses = np.nan_to_num([member["final"]["loss"] for member in result], nan=np.inf)
    assert np.median(losses[12:]) < np.median(losses[:12])  # the first twelve are drawn at random


def test_a_divergence_is_told_as_an_infinite_loss(tmp_path):
    planned = plan(BASE, {"schedule.peak": (0.01, 1e20)}, seeds=1)
    begun = search.begin(planned, tmp_path)
    result = search.run(begun, tmp_path, here)
    assert [trial.value for trial in begun.study.trials] == [pytest.approx(result["best"]["metric"]), np.inf]
    assert result["best"]["vary"] == {"schedule.peak": 0.01}


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_pruner_stops_trials_with_all_their_seeds_and_not_the_best(tmp_path, pruner):
    begun = search.begin(plan(BASE, PEAKS, search="tpe", trials=16, seeds=2, prune=pruner), tmp_path, prune=pruner)
    result = search.run(begun, tmp_path, here)
    stopped = {}
    for member in result["members"]:
        stopped.setdefault(member["vary"]["schedule.peak"], set()).add(member["stopped"])
    assert all(len(steps) == 1 for steps in stopped.values())
    pruned = [steps for steps in stopped.values() if steps != {None}]
    assert 2 <= len(pruned) < 16
    assert sum(trial.state.name == "PRUNED" for trial in begun.study.trials) == len(pruned)
    assert stopped[result["best"]["vary"]["schedule.peak"]] == {None}


def test_a_pruned_search_is_another_search():
    assert plan(BASE, GRID).study.digest != plan(BASE, GRID, prune="median").study.digest


# --- processes -------------------------------------------------------------------------------------------------------

_FILE = '''"""A quadratic."""
import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import momentum
from lrlab.task.quadratic import Quadratic
BASE = Experiment(Quadratic(dimensions=4), 0.5 * lr.decay(), momentum(), steps=20, batch=2, evaluate_every=10)
ARMS = {}
PRESETS = {"cpu": {}, "long": {"steps": 10_000, "evaluate_every": 1000, "log_every": 1000}}
def verdict(runs):
    return []
'''
_WORKER = """
import sys
from lrlab.sweep import storage
storage.HEARTBEAT, storage.SILENCE = 1, 4
from lrlab.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with an experiment of one's own, to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("NPROC", raising=False)
    (tmp_path / "mine.py").write_text(_FILE)
    return tmp_path


def worker(log, *words):
    with open(log, "wb") as file:
        return subprocess.Popen([sys.executable, "-c", _WORKER, "sweep", "mine.py", *words], stdout=file, stderr=file)


def states(path):
    """How many trials that a worker took a database has of each state; two may add the last one at once, and one of it waits."""
    with sqlite3.connect(path, timeout=60) as database:
        counts = database.execute("SELECT state, COUNT(*) FROM trials WHERE state != 'WAITING' GROUP BY state")
        return dict(counts.fetchall())


def test_of_two_workers_one_is_killed_and_the_other_does_its_work(place):
    """The killed one loses what it was training and no more; what comes out is what a search undisturbed gives."""
    words = ["--vary", "schedule.peak=geomspace(1e-3,1e-1,6)", "--seeds", "1", "--preset", "long", "--block", "1"]
    shared = [*words, "--storage", "sqlite:///shared.db", "--together", "2"]
    victim = worker("victim.log", *shared, "--out", "elsewhere")
    deadline = time.monotonic() + 120
    while sum(path.stat().st_size > 0 for path in place.glob("elsewhere/runs/*/*/metrics.jsonl")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    other = worker("other.log", *shared, "--out", "here")  # not before, or it may have done it all by then
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert other.wait() == 0, (place / "other.log").read_text()
    assert states(place / "shared.db") == {"COMPLETE": 6, "FAIL": 2}
    assert cli.main(["sweep", "mine.py", *words, "--out", "alone", "--parallel", "members"]) == 0
    result, alone = (read_json(place / out / "sweep.json") for out in ("here", "alone"))
    assert [member["vary"] for member in result["members"]] == [member["vary"] for member in alone["members"]]
    for one, undisturbed in zip(result["members"], alone["members"]):
        assert one["final"] == pytest.approx(undisturbed["final"], rel=1e-5)  # float32, in programs of another size


def test_workers_of_a_machine_share_a_search(place, capsys):
    words = ["sweep", "mine.py", "--vary", "schedule.peak=loguniform(1e-3,1)", "--search", "random", "--trials", "6"]
    assert cli.main([*words, "--seeds", "1", "--workers", "2", "--together", "1", "--out", "out", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["members"]) == 6
    assert states(place / "out/search.db") == {"COMPLETE": 6}
    log = (place / "out/workers/worker-1.log").read_text()
    assert len(json.loads(log.splitlines()[-1])["members"]) == 6


# --- Slurm -----------------------------------------------------------------------------------------------------------


def test_slurm_is_asked_for_jobs_and_a_job_works_at_the_search(place, monkeypatch, capsys):
    """By a stand-in for sbatch, which keeps what it is given; then submitit runs what was submitted, on this machine."""
    for name, script in (("srun", ""), ("sbatch", 'cat "$1" > submitted.sh; echo Submitted batch job 12')):
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    words = ["sweep", "mine.py", "--vary", "schedule.peak=0.01,0.1", "--seeds", "1", "--out", "out"]
    assert cli.main([*words, "--workers", "2", "--slurm", "partition=gpu,time=60,gpus_per_node=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == ["12_0", "12_1"]
    submitted = (place / "submitted.sh").read_text()
    for line in ("--partition=gpu", "--time=60", "--gpus-per-node=1", "--array=0-1", "--job-name=lrlab"):
        assert f"#SBATCH {line}" in submitted
    job = submitit.core.utils.DelayedSubmission.load(place / "out/workers/12_1_submitted.pkl").function
    monkeypatch.setattr(submitit, "SlurmExecutor", submitit.LocalExecutor)
    (run,) = workers.submit(job.words, 1, place / "out/workers", {"timeout_min": 5})
    run.result()
    assert len(read_json(place / "out/sweep.json")["members"]) == 2
    monkeypatch.undo()


def test_slurm_says_what_it_does_not_know(place, monkeypatch):
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", lambda _=None: 2)
    with pytest.raises(
        lr.Refused, match=r"--slurm: Unavailable parameter\(s\): \['partitoin'\]; write options of sbatch"
    ):
        workers.submit([], 1, place, {"partitoin": "gpu"})


def test_a_job_out_of_time_is_queued_again():
    again = workers.Worker(["sweep", "mine.py"]).checkpoint().function
    assert (type(again), again.words) == (workers.Worker, ["sweep", "mine.py"])


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--storage", "sqlite:////nowhere/x.db"],
            "it cannot be opened (unable to open database file); write sqlite:///",
        ),
        (["--storage", "nonsense"], "--storage nonsense: it cannot be opened"),
        (["--storage", "mysql://me:secret@here/x"], "--storage mysql://me:***@here/x: it cannot be opened (No module"),
        (["--storage", "sqlite:///mine.py"], "it cannot be opened (file is not a database)"),
        (["--storage", "sqlite://"], "it is the memory of one process, which no other sees"),
        (["--workers", "0"], "--workers 0: write at least 1"),
        (["--workers", "3"], "--workers 3: there are 2 trials to share"),
        (["--together", "0"], "--together 0: write at least 1"),
        (["--search", "bayes"], "invalid choice: 'bayes'"),
        (["--prune", "worst"], "invalid choice: 'worst'"),
        (["--workers", "2", "--halve", "1"], "--halve compares the trials of one process"),
        (["--slurm", "partition=gpu"], "--slurm: there is no Slurm here"),
        (["--slurm", "gpu"], "'gpu' sets nothing"),
    ],
)
def test_the_command_refuses_in_one_sentence(place, capsys, words, sentence):
    assert cli.main(["sweep", "mine.py", "--vary", "schedule.peak=1,2", "--seeds", "1", "--out", "out", *words]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert "secret" not in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(("package", "words"), [("optuna", ["--workers", "2"]), ("submitit", ["--slurm", "time=5"])])
def test_without_a_package_a_sentence_says_what_to_install(place, monkeypatch, capsys, package, words):
    monkeypatch.setitem(sys.modules, package, None)
    if package == "optuna":
        for module in ("search", "storage"):
            monkeypatch.delitem(sys.modules, f"lrlab.sweep.{module}")
            monkeypatch.delattr(sweep, module)
    assert cli.main(["sweep", "mine.py", "--vary", "schedule.peak=1,2", "--out", "out", *words]) == 2
    assert f"needs {package}, which is not installed; write pip install 'lrlab[sweep]'" in capsys.readouterr().err


def test_unknown_searches_and_pruners_are_refused(tmp_path):
    with pytest.raises(lr.Refused, match="there is no search 'tpr'; did you mean 'tpe'"):
        plan(BASE, GRID, search="tpr")
    with pytest.raises(lr.Refused, match="there is no pruner 'medain'; did you mean 'median'"):
        search.begin(plan(BASE, GRID), tmp_path, prune="medain")


def test_a_storage_that_is_lost_on_the_way_fails_in_one_sentence(tmp_path):
    begun = search.begin(plan(BASE, GRID), tmp_path)
    with sqlite3.connect(tmp_path / "search.db") as database:
        database.execute("DROP TABLE trials")
    with pytest.raises(lr.Failed, match=r"the storage was lost \(no such table: trials\); the same command goes on"):
        search.run(begun, tmp_path, here)
