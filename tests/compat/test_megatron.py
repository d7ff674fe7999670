"""Megatron's scheduler against its formulas in float64 and against what its code produced."""

import math

import pytest
from compat.published import assert_agrees, assert_follows, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

megatron = lr.compat.megatron
scheduler = megatron.OptimizerParamScheduler
SHARES = st.sampled_from([0.0, 0.1, 0.5, 1.0])
STYLES = ["constant", "linear", "cosine", "inverse-square-root", "WSD"]
COOLDOWNS = {
    "linear": lambda u: 1 - u,
    "cosine": lambda u: 0.5 * (math.cos(math.pi * u) + 1),
    "exponential": lambda u: 2 * 0.5**u - 1,
    "minus_sqrt": lambda u: 1 - math.sqrt(u),
}


@given(st.floats(1e-5, 1.0), SHARES, SHARES, st.integers(1, 100), st.sampled_from(STYLES), st.data())
def test_every_style(high, start, low, total, style, data):
    start, low = start * high, low * high
    warm, down = data.draw(st.integers(0, total - 1)), data.draw(st.integers(0, 120))
    cool = data.draw(st.sampled_from(list(COOLDOWNS)))

    def get_lr(t):
        if warm > 0 and t <= warm:
            return start + (high - start) * t / warm
        if style == "constant":
            return high
        if t > total:
            return low
        if style == "inverse-square-root":
            return max(low, high * max(warm, 1) ** 0.5 / max(t, 1) ** 0.5)
        if style == "WSD":
            begin = total - down
            return high if t <= begin else low + COOLDOWNS[cool]((t - begin) / down) * (high - low)
        return low + COOLDOWNS[style]((t - warm) / (total - warm)) * (high - low)

    given = {"init_lr": start, "max_lr": high, "min_lr": low, "lr_warmup_steps": warm, "lr_decay_steps": total}
    assert_follows(scheduler(**given, lr_decay_style=style, wsd_decay_steps=down, lr_wsd_decay_style=cool), get_lr)


@given(st.floats(0.0, 0.1), st.floats(0.1, 1.0), st.integers(1, 100), st.sampled_from(["linear", "cosine"]))
def test_weight_decay(start, end, steps, style):
    bend = {"linear": lambda u: u, "cosine": lambda u: 0.5 * (math.cos(math.pi * (1 - u)) + 1)}[style]
    assert_follows(
        megatron.get_wd(start, end, steps, style), lambda t: start + (end - start) * bend(min(t / steps, 1.0))
    )


TEN = {"max_lr": 1.0, "lr_warmup_steps": 3, "lr_decay_steps": 10}
LINEAR, RSQRT, WSD = (
    "LINEAR warm-up 3, total 10, end 0",
    "INVERSE SQRT / rsqrt / noam, warm-up 3",
    "WSD, warm-up 3, decay 3, total 10, end 0",
)
PUBLISHED = {
    (LINEAR, "Megatron linear"): {"lr_decay_style": "linear"},
    (RSQRT, "Megatron inverse-square-root (decay_steps=10,min 0)"): {"lr_decay_style": "inverse-square-root"},
    (WSD, "Megatron WSD exponential"): {"lr_decay_style": "WSD", "wsd_decay_steps": 3, "lr_wsd_decay_style": "exponential"},
    (WSD, "Megatron WSD minus_sqrt"): {"lr_decay_style": "WSD", "wsd_decay_steps": 3, "lr_wsd_decay_style": "minus_sqrt"},
}  # fmt: skip


@pytest.mark.parametrize("label", PUBLISHED, ids=lambda label: label[1])
def test_what_megatron_produced(label):
    assert_agrees(scheduler(**TEN, **PUBLISHED[label]), sequence(*label))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: scheduler(max_lr=0.1, min_lr=1, lr_decay_steps=9, lr_decay_style="linear"), "OptimizerParamScheduler(max_lr=0.1): init_lr and min_lr are no higher than that; lower them"),
        (lambda: scheduler(**TEN | {"lr_warmup_steps": 10}, lr_decay_style="linear"), "OptimizerParamScheduler(lr_decay_steps=10) counts the warm-up too, and must be more than its 10 steps"),
        (lambda: scheduler(**TEN, lr_decay_style="WSD"), "OptimizerParamScheduler(wsd_decay_steps=None): wsd_decay_steps is a whole number of steps from 0 on"),
        (lambda: scheduler(**TEN, lr_decay_style="WSD", wsd_decay_steps=3), "there is no lr_wsd_decay_style of OptimizerParamScheduler 'None'"),
        (lambda: scheduler(**TEN, lr_decay_style="wsd"), "there is no lr_decay_style of OptimizerParamScheduler 'wsd'"),
        (lambda: megatron.get_wd(0.1, 0.2, 9, "constant"), "get_wd(start_wd=0.1, end_wd=0.2): a constant weight decay ends where it starts"),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_megatron_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
