"""Levanter's schedules against their formulas in float64, and against what they are assembled from."""

import math
from itertools import pairwise

import numpy as np
import pytest
from compat.published import assert_agrees, assert_follows, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

scheduler = lr.compat.levanter.lr_scheduler
DECAYS = {
    "constant": st.just({}),
    "cosine": st.fixed_dictionaries({"exponent": st.sampled_from([1.0, 2.0])}),
    "linear": st.just({}),
    "inv_sqrt": st.fixed_dictionaries({"timescale": st.sampled_from([1, 5, 10.5, 40])}),
    "inv": st.just({}),
    "power": st.fixed_dictionaries(
        {"batch_size": st.integers(1, 64), "seq_length": st.just(1024), "b": st.sampled_from([-0.51, -0.9])}
    ),
}
LENGTHS = st.sampled_from([0, 0.1, 0.35, 3, 17])


def decayed(name, t, high, low, warm, over, c):
    """The decay at its update t; what it was written for comes first."""
    u = min(t / over, 1) if over else 1
    match name:
        case "cosine":
            return low + (high - low) * (0.5 * (1 + math.cos(math.pi * u))) ** c["exponent"]
        case "linear":
            return high + (low - high) * u
        case "inv_sqrt":
            return max(high * min(1, math.sqrt(c["timescale"] / max(t + warm, 1))), low)
        case "inv":
            return max(high / ((high / low - 1) * max(t, 1) / over + 1), low)
        case "power":
            return min(high, c["batch_size"] * 4.6 * (max(t, 1e-9) * c["batch_size"] * c["seq_length"]) ** c["b"])
    return high


def steps(length, whole):
    return int(length * whole) if length <= 1 else length


@pytest.mark.parametrize("name", DECAYS)
@given(st.data(), st.floats(1e-5, 1.0), st.sampled_from([0.1, 0.5]), LENGTHS, LENGTHS, st.integers(1, 3))
def test_cycles(name, data, high, share, warmup, rewarmup, cycles):
    c, total = data.draw(DECAYS[name]), data.draw(st.integers(80, 140))
    decay, cooldown = data.draw(st.none() | st.sampled_from([0.2, 9])), data.draw(st.none() | st.sampled_from([0.1, 7]))
    low, main = high * share, total - steps(cooldown or 0, total)
    edges = [int(main / cycles * i) for i in range(cycles)] + [main]

    def rate(t):
        level, begin, over = 0.0, 0, 0
        for begin, end in pairwise(edges):
            warm = steps(rewarmup if begin else warmup, end - begin)
            over = end - begin - warm if decay is None else steps(decay, end - begin)
            if t < end or end == main and not cooldown:
                now = t - begin
                if now >= end - begin - over:
                    return decayed(name, t - (end - over), high, low, warm, over, c)
                return level + (high - level) * now / warm if now < warm else high
            level = decayed(name, over, high, low, warm, over, c)
        return level + (low - level) * min((t - main) / steps(cooldown, total), 1)

    ours = scheduler(
        total,
        learning_rate=high,
        min_lr_ratio=share,
        warmup=warmup,
        rewarmup=rewarmup,
        decay=decay,
        cooldown=cooldown,
        cycles=cycles,
        lr_schedule=name,
        **c,
    )
    assert_follows(ours, rate)


def test_cycles_are_told_in_three_ways():
    assert scheduler(100, cycle_length=[30, 30]) == scheduler(100, cycles=[30, 60]) == scheduler(100, haps=[30, 60])
    assert scheduler(100, cycle_length=0.3) == scheduler(100, cycles=[30, 60])  # the last one is longer, not shorter


@given(st.integers(1, 2**31 - 1))
def test_the_tokens_of_power_do_not_overflow(t):
    ours = scheduler(2**31 - 1, learning_rate=1.0, warmup=0, lr_schedule="power", batch_size=512, seq_length=4096)
    expected = min(1.0, 512 * 4.6 * (t * 512 * 4096) ** -0.51)
    np.testing.assert_allclose(float(ours(t)), expected, rtol=2e-6)  # the power of a large number in float32


TEN = {"learning_rate": 1.0, "warmup": 3, "min_lr_ratio": 0}
LABELS = {
    "warmup3_cosine_total10": "levanter (=optax.join(linear(0,1,3),cosine(7))) [re-assembled from read source]",
    "INVERSE SQRT / rsqrt / noam, warm-up 3": "levanter inv_sqrt (timescale=10000 hard-coded, no decay before step 10000)",
}


def test_what_levanter_is_assembled_to():
    (cosine, inv_sqrt), (one, other) = LABELS, LABELS.values()
    assert_agrees(scheduler(10, **TEN), sequence(cosine, one))
    expected = sequence(inv_sqrt, other)  # the last of them is far after the timescale
    ours = scheduler(10, **TEN, lr_schedule="inv_sqrt")
    assert_agrees(ours, expected[:-1])
    np.testing.assert_allclose(float(ours(20_000)), expected[-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: scheduler(100, decay=101), "lr_scheduler(num_train_steps=100): the decay is longer than its cycle of 100 steps; shorten it"),
        (lambda: scheduler(100, warmup=101), "lr_scheduler(num_train_steps=100): the warm-up is longer than its cycle of 100 steps; shorten it"),
        (lambda: scheduler(100, warmup=1.5), "lr_scheduler(warmup=1.5): warmup is a whole number of steps from 0 on"),
        (lambda: scheduler(100, cycles=2, cycle_length=3), "lr_scheduler(cycle_length, cycles) says more than once what the cycles are; leave one of them"),
        (lambda: scheduler(100, cycle_length=[60, 60]), "lr_scheduler(cycle_length=[60, 60]): cycles end one after another within the 100 steps of the run"),
        (lambda: scheduler(100, lr_schedule="inv", min_lr_ratio=0), "inv falls to a rate above zero, and divides by it"),
        (lambda: scheduler(100, lr_schedule="power", batch_size=1, seq_length=1, b=0.5), "lr_scheduler(b=0.5): the exponent is negative, such as -0.51"),
        (lambda: scheduler(100, lr_schedule="power", batch_size=1), "lr_scheduler('power') needs seq_length; give it too"),
        (lambda: scheduler(100, lr_schedule="cosine", timescale=9), "there is no field of lr_scheduler('cosine') 'timescale'"),
        (lambda: scheduler(100, lr_schedule="inv_sqrt", timescale=0.5), "lr_scheduler(timescale=0.5): timescale is a number of steps from 1 on"),
        (lambda: scheduler(10**6, cycles=5000), "at most 1000 cycles can be written one by one"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_levanter_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
