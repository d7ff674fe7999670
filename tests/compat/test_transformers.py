"""transformers' schedules against the sequences that it produced, and against its formulas in plain float64."""

import math

import hypothesis.strategies as st
import pytest
from compat.published import assert_agrees, sequence
from hypothesis import given

import lrlab as lr

hf = lr.compat.transformers

COSINE, LINEAR, RSQRT = (
    "warmup3_cosine_total10",
    "LINEAR warm-up 3, total 10, end 0",
    "INVERSE SQRT / rsqrt / noam, warm-up 3",
)
WSD, CYCLES = "WSD, warm-up 3, decay 3, total 10, end 0", "CYCLIC / RESTARTS"


@pytest.mark.parametrize(
    ("group", "label", "name", "kwargs"),
    [
        (COSINE, "HF 'cosine'", "cosine", {}),
        (COSINE, "HF 'cosine_with_min_lr'(min_lr_rate=0.1)", "cosine_with_min_lr", {"min_lr_rate": 0.1}),
        (COSINE, "HF 'cosine_warmup_with_min_lr'(min_lr_rate=0)", "cosine_warmup_with_min_lr", {"min_lr_rate": 0}),
        (LINEAR, "HF 'linear'", "linear", {}),
        (LINEAR, "HF 'polynomial'(power=2,lr_end=0.1)", "polynomial", {"power": 2, "lr_end": 0.1}),
        (RSQRT, "HF 'inverse_sqrt' (timescale=warmup)", "inverse_sqrt", {}),
        (RSQRT, "HF 'inverse_sqrt' (timescale=100)", "inverse_sqrt", {"timescale": 100}),
        (WSD, "HF 'warmup_stable_decay' linear decay", "warmup_stable_decay", {"num_decay_steps": 3, "decay_type": "linear"}),
        (WSD, "HF wsd min_lr_ratio=.1 (warm-up starts at .1!)", "warmup_stable_decay", {"num_decay_steps": 3, "decay_type": "linear", "min_lr_ratio": 0.1}),
        (WSD, "HF wsd 1-sqrt", "warmup_stable_decay", {"num_decay_steps": 3, "decay_type": "1-sqrt"}),
        (CYCLES, "HF 'cosine' num_cycles=1.5 (oscillates)", "cosine", {"num_cycles": 1.5}),
    ],
)  # fmt: skip
def test_published_sequences(group, label, name, kwargs):
    schedule = hf.get_scheduler(
        name, base_lr=1.0, num_warmup_steps=3, num_training_steps=10, scheduler_specific_kwargs=kwargs
    )
    assert_agrees(schedule, sequence(group, label))


# The formulas as transformers 5.24 has them, a multiplier of the base rate at step t.


def rising(t, W):
    return t / max(1, W) if t < W else None


def linear(t, W, T):
    return max(0.0, (T - t) / max(1, T - W))


def cosine(t, W, T, num_cycles=0.5, m=0.0):
    progress = (t - W) / max(1, T - W)
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * num_cycles * 2.0 * progress)) * (1 - m) + m)


def restarts(t, W, T, num_cycles=1):
    progress = (t - W) / max(1, T - W)
    return 0.0 if progress >= 1.0 else max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((num_cycles * progress) % 1.0))))


def polynomial(t, W, T, power, end):
    return end if t >= T else (1 - end) * (1 - (t - W) / (T - W)) ** power + end


def ahead(t, W, T, num_cycles, m, warmup_lr_rate):
    if t < W:
        return (t + 1) / W if warmup_lr_rate is None else warmup_lr_rate + (1 - warmup_lr_rate) * t / max(1, W - 1)
    return cosine(t + 1, W, T, num_cycles, m)


def wsd(t, W, S, D, up, down, m, num_cycles):
    if t < W:
        p = t / W
        return {"linear": p, "cosine": 0.5 * (1 - math.cos(math.pi * p)), "1-sqrt": 1 - math.sqrt(1 - p)}[up] * (
            1 - m
        ) + m
    if t < W + S:
        return 1.0
    if t < W + S + D:
        p = (t - W - S) / D
        falling = {"linear": 1 - p, "cosine": 0.5 * (1 + math.cos(math.pi * num_cycles * 2 * p)), "1-sqrt": 1 - math.sqrt(p)}[down]  # fmt: skip
        return max(0.0, falling * (1 - m) + m)
    return m


rates, counts, shares = (
    st.floats(1e-6, 10.0),
    st.integers(0, 40),
    st.sampled_from([0.0, 1e-4, 0.1, 0.5]) | st.floats(1e-6, 1),
)
waves = st.sampled_from([0.5, 1, 1.5, 2, 3, 0.3]) | st.floats(0.01, 9)
few = st.integers(1, 12) | st.floats(0.2, 12)
ways = st.sampled_from(["linear", "cosine", "1-sqrt"])


def agree(schedule, formula, base_lr, W=0, steps=200):
    warm = lambda t: rising(t, W) if rising(t, W) is not None else formula(t)
    assert_agrees(schedule, [base_lr * warm(t) for t in range(steps)], peak=base_lr)
    assert lr.parse(repr(schedule)) == schedule
    assert "[" not in repr(schedule)  # no table


@given(rates, counts, counts, waves, shares, few)
def test_warm_up_and_what_follows(base_lr, W, T, num_cycles, m, cycles):
    common = {"base_lr": base_lr, "num_warmup_steps": W, "num_training_steps": T}
    agree(hf.get_constant_schedule_with_warmup(W, base_lr=base_lr), lambda t: 1.0, base_lr, W)
    agree(hf.get_linear_schedule_with_warmup(**common), lambda t: linear(t, W, T), base_lr, W)
    agree(hf.get_cosine_schedule_with_warmup(**common, num_cycles=num_cycles), lambda t: cosine(t, W, T, num_cycles), base_lr, W)  # fmt: skip
    agree(
        hf.get_cosine_with_min_lr_schedule_with_warmup(**common, num_cycles=num_cycles, min_lr=m * base_lr),
        lambda t: cosine(t, W, T, num_cycles, m),
        base_lr,
        W,
    )
    agree(
        hf.get_cosine_with_hard_restarts_schedule_with_warmup(**common, num_cycles=cycles),
        lambda t: restarts(t, W, T, cycles),
        base_lr,
        W,
    )


@given(rates, st.integers(1, 3000), st.integers(1, 60))
def test_hard_restarts_come_when_transformers_rounds_them(base_lr, T, cycles):
    schedule = hf.get_cosine_with_hard_restarts_schedule_with_warmup(0, T, cycles, base_lr=base_lr)
    assert_agrees(schedule, [base_lr * restarts(t, 0, T, cycles) for t in range(T + 2)], peak=base_lr)


def test_a_restart_that_transformers_misses_by_a_rounding_is_missed():
    late = next((c, T) for c in range(2, 200) for T in [c * 7] for t in range(0, T, 7) if c * (t / T) % 1.0 > 0.9)
    schedule = hf.get_cosine_with_hard_restarts_schedule_with_warmup(0, late[1], late[0], base_lr=1.0)
    assert_agrees(schedule, [restarts(t, 0, late[1], late[0]) for t in range(late[1])])


@given(rates, counts, st.integers(0, 60), st.floats(0.1, 4), shares.filter(lambda end: end < 1), st.none() | st.integers(1, 99))  # fmt: skip
def test_polynomial_and_inverse_square_root(base_lr, W, more, power, end, timescale):
    T = W + more
    schedule = hf.get_polynomial_decay_schedule_with_warmup(W, T, end * base_lr * (1 - 1e-9), power, base_lr=base_lr)
    agree(schedule, lambda t: polynomial(t, W, T, power, end), base_lr, W)
    scale = timescale or W or 10_000
    schedule = hf.get_inverse_sqrt_schedule(W, timescale, base_lr=base_lr)
    agree(schedule, lambda t: 1 / math.sqrt((t + scale - W) / scale), base_lr, W)


@given(rates, counts, counts, waves, shares, st.none() | shares)
def test_cosine_whose_clock_is_a_step_ahead(base_lr, W, T, num_cycles, m, start):
    schedule = hf.get_cosine_with_min_lr_schedule_with_warmup_lr_rate(
        W, T, num_cycles, min_lr_rate=m, warmup_lr_rate=start, base_lr=base_lr
    )
    agree(schedule, lambda t: ahead(t, W, T, num_cycles, m, start), base_lr)


@given(rates, counts, counts, counts, st.booleans(), ways, ways, shares, waves)
def test_warmup_stable_decay(base_lr, W, S, D, total_given, up, down, m, num_cycles):
    shape = {"warmup_type": up, "decay_type": down, "min_lr_ratio": m, "num_cycles": num_cycles}
    if total_given:
        schedule = hf.get_wsd_schedule(W, D, S, **shape, base_lr=base_lr)  # S is the total here
        agree(schedule, lambda t: wsd(t, W, S - W - D, D, up, down, m, num_cycles), base_lr)
    else:
        schedule = hf.get_wsd_schedule(W, D, num_stable_steps=S, **shape, base_lr=base_lr)
        agree(schedule, lambda t: wsd(t, W, S, D, up, down, m, num_cycles), base_lr)


@given(counts, counts, waves)
def test_hold_agrees_up_to_the_end_and_holds(W, T, num_cycles):
    schedule = hf.get_scheduler(
        "cosine", base_lr=1.0, num_warmup_steps=W, num_training_steps=W + T, after="hold",
        scheduler_specific_kwargs={"num_cycles": num_cycles},
    )  # fmt: skip
    end = W + max(T, 1)
    wanted = [rising(t, W) if t < W else cosine(min(t, end), W, W + T, num_cycles) for t in range(end + 50)]
    assert_agrees(schedule, wanted, peak=1.0)


def test_adafactor_without_the_size_of_its_parameters():
    expected = [min(1e-2, 1 / math.sqrt(t + 1)) for t in range(40_000)]  # Adafactor._get_lr with relative_step
    assert_agrees(lr.parse("0.01 * stable(9999) >> rsqrt(10000)"), expected)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: hf.get_scheduler("cosin", base_lr=1.0), "there is no name of get_scheduler 'cosin'; did you mean 'cosine'?"),
        (lambda: hf.get_scheduler("cosine", base_lr=1.0, num_training_steps=9), "get_scheduler('cosine') needs num_warmup_steps; write num_warmup_steps=1000"),
        (lambda: hf.get_scheduler("linear", base_lr=1.0, num_warmup_steps=1), "get_scheduler('linear') needs num_training_steps"),
        (lambda: hf.get_scheduler("polynomial", base_lr=1.0, num_warmup_steps=1, num_training_steps=9, scheduler_specific_kwargs={"pow": 2}), "there is no scheduler_specific_kwargs of 'polynomial' 'pow'; did you mean 'power'?"),
        (lambda: hf.get_scheduler("linear", base_lr=1.0, num_warmup_steps=1.5, num_training_steps=9), "num_warmup_steps is a whole number of steps from 0 on"),
        (lambda: hf.get_constant_schedule(base_lr=-1), "get_constant_schedule(base_lr=-1): a learning rate is positive"),
        (lambda: hf.get_polynomial_decay_schedule_with_warmup(1, 9, lr_end=0.2, base_lr=0.1), "get_polynomial_decay_schedule_with_warmup(lr_end=0.2): it must be below base_lr=0.1"),
        (lambda: hf.get_polynomial_decay_schedule_with_warmup(1, 9, power=0, base_lr=0.1), "(power=0): power is a number above 0"),
        (lambda: hf.get_cosine_with_hard_restarts_schedule_with_warmup(1, 9, 0, base_lr=0.1), "(num_cycles=0): num_cycles is a number above 0"),
        (lambda: hf.get_cosine_with_hard_restarts_schedule_with_warmup(1, 9, 1e6, base_lr=0.1), "(num_cycles=1e+06): at most 1000 cycles can be written one by one; ask for fewer"),
        (lambda: hf.get_inverse_sqrt_schedule(1, 0, base_lr=0.1), "(timescale=0): timescale is a whole number of steps from 1 on"),
        (lambda: hf.get_cosine_with_min_lr_schedule_with_warmup(1, 9, base_lr=0.1), "needs one of min_lr and min_lr_rate; write min_lr_rate=0.1"),
        (lambda: hf.get_cosine_with_min_lr_schedule_with_warmup(1, 9, min_lr=0.1, min_lr_rate=0.1, base_lr=0.1), "needs one of min_lr and min_lr_rate"),
        (lambda: hf.get_wsd_schedule(1, 9, base_lr=0.1), "get_wsd_schedule needs num_training_steps or num_stable_steps"),
        (lambda: hf.get_wsd_schedule(1, 2, 9, warmup_type="sqrt", base_lr=0.1), "there is no warmup_type of get_wsd_schedule 'sqrt'; did you mean '1-sqrt'?"),
        (lambda: hf.get_wsd_schedule(1, 2, 9, decay_type="exp", base_lr=0.1), "there is no decay_type of get_wsd_schedule 'exp'"),
        (lambda: hf.get_scheduler("reduce_lr_on_plateau", base_lr=0.1), "follows a metric and is no function of the update number; give the run a schedule, 0.1 * stable(), and feedback=plateau(factor=0.1, patience=10)"),
        (lambda: hf.get_scheduler("greedy", base_lr=0.1), "0.1 * stable(), and feedback=greedy(factor=0.95, patience=10)"),
        (hf.AdafactorSchedule, "with scale_parameter=False it is 0.01 * stable(9999) >> rsqrt(10000)"),
    ],
)  # fmt: skip
def test_what_transformers_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
