"""Rates that follow a metric: when peers reduce, what an improvement is, and a run that says which rate it used."""

import math
import types
from functools import partial

import alone
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import lrlab as lr
from lrlab import record, study
from lrlab.experiment import Experiment
from lrlab.optim import early_stopping, greedy, plateau, sgd, with_feedback
from lrlab.override import override
from lrlab.parallel import strategy
from lrlab.report.sample import sample
from lrlab.report.study import _used, print_study
from lrlab.schedule.notation import read
from lrlab.task.quadratic import Quadratic

LONGEST = 40
# eighths with a threshold of a sixteenth: every comparison is exact in float32 and float64, so peers must agree
EIGHTHS = st.lists(st.integers(-24, 24).map(lambda n: n / 8), min_size=1, max_size=LONGEST)
POSITIVE = st.lists(st.integers(1, 64).map(lambda n: n / 8), min_size=1, max_size=LONGEST)
SIXTEENTH = 1 / 16


@jax.jit
def _states(watcher, metrics):
    def step(state, value):
        state = watcher.update(state, value)
        return state, state

    return jax.lax.scan(step, watcher.init(), metrics)[1]


def states(watcher, metrics):
    """The states of a watcher after each value; one compilation for each structure of a watcher."""
    padded = np.full(LONGEST, np.nan, np.float32)
    padded[: len(metrics)] = metrics
    return jax.tree.map(lambda leaf: np.asarray(leaf)[: len(metrics)], _states(watcher, padded))


def changes(gains):
    """The observations, counted from 1, at which a gain is not that of the one before."""
    return [i + 1 for i, (before, after) in enumerate(zip([1.0, *gains], gains)) if before != after]


# --- plateau ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convention", "first", "cooled"),
    # Observed of torch 2.13, optax 0.2.8 and Keras 3.15 on a flat metric: patience=3, and patience=1 with cooldown=2
    [("torch", 5, [3, 7, 11]), ("optax", 4, [2, 5, 8]), ("keras", 4, [2, 4, 6, 8])],
)
@pytest.mark.parametrize("level", [1.0, 0.0, -1.0])
def test_a_flat_metric_reduces_when_the_peer_does_whatever_its_sign(convention, first, cooled, level):
    watcher = plateau(factor=0.5, patience=3, convention=convention)
    assert changes(states(watcher, [level] * (first + 2)).gain) == [first]
    watcher = plateau(factor=0.5, patience=1, convention=convention, cooldown=2)
    assert changes(states(watcher, [level] * cooled[-1]).gain) == cooled


@given(EIGHTHS, st.sampled_from(["torch", "keras", "optax"]), st.integers(1, 4), st.integers(0, 3))
def test_larger_is_to_max_what_smaller_is_to_min(metrics, convention, patience, cooldown):
    """So the sign of a metric never matters."""
    watch = partial(plateau, 0.5, patience, convention, cooldown=cooldown, threshold=SIXTEENTH)
    down = states(watch(mode="min"), metrics)
    up = states(watch(mode="max"), [-value for value in metrics])
    np.testing.assert_array_equal(down.gain, up.gain)
    np.testing.assert_array_equal(down.best, -up.best)


@given(EIGHTHS, st.sampled_from(["rel", "abs"]))
def test_the_best_moves_by_more_than_the_threshold_or_not_at_all(metrics, mode):
    """Against the definition, in exact arithmetic."""
    best, expected = math.inf, []
    for value in metrics:
        least = SIXTEENTH * (abs(best) if mode == "rel" else 1) if best < math.inf else 0
        best = value if best - value > least else best
        expected.append(best)
    watched = states(plateau(0.5, 2, threshold=SIXTEENTH, threshold_mode=mode), metrics)
    np.testing.assert_array_equal(watched.best, expected)


@given(POSITIVE, st.integers(1, 5), st.integers(0, 3), st.integers(1, 4), st.sampled_from([0.0, 0.25]))
def test_a_plateau_of_optax_is_optax(metrics, patience, cooldown, window, least):
    """On positive metrics, where optax compares rightly: against its own transformation, update by update."""
    ours = states(plateau(0.5, patience, "optax", "min", SIXTEENTH, "rel", cooldown, least, window=window), metrics)
    padded = np.asarray([*metrics, *[np.nan] * (LONGEST - len(metrics))], np.float32)
    theirs = _optax_scales(patience, cooldown, window, least, padded)[: len(metrics)]
    np.testing.assert_array_equal(ours.gain, theirs)


@jax.jit
def _optax_scales(patience, cooldown, window, least, metrics):
    tx = optax.contrib.reduce_on_plateau(0.5, patience, SIXTEENTH, 0.0, cooldown, window, least)

    def step(state, value):
        _, state = tx.update(jnp.float32(1), state, value=value)
        return state, state.scale

    return jax.lax.scan(step, tx.init(jnp.float32(1)), metrics)[1]


def test_a_negative_metric_that_improves_is_left_alone():
    """torch and optax compare with (1 - threshold) best, which is above a negative best: pytorch/pytorch#47513."""
    improving = -(1.05 ** np.arange(30))
    assert changes(states(plateau(0.5, 2, threshold=0.01), improving).gain) == []
    creeping = -(1.001 ** np.arange(30))
    assert changes(states(plateau(0.5, 2, threshold=0.1), creeping).gain)[0] == 4


def test_the_gain_stops_at_its_least():
    gains = states(plateau(0.5, 1, "keras", least=0.2), [1.0] * 8).gain
    np.testing.assert_allclose(gains, [1, 0.5, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2])


def test_a_metric_that_is_nan_is_no_improvement():
    watched = states(plateau(0.5, 2), [1.0, np.nan, np.nan, np.nan, 0.5])
    assert changes(watched.gain) == [4]
    assert watched.best[-1] == 0.5


# --- greedy ----------------------------------------------------------------------------------------------------------


def test_greedy_rises_while_it_improves_and_falls_while_it_does_not():
    better, worse = list(np.arange(9.0, 1.0, -1.0)), [9.0] * 8
    gains = states(greedy(0.5, 3, least=0.25, most=4.0), better + worse).gain
    np.testing.assert_array_equal(gains, [1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 2, 2, 2, 2, 1])
    rested = states(greedy(0.5, 0, cooldown=2, warmup=1, least=0.125), [1.0, 0.5, 2.0, 2.0, 2.0, 2.0, 0.1, 0.1]).gain
    np.testing.assert_array_equal(rested, [2, 2, 1, 1, 1, 0.5, 0.5, 0.5])


def test_greedy_stays_in_its_bounds_and_begins_again_when_it_lies_at_the_bottom():
    assert max(states(greedy(0.5, 0, most=3.0), list(range(9, 0, -1))).gain) == 3
    gains = states(greedy(0.5, 0, least=0.5, reset=3), [1.0] * 8).gain
    np.testing.assert_array_equal(gains, [2, 1, 0.5, 0.5, 1, 2, 1, 0.5])


def test_greedy_sees_the_running_mean():
    watched = states(greedy(0.5, 9, smooth=3), [3.0, 6.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(watched.best, [3, 3, 3, 2, 0])


# --- early stopping --------------------------------------------------------------------------------------------------


@given(EIGHTHS, st.integers(1, 5), st.sampled_from(["min", "max"]))
def test_a_run_stops_at_the_observation_that_exhausts_the_patience(metrics, patience, mode):
    """Against the definition: the last `patience` observations improved on nothing before them."""
    stopped = states(early_stopping(patience, mode), metrics).stop
    sign = 1 if mode == "min" else -1
    best = np.minimum.accumulate([math.inf, *(sign * value for value in metrics)])
    improved = np.flatnonzero(np.diff(best) < 0)
    expected = next((n for n in range(len(metrics)) if n - max(improved[improved <= n]) >= patience), len(metrics))
    assert list(stopped) == [n >= expected for n in range(len(metrics))]


# --- in a script of one's own ----------------------------------------------------------------------------------------

SCHEDULE = 1e-2 * lr.warmup(4) >> lr.decay(16, to=0.1)
PARAMS = {"w": np.linspace(-1, 1, 4, dtype=np.float32)}


def followed(feedback):
    return with_feedback(feedback, lambda gain: lr.scheduled(optax.adam, learning_rate=gain * SCHEDULE))


def test_the_rate_reported_is_the_gain_times_the_schedule():
    tx = followed(plateau(0.5, 2, "keras"))

    @partial(jax.jit, donate_argnums=(0, 1))  # no two arrays of a state share a buffer
    def step(params, state):
        updates, state = tx.update(params, state, params, value=1.0)
        return optax.apply_updates(params, updates), state, lr.values_used(state)["learning_rate"]

    params, state, rates = jax.tree.map(jnp.array, PARAMS), tx.init(PARAMS), []
    for _ in range(8):
        params, state, rate = step(params, state)
        rates.append(float(rate))
    gains = states(plateau(0.5, 2, "keras"), [1.0] * 8).gain
    np.testing.assert_allclose(
        rates, gains * SCHEDULE(np.arange(8)), rtol=3e-7
    )  # a float32 product, a float64 schedule
    assert step._cache_size() == 1


def test_nothing_is_observed_where_there_is_nothing_to_observe():
    feedback = plateau(0.5, 1, "keras")
    tx = followed(feedback)
    state = tx.init(PARAMS)
    for _ in range(3):
        _, state = tx.update(PARAMS, state, PARAMS, value=None)
    assert state.feedback.best == np.inf
    for _ in range(2):
        state = state._replace(feedback=feedback.update(state.feedback, 1.0))
    _, state = tx.update(PARAMS, state, PARAMS, value=None)
    assert lr.values_used(state)["learning_rate"] == np.float32(0.5 * SCHEDULE(3))


# --- in a run --------------------------------------------------------------------------------------------------------

# every observation is a fresh start of the same loss: the rate is so small that nothing moves
BASE = Experiment(
    task=Quadratic(dimensions=4, sigma=0.0),
    schedule=1e-30 * lr.stable(),
    optimizer=sgd(),
    steps=24,
    batch=8,
    evaluate_every=4,
    log_every=1,
)


def run(tmp_path, devices=1, **changes):
    experiment = override(BASE, changes).resolve()
    outcome, _, rows = alone.run(experiment, tmp_path, devices)
    return outcome, rows


@pytest.mark.parametrize("devices", [1, 4])
def test_the_records_hold_the_rate_really_used(tmp_path, devices):
    outcome, rows = run(tmp_path, devices, feedback="plateau(factor=0.5, patience=2, convention='keras')")
    rates = [row["learning_rate"] / 1e-30 for row in rows if "learning_rate" in row]
    # evaluations after 4, 8 and 12 updates: the third is the second without improvement
    np.testing.assert_allclose(rates, [1.0] * 12 + [0.5] * 8 + [0.25] * 4, rtol=1e-6)
    assert outcome.stopped is None
    assert rows[-1]["end"] == "finished"


def test_a_training_loss_is_observed_at_every_update(tmp_path):
    _, rows = run(
        tmp_path, feedback="plateau(factor=0.5, patience=2, convention='keras', metric='train_loss', window=3)"
    )
    rates = [row["learning_rate"] / 1e-30 for row in rows if "learning_rate" in row]
    # means over updates 0-2, 3-5 and 6-8; the update that completes a window already uses what follows from it
    np.testing.assert_allclose(rates, [1.0] * 8 + [0.5] * 6 + [0.25] * 6 + [0.125] * 4, rtol=1e-6)


def test_early_stopping_ends_the_run_keeps_its_records_and_says_so(tmp_path):
    outcome, rows = run(tmp_path, stop="early_stopping(patience=2)")
    assert outcome.stopped == 12
    assert [row["step"] for row in rows if "loss" in row] == list(range(12))
    assert rows[-1]["end"] == "stopped"
    assert rows[-1]["step"] == 12
    assert rows[-1]["because"].startswith("loss has not improved on")
    assert rows[-1]["because"].endswith("for 2 observations")
    assert rows[-1]["final"]["loss"] == outcome.final["loss"] == rows[-2]["held_out"]["loss"]


def test_a_study_tells_which_runs_stopped_and_draws_the_rates_really_used(tmp_path, capsys):
    arms = {"a": {"stop": early_stopping(2)}, "b": {"feedback": plateau(0.5, 2, "keras")}}
    module = types.SimpleNamespace(BASE=BASE, ARMS=arms, PRESETS={"cpu": {}})
    prepared = study.prepare(module, "short", seeds=1)
    result = study.run(prepared, tmp_path, lambda e: strategy(None, 8, 1, jax.devices()[:1]), study.Watcher())
    assert {arm: run["stopped"] for arm, run in result["arms"].items()} == {"a": [12], "b": [None]}
    assert prepared.arms["a"].values()["stop"].startswith("early_stopping(patience=2, mode='min'")
    print_study(result, Console(width=120))
    header, row = (line for line in capsys.readouterr().out.splitlines() if "stopped" in line or "1 of 1" in line)
    assert header.split()[-1] == "stopped"
    assert row.split()[0] == "a"
    planned = sample(BASE.resolve().schedule, 24)
    drawn = {arm: _used(planned, [list(record.rows(tmp_path / f"runs/{arm}/seed-0"))]).rate for arm in arms}
    np.testing.assert_array_equal(drawn["a"], planned.rate)
    np.testing.assert_allclose(drawn["b"] / 1e-30, [1.0] * 12 + [0.5] * 8 + [0.25] * 4, rtol=1e-6)


def test_a_run_continued_from_a_saved_state_is_the_same_to_the_bit():
    experiment = override(
        BASE, {"schedule": "0.5 * stable()", "task.sigma": 1.0, "feedback": greedy(0.5, 0, smooth=3)}
    ).resolve()
    task, member, chosen = experiment.task, experiment.member(0), strategy(None, 8, 1, jax.devices()[:1])
    advance = lambda state: alone.compiled(chosen, task, 8, 1, 5)(state, member, chosen.put(task.load().train))
    once = advance(alone.begin(task, member))[0]
    saved = jax.tree.map(np.asarray, jax.device_get(once))
    expected = jax.device_get(advance(once))
    resumed = jax.device_get(advance(saved))
    jax.tree.map(np.testing.assert_array_equal, resumed, expected)
    assert len(set(expected[1]["learning_rate"])) > 1  # the gain did move


def test_one_program_serves_every_patience_and_factor():
    calls = _states._cache_size()
    for patience, factor in ((1, 0.5), (3, 0.1), (7, 0.9)):
        states(plateau(factor, patience, "optax", "max"), [1.0])
    assert _states._cache_size() <= calls + 1


# --- notation and refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "plateau()",
        "plateau(factor=0.5, patience=3, convention='keras', mode='max', metric='accuracy')",
        "greedy(patience=0, cooldown=2, smooth=50)",
        "early_stopping(threshold=1e-3, threshold_mode='abs')",
    ],
)
def test_a_watcher_is_written_as_it_is_read(text):
    watcher = read(text, lr.optim.WORDS)
    assert repr(watcher) == text
    assert read(watcher.spelled(), lr.optim.WORDS) == watcher
    assert hash(read(watcher.spelled(), lr.optim.WORDS)) == hash(watcher)


def test_parts_of_a_feedback_are_set_by_path():
    base = override(BASE, {"feedback": "plateau()", "stop": "early_stopping()"})
    assert override(base, {"feedback.patience": "3", "feedback.mode": "max"}).feedback == plateau(
        patience=3, mode="max"
    )
    assert override(base, {"feedback": "none", "stop.patience": 4}).feedback is None


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: plateau(factor=1.5), r"plateau\(factor=1.5\): the factor lies between 0 and 1, such as factor=0.5"),
        (lambda: plateau(factor=0), "the factor lies between 0 and 1"),
        (lambda: plateau(factor=1.0), r"factor=1\): the factor lies between"),
        (lambda: plateau(patience=-1), r"plateau\(patience=-1\): patience is a whole number, at least 0"),
        (lambda: plateau(patience=2.5), "patience is a whole number"),
        (lambda: plateau(patience=0, convention="optax"), "reduces at every improvement and never else; write patience=1"),
        (lambda: plateau(convention="tensorflow"), "there is no convention of plateau 'tensorflow'.*torch, keras, optax"),
        (lambda: plateau(mode="mim"), "there is no mode of plateau 'mim'; did you mean 'min'"),
        (lambda: plateau(threshold_mode="relative"), "there is no threshold_mode of plateau 'relative'.*rel, abs"),
        (lambda: plateau(threshold=-0.1), "the threshold is a number, zero or more"),
        (lambda: plateau(least=2.0), "the lowest gain is a share of the schedule, from 0 to 1"),
        (lambda: plateau(window=0), "window is a whole number, at least 1"),
        (lambda: plateau(metric=""), "name a held-out metric"),
        (lambda: greedy(most=0.5), r"greedy\(most=0.5\): the highest gain is a share of the schedule, at least 1"),
        (lambda: greedy(smooth=0), "smooth is a whole number, at least 1"),
        (lambda: early_stopping(patience=0), r"early_stopping\(patience=0\): patience is a whole number, at least 1"),
        (lambda: override(BASE, {"feedback": "plateau(patience=0.5)"}), "patience is a whole number, at least 0"),
        (lambda: override(BASE, {"feedback": "early_stopping()"}), "feedback is plateau or greedy, such as plateau"),
        (lambda: override(BASE, {"stop": "soon"}), "there is no word 'soon'"),
        (lambda: override(BASE, {"feedback.patience": "3"}), "feedback is none; set all of it first, such as feedback="),
        (lambda: override(BASE, {"feedback": "greedy()", "feedback.factor": "3"}), "feedback.factor=3: greedy"),
        (lambda: followed(plateau()).update(PARAMS, followed(plateau()).init(PARAMS), PARAMS), "needs a value to observe"),
    ],
)  # fmt: skip
def test_refusals(call, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        call()


def test_a_metric_that_is_not_measured_is_refused_before_the_run(tmp_path):
    with pytest.raises(lr.Refused, match=r"there is no metric for plateau 'accuracy'\. There are: loss, train_loss"):
        run(tmp_path, feedback="plateau(metric='accuracy')")
