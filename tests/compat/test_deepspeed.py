"""DeepSpeed's schedulers against their formulas in float64, against the sequences that they produced, and refusals."""

import math

import pytest
from compat.published import assert_agrees, assert_follows, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

deepspeed = lr.compat.deepspeed
RATES, STEPS, COUNTS = st.floats(1e-3, 1.0), st.integers(1, 50), st.integers(0, 12)


def mixed(low, high, gamma):
    return low + (high - low) * gamma


@given(RATES, STEPS, st.floats(0.0, 2.0))
def test_range(low, size, rate):
    given = (low, size, rate)
    assert_follows(deepspeed.LRRangeTest(*given), lambda t: low * (1 + rate * t / size))
    assert_follows(deepspeed.LRRangeTest(*given, True), lambda t: low * (1 + rate * (t // size)))


@given(RATES, RATES, st.floats(0.0, 2.0), STEPS, st.none() | st.integers(0, 50), COUNTS, st.none() | COUNTS, COUNTS)
def test_one_cycle(low, high, decay, up, second, stairs, falls, each):
    down = up if second is None else second
    falls_ = stairs if falls is None else falls

    def rate(t):
        if t < up + down:
            part, of, count = (t, up, stairs) if t <= up and down else (up + down - t, down, falls_)
            if not down:
                part, of, count = t, up, stairs
            share = math.floor(part * count / of) / count if count else part / of
            return mixed(low, high, share)
        return low / (1 + decay * (t - up - down) / each) if each else low

    assert_follows(deepspeed.OneCycle(low, high, decay, up, second, stairs, falls, each), rate)


@given(RATES, RATES, STEPS, st.integers(0, 130), st.sampled_from(["log", "linear"]), st.sampled_from([0.0, 0.1, 0.5]))
def test_warmups(low, high, warm, total, kind, least):
    warm_ = max(2, warm)

    def rate(after, first, start=low):
        def used(t):
            if not t:
                return first
            if t - 1 < warm_:
                return mixed(start, high, math.log(t) / math.log(warm_) if kind == "log" else (t - 1) / warm_)
            return after(t - 1)

        return used

    line = lambda t: mixed(low, high, max(0.0, (total - t) / max(1.0, total - warm_)))
    wave = lambda t: (1 + math.cos(math.pi * min(1.0, (t - warm_ + 1) / max(1, total - warm_)))) / 2
    given = {"warmup_num_steps": warm, "warmup_type": kind}
    constant, decay = deepspeed.WarmupLR(low, high, **given), deepspeed.WarmupDecayLR(total, low, high, **given)
    assert_follows(constant, rate(lambda t: high, low))
    assert_follows(decay, rate(line, low))
    ours = deepspeed.WarmupCosineLR(total, least, cos_min_ratio=least, base_lr=high, **given)
    assert_follows(ours, rate(lambda t: high * mixed(least, 1, wave(t)), 0.0, high * least))
    assert deepspeed.WarmupLR(low, base_lr=high, **given) == constant


WARM, WAVE = "warmup3_cosine_total10", {"warmup_num_steps": 3, "base_lr": 1.0}


@pytest.mark.parametrize(
    ("group", "label", "schedule"),
    [
        (WARM, "DeepSpeed WarmupCosineLR(total=10,warmup=3,linear,cos_min_ratio=0)", deepspeed.WarmupCosineLR(10, cos_min_ratio=0, warmup_type="linear", **WAVE)),
        (WARM, "DeepSpeed WarmupCosineLR(... warmup_type=log (DEFAULT))", deepspeed.WarmupCosineLR(10, cos_min_ratio=0, **WAVE)),
        (WARM, "DeepSpeed WarmupDecayLR(total=10,warmup=3,linear) [linear decay]", deepspeed.WarmupDecayLR(10, 0, 1, 3, "linear")),
        ("ONE-CYCLE total 10, pct_start .3, div 25, final_div 1e4 (fastai 1e5 on max)", "DeepSpeed OneCycle(.04,1,first 3,second 7)", deepspeed.OneCycle(0.04, 1, 0, 3, 7)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_sequences_that_deepspeed_produced(group, label, schedule):
    assert_agrees(schedule, sequence(group, label))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: deepspeed.LRRangeTest(1e-3, 0), "LRRangeTest(lr_range_test_step_size=0): lr_range_test_step_size is a whole number of steps from 1 on"),
        (lambda: deepspeed.OneCycle(1e-3, 0.1, cycle_first_step_size=0), "OneCycle(cycle_first_step_size=0): cycle_first_step_size is a whole number of steps from 1 on"),
        (lambda: deepspeed.OneCycle(1e-3, 0.1, cycle_first_stair_count=2000), "OneCycle(stairs=2000): at most 1000"),
        (lambda: deepspeed.WarmupLR(warmup_num_steps=0, base_lr=0.1), "WarmupLR(warmup_num_steps=0): warmup_num_steps is a whole number of steps from 1 on"),
        (lambda: deepspeed.WarmupLR(), "WarmupLR(base_lr=None): a learning rate is positive, such as 3e-4"),
        (lambda: deepspeed.WarmupDecayLR(99, warmup_type="cos"), "there is no warmup_type of WarmupDecayLR 'cos'"),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_deepspeed_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
