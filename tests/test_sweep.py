"""Sweeps: what varies, one program for it all, basins and their optimum, and what is refused."""

import io
import json
import types

import jax
import numpy as np
import pytest
from rich.console import Console

import lrlab as lr
from lrlab import cli, report, study
from lrlab.experiment import Experiment
from lrlab.optim import momentum
from lrlab.parallel import strategy
from lrlab.sweep import Range, axis, basin, log_parabola, plan, run, sensitivity, tuned
from lrlab.sweep.outcome import PEAK, Trial, outcome
from lrlab.task.quadratic import Quadratic

BASE = Experiment(
    task=Quadratic(dimensions=4, sigma=0.5),
    schedule=0.5 * lr.warmup(4) >> lr.decay(),
    optimizer=momentum(),
    steps=40,
    batch=2,
    evaluate_every=10,
    log_every=10,
)
MODULE = types.SimpleNamespace(
    BASE=BASE, ARMS={"heavy": {"optimizer.momentum": 0.95}, "plain": {"optimizer": "sgd()"}}, PRESETS={"cpu": {}}
)


def swept(out, *vary, **options):
    """What came out of a sweep on one device."""
    planned = plan(study.bases(MODULE, "cpu", options.pop("arms", ())), dict(map(axis, vary)), **options)
    here = lambda e: strategy(None, e.batch, e.accumulate, jax.devices()[:1])
    return run(planned, out, here, study.Watcher())


# --- what varies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "takes"),
    [
        ("schedule.peak=geomspace(1e-4, 1e-1, 4)", (1e-4, 1e-3, 1e-2, 1e-1)),
        ("clip=linspace(1, 2, 3)", (1.0, 1.5, 2.0)),
        ("warmup=0%, 5%", ("0%", "5%")),
        ("optimizer.b1=0.9, 0.95", [0.9, 0.95]),
        ("clip=none, 1.0", ("none", "1.0")),
        ("schedule.peak=loguniform(1e-4, 1e-1)", Range(1e-4, 1e-1, log=True)),
    ],
)
def test_an_axis_is_read_as_it_is_typed(text, takes):
    assert axis(text).takes == (tuple(takes) if isinstance(takes, list) else takes)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("schedule.peak=1e-3", "--vary schedule.peak=1e-3: 1 value; a sweep needs two or more"),
        ("schedule.peak=geomspace(1e-3, 1, 1)", "1 value; a sweep needs two"),
        ("schedule.peak=[]", "no values; a sweep needs two"),
        ("schedule.peak=geomspace(0, 1, 3)", "both ends are positive numbers"),
        ("schedule.peak=loguniform(1, 0.1)", "the first number is the lower one"),
        ("schedule.peak=geomspce(1e-3, 1, 3)", "there is no word 'geomspce'; did you mean 'geomspace'"),
        ("schedule.peak", "write path=value"),
    ],
)
def test_what_is_no_axis_is_refused(text, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        axis(text)


@pytest.mark.parametrize(
    ("vary", "options", "sentence"),
    [
        ((), {}, "a sweep varies something"),
        (("batch=2,4",), {}, "--vary batch: it changes the program and not a number in it"),
        (("task.dimensions=2,4",), {}, "--vary task.dimensions: it changes the program"),
        (("optimizer=sgd(),momentum()",), {}, "--vary optimizer: it changes the program"),
        (("schedule.peek=0.1,0.2",), {}, "there is no value 'schedule.peek'; did you mean 'schedule.peak'"),
        (("schedule.peak=uniform(0, 1)",), {}, "a grid needs values"),
        (("schedule.peak=0.1,0.2",), {"halve": 9}, "--halve 9: a run is evaluated 3 times before its end"),
        (("schedule.peak=0.1,0.2",), {"arms": ["hevy"]}, "there is no arm 'hevy'"),
    ],
)
def test_what_cannot_be_swept_is_refused(vary, options, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        plan(study.bases(MODULE, "cpu", options.pop("arms", ())), dict(map(axis, vary)), **options)


def test_a_word_of_the_schedule_names_how_long_it_lasts():
    planned = plan(BASE, {"warmup": (2, "25%"), "schedule.peak": (0.1, 0.2)})
    schedules = [repr(experiment.schedule) for experiment in planned.study.arms.values()]
    assert schedules[0] == "0.1 * warmup(2) >> decay(38)"
    assert schedules[3] == "0.2 * warmup(10) >> decay(30)"


def test_shapes_take_the_peak_of_the_experiment_unless_they_bring_one():
    planned = plan(BASE, shapes=["stable()", 0.1 * lr.decay()])
    assert [repr(e.schedule) for e in planned.study.arms.values()] == ["0.5 * stable(40)", "0.1 * decay(40)"]


def test_a_random_search_draws_the_same_trials_again():
    vary = {"schedule.peak": Range(1e-3, 1, log=True), "optimizer.momentum": (0.5, 0.9)}
    first, again = (plan(BASE, vary, search="random", trials=20) for _ in range(2))
    assert first.trials == again.trials
    peaks = np.array([vary["schedule.peak"] for vary in first.trials.values()])
    assert ((peaks > 1e-3) & (peaks < 1)).all()
    assert len(set(peaks)) == 20


# --- what comes out --------------------------------------------------------------------------------------------------


def test_a_sweep_of_peaks_shapes_and_momenta_is_one_compilation(tmp_path):
    result = swept(
        tmp_path / "out", "schedule.peak=0.01,0.03,0.1", "optimizer.momentum=0.5,0.9", shapes=["warmup(3) >> decay()", "stable()"]
    )  # fmt: skip
    assert result["compilations"] == 1
    assert len(result["members"]) == 3 * 2 * 2 * 3
    assert len(result["basins"]) == 4
    means = {}
    for member in result["members"]:
        means.setdefault(json.dumps(member["vary"]), []).append(member["final"]["loss"])
    assert np.mean(means[json.dumps(result["best"]["vary"])]) == min(map(np.mean, means.values()))
    assert result["best"]["low"] <= result["best"]["metric"] <= result["best"]["high"]
    for line in result["basins"]:
        assert line["values"] == [0.01, 0.03, 0.1]


def test_a_sweep_goes_on_where_it_was_left(tmp_path):
    first = swept(tmp_path / "out", "schedule.peak=0.01,0.03,0.1")
    lost = tmp_path / "out/runs/001-schedule.peak-0.03/seed-1/metrics.jsonl"
    lost.write_text("".join(line + "\n" for line in lost.read_text().splitlines()[:2]))
    again = swept(tmp_path / "out", "schedule.peak=0.01,0.03,0.1")
    for one, other in zip(again["members"], first["members"], strict=True):
        assert one["final"] == pytest.approx(other["final"], rel=1e-5)  # float32, one vmapped with fewer
        assert {**one, "final": 0} == {**other, "final": 0}
    with pytest.raises(lr.Refused, match="holds another experiment"):
        swept(tmp_path / "out", "schedule.peak=0.01,0.03,0.2")


def test_an_optimum_at_the_edge_is_told(tmp_path):
    result = swept(tmp_path / "out", "schedule.peak=1e-4,1e-3,1e-2")
    assert result["best"]["at_edge"]
    assert result["best"]["edges"] == ["schedule.peak"]
    assert not swept(tmp_path / "in", "schedule.peak=1e-4,1e-2,1e2")["best"]["at_edge"]


@pytest.mark.parametrize(("value", "edge"), [(1.01e-3, True), (1.5e-3, False), (5e-2, False), (9e-2, True)])
def test_the_edge_of_a_range_is_its_first_or_last_twentieth(value, edge):
    assert Range(1e-3, 1e-1, log=True).at_edge(value) == edge


def test_a_value_stands_once():
    with pytest.raises(lr.Refused, match=r"schedule\.peak=1e-3, 1e-3: 0\.001 stands there twice"):
        axis("schedule.peak=1e-3, 1e-3")


def test_members_that_diverge_are_told_and_are_never_the_best(tmp_path):
    result = swept(tmp_path / "out", "schedule.peak=0.01,1e20")
    lost = [member for member in result["members"] if member["diverged"] is not None]
    assert {member["vary"]["schedule.peak"] for member in lost} == {1e20}
    assert result["best"]["vary"] == {"schedule.peak": 0.01}


def test_halving_stops_half_and_keeps_the_best(tmp_path):
    whole = swept(tmp_path / "whole", "schedule.peak=geomspace(1e-3, 0.3, 8)", seeds=1)
    halved = swept(tmp_path / "halved", "schedule.peak=geomspace(1e-3, 0.3, 8)", seeds=1, halve=2)
    stopped = [member["stopped"] for member in halved["members"]]
    assert (stopped.count(None), stopped.count(30), stopped.count(10)) == (2, 2, 4)
    assert whole["digest"] != halved["digest"]
    (basin,) = halved["basins"]
    assert basin["pruned"] == [step is not None for step in stopped]
    assert basin["sensitivity"] is None
    assert np.isnan(basin["optimum"]["low"])  # not an interval of the one value that is left
    assert not basin["pruned"][basin["best"]]
    assert not next(member for member in halved["members"] if member["vary"] == halved["best"]["vary"])["stopped"]
    told = io.StringIO()
    report.print_sweep(halved, Console(file=told, width=100))
    assert told.getvalue().count("stopped for others") == 6
    report.plot_sweep({**halved, "preset": ""}, tmp_path / "basin.png")


def test_a_trial_that_was_stopped_is_not_the_best_while_another_went_on():
    """Its loss is not final; the survivors may end higher than the last look at it."""
    runs = lambda loss: study.Runs("", [0], {"loss": [loss]}, [None], [None], [""])
    peaks = {"low": (0.1, 3.0, False), "high": (0.2, 1.0, True)}
    trials = {arm: Trial({PEAK: peak}, runs(loss), 4.0, pruned) for arm, (peak, loss, pruned) in peaks.items()}
    assert outcome(trials, {}, "loss")["best"]["vary"] == {PEAK: 0.1}
    lost = trials | {"low": Trial({PEAK: 0.1}, runs(float("nan")), 4.0)}
    assert outcome(lost, {}, "loss")["best"]["vary"] == {PEAK: 0.2}


def test_a_metric_that_is_not_measured_is_refused_before_anything_is_trained(tmp_path):
    planned = plan(study.bases(MODULE, "cpu"), dict([axis("schedule.peak=0.01,0.1")]), metric="acuracy")
    with pytest.raises(lr.Refused, match="there is no metric 'acuracy'"):
        run(planned, tmp_path / "out", metric="acuracy")
    assert not (tmp_path / "out").exists()
    planned = plan(study.bases(MODULE, "cpu"), dict([axis("schedule.peak=0.01,0.1")]), halve=1, metric="train_loss")
    with pytest.raises(lr.Refused, match="there is no metric 'train_loss'"):  # not at a rung; was a KeyError there
        run(planned, tmp_path / "out", metric="train_loss")


def test_arms_of_another_structure_are_another_program(tmp_path):
    result = swept(tmp_path / "out", "schedule.peak=0.01,0.1", arms=["heavy", "plain"], seeds=1)
    assert result["compilations"] == 2
    assert {member["vary"]["arm"] for member in result["members"]} == {"heavy", "plain"}


# --- basins ----------------------------------------------------------------------------------------------------------


def test_a_parabola_finds_its_own_lowest_point():
    values = np.geomspace(1e-4, 1e-1, 7)
    losses = (np.log(values) - np.log(3e-3)) ** 2
    assert log_parabola(values, losses) == pytest.approx(3e-3, rel=1e-9)
    assert log_parabola(values, -values) == 1e-1  # at the edge
    assert log_parabola(values, np.where(values > 5e-3, np.nan, losses)) == values[3]  # beside a divergence


def test_an_arm_at_its_best_value_has_the_losses_of_each_seeds_parabola():
    values, best = np.geomspace(1e-4, 1e-1, 7), np.array([2e-3, 3e-3, 4e-3])
    losses = (np.log(values)[:, None] - np.log(best)) ** 2 + [0.5, 0.6, 0.7]
    arm = tuned(values, losses)
    assert arm.values == pytest.approx(best, rel=1e-9)
    assert arm.value == pytest.approx(np.exp(np.log(best).mean()), rel=1e-9)
    assert arm.losses == pytest.approx((np.log(arm.value) - np.log(best)) ** 2 + [0.5, 0.6, 0.7], rel=1e-9)


def test_a_value_at_which_a_seed_diverged_is_not_the_best():
    arm = tuned([1e-3, 1e-2, 1e-1], [[3.0, 3.0], [2.0, 2.5], [1.0, np.nan]])
    assert (arm.value, arm.losses, arm.at_edge) == (1e-2, [2.0, 2.5], False)
    assert np.isnan(tuned([1e-3, 1e-2], [[np.nan], [np.nan]]).losses).all()


def test_the_interval_of_the_optimum_covers_the_truth_over_seeds():
    """Of 200 basins whose seeds share no more than the truth, nearly all intervals of eight seeds cover it."""
    drawn, values = np.random.default_rng(0), np.geomspace(1e-3, 1e-1, 7)
    covered = 0
    for _ in range(200):
        truth = 1e-2 * np.exp(0.2 * drawn.standard_normal((1, 8)))
        found = basin(values, (np.log(values)[:, None] - np.log(truth)) ** 2).optimum
        covered += found.low <= 1e-2 <= found.high
    assert covered >= 170  # the bootstrap of eight seeds is a little narrow: 95 % would be 190


def test_sensitivity_counts_a_divergence_as_the_loss_at_the_start():
    values = [1e-3, 1e-2, 1e-1]
    assert sensitivity(values, [1.0, 1.0, 1.0], 2.0) == 0
    assert (
        sensitivity(values, [1.0, 1.0, 5.0], 2.0) == sensitivity(values, [1.0, 1.0, np.nan], 2.0) == pytest.approx(0.25)
    )


# --- the command -----------------------------------------------------------------------------------------------------

_FILE = '''"""A quadratic."""
import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import momentum
from lrlab.task.quadratic import Quadratic
BASE = Experiment(Quadratic(dimensions=4), 0.5 * lr.decay(), momentum(), steps=20, batch=2, evaluate_every=10)
ARMS = {}
PRESETS = {"cpu": {}}
def verdict(runs):
    return []
'''


def test_the_command_prints_one_document_and_draws_the_basin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(_FILE)
    words = [
        "sweep",
        "mine.py",
        "--vary",
        "schedule.peak=0.01,0.1",
        "--seeds",
        "2",
        "--out",
        "out",
        "--parallel",
        "members",
    ]
    assert cli.main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) >= {"members", "best", "wall_s", "compilations"}
    assert (tmp_path / "out/basin.png").stat().st_size > 10_000
    assert cli.main(["report", "out"]) == 0
    assert "best: schedule.peak" in capsys.readouterr().out
    assert report.read_sweep(tmp_path / "out")["members"] == result["members"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--vary", "schedule.peak=1"], "a sweep needs two or more"),
        (["--vary", "schedule.peak=1,2", "--block", "0"], "--block 0: a block has at least one member"),
        (["--vary", "schedule.peak=1,2", "--metric", "los"], "there is no metric 'los'; did you mean 'loss'"),
        (["--vary", "schedule.peak=uniform(0,1)", "--search", "random", "--trials", "1"], "tries two or more"),
    ],
)
def test_the_command_refuses_in_one_sentence(tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(_FILE)
    assert cli.main(["sweep", "mine.py", "--seeds", "1", *words]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert "Traceback" not in told
