"""Runs that go on under another schedule: a branch is the whole run that it would have been, and every decision is told."""

import json
import types

import jax
import pytest

import lrlab as lr
from lrlab import branch, cli, record, study
from lrlab.experiment import Experiment
from lrlab.optim import adamw, group, independent, rest
from lrlab.origin import seam
from lrlab.override import from_values
from lrlab.parallel import strategy
from lrlab.report import branch as report_of_branches
from lrlab.saving import Saves
from lrlab.task.language import Language
from lrlab.task.quadratic import Quadratic
from lrlab.task.vision import Digits

BASE = Experiment(
    Digits(hidden=(8,)), 1e-2 * lr.warmup(10) >> lr.stable(), adamw(), steps=60, batch=8, evaluate_every=20, log_every=1
)

SMOOTH = Experiment(Quadratic(dimensions=3), 0.1 * lr.stable(), lr.optim.sgd(), steps=40, batch=2, evaluate_every=20)


def chosen(experiment):
    return strategy(None, experiment.batch, experiment.accumulate, jax.devices()[:1])


def prepared(base=BASE, **arms):
    module = types.SimpleNamespace(BASE=base, ARMS=arms or {"one": {}}, PRESETS={"cpu": {}}, verdict=lambda runs: [])
    return study.prepare(module, "digits", seeds=2)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    """A trunk with checkpoints after 20, 40 and 60 updates."""
    out = tmp_path_factory.mktemp("trunk") / "out"
    study.run(prepared(), out, chosen, study.Watcher(), saves=Saves(every=20))
    return out


def test_a_branch_is_the_whole_run_that_it_would_have_been(trunk, tmp_path):
    planned = branch.branches(trunk, [20, 40], ["decay('50%')", "decay(10, curve=sqrt)"])
    result = branch.run(planned, trunk, tmp_path / "out", chosen, study.Watcher())
    assert [experiment.steps for experiment in planned.arms.values()] == [40, 30, 80, 50]
    for label, experiment in planned.arms.items():
        whole = study.Study("whole", "cpu", None, {"one": experiment}, range(2))
        study.train(whole, tmp_path / "whole" / str(experiment.steps), chosen, study.Watcher())
        for seed in range(2):
            straight = list(record.rows(study.folder(tmp_path / "whole" / str(experiment.steps), "one", seed)))
            branched = list(record.rows(study.folder(tmp_path / "out", label, seed)))
            at = planned.origins[label, seed].step
            assert branched == [row for row in straight if record.updates(row) > at]
    assert len(result["members"]) == 8
    assert result["cost"][0] == {"cooldown": "decay('50%')", "branched": 100, "separate": 120, "saved": 1 - 100 / 120}


def test_branches_of_several_arms_are_told_apart(tmp_path):
    arms = {"high": {}, "low": {"schedule.peak": 1e-4}}
    study.run(prepared(**arms), tmp_path / "trunk", chosen, study.Watcher(), saves=Saves(every=20))
    planned = branch.branches(tmp_path / "trunk", [20], ["decay(10)"])
    result = branch.run(planned, tmp_path / "trunk", tmp_path / "out", chosen, study.Watcher())
    lines = report_of_branches._lines(result)
    assert list(lines) == ["high / decay(10)", "low / decay(10)"]
    for arm in arms:
        own = [member["final"]["loss"] for member in result["members"] if member["arm"] == arm]
        assert lines[f"{arm} / decay(10)"] == [(20, 30, own)]


def test_by_default_a_branch_begins_at_the_newest_checkpoint(trunk):
    planned = branch.branches(trunk, [], ["decay('50%')", "decay(50)"])  # a share is not the number it is written with
    assert {origin.step for origin in planned.origins.values()} == {60}


def test_what_had_ended_does_not_go_on(tmp_path):
    """A branch would train on from a state that is frozen."""
    arms = {"good": {}, "bad": {"schedule.peak": 1e25}}
    study.run(prepared(SMOOTH, **arms), tmp_path / "trunk", chosen, study.Watcher(), saves=Saves(every=20))
    with pytest.raises(lr.Refused, match="bad, seed 0 had diverged before update 20, so nothing goes on from there"):
        branch.branches(tmp_path / "trunk", [20], ["decay(10)"])


def test_the_decision_and_the_rates_are_in_the_provenance(trunk, tmp_path):
    planned = branch.branches(trunk, [40], ["decay(10)"])
    branch.run(planned, trunk, tmp_path / "out", chosen, study.Watcher())
    told = json.loads((study.folder(tmp_path / "out", "40 + decay(10)", 1) / "provenance.json").read_text())["origin"]
    assert (told["step"], told["seed"], told["how"]) == (40, 1, "--branch decay(10)")
    assert told["rate_before"] == told["rate_after"] == pytest.approx(1e-2)
    assert seam(told) == f"goes on from {trunk} after 40 updates; the rate goes on at 0.01"


def test_an_interrupted_branch_goes_on(trunk, tmp_path):
    class Fault(Exception):
        pass

    class Cut(study.Watcher):
        def step(self, step, losses, rates, per_s):
            if step > 50:
                raise Fault

    planned = branch.branches(trunk, [40], ["decay(20)"])
    branch.run(planned, trunk, tmp_path / "whole", chosen, study.Watcher())
    with pytest.raises(Fault):
        branch.run(planned, trunk, tmp_path / "cut", chosen, Cut(), saves=Saves(every=5))
    branch.run(planned, trunk, tmp_path / "cut", chosen, study.Watcher(), saves=Saves(every=5))
    for seed in range(2):
        whole, cut = (
            list(record.rows(study.folder(tmp_path / name, "40 + decay(20)", seed))) for name in ("whole", "cut")
        )
        assert cut == whole


@pytest.mark.parametrize(
    ("at", "cooldowns", "sentence"),
    [
        ([30], ["decay(10)"], "holds no checkpoint of one, seed 0, after 30 updates; there are: 20, 40, 60"),
        ([40], ["stable()"], "does not say how long it lasts"),
        ([40], ["decay('100%')"], "does not say how long|cannot|longer"),
        ([40], [], "a branch needs a cooldown"),
    ],
)
def test_branches_that_cannot_be_are_refused(trunk, at, cooldowns, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        branch.branches(trunk, at, cooldowns)


def test_a_trunk_without_checkpoints_is_refused(tmp_path, trunk):
    with pytest.raises(lr.Refused, match="is no folder of `lrlab run`"):
        branch.branches(study.folder(trunk, "one", 0), [], ["decay(10)"])
    study.run(prepared(), tmp_path, chosen, study.Watcher())
    with pytest.raises(lr.Refused, match="has no checkpoints of one; run it with --save-at STEP"):
        branch.branches(tmp_path, [], ["decay(10)"])


def test_every_arm_goes_on_with_the_same_seeds(trunk):
    origins = {("high", 0): None, ("high", 1): None, ("low", 0): None}
    with pytest.raises(lr.Refused, match="has no checkpoint of low, seed 1, and every arm goes on with the same seeds"):
        branch._seeds(trunk, origins)


_FILE = '''"""Digits."""
import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import adamw
from lrlab.task.vision import Digits
BASE = Experiment(
    Digits(hidden=(8,)), 1e-2 * lr.warmup("25%") >> lr.stable(), adamw(), steps=40, batch=8, evaluate_every=20
)
ARMS = {"one": {}}
PRESETS = {"cpu": {"seeds": 1}}
def verdict(runs):
    return []
'''


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """A folder in which `mine.py` was run into `out`, with a checkpoint at the end and one before."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(_FILE)
    assert cli.main(["run", "mine.py", "--out", "out", "--save-every", "20"]) == 0
    return tmp_path


@pytest.mark.parametrize(
    ("words", "schedule"),
    [
        (["--extend", "steps=80"], "0.01 * warmup(20) >> stable(60)"),
        (
            ["--set", "steps=70", "--schedule", "decay()", "--from", "now"],
            "0.01 * warmup(10) >> stable(30) >> decay(30)",
        ),
        (["--branch", "decay('20%')"], "0.01 * warmup(10) >> stable(30) >> decay(10)"),
    ],
)
def test_a_run_goes_on_as_it_is_told(ran, capsys, words, schedule):
    capsys.readouterr()
    assert cli.main(["run", "mine.py", "--out", "out", *words, "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert result["arms"]["one"]["schedule"] == schedule
    assert "goes on from out after 40 updates; the rate goes on at 0.01" in printed.err
    assert (ran / "out/verdict.json").exists()
    assert result["out"] != "out"
    told = json.loads((ran / result["out"] / "runs/one/seed-0/provenance.json").read_text())["origin"]["how"]
    assert told == " ".join(words).removeprefix("--set steps=70 ")


def test_seeds_need_not_begin_at_zero(ran, capsys):
    """Was a traceback: the seam was looked up for seed 0."""
    assert cli.main(["run", "mine.py", "--out", "odd", "--seeds", "3:5", "--save-every", "20"]) == 0
    assert cli.main(["run", "mine.py", "--out", "odd", "--extend", "steps=50"]) == 0
    assert cli.main(["branch", "odd", "--cooldown", "decay(10)", "--out", "cooled"]) == 0
    assert sorted(path.name for path in (ran / "cooled/runs").glob("*/*")) == ["seed-3", "seed-4"]
    assert capsys.readouterr().err.count("goes on from odd after 40 updates") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--extend", "steps=80", "--seeds", "2"], "--extend goes on with the seeds of the folder; leave out --seeds"),
        (["--branch", "decay(10)", "--set", "batch=16"], "--branch cools down what the folder holds; leave out --set"),
        (["--extend", "steps=30"], "one, seed 0 has done 40 updates, and was to end after 30; write more steps"),
    ],
)
def test_what_does_not_go_together_is_refused(ran, capsys, words, sentence):
    assert cli.main(["run", "mine.py", "--out", "out", *words]) == 2
    assert sentence in capsys.readouterr().err


def test_nothing_follows_a_run_that_ended_at_zero(ran, capsys):
    assert cli.main(["run", "mine.py", "--out", "low", "--set", "schedule=1e-2 * decay()", "--save-every", "20"]) == 0
    assert cli.main(["run", "mine.py", "--out", "low", "--branch", "decay(10)"]) == 2
    assert "zero" in capsys.readouterr().err.splitlines()[-1]


def test_another_schedule_on_the_folder_is_refused_with_both_rates(ran, capsys):
    assert cli.main(["run", "mine.py", "--out", "out", "--set", "schedule=1e-2 * decay()"]) == 2
    told = capsys.readouterr().err
    assert "update         there          here" in told
    assert "--extend steps=N" in told
    assert cli.main(["run", "mine.py", "--extend", "steps=80"]) == 2
    assert "name it with --out" in capsys.readouterr().err
    assert cli.main(["run", "mine.py", "--out", "out", "--schedule", "stable()"]) == 2
    assert "--schedule S --from now" in capsys.readouterr().err


def test_the_command_branches_prints_and_draws(trunk, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["branch", str(trunk), "--at", "20", "40", "--cooldown", "decay('20%')", "--out", "out"]) == 0
    printed = capsys.readouterr()
    assert "saved" in printed.out
    assert "the rate goes on at 0.01" in printed.err
    assert (tmp_path / "out/branches.png").stat().st_size > 10_000
    assert cli.main(["report", "out", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["members"]) == 4


@pytest.mark.parametrize(
    "experiment",
    [
        BASE,
        Experiment(Language(width=16, compute="bfloat16"), 1e-3 * lr.decay("20%"), adamw(weight_decay=independent(1e-4)), 100, 8,
                   clip=1.0 * lr.decay(to=0.1), groups=(group("embedding", rate=0.5), rest())),
        Experiment(Quadratic(dimensions=3), 0.1 * lr.repeat(lr.decay(10), 3), lr.optim.momentum(), 100, 8, restart="cycles"),
    ],
)  # fmt: skip
def test_an_experiment_is_read_from_its_record(experiment):
    for one in (experiment, experiment.resolve()):
        stored = json.loads(json.dumps(one.values()))
        assert from_values(stored).digest == one.digest


@pytest.mark.parametrize(
    "changes",
    [
        {"task": {"kind": "os.system", "command": "true"}},
        {"task": {"kind": "__import__('os')"}},
        {"schedule": "__import__('os').system('true')"},
        {"optimizer": "exec('1')"},
        {"task": None},
        {"steps": "many"},
        {"task": {"kind": "Digits", "hidden": 3, "unknown": 1}},
    ],
)
def test_what_is_no_experiment_is_refused_and_nothing_is_executed(changes):
    with pytest.raises(lr.Refused):
        from_values({**BASE.values(), **changes})


def test_an_experiment_with_a_task_of_ones_own_runs_again_and_is_refused_in_plain_words(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = _FILE.replace("BASE =", "class Mine(Digits):\n    pass\nBASE =").replace("Digits(hidden", "Mine(hidden")
    (tmp_path / "mine.py").write_text(own)
    for _ in range(2):
        assert cli.main(["run", "mine.py", "--out", "out"]) == 0
    capsys.readouterr()
    assert cli.main(["run", "mine.py", "--out", "out", "--set", "steps=50"]) == 2
    assert "holds another experiment" in capsys.readouterr().err
    assert cli.main(["run", "mine.py", "--out", "out", "--extend", "steps=50"]) == 2
    assert "there is no task of lrlab called 'Mine'" in capsys.readouterr().err
