"""Keras' schedules against the sequences that it produced, and against its formulas in plain float64."""

import math

import hypothesis.strategies as st
import pytest
from compat.published import assert_agrees, sequence
from hypothesis import given

import lrlab as lr

keras = lr.compat.keras
UPDATES = range(200)
RATES, STEPS, SHARES = st.floats(1e-4, 1.0), st.integers(1, 40), st.floats(0.0, 1.0)


def agrees(schedule, rate, peak):
    assert_agrees(schedule, [rate(t) for t in UPDATES], peak)
    assert lr.parse(repr(schedule)) == schedule


@pytest.mark.parametrize(
    ("label", "schedule"),
    [
        ("Keras CosineDecayRestarts(1,3,t_mul2,m_mul.5)", lambda: keras.CosineDecayRestarts(1, 3, 2, 0.5)),
        ("Keras PolynomialDecay cycle=True(4)", lambda: keras.PolynomialDecay(1, 4, 0, cycle=True)),
        ("Keras InverseTimeDecay(1,1,.5)", lambda: keras.InverseTimeDecay(1, 1, 0.5)),
    ],
)
def test_what_keras_printed(label, schedule):
    assert_agrees(schedule(), sequence("CYCLIC / RESTARTS", label))


@given(RATES, STEPS, st.floats(0.1, 0.99), st.booleans())
def test_exponential(i, d, k, stairs):
    p = lambda t: t // d if stairs else t / d
    agrees(keras.ExponentialDecay(i, d, k, stairs), lambda t: i * k ** p(t), i)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4).map(sorted), st.data())
def test_piecewise_boundaries_belong_to_the_left(edges, data):
    values = data.draw(st.lists(st.floats(1e-3, 1.0), min_size=len(edges) + 1, max_size=len(edges) + 1))
    agrees(keras.PiecewiseConstantDecay(edges, values), lambda t: values[sum(t > e for e in edges)], max(values))


@given(RATES, STEPS, RATES, st.floats(1.0, 4.0), RATES)
def test_polynomial_and_inverse_time(i, d, end, p, k):
    rate = lambda t: (i - end) * (1 - min(t, d) / d) ** p + end
    agrees(keras.PolynomialDecay(i, d, end, p), rate, max(i, end))
    agrees(keras.InverseTimeDecay(i, d, k), lambda t: i / (1 + k * t / d), i)
    agrees(keras.InverseTimeDecay(i, d, k, staircase=True), lambda t: i / (1 + k * (t // d)), i)


@given(RATES, STEPS, SHARES, st.floats(0.5, 3.0))
def test_cycles_of_polynomials(i, d, share, p):
    end, until = i * share, lambda t: d * max(math.ceil(t / d), 1)
    agrees(keras.PolynomialDecay(i, d, end, p, cycle=True), lambda t: (i - end) * (1 - t / until(t)) ** p + end, i)


@given(RATES, STEPS, SHARES, st.none() | RATES, st.integers(0, 30))
def test_cosine(i, d, alpha, target, warm):
    w, peak = (0, i) if target is None else (warm, target)

    def rate(t):
        if t < w:
            return i + (peak - i) * t / w
        return peak * ((1 - alpha) * (1 + math.cos(math.pi * min(t - w, d) / d)) / 2 + alpha)

    schedule = keras.CosineDecay(i, d, alpha, warmup_target=target, warmup_steps=warm)
    agrees(schedule, rate, max(i, peak))


@given(RATES, STEPS, st.sampled_from([1, 2, 3.0, 1.5, 2.5]), st.floats(0.1, 1.0), st.sampled_from([0.0, 0.1, 1.0]))
def test_restarts(i, d, t_mul, m_mul, alpha):
    def rate(t):
        length, height = d, 1.0
        while t >= length:
            t, length, height = t - length, length * t_mul, height * m_mul
        return i * ((1 - alpha) * height * (1 + math.cos(math.pi * t / length)) / 2 + alpha)

    agrees(keras.CosineDecayRestarts(i, d, t_mul, m_mul, alpha), rate, i)


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (lambda: keras.CosineDecay(1, 0), "CosineDecay(decay_steps=0): decay_steps is a whole number of steps from 1 on"),
        (lambda: keras.PolynomialDecay(1, 9, 2, cycle=True), "cycles that rise from 1, which no word says; give the formula"),
        (lambda: keras.CosineDecayRestarts(1, 9, 0.5), "t_mul is a number from 1 on"),
        (lambda: keras.PiecewiseConstantDecay([3], [1]), "there is one value more than there are boundaries"),
    ],
)  # fmt: skip
def test_refusals(build, text):
    with pytest.raises(lr.Refused) as refused:
        build()
    assert text in str(refused.value)
