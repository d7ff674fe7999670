"""scenic's products of factors against their formulas in float64 and against what its code produced."""

import math

import numpy as np
import pytest
from compat.published import assert_agrees, assert_follows, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

scheduler = lr.compat.scenic.compound_lr_scheduler
EVENTS = st.lists(st.integers(1, 90), min_size=1, max_size=3, unique=True).map(sorted)
SHARES = st.sampled_from([0.0, 0.1, 0.5, 1.0])


def interpolated(t, c):
    return float(np.interp(t, [0, *c["decay_events"]], [1.0, *c["decay_factors"]]))


def cosines(t, c):
    """The cycles one after another, where scenic asks a logarithm for their number."""
    each = c["steps_per_cycle"] - int(c["warmup_steps"] / (c["total_steps"] / c["steps_per_cycle"]))
    if each <= 0:
        return 1.0
    left, length, height = max(t - c["warmup_steps"] - c["start_decay_step"], 0), float(each), 1.0
    while left >= length * (1 - 1e-12):
        left, length, height = left - length, length * c["t_mul"], height * c["m_mul"]
    return (1 - c["alpha"]) * height * 0.5 * (1 + math.cos(math.pi * max(left, 0) / length)) + c["alpha"]


FACTORS = {
    "constant": lambda t, c: c["base_learning_rate"],
    "polynomial": lambda t, c: c["end_factor"] + (1 - c["end_factor"]) * max(1 - t / c["decay_steps"], 0) ** c["power"],
    "piecewise_constant": lambda t, c: [1.0, *c["decay_factors"]][sum(event < t for event in c["decay_events"])],
    "piecewise_linear": interpolated,
    "linear_warmup": lambda t, c: min(1, c["warmup_alpha"] + t * (1 - c["warmup_alpha"]) / max(c["warmup_steps"], 1e-9)) if t or c["warmup_steps"] else 1,
    "rsqrt_decay": lambda t, c: math.sqrt(c["timescale"] / (c["timescale"] + max(t - c["warmup_steps"], 0))),
    "decay_every": lambda t, c: c["decay_factor"] ** (t // c["steps_per_decay"]),
    "exponential_decay": lambda t, c: c["decay_rate"] ** (t // c["decay_steps"] if c["staircase"] else t / c["decay_steps"]),
    "cosine_decay": cosines,
    "linear_cooldown": lambda t, c: min(1, (c["total_steps"] - max(t, c["warmup_steps"])) / c["cooldown_steps"]),
}  # fmt: skip


def rate(t, names, c):
    value = 1.0
    for name in names:
        if name == "linear_decay":
            end, warm = c["end_learning_rate"], c["warmup_steps"]
            value = (value - end) * min(max(1 - (t - warm) / (c["total_steps"] - warm), 0), 1) + end
        else:
            value *= FACTORS[name](t, c)
    return value


@given(st.lists(st.sampled_from([*FACTORS, "linear_decay"]), min_size=1, max_size=4, unique=True), EVENTS, st.data())
def test_products_of_factors(names, events, data):
    steps, draw = st.integers(1, 60), data.draw
    config = {
        "base_learning_rate": draw(st.floats(1e-5, 1.0)),
        "decay_steps": draw(steps),
        "end_factor": draw(SHARES),
        "power": draw(st.sampled_from([1, 2, 0.7])),
        "decay_events": events,
        "decay_factors": [draw(SHARES) for _ in events],
        "warmup_steps": (warm := draw(st.integers(0, 30))),
        "warmup_alpha": draw(SHARES),
        "timescale": draw(st.sampled_from([10, 100, 7.5])),
        "decay_factor": draw(st.sampled_from([0.5, 1.0])),
        "steps_per_decay": draw(steps),
        "decay_rate": draw(st.sampled_from([0.5, 0.9])),
        "staircase": draw(st.booleans()),
        "steps_per_cycle": draw(steps),
        "t_mul": draw(st.sampled_from([1.0, 2.0, 1.5])),
        "m_mul": draw(st.sampled_from([1.0, 0.5])),
        "alpha": draw(SHARES),
        "start_decay_step": draw(st.integers(0, 9)),
        "total_steps": warm + draw(steps),
        "end_learning_rate": draw(st.sampled_from([0, 1e-2, 2])),
        "cooldown_steps": draw(steps),
    }
    assert_follows(scheduler(factors=" * ".join(names), **config), lambda t: rate(t, names, config))
    assert scheduler(factors="*".join(names), **config, after="hold")(np.arange(150)).min() >= 0


TEN = {"base_learning_rate": 1.0, "warmup_steps": 3, "total_steps": 10}
COSINE, LINEAR = "warmup3_cosine_total10", "LINEAR warm-up 3, total 10, end 0"
STEP = "STEP / MULTISTEP: step 3 gamma .1 ; milestones [3,6]"
PUBLISHED = {
    (COSINE, "scenic 'constant*cosine_decay*linear_warmup'(steps_per_cycle=total=10,warmup=3)"): scheduler(factors="constant*cosine_decay*linear_warmup", steps_per_cycle=10, **TEN),
    (LINEAR, "scenic linear_decay"): scheduler(factors="constant*linear_warmup*linear_decay", **TEN),
    (STEP, "scenic piecewise_constant [3,6] [.1,.01]"): scheduler(factors="piecewise_constant", decay_events=[3, 6], decay_factors=[0.1, 0.01]),
}  # fmt: skip


@pytest.mark.parametrize("label", PUBLISHED, ids=lambda label: label[1])
def test_what_scenic_produced(label):
    assert_agrees(PUBLISHED[label], sequence(*label))


def test_what_goes_below_zero_or_begins_again_may_be_held():
    config = {"factors": "linear_cooldown", "total_steps": 10, "cooldown_steps": 3}
    np.testing.assert_allclose(scheduler(**config)(np.arange(8, 13)), [2 / 3, 1 / 3, 0, -1 / 3, -2 / 3], atol=1e-6)
    assert str(scheduler(**config, after="hold")) == "stable(7) >> decay(3)"
    cosine = scheduler(factors="cosine_decay", steps_per_cycle=10, after="hold")
    assert str(cosine) == "decay(10, curve=cosine)"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: scheduler(factors="constant * warmup"), "there is no factor of compound_lr_scheduler 'warmup'; did you mean 'linear_warmup'?"),
        (lambda: scheduler(factors="constant"), "constant of compound_lr_scheduler needs base_learning_rate; give it too"),
        (lambda: scheduler(factors="constant", base_lr=1), "there is no field of compound_lr_scheduler 'base_lr'"),
        (lambda: scheduler(factors="linear_decay", total_steps=9, warmup_steps=9), "compound_lr_scheduler(total_steps=9) counts the warm-up too, and must be more than its 9 steps"),
        (lambda: scheduler(factors="piecewise_linear", decay_events=[6, 3], decay_factors=[1, 1]), "compound_lr_scheduler(decay_events=[6, 3], decay_factors=[1, 1]): events ascend, and each has a factor"),
        (lambda: scheduler(factors="cosine_decay", steps_per_cycle=9, t_mul=0.5), "compound_lr_scheduler(t_mul=0.5): cycles that become shorter end"),
    ],
    ids=range(6),
)  # fmt: skip
def test_what_scenic_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
