"""praxis' schedules against their formulas in float64."""

import math

import pytest
from compat.published import assert_follows
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

praxis = lr.compat.praxis
VALUES, LEVELS = st.sampled_from([0.0, 0.01, 0.1, 1.0]), st.sampled_from([0.01, 0.1, 1.0])
STEPS, POWERS = st.integers(1, 60), st.sampled_from([1, 2, 3])
EDGES = st.lists(st.integers(1, 90), min_size=1, max_size=3, unique=True).map(sorted)


def half_cosine(u):
    return 0.5 * (1 + math.cos(math.pi * u))


@given(st.integers(0, 30), STEPS, LEVELS, VALUES, LEVELS, POWERS)
def test_from_one_point_to_another(begin, over, a, b, c, p):
    start, limit, positive = (begin, a), (begin + over, b), (begin + over, c)
    u = lambda t: min(max((t - begin) / over, 0), 1)
    assert_follows(praxis.Linear(start, limit), lambda t: a + (b - a) * u(t))
    assert_follows(praxis.Polynomial(p, start, limit), lambda t: a + (b - a) * u(t) ** p)
    assert_follows(praxis.Polynomial(p, start, limit, "limit"), lambda t: b + (a - b) * (1 - u(t)) ** p)
    assert_follows(praxis.DelayedCosine(start, limit), lambda t: b + (a - b) * half_cosine(u(t)))
    assert_follows(praxis.Exponential(start, positive), lambda t: a ** (1 - u(t)) * c ** u(t))
    assert_follows(praxis.Cosine(a, b, over), lambda t: b + (a - b) * half_cosine(min(t / over, 1)))


@given(st.integers(0, 30), st.integers(0, 30), STEPS, st.sampled_from([0.01, 0.1, 1.0]), LEVELS, POWERS)
def test_linear_rampup_and_a_decay(warm, flat, over, low, peak, p):
    begin = warm + flat
    stages = {"warmup_steps": warm, "decay_start": begin, "decay_end": begin + over, "min_ratio": low, "max": peak}

    def ours(fall):
        return lambda t: peak * (t / warm if t < warm else fall(min(max((t - begin) / over, 0), 1)))

    assert_follows(praxis.LinearRampupPolynomialDecay(power=p, **stages), ours(lambda u: 1 + (low - 1) * u**p))
    assert_follows(praxis.LinearRampupCosineDecay(**stages), ours(lambda u: low + (1 - low) * half_cosine(u)))
    assert_follows(praxis.LinearRampupExponentialDecay(**stages), ours(lambda u: low**u))


@given(EDGES, st.data())
def test_piecewise_constant(edges, data):
    values = data.draw(st.lists(LEVELS, min_size=len(edges) + 1, max_size=len(edges) + 1))
    rate = lambda t: values[sum(edge <= t for edge in edges)]
    assert_follows(praxis.PiecewiseConstant(edges, values), rate)
    ramped = lambda t: values[0] * t / edges[0] if t < edges[0] else values[sum(edge <= t for edge in edges) - 1]
    assert_follows(praxis.LinearRampupPiecewiseConstant(edges, values[:-1]), ramped)


def test_a_zero_among_values_is_skipped_as_praxis_does():
    assert str(praxis.PiecewiseConstant([3, 6], [0.1, 0.0, 0.5])) == "join(0.1 * stable(3), off(3), 0.5 * stable())"
    assert praxis.PiecewiseConstant([3, 6, 9], [0.1, 0, 0.2, 0]) == praxis.PiecewiseConstant(
        [3, 6, 9], [0.1, 0.2, 0.2, 0]
    )


@given(STEPS, st.integers(1, 64), st.none() | st.integers(0, 120), LEVELS, st.integers(-60, 60))
def test_powers_of_time(warm, dim, end, peak, offset):
    def noam(t):
        s = (t if end is None else min(t, end)) + 1
        return dim**-0.5 * min(s * (2 * warm) ** -1.5, s**-0.5)

    assert_follows(praxis.Transformer(warm, dim, 2, end), noam)
    assert_follows(praxis.SqrtDecay(warm, peak, offset), lambda t: peak / math.sqrt(max(t - offset, warm)))
    ramped = lambda t: peak * min(max(t, 1) / warm, math.sqrt(warm / max(t, 1)))
    assert_follows(praxis.LinearRampupSqrtDecay(peak, warm), ramped)


@given(LEVELS, st.integers(0, 50), st.integers(1, 30), st.sampled_from([0.01, 0.3]))
def test_continuous(initial, begin, half, low):
    rate = lambda t: initial * max(0.5 ** (max(t - begin, 0) / half), low)
    assert_follows(praxis.ContinuousSchedule(initial, begin, half, low), rate)


@given(st.lists(st.tuples(STEPS, LEVELS, VALUES, st.integers(1, 9)), min_size=1, max_size=3))
def test_schedules_made_of_schedules(drawn):
    lines = [praxis.Linear((0, a), (over, b)) for over, a, b, _ in drawn]
    line = lambda i, t: drawn[i][1] + (drawn[i][2] - drawn[i][1]) * min(t / drawn[i][0], 1)
    turns = [i for i, (*_, steps) in enumerate(drawn) for _ in range(steps)]
    cycle = praxis.CycleSchedule(lines, [steps for *_, steps in drawn])
    assert_follows(cycle, lambda t: line(turns[t % len(turns)], t))  # all on the clock of the run
    begins = [0, *sorted(over for over, *_ in drawn[1:])]
    last = lambda t: sum(begin <= t for begin in begins) - 1
    assert_follows(praxis.PiecewiseSchedule(begins[1:], lines), lambda t: line(last(t), t - begins[last(t)]))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: praxis.Linear((9, 1.0), (9, 0.5)), "Linear(start=[9, 1], limit=[9, 0.5]): both are an update and a value there, and the limit comes later"),
        (lambda: praxis.Polynomial(1, (0, 1.0), (9, 0.5), "end"), "there is no origin of Polynomial 'end'"),
        (lambda: praxis.Exponential((0, 1.0), (9, 0.0)), "Exponential(a value=0): a value is a number above 0"),
        (lambda: praxis.Cosine(), "Cosine(total_steps=0): total_steps is a whole number of steps from 1 on"),
        (lambda: praxis.LinearRampupCosineDecay(max=1.0, warmup_steps=9, decay_start=8, decay_end=20), "LinearRampupCosineDecay(warmup_steps=9, decay_start=8, decay_end=20): the decay starts no earlier than"),
        (lambda: praxis.LinearRampupCosineDecay(decay_end=20), "LinearRampupCosineDecay(max=0): a learning rate is positive"),
        (lambda: praxis.PiecewiseConstant([3], [1.0]), "PiecewiseConstant(boundaries=[3], values=[1]): boundaries ascend, and there is one value more"),
        (lambda: praxis.LinearRampupPiecewiseConstant([3], [1.0, 0.5]), "LinearRampupPiecewiseConstant(boundaries=[3], values=[1, 0.5]): each boundary has its value"),
        (lambda: praxis.CycleSchedule([praxis.Constant()], [1, 2]), "CycleSchedule: there are 1 schedules and 2 steps; write steps for each"),
        (lambda: praxis.ContinuousSchedule(min=1.0), "ContinuousSchedule(min=1): it lies below the initial value"),
    ],
    ids=range(10),
)  # fmt: skip
def test_what_praxis_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
