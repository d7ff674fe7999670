"""ignite's schedulers as its own loop computes them, against the sequences that it produced, and refusals."""

import math

import pytest
from compat.published import assert_agrees, assert_follows, sequence
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr

ignite = lr.compat.ignite
VALUES, MULTS = st.sampled_from([0.0, 1e-3, 0.1, 0.3]), st.sampled_from([1.0, 0.5, 1.2])


def cyclical(start, end, size, mult, starts, ends, warm, share):
    """The rate at update t, event by event as CyclicalScheduler counts them."""
    rates, event = [], 0
    for _ in range(150):
        if event and event == size:
            start *= starts
        if event and event == size + warm:
            event, size, warm, end = 0, int(size * mult), int(warm * mult), end * ends
        on = event > size
        rates.append(end + (start - end) * ((event - size) / warm if on else share(event / size)))
        event += 1
    return rates.__getitem__


@given(VALUES, VALUES, st.integers(2, 30), st.sampled_from([1, 2, 1.5, 1.1]), MULTS, MULTS, st.integers(0, 9))
def test_cycles(start, end, size, mult, starts, ends, warm):
    given, rest = (start, end, size, mult, starts, ends), {"warmup_duration": warm}
    follows = lambda schedule, warm, share: assert_follows(schedule, cyclical(*given, warm, share))
    follows(ignite.CosineAnnealingScheduler(*given, **rest), warm, lambda u: (1 + math.cos(math.pi * u)) / 2)
    follows(ignite.LinearCyclicalScheduler(*given, **rest, monotonic=True), warm, lambda u: 1 - u)
    follows(ignite.LinearCyclicalScheduler(*given), 0, lambda u: abs(u - 0.5) * 2)


@given(st.lists(st.tuples(st.integers(0, 40), VALUES), min_size=1, max_size=5).map(lambda pairs: sorted(pairs, key=lambda pair: pair[0])))  # fmt: skip
def test_piecewise_linear(pairs):
    def rate(t):
        after = sum(edge <= t for edge, _ in pairs)
        if after in (0, len(pairs)):
            return pairs[max(after - 1, 0)][1]
        (begin, a), (end, b) = pairs[after - 1 : after + 1]
        return a + (b - a) * (t - begin) / (end - begin)

    assert_follows(ignite.PiecewiseLinear(pairs), rate)


def test_schedulers_of_torch_are_asked_once_too_often():
    torch = lr.compat.torch
    assert repr(ignite.LRScheduler(torch.ExponentialLR(0.9, base_lr=0.1))) == "shift(0.1 * repeat(stable(1), shrink=0.9), 1)"  # fmt: skip
    assert repr(ignite.LRScheduler(torch.ConstantLR(0.5, 3, base_lr=0.1))) == "0.05 * join(ramp(3, start=0.5, to=0.5), stable())"  # fmt: skip
    cosine = ignite.LRScheduler(torch.CosineAnnealingLR(2, base_lr=0.1))
    assert [round(float(cosine(t)), 6) for t in range(3)] == [0.2, 0.05, 0.0]  # 2/(1 + cos(pi/2)) of the rate at first


def test_cycles_that_grow_in_length_and_height_are_cut_before_what_follows():
    cycles = ignite.CosineAnnealingScheduler(0.1, 0.01, 10, 2, 2, 2)
    joined = ignite.ConcatScheduler([cycles, ignite.LinearCyclicalScheduler(0.5, 0.6, 10)], [25])
    assert_agrees(joined, [*cycles(range(25)), 0.5, 0.52, 0.54])


LINEAR_WARM = "ignite create_lr_scheduler_with_warmup"
WARM, CYCLES = "warmup3_cosine_total10", "CYCLIC / RESTARTS"


@pytest.mark.parametrize(
    ("group", "label", "schedule"),
    [
        (WARM, f"{LINEAR_WARM}(CosineAnnealingScheduler(1,0,7),0,3)", ignite.create_lr_scheduler_with_warmup(ignite.CosineAnnealingScheduler(1, 0, 7), 0, 3, base_lr=1)),
        (WARM, f"{LINEAR_WARM}(torch CosineAnnealingLR(7),0,3)", ignite.create_lr_scheduler_with_warmup(lr.compat.torch.CosineAnnealingLR(7, base_lr=1), 0, 3)),
        (CYCLES, "ignite LinearCyclicalScheduler(0,1,4) (start->end->start)", ignite.LinearCyclicalScheduler(0, 1, 4)),
        (CYCLES, "ignite CosineAnnealingScheduler(1,0,4,cycle_mult2)", ignite.CosineAnnealingScheduler(1, 0, 4, 2)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_sequences_that_ignite_produced(group, label, schedule):
    assert_agrees(schedule, sequence(group, label))


CYCLE = ignite.CosineAnnealingScheduler(0.1, 0, 9)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ignite.CosineAnnealingScheduler(1, 0, 1), "CosineAnnealingScheduler(cycle_size=1): cycle_size is a whole number of steps from 2 on"),
        (lambda: ignite.LinearCyclicalScheduler(1, 0, 9, warmup_duration=3), "LinearCyclicalScheduler(warmup_duration=3): only monotonic cycles need a way back"),
        (lambda: ignite.CosineAnnealingScheduler(1, 0, 200, 1.006), "at most 1000 cycles can be written one by one"),
        (lambda: ignite.PiecewiseLinear([]), "PiecewiseLinear([]): write pairs of an update and its rate, [(0, 0.1), (100, 0.01)]"),
        (lambda: ignite.PiecewiseLinear([(9, 0.1), (3, 0.2)]), "the updates ascend; write them in order"),
        (lambda: ignite.ConcatScheduler([CYCLE, CYCLE], []), "ConcatScheduler of 2 schedules and 0 durations: all but the last have one"),
        (lambda: ignite.ConcatScheduler([CYCLE, 0.1], [9]), "ConcatScheduler of 0.1: what it is made of are schedules"),
        (lambda: ignite.LRScheduler(lr.compat.torch.SWALR(0.1, base_lr=1)), "ignite asks PyTorch's StepLR, CosineAnnealingLR and their like"),
        (lambda: ignite.LRScheduler(lr.compat.torch.CosineAnnealingLR(1, base_lr=1)), "LRScheduler of CosineAnnealingLR(T_max=1) divides by zero"),
        (lambda: ignite.create_lr_scheduler_with_warmup(CYCLE, 0, 1), "warmup_duration is a whole number of steps from 2 on"),
        (lambda: ignite.ReduceLROnPlateauScheduler(), "ReduceLROnPlateauScheduler follows a metric"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_ignite_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
