"""NeMo's schedulers against their formulas in float64 and against the sequences that NeMo's code produced."""

import math

import numpy as np
import pytest
from compat.published import assert_agrees, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

nemo = lr.compat.nemo
UPDATES = 130


def policy(t, base, warm, total, least, rest):
    """The order in which NeMo's policies ask: warm-up, end, formula."""
    if warm and t <= warm:
        return base * (t + 1) / (warm + 1)
    return least if t > total else rest(t)


def assert_same(schedule, formula):
    expected = [formula(t) for t in range(UPDATES)]
    assert_agrees(schedule, expected, peak=max(expected))
    assert lr.parse(repr(schedule)) == schedule


BASES = st.floats(1e-3, 1.0)
LEAST = st.sampled_from([0.0, 1e-5, 5e-4])
WARM = st.integers(0, 30)
TOTAL = st.integers(70, 110)
HOLD = st.none() | st.integers(0, 30)


@given(BASES, WARM, TOTAL, LEAST)
def test_policies_without_a_hold(base, warm, total, least):
    given = {"base_lr": base, "warmup_steps": warm, "max_steps": total, "min_lr": least}
    u = lambda t: (t - warm) / (total - warm)
    ours = lambda rest: lambda t: policy(t, base, warm, total, least, rest)
    assert_same(nemo.WarmupPolicy(**given), ours(lambda t: base))
    assert_same(nemo.WarmupAnnealing(**given), ours(lambda t: least + (1 - u(t)) * (base - least)))
    assert_same(
        nemo.CosineAnnealing(**given), ours(lambda t: (base - least) * 0.5 * (1 + math.cos(math.pi * u(t))) + least)
    )
    assert_same(nemo.SquareAnnealing(**given), ours(lambda t: max(base * (1 - u(t)) ** 2, least)))
    assert_same(nemo.SquareRootAnnealing(**given), ours(lambda t: max(base * (1 - t / total) ** 0.5, least)))
    assert_same(nemo.InverseSquareRootAnnealing(**given), ours(lambda t: base / ((t + 1) / (warm + 1)) ** 0.5))
    assert_same(
        nemo.PolynomialDecayAnnealing(**given, power=1.5, cycle=True),
        ours(lambda t: (base - least) * (1 - u(t)) ** 1.5 + least),
    )


@given(BASES, WARM, TOTAL, LEAST, HOLD)
def test_policies_with_a_hold(base, warm, total, least, flat):
    given = {"base_lr": base, "warmup_steps": warm, "max_steps": total, "min_lr": least, "hold_steps": flat}
    held = 0 if flat is None else flat + warm

    def ours(rest):
        return lambda t: (
            base if not (warm and t <= warm) and warm <= t < held else policy(t, base, warm, total, least, rest)
        )

    poly = lambda t: (base - least) * (1 - min(t - held, over) / over) + least
    over = total - max(warm, held)
    assert_same(nemo.WarmupHoldPolicy(**given), ours(lambda t: base))
    assert_same(nemo.PolynomialHoldDecayAnnealing(**given), ours(poly))
    assert_same(
        nemo.WarmupHoldAnnealLinear(**given), ours(lambda t: base - (base - least) * (t - held) / (total - held))
    )
    assert_same(
        nemo.WarmupHoldAnnealOneMinusSquareRoot(**given),
        ours(lambda t: max(least, base * (1 - ((t - held) / (total - held)) ** 0.5))),
    )
    if warm:
        pause = held - warm if held else 0
        noam = lambda t: max(base * warm**0.7 / max(1, (t - pause) ** 0.7), least)
        assert_same(nemo.NoamHoldAnnealing(**given, decay_rate=0.7), ours(noam))


@given(BASES, WARM, LEAST)
def test_noam(base, warm, least):
    def formula(t):
        s = max(1, t)
        mult = min(s**-0.5, s * warm**-1.5) if warm else s**-0.5
        return max(base * 16**-0.5 * mult, least) if s > warm else base * 16**-0.5 * mult

    assert_same(nemo.NoamAnnealing(base_lr=base, d_model=16, warmup_steps=warm, min_lr=least), formula)


@given(st.integers(1, 40), TOTAL)
def test_t5(flat, total):
    formula = lambda t: flat**-0.5 if t <= flat else 0.0 if t > total else t**-0.5
    assert_same(nemo.T5InverseSquareRootAnnealing(constant_steps=flat, max_steps=total), formula)


@given(BASES, WARM, TOTAL, st.integers(1, 30))
def test_the_cosine_of_megatron(base, warm, total, flat):
    over = total - flat - warm

    def formula(t):
        if warm and t <= warm:
            return base * t / warm
        return 0.0 if t > warm + over else base * 0.5 * (1 + math.cos(math.pi * (t - warm) / over))

    ours = nemo.CosineAnnealing(base_lr=base, warmup_steps=warm, max_steps=total, constant_steps=flat)
    assert_same(ours, formula)


WARM_COSINE, LINEAR, RSQRT, WSD = "warmup3_cosine_total10", "LINEAR warm-up 3, total 10, end 0", "INVERSE SQRT / rsqrt / noam, warm-up 3", "WSD, warm-up 3, decay 3, total 10, end 0"  # fmt: skip
RUN = {"base_lr": 1.0, "max_steps": 10, "warmup_steps": 3}


@pytest.mark.parametrize(
    ("group", "label", "schedule"),
    [
        (WARM_COSINE, "NeMo CosineAnnealing(max_steps=10,warmup_steps=3)", nemo.CosineAnnealing(**RUN)),
        (WARM_COSINE, "NeMo CosineAnnealing(..., constant_steps=2)", nemo.CosineAnnealing(**RUN, constant_steps=2)),
        (LINEAR, "NeMo WarmupAnnealing", nemo.WarmupAnnealing(**RUN)),
        (LINEAR, "NeMo PolynomialDecayAnnealing", nemo.PolynomialDecayAnnealing(**RUN)),
        (RSQRT, "NeMo InverseSquareRootAnnealing", nemo.InverseSquareRootAnnealing(**RUN)),
        (RSQRT, "NeMo NoamAnnealing d_model=1", nemo.NoamAnnealing(base_lr=1.0, d_model=1, warmup_steps=3)),
        (WSD, "NeMo WarmupHoldAnnealLinear(warm 3,hold 4)", nemo.WarmupHoldAnnealLinear(**RUN, hold_steps=4)),
        (WSD, "NeMo WarmupHoldAnnealOneMinusSquareRoot", nemo.WarmupHoldAnnealOneMinusSquareRoot(**RUN, hold_steps=4)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_sequences_that_nemo_produced(group, label, schedule):
    assert_agrees(schedule, sequence(group, label))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: nemo.WarmupPolicy(base_lr=1, warmup_steps=1, warmup_ratio=0.1, max_steps=9), "WarmupPolicy: warmup_steps and warmup_ratio say the same thing twice"),
        (lambda: nemo.WarmupPolicy(base_lr=1, warmup_ratio=0.1), "WarmupPolicy(warmup_ratio=0.1) is a share of max_steps; write max_steps too"),
        (lambda: nemo.CosineAnnealing(base_lr=0.1, max_steps=9, min_lr=1), "CosineAnnealing(min_lr=1): the least rate lies above base_lr=0.1"),
        (lambda: nemo.CosineAnnealing(base_lr=0.1, max_steps=9, constant_steps=9), "CosineAnnealing(max_steps=9, constant_steps=9): the cosine falls, over a step or more"),
        (lambda: nemo.NoamHoldAnnealing(base_lr=0.1, max_steps=9), "NoamHoldAnnealing: it needs a warm-up"),
        (lambda: nemo.WarmupHoldAnnealLinear(base_lr=0.1, max_steps=9, hold_steps=9), "WarmupHoldAnnealLinear(max_steps=9): warm-up and hold take 9 of them; write more"),
        (lambda: nemo.NoamAnnealing(base_lr=0.1, d_model=4, min_lr=1), "NoamAnnealing(min_lr=1): the least rate lies above base_lr=0.1"),
    ],
    ids=range(7),
)  # fmt: skip
def test_what_nemo_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)


def test_a_share_of_the_run_is_cut_to_whole_steps():
    assert nemo.WarmupAnnealing(base_lr=1.0, max_steps=100, warmup_ratio=0.29)(np.arange(100)).argmax() == 28
