"""OLMo-core's schedulers against their formulas in float64: the trainer counts a step before it sets the rate."""

import math

import pytest
from compat.published import assert_agrees, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

olmo = lr.compat.olmo
UPDATES = 130


def warmed(now, base, warm, least):
    return least + (base - least) * min(now, warm) / warm


def line(level, left, over, least):
    return least + (level - least) * min(left, over) / over


def assert_same(schedule, get_lr, updates=UPDATES):
    expected = [get_lr(t + 1) for t in range(updates)]
    assert_agrees(schedule, expected, peak=max(expected))
    assert lr.parse(repr(schedule)) == schedule


BASES = st.floats(1e-3, 1.0)
WARM = st.integers(1, 30)
TOTAL = st.integers(70, 110)
LEAST = st.sampled_from([0.0, 1e-5])
SHARE = st.sampled_from([0.0, 0.1, 0.5])


@given(BASES, WARM, TOTAL, LEAST, SHARE)
def test_warm_up_and_one_way_down(base, warm, total, least, to):
    given = {"base_lr": base, "warmup": warm, "warmup_min_lr": least}
    end = base * to

    def ours(rest):
        return lambda now: warmed(now, base, warm, least) if now < warm else end if now >= total else rest(now - warm)

    over = total - warm
    cos = lambda x: end + (base - end) * (1 + math.cos(math.pi * x)) / 2
    assert_same(olmo.LinearWithWarmup(**given, t_max=total, alpha_f=to), ours(lambda t: base - (base - end) * t / over))
    assert_same(olmo.CosWithWarmup(**given, t_max=total, alpha_f=to), ours(lambda t: cos(t / over)))
    half = lambda now: warmed(now, end + (base - end) / 2, warm, least)
    down = ours(lambda t: cos((t + over) / (2 * over)))
    assert_same(
        olmo.HalfCosWithWarmup(**given, t_max=total, alpha_f=to), lambda now: half(now) if now < warm else down(now)
    )
    root = lambda now: warmed(now, base, warm, least) if now < warm else end + (base - end) * math.sqrt(warm / now)
    assert_same(olmo.InvSqrtWithWarmup(**given, alpha_f=to), root)
    assert_same(olmo.ConstantWithWarmup(**given), lambda now: warmed(now, base, warm, least) if now <= warm else base)


@given(BASES, WARM, TOTAL, LEAST, st.integers(1, 30))
def test_warm_up_and_a_cooldown(base, warm, total, least, down):
    given = {"base_lr": base, "t_max": total, "warmup": warm, "decay": down, "decay_fraction": None}
    given |= {"warmup_min_lr": least, "decay_min_lr": least}

    def ours(stable, late):
        def get_lr(now):
            if now <= warm:
                return warmed(now, base, warm, least)
            return line(late, total - now, down, least) if now >= total - down else stable(now)

        return get_lr

    assert_same(olmo.WSD(**given), ours(lambda now: base, base), total)
    law = lambda now: base * (now / warm) ** -0.51
    assert_same(olmo.PowerLR(**given), ours(law, law(total - down)), total)
    arc = lambda now: 0.1 * base + 0.9 * base * (1 + math.cos(math.pi * (now - warm) / (total - warm))) / 2
    assert_same(olmo.CosWithWarmupAndLinearDecay(**given), ours(arc, arc(total - down)), total)


@given(BASES, st.lists(st.integers(20, 60), min_size=1, max_size=4), st.integers(0, 10), st.integers(1, 10), LEAST)
def test_wsds(base, lengths, warm, down, least):
    multipliers = [1.0, 0.5, 2.0, 1.5][: len(lengths)]
    adjusted = [lengths[0] - warm, *lengths[1:]]
    ends = [sum(adjusted[: i + 1]) for i in range(len(adjusted))]

    def get_lr(now):
        if now < warm:
            return warmed(now, base, warm, least)
        if now - warm >= ends[-1]:
            return least
        i = next(i for i, end in enumerate(ends) if now - warm <= end)
        at, flat = now - warm - (ends[i - 1] if i else 0), adjusted[i] - down
        return base * multipliers[i] if at < flat else line(base * multipliers[i], down - (at - flat), down, least)

    given = {"base_lr": base, "period_lengths": lengths, "period_lr_multipliers": multipliers, "decay": down}
    assert_same(olmo.WSDS(**given, warmup=warm, warmup_min_lr=least, decay_min_lr=least), get_lr, sum(lengths) + 20)


@given(BASES, TOTAL)
def test_exponential(base, total):
    ours = olmo.ExponentialScheduler(base_lr=base, t_max=total, lr_min=1e-4)
    assert_same(ours, lambda now: base if now >= total else 1e-4 * (base / 1e-4) ** (now / total))


@pytest.mark.parametrize(
    ("group", "label", "schedule"),
    [
        (
            "warmup3_cosine_total10",
            "OLMo-core CosWithWarmup(warmup=3,alpha_f=0), step=1.. (trainer.global_step is 1-based at set_lr)",
            olmo.CosWithWarmup(base_lr=1.0, t_max=10, warmup=3, alpha_f=0),
        ),
        (
            "INVERSE SQRT / rsqrt / noam, warm-up 3",
            "OLMo-core PowerLR(b=-.51,decay 3)",
            olmo.PowerLR(base_lr=1.0, t_max=10, warmup=3, decay=3, decay_fraction=None),
        ),
        (
            "WSD, warm-up 3, decay 3, total 10, end 0",
            "OLMo-core WSD(decay=3)",
            olmo.WSD(base_lr=1.0, t_max=10, warmup=3, decay=3, decay_fraction=None),
        ),
    ],
    ids=["cosine", "power", "wsd"],
)
def test_the_sequences_that_olmo_produced(group, label, schedule):
    assert_agrees(schedule, sequence(group, label)[1:11])  # the first of them is get_lr(0), which is never used


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: olmo.WSD(base_lr=1, t_max=9), "WSD: one of warmup and warmup_fraction says how long it lasts; write warmup=1000"),
        (lambda: olmo.WSD(base_lr=1, t_max=9, warmup=9), "WSD(t_max=9): warm-up and decay take 10 steps; shorten one of them"),
        (lambda: olmo.CosWithWarmup(base_lr=1, t_max=9, warmup=9), "CosWithWarmup(t_max=9): the warm-up takes 9 steps, and leaves none"),
        (lambda: olmo.ConstantWithWarmup(base_lr=1, warmup=9, warmup_min_lr=2), "ConstantWithWarmup(warmup_min_lr=2) lies between 0 and the rate"),
        (lambda: olmo.PowerLR(base_lr=1, t_max=9, warmup=3, b=0.5), "PowerLR(b=0.5, warmup=3): the exponent is negative"),
        (lambda: olmo.InvSqrtWithWarmup(base_lr=1, warmup=0), "InvSqrtWithWarmup(warmup=0): the inverse square root begins where"),
        (lambda: olmo.WSDS(base_lr=1, period_lengths=[9], warmup=5, decay=5), "WSDS(period_lengths=[9]): period 0 has no room for a decay of 5"),
        (lambda: olmo.WSDS(base_lr=1, period_lengths=[], warmup=5, decay=5), "WSDS(period_lengths=[]): write the steps of each period"),
    ],
    ids=range(8),
)  # fmt: skip
def test_what_olmo_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
