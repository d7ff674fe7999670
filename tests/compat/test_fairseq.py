"""The schedulers of fairseq and fairseq2 against their formulas in float64 and against what their code produced."""

import math

import numpy as np
import pytest
from compat.published import assert_agrees, assert_follows, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

fairseq, fairseq2 = lr.compat.fairseq, lr.compat.fairseq2
PEAKS = st.floats(1e-5, 1.0)
SHARES = st.sampled_from([0.0, 0.1, 0.5])
WARM, STEPS = st.integers(0, 30), st.integers(1, 60)
SHRINKS = st.sampled_from([1.0, 0.5, 0.1])
POWERS = st.sampled_from([1.0, 2.0, 0.7])


def warmed(t, start, peak, warm):
    return start + (peak - start) * t / warm


def cosine(low, high, u):
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * u))


@given(PEAKS, SHARES, SHARES, WARM, st.integers(1, 20), st.sampled_from([1.0, 2, 3.0, 1.5, 2.3]), SHRINKS)
def test_cosine(peak, start, low, warm, length, mul, shrink):
    start, low = start * peak, low * peak

    def fair1(t):
        if t < warm:
            return warmed(t, start, peak, warm)
        t -= warm
        i = math.floor(t / length if mul == 1 else math.log(1 - t / length * (1 - mul), mul))
        begin = i * length if mul == 1 else (1 - mul**i) / (1 - mul) * length
        return shrink**i * cosine(low, peak, (t - begin) / (mul**i * length))

    def fair2(t):
        if t < warm:
            return warmed(t, start, peak, warm)
        t -= warm
        i = t // length if mul == 1 else int(math.log(1 - t / length * (1 - mul), mul))
        begin = i * length if mul == 1 else int((1 - mul**i) / (1 - mul) * length)
        return shrink**i * cosine(low, peak, (t - begin) / int(mul**i * length))

    ours = fairseq.CosineLRSchedule(
        base_lr=peak,
        warmup_updates=warm,
        warmup_init_lr=start,
        min_lr=low,
        t_mult=mul,
        lr_period_updates=length,
        lr_shrink=shrink,
    )
    assert_follows(ours, fair1, 400)
    kwargs = {"base_lr": peak, "cycle_mul": mul, "lr_mul": shrink, "start_lr": start, "final_lr": low}
    assert_follows(fairseq2.CosineAnnealingLR(length, warm, **kwargs), fair2, 400)


def test_a_restart_that_a_logarithm_misses_is_one_update_late():
    ours = fairseq.CosineLRSchedule(base_lr=1.0, lr_period_updates=5, t_mult=3, lr_shrink=1.0)
    np.testing.assert_allclose(ours(np.array([199, 200, 604, 605, 606])), [1e-4, 1, 1.7e-5, 0, 1], atol=1e-4)


def test_a_cosine_may_be_held_where_the_peers_begin_again():
    held = "0.1 * warmup(10) >> decay(90, to=0.1, curve=cosine)"
    given = {"base_lr": 0.1, "after": "hold"}
    one = fairseq.CosineLRSchedule(warmup_updates=10, max_update=100, warmup_init_lr=0, min_lr=0.01, **given)
    assert str(one) == str(fairseq2.CosineAnnealingLR(90, 10, final_lr=0.01, **given)) == held


@given(PEAKS, SHARES, st.integers(1, 30))
def test_inverse_square_root(peak, start, warm):
    start *= peak
    rate = lambda t: warmed(t, start, peak, warm) if t < warm else peak * math.sqrt(warm / t)
    ours = fairseq.InverseSquareRootSchedule(base_lr=peak, warmup_updates=warm, warmup_init_lr=start)
    assert ours == fairseq2.MyleLR(warm, base_lr=peak, start_lr=start)
    assert_follows(ours, rate)


@given(PEAKS, WARM)
def test_noam(base, warm):
    noam = lambda t: base * (t * warm**-1.5 if t < warm else max(t, 1) ** -0.5)
    assert_follows(fairseq2.NoamLR(warm, base_lr=base), noam)


@given(PEAKS, SHARES, SHARES, WARM, STEPS, POWERS)
def test_polynomial_decay(peak, start, end, warm, total, power):
    start, end = start * peak, end * peak

    def fair1(t):
        if warm and t <= warm:
            return warmed(t, 0, peak, warm)
        return end if t >= total else (peak - end) * (1 - (t - warm) / (total - warm)) ** power + end

    ours = fairseq.PolynomialDecayLRSchedule(
        base_lr=peak, warmup_updates=warm, total_num_update=total, end_learning_rate=end, power=power
    )
    assert_follows(ours, fair1)
    total += warm
    fair2 = lambda t: warmed(t, start, peak, warm) if t < warm else fair1(t) if t < total else end
    kwargs = {"base_lr": peak, "power": power, "start_lr": start, "final_lr": end}
    assert_follows(fairseq2.PolynomialDecayLR(total, warm, **kwargs), fair2)


@given(PEAKS, SHARES, st.sampled_from([0.01, 0.3, 1.0]), WARM, WARM, STEPS)
def test_tri_stage(peak, start, end, warm, flat, down):
    def rate(t):
        if t < warm:
            return peak * warmed(t, start, 1, warm)
        return peak if t < warm + flat else peak * end ** min((t - warm - flat) / down, 1)

    scales = {"base_lr": peak, "final_lr_scale": end}
    ours = fairseq.TriStageLRSchedule(
        warmup_steps=warm, hold_steps=flat, decay_steps=down, init_lr_scale=start, **scales
    )
    assert_follows(ours, rate)
    shared = fairseq.TriStageLRSchedule(phase_ratio=(0.25, 0.25, 0.5), max_update=4 * down + 3, **scales)
    assert shared == fairseq2.TriStageLR(4 * down + 3, (0.25, 0.25, 0.5), **scales)
    assert shared.length == 2 * down + (4 * down + 3) // 2  # each share is cut to whole updates


@given(PEAKS, SHARES, st.integers(2, 50), SHRINKS, st.booleans())
def test_triangular(top, low, period, shrink, shrink_min):
    low, half = low * top, period // 2

    def rate(t):
        cycle = t // (2 * half)
        bottom = low * shrink**cycle if shrink_min else low
        x = abs(t / half - 2 * (cycle + 1) + 1)
        return bottom + (top * shrink**cycle - bottom) * max(0, 1 - x)

    ours = fairseq.TriangularLRSchedule(
        base_lr=low, max_lr=top, lr_period_updates=period, lr_shrink=shrink, shrink_min=shrink_min
    )
    assert_follows(ours, rate)


@given(st.lists(PEAKS, min_size=1, max_size=3), st.none() | st.integers(1, 6), SHRINKS, WARM, st.integers(1, 40))
def test_fixed(rates, anneal, shrink, warm, each):
    def rate(t):
        epoch = t // each + 1
        if anneal is None or epoch < anneal:
            now = rates[min(epoch, len(rates)) - 1]
        else:
            now = rates[-1] * shrink ** (epoch + 1 - anneal)
        return now * min((t + 1) / warm, 1) if warm else now

    ours = fairseq.FixedLRSchedule(
        base_lr=rates, force_anneal=anneal, lr_shrink=shrink, warmup_updates=warm, updates_per_epoch=each
    )
    assert_follows(ours, rate)


def test_rates_of_epochs_may_be_an_array():
    one = fairseq.FixedLRSchedule(base_lr=[0.1, 0.2], updates_per_epoch=3)
    assert fairseq.FixedLRSchedule(base_lr=np.array([0.1, 0.2]), updates_per_epoch=3) == one


@given(PEAKS, SHARES, WARM, STEPS, SHRINKS)
def test_step(peak, low, warm, each, factor):
    low *= peak
    rate = lambda t: warmed(t, low, peak, warm) if t < warm else max(peak * factor ** ((t - warm) // each), low)
    ours = fairseq.StepLRSchedule(base_lr=peak, warmup_updates=warm, min_lr=low, lr_deacy_period=each, lr_decay=factor)
    assert_follows(ours, rate)


NUMBERED = st.dictionaries(st.integers(0, 60), PEAKS, max_size=4)


@given(PEAKS, NUMBERED, NUMBERED, st.integers(1, 40))
def test_manual(base, updates, epochs, each):
    def rate(t):
        if begun := [k for k in updates if k <= t]:
            return updates[max(begun)]
        if begun := [k for k in epochs if k <= t // each + 1]:
            return epochs[max(begun)]
        return epochs.get(1, updates.get(1, base))

    ours = fairseq.ManualSchedule(base_lr=base, update2lr=updates, epoch2lr=epochs, updates_per_epoch=each)
    assert_follows(ours, rate)


def test_numbers_of_a_manual_schedule_are_read_as_there():
    ours = fairseq.ManualSchedule(base_lr=1.0, update2lr="{'2-5': 0.5, '4': 0.2, '7,9': 0.1}")
    assert_agrees(ours, [1, 1, 0.5, 0.5, 0.2, 0.5, 0.5, 0.1, 0.1, 0.1, 0.1])


COSINE, LINEAR = "warmup3_cosine_total10", "LINEAR warm-up 3, total 10, end 0"
RSQRT, STEP = "INVERSE SQRT / rsqrt / noam, warm-up 3", "STEP / MULTISTEP: step 3 gamma .1 ; milestones [3,6]"
CYCLES, ONE = "CYCLIC / RESTARTS", {"base_lr": 1.0}
PUBLISHED = {
    (COSINE, "fairseq cosine (warmup_init_lr=0)"): fairseq.CosineLRSchedule(**ONE, warmup_updates=3, max_update=10, lr_shrink=1.0),
    (COSINE, "fairseq2 CosineAnnealingLR(cycle_len=7,num_warmup=3)"): fairseq2.CosineAnnealingLR(7, 3, **ONE),
    (LINEAR, "fairseq polynomial_decay"): fairseq.PolynomialDecayLRSchedule(**ONE, warmup_updates=3, total_num_update=10),
    (LINEAR, "fairseq2 PolynomialDecayLR"): fairseq2.PolynomialDecayLR(10, 3, **ONE),
    (RSQRT, "fairseq inverse_sqrt"): fairseq.InverseSquareRootSchedule(**ONE, warmup_updates=3),
    (RSQRT, "fairseq2 MyleLR"): fairseq2.MyleLR(3, **ONE),
    (RSQRT, "fairseq2 NoamLR"): fairseq2.NoamLR(3, **ONE),
    (STEP, "fairseq step (lr_decay_period=3)"): fairseq.StepLRSchedule(**ONE, lr_deacy_period=3, lr_decay=0.1),
    (STEP, "fairseq fixed warmup 3"): fairseq.FixedLRSchedule(**ONE, warmup_updates=3),
    (CYCLES, "fairseq triangular(period 4,max 1,lr 0)"): fairseq.TriangularLRSchedule(base_lr=0.0, max_lr=1.0, lr_period_updates=4, lr_shrink=0.5),
    (CYCLES, "fairseq cosine period 3 t_mult 2 shrink .5"): fairseq.CosineLRSchedule(**ONE, lr_period_updates=3, t_mult=2, lr_shrink=0.5),
}  # fmt: skip


@pytest.mark.parametrize("label", PUBLISHED, ids=lambda label: label[1])
def test_what_the_peers_produced(label):
    assert_agrees(PUBLISHED[label], sequence(*label))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fairseq.CosineLRSchedule(**ONE, min_lr=1, max_update=9), "CosineLRSchedule(min_lr=1): the least rate lies below base_lr=1; lower it"),
        (lambda: fairseq.CosineLRSchedule(**ONE, max_update=9, warmup_updates=9), "CosineLRSchedule(lr_period_updates=0): lr_period_updates is a whole number of steps from 1 on"),
        (lambda: fairseq.CosineLRSchedule(**ONE, max_update=9, t_mult=0.5), "CosineLRSchedule(t_mult=0.5): cycles that become shorter end; t_mult is a number from 1 on"),
        (lambda: fairseq.InverseSquareRootSchedule(**ONE, warmup_updates=0), "warmup_updates is a whole number of steps from 1 on"),
        (lambda: fairseq.TriStageLRSchedule(**ONE, warmup_steps=9), "TriStageLRSchedule(decay_steps=0): decay_steps is a whole number of steps from 1 on"),
        (lambda: fairseq.TriStageLRSchedule(**ONE, phase_ratio=(0.1, 0.1, 0.1), max_update=9), "TriStageLRSchedule(phase_ratio=[0.1, 0.1, 0.1]): warm-up, hold and decay are three shares of max_update that add up to 1"),
        (lambda: fairseq.TriangularLRSchedule(base_lr=1, max_lr=1), "TriangularLRSchedule(base_lr=1, max_lr=1): max_lr is the top, above base_lr"),
        (lambda: fairseq.FixedLRSchedule(**ONE, force_anneal=3), "FixedLRSchedule counts epochs here; say how many updates one has, updates_per_epoch=1000"),
        (lambda: fairseq.ManualSchedule(**ONE, update2lr="{'1:2': 3}"), "update2lr gives a rate to numbers, {'5': 0.1, '6-9': 0.05}"),
        (lambda: fairseq.ManualSchedule(**ONE, update2lr={"1-999999999": 1}), "update2lr names more than 100000 numbers; leave out those"),
        (lambda: fairseq.ReduceLROnPlateauLRSchedule(**ONE), "ReduceLROnPlateauLRSchedule follows a metric"),
        (lambda: fairseq2.CosineAnnealingLR(9, 0, **ONE, cycle_mul=0.5), "CosineAnnealingLR(cycle_mul=0.5): cycles that become shorter end"),
        (lambda: fairseq2.MyleLR(0, **ONE), "MyleLR(num_warmup_steps=0): num_warmup_steps is a whole number of steps from 1 on"),
        (lambda: fairseq2.PolynomialDecayLR(9, 9, **ONE), "PolynomialDecayLR(num_steps=9) counts the warm-up too, and must be more than its 9 steps"),
        (lambda: fairseq2.TriStageLR(9, (0.5, 0.1, 0.1), **ONE), "TriStageLR(stage_ratio=[0.5, 0.1, 0.1]): warm-up, hold and decay are three shares of num_steps that add up to 1"),
    ],
    ids=range(15),
)  # fmt: skip
def test_what_the_peers_refuse_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
