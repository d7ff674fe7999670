"""fastai's and fvcore's functions of the progress against their formulas in float64, the sequences produced, and refusals."""

import math

import jax
import numpy as np
import pytest
from compat.published import assert_agrees, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

fastai, fvcore = lr.compat.fastai, lr.compat.fvcore
RATES, UPDATES = st.floats(1e-3, 1.0), st.integers(1, 200)


def follows(schedule, rate, updates):
    expected = [rate(t / updates) for t in range(updates)]
    assert_agrees(schedule, expected, peak=max(expected))
    assert lr.parse(repr(schedule)) == schedule
    assert schedule.length == updates


def cos(a, b, u):
    return a + (b - a) * (1 - math.cos(math.pi * u)) / 2


@given(RATES, RATES, st.floats(0.5, 3.0), UPDATES)
def test_one_curve(a, b, p, updates):
    curves = {
        "Lin": ((a, b), lambda u: a + (b - a) * u),
        "Cos": ((a, b), lambda u: cos(a, b, u)),
        "No": ((a, b), lambda u: a),
        "Exp": ((a, b), lambda u: a * (b / a) ** u),
        "Poly": ((a, b, p), lambda u: a + (b - a) * u**p),
    }
    for name, (numbers, rate) in curves.items():
        follows(getattr(fastai, f"Sched{name}")(*numbers, steps=updates), rate, updates)
    others = {
        "Constant": ((a,), lambda u: a),
        "Cosine": ((a, b), lambda u: cos(a, b, u)),
        "Linear": ((a, b), lambda u: a + (b - a) * u),
        "Exponential": ((a, b), lambda u: a * b**u),
        "PolynomialDecay": ((a, p), lambda u: a * (1 - u) ** p),
    }
    for name, (numbers, rate) in others.items():
        follows(getattr(fvcore, f"{name}ParamScheduler")(*numbers, steps=updates), rate, updates)


@given(st.lists(RATES, min_size=1, max_size=5), st.integers(5, 200), st.floats(0.1, 0.9))
def test_stairs_of_fvcore(values, updates, gamma):
    level = lambda rates, u: rates[int((u + 1e-6) * len(rates))]
    follows(fvcore.StepParamScheduler(updates, values), lambda u: level(values, u), updates)
    shares = [0.5 * gamma**i for i in range(4)]
    fixed = fvcore.StepWithFixedGammaParamScheduler(0.5, 3, gamma, updates)
    follows(fixed, lambda u: level(shares, u), updates)
    edges = [7 * i + 1 for i in range(4)]
    steps = lambda u: shares[sum(int((u + 1e-6) * 40) >= edge for edge in edges[1:])]
    follows(fvcore.MultiStepParamScheduler(shares, 40, edges[1:], steps=updates), steps, updates)


@given(UPDATES, st.sampled_from([0.25, 0.3, 1 / 3]), RATES)
def test_two_parts(updates, pct, peak):
    both = lambda u: cos(peak / 25, peak, u / pct) if u < pct else cos(peak, 0.0, (u - pct) / (1 - pct))
    combined = fastai.combined_cos(pct, peak / 25, peak, 0.0, steps=updates)
    near = [t for t in range(updates) if abs(t / updates - pct) > 1e-6]  # where float32 decides which part it is
    expected = np.array([both(t / updates) for t in near])
    np.testing.assert_allclose(combined(np.array(near, int)), expected, rtol=0, atol=1e-6 * peak)
    warm = fvcore.WarmupParamScheduler(fvcore.CosineParamScheduler(1, 0), 0.1, pct)
    rate = lambda u: 0.1 + (cos(1, 0, pct) - 0.1) * u / pct if u + 1e-6 <= pct else cos(1, 0, u)
    follows(fvcore.LRMultiplier(warm, updates, base_lr=peak), lambda u: peak * rate(u), updates)


def test_in_percent_of_a_run():
    assert repr(fastai.combined_cos(0.3, 0.004, 0.1, 0)) == "join(0.1 * warmup('30%', start=0.04, curve=cosine), 0.1 * decay(curve=cosine))"  # fmt: skip
    nested = fastai.combine_scheds([0.5, 0.5], [fastai.combined_cos(0.5, 0, 1, 0.5), fastai.SchedNo(0.5, 0)])
    assert repr(fastai.ParamScheduler({"lr": nested}, steps=80)) == (
        "1 * warmup(20, curve=cosine) >> decay(20, to=0.5, curve=cosine) >> stable(40)"
    )


def test_they_are_schedules_like_others():
    stairs = fvcore.MultiStepParamScheduler([1, 0.5], 9, [3])
    assert lr.parse(repr(lr.join(stairs, stairs))) == lr.join(stairs, stairs)
    cosine = fastai.SchedCos(0.1, 0.05, steps=9)
    assert repr(2 * cosine >> lr.stable(3)) == "0.2 * decay(9, to=0.5, curve=cosine) >> stable(3)"
    assert jax.jit(lambda t: cosine(t))(0) == cosine(0)


def test_shares_that_float32_rounds_up_are_an_update_late():
    assert repr(fastai.fit_sgdr(3, 1, 0.1, steps_per_epoch=7)) == (
        "join(0.1 * decay(7, curve=cosine), 0.1 * decay(15, curve=cosine @ span(0, 1.07142857143)), "
        "0.1 * decay(27, curve=cosine @ span(0.0357142857143, 1)))"
    )


def test_the_sequences_that_they_produced():
    one_cycle = sequence("ONE-CYCLE total 10, pct_start .3, div 25, final_div 1e4 (fastai 1e5 on max)", "fastai combined_cos(.3,1/25,1,1e-5) pos=t/T")  # fmt: skip
    assert_agrees(fastai.combined_cos(0.3, 1 / 25, 1, 1e-5, steps=10), one_cycle)
    assert_agrees(fastai.fit_one_cycle(1, 1, pct_start=0.3, steps_per_epoch=10), one_cycle)
    steps = sequence("STEP / MULTISTEP: step 3 gamma .1 ; milestones [3,6]", "fvcore MultiStepParamScheduler milestones [3,6]")  # fmt: skip
    assert_agrees(fvcore.MultiStepParamScheduler([1, 0.1, 0.01], 10, [3, 6]), steps)


COSINE = fvcore.CosineParamScheduler(1, 0)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fastai.combine_scheds([0.5, 0.25, 0.25 + 2**-51], 3 * [fastai.SchedNo(1, 1)]), "they add up to 1 to the last digit, not to 1.0000000000000004"),
        (lambda: fastai.combine_scheds([0.5, 0.5], [lr.decay(), lr.decay()]), "combine_scheds of decay(): what it is made of are schedules of the progress"),
        (lambda: fastai.SchedExp(0, 1), "SchedExp(start=0): a learning rate is positive, such as 3e-4"),
        (lambda: fastai.ParamScheduler(fastai.SchedNo(1, 1)), "write the scheduler of the rate, {'lr': SchedCos(0.1, 0)}"),
        (lambda: fastai.fit_one_cycle(0, 0.1, steps_per_epoch=9), "fit_one_cycle(n_epoch=0): n_epoch is a whole number of steps from 1 on"),
        (lambda: fvcore.MultiStepParamScheduler([1, 0.1]), "MultiStepParamScheduler needs num_updates or milestones; write num_updates=1000"),
        (lambda: fvcore.MultiStepParamScheduler([1], milestones=[]), "MultiStepParamScheduler needs num_updates or milestones"),
        (lambda: fvcore.MultiStepParamScheduler([1, 0.1], 9, [9]), "milestones ascend to num_updates=9, and there is one value more than there are before it"),
        (lambda: fvcore.StepParamScheduler(9, []), "StepParamScheduler(values=[]): write at least one value, [0.1, 0.01]"),
        (lambda: fvcore.CompositeParamScheduler([COSINE], [0.5], ["fixed"]), "CompositeParamScheduler(lengths=[0.5]): they add up to 0.5, not to 1"),
        (lambda: fvcore.CompositeParamScheduler([COSINE], [1], []), "CompositeParamScheduler of 1 schedulers, 1 lengths and 0 interval_scaling"),
        (lambda: fvcore.CompositeParamScheduler([COSINE], [1], ["fix"]), "there is no interval_scaling of CompositeParamScheduler 'fix'"),
        (lambda: fvcore.LRMultiplier(lr.decay(), 9, base_lr=1), "LRMultiplier of decay(): what it is made of are schedules of the progress"),
    ],
    ids=range(13),
)  # fmt: skip
def test_what_they_refuse_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
