"""timm's schedulers against their formulas in float64, against the sequences that timm produced, and refusals."""

import math

import pytest
from compat.published import assert_agrees, assert_follows, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

timm = lr.compat.timm
BASES, WARM, STARTS = st.floats(1e-3, 1.0), st.integers(0, 20), st.sampled_from([0.0, 1e-5, 0.01])
LEAST, COUNTS = st.sampled_from([0.0, 1e-5, 5e-4]), st.integers(1, 60)
BASE = 0.1


def stepped(rate, base, warm, start, prefix, top=None):
    """What timm's loop uses: a line, then the rate; the first update has what the scheduler was made with."""

    def used(t):
        if t < warm:
            return start + t * ((base if top is None else top) - start) / warm
        return rate(t - warm * prefix) if t else base

    return used


def cycled(t, length, mul, limit, least, level):
    """`level(height's number, u)` in the cycle that t lies in, counted without logarithms."""
    for i in range(limit):
        if t < length:
            return level(i, t / length)
        t, length = t - length, length * mul
    return least


@given(BASES, COUNTS, LEAST, st.sampled_from([1, 2, 1.5]), st.sampled_from([1.0, 0.5]), st.integers(1, 4), WARM, st.booleans())  # fmt: skip
def test_cycles(base, length, least, mul, shrink, limit, warm, prefix):
    given = {"base_lr": base, "t_initial": length, "lr_min": least, "warmup_t": warm, "warmup_prefix": prefix}
    given |= {"cycle_mul": mul, "cycle_decay": shrink, "cycle_limit": limit}

    def rate(fall):
        return lambda t: cycled(t, length, mul, limit, least, lambda i, u: least + (base * shrink**i - least) * fall(u))

    poly, cosine = rate(lambda u: (1 - u**2) ** 1.5), rate(lambda u: 0.5 * (1 + math.cos(math.pi * u)))
    htd = rate(lambda u: 0.5 * (1 - math.tanh(-2 + 3 * u)))
    assert_follows(timm.CosineLRScheduler(**given), stepped(cosine, base, warm, 0.0, prefix))
    assert_follows(timm.PolyLRScheduler(**given, power=1.5, k_decay=2), stepped(poly, base, warm, 0.0, prefix))
    top = None if prefix else htd(warm)
    assert_follows(timm.TanhLRScheduler(**given, lb=-2, ub=1), stepped(htd, base, warm, 0.0, prefix, top))


@given(BASES, COUNTS, st.sampled_from([0.1, 0.5, 1.0, 1.1]), st.lists(COUNTS, max_size=4).map(sorted), WARM, STARTS, st.booleans())  # fmt: skip
def test_steps(base, every, gamma, edges, warm, start, prefix):
    given = {"base_lr": base, "decay_rate": gamma, "warmup_t": warm, "warmup_lr_init": start, "warmup_prefix": prefix}
    for steps in (every, every + 0.4):
        power = lambda t, steps=steps: base * gamma ** (t // steps)  # as timm rounds multiples of 4.4
        assert_follows(timm.StepLRScheduler(steps, **given), stepped(power, base, warm, start, prefix))
    milestones = lambda t: base * gamma ** sum(edge <= t + 1 for edge in edges)
    assert_follows(timm.MultiStepLRScheduler(edges, **given), stepped(milestones, base, warm, start, prefix))


@given(BASES, st.integers(20, 90), st.integers(1, 20), LEAST, WARM, STARTS, st.sampled_from(["constant", "rsqrt", "power"]))  # fmt: skip
def test_wsd(base, total, down, least, warm, start, law):
    falls = {
        "linear": lambda u: 1 - u,
        "1-sqrt": lambda u: 1 - u**0.5,
        "cosine": lambda u: 0.5 * (1 + math.cos(math.pi * u)),
        "power": lambda u: 1 - u**1.5,
        "exp": lambda u: (0.2**u - 0.2) / 0.8,
    }
    exponent = {"constant": 0.0, "rsqrt": 0.5, "power": 0.7}[law]
    given = {
        "base_lr": base,
        "t_initial": total,
        "decay_t": down,
        "lr_min": least,
        "stable_fn": law,
        "decay_ratio": 0.2,
    }
    given |= {"stable_timescale": 7, "stable_power": 0.7, "decay_power": 1.5, "warmup_t": warm, "warmup_lr_init": start}
    u = lambda t: min(max(t - total + down, 0) / down, 1)
    for decay_fn, fall in (*falls.items(), (falls["cosine"], falls["cosine"])):
        rate = lambda t, fall=fall: least + (max(base * (1 + t / 7) ** -exponent, least) - least) * fall(u(t))
        assert_follows(timm.WSDLRScheduler(**given, decay_fn=decay_fn), stepped(rate, base, warm, start, True))


@pytest.mark.parametrize(
    ("group", "label", "schedule"),
    [
        ("warmup3_cosine_total10", "timm CosineLRScheduler(t_initial=10,warmup_t=3,prefix=False)", timm.CosineLRScheduler(10, warmup_t=3, base_lr=1)),
        ("WSD, warm-up 3, decay 3, total 10, end 0", "timm WSDLRScheduler(...,1-sqrt default)", timm.WSDLRScheduler(7, 3, warmup_t=3, base_lr=1)),
        ("STEP / MULTISTEP: step 3 gamma .1 ; milestones [3,6]", "timm StepLRScheduler(3,.1)", timm.StepLRScheduler(3, 0.1, base_lr=1)),
        ("CYCLIC / RESTARTS", "timm Cosine(t_initial=3,cycle_mul=2,cycle_decay=.5,cycle_limit=3)", timm.CosineLRScheduler(3, 0, 2, 0.5, 3, base_lr=1)),
        ("CYCLIC / RESTARTS", "timm Tanh(t_initial=10)", timm.TanhLRScheduler(10, base_lr=1)),
        ("CYCLIC / RESTARTS", "timm Poly(t_initial=10,power=.5)", timm.PolyLRScheduler(10, 0.5, base_lr=1)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_sequences_that_timm_produced(group, label, schedule):
    assert_agrees(schedule, sequence(group, label))


def test_a_cycle_whose_begin_timm_rounds_away_ends_first():
    """log(243, 3) is a little less than 5, so that update 605 still ends cycle 4; peers.md, 1.9."""
    schedule = timm.CosineLRScheduler(5, cycle_mul=3, cycle_limit=9, base_lr=1)
    assert [float(schedule(t)) > 0.5 for t in (604, 605, 606)] == [False, False, True]


def test_epochs_and_updates():
    by_epoch = timm.create_scheduler_v2("wsd", 30, warmup_epochs=5, updates_per_epoch=10, base_lr=BASE)
    assert repr(by_epoch) == "stairs(0.1 * warmup(5, start=1e-4) >> stable(20) >> decay(5, curve=sqrt), 10)"
    by_update = timm.create_scheduler_v2("wsd", 30, warmup_epochs=5, step_on_epochs=False, updates_per_epoch=10, base_lr=BASE)  # fmt: skip
    assert repr(by_update) == "0.1 * warmup(50, start=1e-4) >> stable(200) >> decay(50, curve=sqrt)"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: timm.CosineLRScheduler(0, base_lr=BASE), "CosineLRScheduler(t_initial=0): t_initial is a whole number of steps from 1 on"),
        (lambda: timm.CosineLRScheduler(9, noise_range_t=3, base_lr=BASE), "CosineLRScheduler(noise_range_t=3): the noise is drawn by PyTorch's generator"),
        (lambda: timm.CosineLRScheduler(9, warmup=3, base_lr=BASE), "there is no argument of CosineLRScheduler 'warmup'"),
        (lambda: timm.CosineLRScheduler(9, cycle_mul=1.0001, cycle_limit=5000, base_lr=BASE), "CosineLRScheduler(cycle_limit=5000): at most 1000 cycles can be written one by one"),
        (lambda: timm.StepLRScheduler(0.5, 0.1, base_lr=BASE), "StepLRScheduler(decay_t=0.5, decay_rate=0.1): steps that are not whole are a fraction above 1, such as 2.4"),
        (lambda: timm.MultiStepLRScheduler([6, 3], base_lr=BASE), "MultiStepLRScheduler(decay_t=[6, 3]): the steps ascend; write them in order"),
        (lambda: timm.WSDLRScheduler(9, 10, base_lr=BASE), "WSDLRScheduler(t_initial=9, decay_t=10): the decay is part of t_initial; shorten it"),
        (lambda: timm.WSDLRScheduler(9, 3, stable_fn="rsqrt", base_lr=BASE), "WSDLRScheduler(stable_timescale=0): stable_timescale is a number above 0"),
        (lambda: timm.PlateauLRScheduler(), "PlateauLRScheduler follows a metric"),
        (lambda: timm.create_scheduler_v2("plateau", base_lr=BASE), "PlateauLRScheduler follows a metric"),
        (lambda: timm.create_scheduler_v2(step_on_epochs=False, base_lr=BASE), "create_scheduler_v2(updates_per_epoch=0): updates_per_epoch is a whole number of steps from 1 on"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_timm_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
