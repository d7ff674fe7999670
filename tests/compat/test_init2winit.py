"""init2winit's schedules against their formulas in float64 and against what its code produced."""

import math

import numpy as np
import pytest
from compat.published import assert_agrees, assert_follows, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

get = lr.compat.init2winit.get_schedule_fn
PEAKS, STEPS = st.floats(1e-5, 1.0), st.integers(1, 50)
SHARES, POWERS = st.sampled_from([0.0, 0.1, 1.0, 2.0]), st.sampled_from([1, 2, 0.5])
EVENTS = st.lists(st.integers(1, 90), min_size=1, max_size=3, unique=True).map(sorted)
STAIRS = EVENTS.flatmap(
    lambda events: st.fixed_dictionaries(
        {
            "decay_events": st.just(events),
            "decay_factors": st.lists(SHARES, min_size=len(events), max_size=len(events)),
        }
    )
)
HPARAMS = {
    "constant": st.just({}),
    "cosine": st.just({}),
    "polynomial": st.fixed_dictionaries({"end_factor": SHARES, "power": POWERS, "decay_steps": STEPS}),
    "piecewise_constant": STAIRS,
    "piecewise_linear": STAIRS,
    "rsqrt_normalized_decay": st.fixed_dictionaries({"squash_steps": STEPS}),
    "t2t_rsqrt_normalized_decay": st.fixed_dictionaries({"defer_steps": STEPS}),
}


def half_cosine(u):
    return 0.5 * (1 + math.cos(math.pi * u))


FORMULAS = {
    "constant": lambda t, total, h: 1.0,
    "cosine": lambda t, total, h: half_cosine(t / total),
    "polynomial": lambda t, total, h: h["end_factor"] + (1 - h["end_factor"]) * max(1 - t / h["decay_steps"], 0) ** h["power"],
    "piecewise_constant": lambda t, total, h: [1.0, *h["decay_factors"]][sum(event < t for event in h["decay_events"])],
    "piecewise_linear": lambda t, total, h: float(np.interp(t, [0, *h["decay_events"]], [1.0, *h["decay_factors"]])),
    "rsqrt_normalized_decay": lambda t, total, h: math.sqrt(h["squash_steps"] / (t + h["squash_steps"])),
    "t2t_rsqrt_normalized_decay": lambda t, total, h: math.sqrt(h["defer_steps"] / max(t, h["defer_steps"])),
}  # fmt: skip


@pytest.mark.parametrize("name", HPARAMS)
@given(st.data(), PEAKS, st.integers(60, 120), st.none() | st.integers(0, 40), POWERS)
def test_schedules_alone_and_after_a_warm_up(name, data, base, total, warm, power):
    hparams, formula = data.draw(HPARAMS[name]), FORMULAS[name]
    if warm is None:
        assert_follows(get(name, total, base_lr=base, **hparams), lambda t: base * formula(t, total, hparams))
        return

    def rate(t):
        return base * ((t / warm) ** power if t < warm else formula(t - warm, total - warm, hparams))

    ours = get(f"{name}_warmup", total, base_lr=base, warmup_steps=warm, warmup_power=power, **hparams)
    assert_follows(ours, rate)


@given(PEAKS, STEPS, st.integers(60, 120), SHARES, SHARES, st.sampled_from([-1, 0]) | st.integers(1, 150), POWERS)
def test_mlperf_polynomial(base, warm, total, start, end, last, power):
    def rate(t):
        t = min(t, last) if last > 0 else t
        if t <= warm:
            return base * (start + (1 - start) * (t / warm) ** power)
        return base * (end + (1 - end) * max(1 - (t - warm) / (total - warm + 1), 0) ** power)

    hparams = {"start_lr": start * base, "end_lr": end * base, "decay_end": last, "power": power, "warmup_power": power}
    assert_follows(get("mlperf_polynomial", total, base_lr=base, warmup_steps=warm, **hparams), rate)


@given(st.lists(st.sampled_from(["constant", "linear_warmup", "cosine"]), max_size=2, unique=True), PEAKS, STEPS)
def test_compound(names, base, warm):
    factors = {
        "constant": lambda t: base,
        "linear_warmup": lambda t: min(1, t / warm),
        "rsqrt_decay": lambda t: max(t, warm) ** -0.5,
        "cosine": lambda t: half_cosine(max(0, t - warm) / (100 - warm - 1)),
    }
    names = [*names, "rsqrt_decay"]
    hparams = {"warmup_steps": warm, **({"base_lr": base} if "constant" in names else {})}
    rate = lambda t: math.prod(factors[name](t) for name in names)
    assert_follows(get("compound", 100, factors="*".join(names), **hparams), rate)


def test_what_rises_after_the_end_may_be_held_and_a_stretched_one_moves_in_stairs():
    assert str(get("cosine", 100, base_lr=0.1)) == "0.1 * repeat(decay(200, curve=cosine @ span(0, 2)))"
    assert str(get("cosine", 100, base_lr=0.1, after="hold")) == "0.1 * decay(100, curve=cosine)"
    assert_agrees(get("polynomial", 3, 2, base_lr=1.0, end_factor=0, power=1, decay_steps_factor=1), np.repeat([1, 2 / 3, 1 / 3], 2))  # fmt: skip


RSQRT, STEP = "INVERSE SQRT / rsqrt / noam, warm-up 3", "STEP / MULTISTEP: step 3 gamma .1 ; milestones [3,6]"
PUBLISHED = {
    (RSQRT, "init2winit t2t_rsqrt defer=3"): get("t2t_rsqrt_normalized_decay", 10, base_lr=1, defer_steps=3),
    (RSQRT, "init2winit transformer_schedule dim=1 ((t+1))"): get("transformer_schedule", 10, base_lr=1, encoder_dim=1, warmup_steps=3),
    (STEP, "init2winit piecewise_constant [3,6] factors [.1,.01]"): get("piecewise_constant", 10, base_lr=1, decay_events=[3, 6], decay_factors=[0.1, 0.01]),
    (STEP, "init2winit mlperf_polynomial(warm 3,power 2)"): get("mlperf_polynomial", 10, base_lr=1, warmup_steps=3, power=2, start_lr=0, end_lr=0, decay_end=-1, warmup_power=1),
}  # fmt: skip


@pytest.mark.parametrize("label", PUBLISHED, ids=lambda label: label[1])
def test_what_init2winit_produced(label):
    assert_agrees(PUBLISHED[label], sequence(*label))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: get("cosin", 9), "there is no schedule of get_schedule_fn 'cosin'; did you mean 'cosine'?"),
        (lambda: get("cosine", 9, base_lr=1, warmup_steps=3), "there is no field of get_schedule_fn('cosine') 'warmup_steps'"),
        (lambda: get("cosine", 9), "get_schedule_fn('cosine') needs base_lr; give it too"),
        (lambda: get("cosine_warmup", 9, base_lr=1, warmup_steps=9), "get_schedule_fn(max_training_updates=9) counts the warm-up too, and must be more than its 9 steps"),
        (lambda: get("polynomial", 9, base_lr=1, end_factor=0, power=1), "get_schedule_fn('polynomial') takes one of decay_steps and decay_steps_factor"),
        (lambda: get("constant_decay_lr_on_plateau", 9), "get_schedule_fn('constant_decay_lr_on_plateau') follows a metric"),
        (lambda: get("compound", 9, factors="constant * warmup"), "there is no factor of get_schedule_fn('compound') 'warmup'"),
    ],
    ids=range(7),
)  # fmt: skip
def test_what_init2winit_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
