"""The schedules of big_vision, MaxText, nanodo and t5x against their formulas in float64 and what their code produced."""

import math

import numpy as np
import pytest
from compat.published import assert_agrees, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

big_vision, maxtext, nanodo, t5x = lr.compat.big_vision, lr.compat.maxtext, lr.compat.nanodo, lr.compat.t5x
UPDATES = 250
PEAKS = st.floats(1e-5, 1.0)
SHARES = st.sampled_from([0.0, 0.1, 0.25, 1.0])
STEPS = st.integers(1, 60)


def assert_same(schedule, formula):
    expected = [formula(t) for t in range(UPDATES)]
    assert_agrees(schedule, expected, peak=max(map(abs, expected)) or 1e-30)
    assert lr.parse(repr(schedule)) == schedule


DECAYS = st.one_of(
    st.fixed_dictionaries({"decay_type": st.just("cosine")}),
    st.fixed_dictionaries({"decay_type": st.sampled_from(["linear", "polynomial"]), "power": st.sampled_from([1, 2.5]), "end": SHARES}),
    st.fixed_dictionaries({"decay_type": st.just("rsqrt"), "timescale": st.sampled_from([3, 50, 7.5]), "shift": st.sampled_from([0, 3, 2.5])}),
    st.sets(st.integers(0, 100), max_size=3).map(lambda steps: {"decay_type": "stair", "steps": sorted(steps), "mults": [0.5, 0.1, 0.0][: len(steps)]}),
)  # fmt: skip


@given(st.integers(2, 120), DECAYS, PEAKS, st.data())
def test_big_vision(total, decay, base, data):
    warm, cool = data.draw(st.integers(0, total - 1)), data.draw(st.integers(0, total))

    def formula(t):
        x, rate = min(max((t - warm) / (total - warm), 0), 1), base
        match decay["decay_type"]:
            case "linear" | "polynomial":
                rate = decay["end"] + (base - decay["end"]) * (1 - x) ** decay["power"]
            case "cosine":
                rate = base * 0.5 * (1 + math.cos(math.pi * x))
            case "rsqrt":
                rate = base / math.sqrt(1 + (max(t - warm, 0) + decay["shift"]) / decay["timescale"])
            case "stair":
                rate = base * [1.0, *decay["mults"]][sum(step <= t for step in decay["steps"])]
        rate *= min(1, t / warm) if warm else 1
        return rate * min(1, (total - t) / cool) if cool else rate

    arguments = {"base": base, "warmup_steps": warm, "cooldown_steps": cool, **decay}
    assert_same(big_vision.create_learning_rate_schedule(total, **arguments), formula)
    held = big_vision.create_learning_rate_schedule(total, **arguments, after="hold")
    assert held(np.arange(UPDATES)).min() >= 0


def test_durations_of_big_vision_are_rounded_as_there():
    create = big_vision.create_learning_rate_schedule
    assert create(100, 8, 100, warmup_epochs=1) == create(100, warmup_steps=12)  # 12.5, to the even one
    assert create(100, 8, warmup_examples=1) == create(100, warmup_steps=1)
    assert create(100, warmup_percent=0.1, cooldown_percent=0.2) == create(100, warmup_steps=10, cooldown_steps=20)
    assert create(100, 512, base=0.1, scale_with_batchsize=True) == create(100, base=0.2)


@given(
    PEAKS, st.integers(1, 120), st.sampled_from([0, 0.1, 0.35, 0.5]), SHARES, st.sampled_from([0, 0.2, 0.5]), st.data()
)
def test_maxtext(peak, total, warm_share, final_share, down_share, data):
    kind, style = data.draw(st.sampled_from(["cosine", "wsd"])), data.draw(st.sampled_from(["linear", "cosine"]))
    steps = total + data.draw(st.sampled_from([0, 1, 30]))
    warm, final = int(total * warm_share), peak * final_share
    down = total - warm if kind == "cosine" else int(total * down_share)

    def cosine(t):
        a = 0.5 * (math.cos(math.pi * (t / (down - 1) if down > 1 else 1.0)) + 1)
        return peak * a + final * (1 - a)

    def formula(t):
        if t >= total and steps > total:
            return 0.0
        if t < warm:
            return peak * t / warm
        if t < total - down or not down:
            return peak
        if kind == "cosine" or style == "cosine":
            return cosine(t - total + down)
        return peak + (final - peak) * min((t - total + down) / (down - 1), 1) if down > 1 else peak

    schedule = maxtext.create_learning_rate_schedule(
        learning_rate=peak,
        steps=steps,
        learning_rate_schedule_steps=total,
        warmup_steps_fraction=warm_share,
        lr_schedule_type=kind,
        learning_rate_final_fraction=final_share,
        wsd_decay_steps_fraction=down_share,
        wsd_decay_style=style,
    )
    assert_same(schedule, formula)


KINDS = st.sampled_from(
    ["cosine", "linear", "rsqrt", "constant", "constant_without_warmup", "constant_linear_decay_7", "constant_linear_decay_12.5p"]
)  # fmt: skip


@given(PEAKS, SHARES, SHARES, st.integers(0, 60), st.integers(80, 120), KINDS)
def test_nanodo(peak, init, final, warm, total, kind):
    init, final = init * peak, final * peak
    down = int(total * 0.125) if kind.endswith("p") else 7

    def formula(t):
        if kind == "constant_without_warmup":
            return peak
        if t < warm:
            return init + (peak - init) * t / warm
        match kind:
            case "rsqrt":
                return peak * math.sqrt((1 + warm) / (1 + t))
            case "constant":
                return peak
            case "cosine":
                return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * min((t - warm) / (total - warm), 1)))
            case "linear":
                return peak + (final - peak) * min((t - warm) / (total - warm), 1)
        return peak + (final - peak) * min(max((t - total + down) / down, 0), 1)

    arguments = {"init_learning_rate": init, "peak_learning_rate": peak, "final_learning_rate": final}
    run = {"warmup_steps": warm, "num_train_steps": total, "decay_type": kind}
    assert_same(nanodo.get_learning_rate_schedule(**arguments, **run), formula)


FACTORS = ["linear_warmup", "linear_decay", "rsqrt_decay", "rsqrt_normalized_decay", "decay_every", "cosine_decay"]


@given(
    st.lists(st.sampled_from(["constant", *FACTORS]), min_size=1, max_size=4),
    PEAKS,
    STEPS,
    st.sampled_from([0.5, 0.03, 1 / 40]),
    STEPS,
    STEPS,
    st.sampled_from([0, 5, -5]),
    st.sampled_from([1e-8, 0.0, 1e-3]),
)
def test_t5x(factors, base, warm, factor, every, cycle, offset, low):
    def formula(t):
        t, rate = max(0, t - offset), 1.0
        for name in factors:
            rate *= {
                "constant": base,
                "linear_warmup": min(1, t / warm),
                "linear_decay": base * min(t / warm, max(1 + factor * (warm - t), 0)),
                "rsqrt_decay": max(t, warm) ** -0.5,
                "rsqrt_normalized_decay": (warm / max(t, warm)) ** 0.5,
                "decay_every": factor ** (t // every),
                "cosine_decay": 0.5 * (1 + math.cos(math.pi * (max(0, t - warm) % cycle) / cycle)),
            }[name]
        return max(rate, low)

    arguments = (" * ".join(factors), base, warm, factor, every, cycle, offset, low)
    assert_same(t5x.create_learning_rate_scheduler(*arguments), formula)


COSINE, LINEAR = "warmup3_cosine_total10", "LINEAR warm-up 3, total 10, end 0"
RSQRT, WSD = "INVERSE SQRT / rsqrt / noam, warm-up 3", "WSD, warm-up 3, decay 3, total 10, end 0"
STEP = "STEP / MULTISTEP: step 3 gamma .1 ; milestones [3,6]"
TEN = {"learning_rate": 1, "warmup_steps_fraction": 0.3, "learning_rate_schedule_steps": 10}
BIG = lambda **more: big_vision.create_learning_rate_schedule(10, **more)
MAX = lambda **more: maxtext.create_learning_rate_schedule(**TEN, **more)
T5X = lambda *given, **more: t5x.create_learning_rate_scheduler(*given, **{"warmup_steps": 3, **more})
PUBLISHED = {
    (COSINE, "big_vision cosine(total 10,warmup 3)"): lambda: BIG(decay_type="cosine", warmup_steps=3),
    (LINEAR, "big_vision linear"): lambda: BIG(decay_type="linear", warmup_steps=3),
    (RSQRT, "big_vision rsqrt timescale=3 shift=0"): lambda: BIG(decay_type="rsqrt", warmup_steps=3, timescale=3),
    (RSQRT, "big_vision rsqrt timescale=3 shift=3"): lambda: BIG(decay_type="rsqrt", warmup_steps=3, timescale=3, shift=3),
    (WSD, "big_vision 'stair'+cooldown 3 (=WSD)"): lambda: BIG(warmup_steps=3, cooldown_steps=3),
    (STEP, "big_vision 'stair' steps=[3,6] mults=[.1,.01] (absolute mults)"): lambda: BIG(steps=[3, 6], mults=[0.1, 0.01]),
    (COSINE, "MaxText cosine(10 steps,.3 warmup)"): lambda: MAX(steps=10, learning_rate_final_fraction=0),
    (COSINE, "MaxText wsd(10 sched steps,.3 warm,.3 decay,final .1,steps=14)"): lambda: MAX(steps=14, lr_schedule_type="wsd", wsd_decay_steps_fraction=0.3),
    (WSD, "MaxText wsd linear"): lambda: MAX(steps=10, lr_schedule_type="wsd", wsd_decay_steps_fraction=0.3, learning_rate_final_fraction=0),
    (WSD, "nanodo constant_linear_decay_3 (optax)"): lambda: nanodo.get_learning_rate_schedule(peak_learning_rate=1, warmup_steps=3, num_train_steps=10, decay_type="constant_linear_decay_3"),
    (LINEAR, "t5x 'constant * linear_warmup * linear_decay' decay_factor=1/7"): lambda: T5X("constant * linear_warmup * linear_decay", 1, decay_factor=1 / 7),
    (LINEAR, "t5x 'linear_decay' base=.5"): lambda: T5X("linear_decay", 0.5, decay_factor=1 / 7),
    (RSQRT, "t5x constant*linear_warmup*rsqrt_decay"): lambda: T5X(base_learning_rate=1),
    (RSQRT, "t5x ...*rsqrt_normalized_decay"): lambda: T5X("constant*linear_warmup*rsqrt_normalized_decay", 1),
}  # fmt: skip


@pytest.mark.parametrize("label", PUBLISHED, ids=lambda label: label[1])
def test_what_the_peers_produced(label):
    expected = sequence(*label)
    assert_agrees(PUBLISHED[label](), expected, peak=max(1.0, *expected))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: BIG(warmup_steps=10), "the warm-up of 10 steps leaves none for the decay; shorten it"),
        (lambda: big_vision.create_learning_rate_schedule(1, decay_type="linear", warmup_steps=3), "the warm-up of 3 steps leaves none for the decay; shorten it"),
        (lambda: BIG(cooldown_steps=11), "the cooldown of 11 steps is longer than the run; shorten it"),
        (lambda: BIG(warmup_steps=1, warmup_percent=0.1), "warmup_steps, percent) says 2 times how long the warmup lasts; leave one"),
        (lambda: BIG(warmup_epochs=1), "create_learning_rate_schedule(batch_size=None): batch_size is a whole number of steps"),
        (lambda: BIG(warm=3), "create_learning_rate_schedule(warm=...) is none of its arguments"),
        (lambda: BIG(decay_type="cosin"), "there is no decay_type of create_learning_rate_schedule 'cosin'; did you mean 'cosine'?"),
        (lambda: BIG(steps=[3]), "there is one factor for each step, in ascending order"),
        (lambda: MAX(steps=10, lr_schedule_type="wsd", wsd_decay_steps_fraction=0.8), "a warm-up of 3 and a decay of 8 steps are longer than the schedule of 10"),
        (lambda: MAX(steps=10, lr_schedule_type="linear"), "there is no lr_schedule_type of create_learning_rate_schedule 'linear'"),
        (lambda: nanodo.get_learning_rate_schedule(peak_learning_rate=1, num_train_steps=9, decay_type="constant_linear_decay_10"), "for the last 500 updates or the last 10 % of the run"),
        (lambda: nanodo.get_learning_rate_schedule(peak_learning_rate=1, num_train_steps=9, warmup_steps=5, decay_type="constant_linear_decay_5"), "warm-up and decay take more than the run"),
        (lambda: T5X("constant * warmup"), "there is no factor of create_learning_rate_scheduler 'warmup'; did you mean 'linear_warmup'?"),
        (lambda: T5X(warmup_steps=0), "create_learning_rate_scheduler(warmup_steps=0): warmup_steps is a whole number of steps from 1 on"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_schedule_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
