"""PyTorch's schedulers against its own sequences, and against its recursions written as loops."""

import contextlib
import math
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from compat.published import assert_agrees, sequence
from hypothesis import assume, given

import lrlab as lr

torch = lr.compat.torch
UPDATES = 120
RATE = 0.3

# Each scheduler as PyTorch runs it: the rate after step t, given the rate that it finds.


def step(t, rate, step_size, gamma):
    return rate * gamma if t and t % step_size == 0 else rate


def multi_step(t, rate, milestones, gamma):
    return rate * gamma ** milestones.count(t)


def constant(t, rate, factor, total_iters):
    return rate * factor if t == 0 else rate / factor if t == total_iters else rate


def line(t, rate, start_factor, end_factor, total_iters):
    if t == 0:
        return rate * start_factor
    slope = end_factor - start_factor
    return rate if t > total_iters else rate * (1 + slope / (total_iters * start_factor + (t - 1) * slope))


def exponential(t, rate, gamma):
    return rate * gamma if t else rate


def polynomial(t, rate, total_iters, power):
    return rate if t == 0 or t > total_iters else rate * ((1 - t / total_iters) / (1 - (t - 1) / total_iters)) ** power


def annealing(t, rate, T_max, eta_min=0.0):
    if t == 0:
        return rate
    if (t - 1 - T_max) % (2 * T_max) == 0:
        return rate + (RATE - eta_min) * (1 - math.cos(math.pi / T_max)) / 2
    return (1 + math.cos(math.pi * t / T_max)) / (1 + math.cos(math.pi * (t - 1) / T_max)) * (rate - eta_min) + eta_min


def restarts(t, rate, T_0, T_mult, eta_min):
    while t >= T_0:
        t, T_0 = t - T_0, T_0 * T_mult
    return eta_min + (RATE - eta_min) * (1 + math.cos(math.pi * t / T_0)) / 2


counts, shares = st.integers(1, 30), st.floats(0.01, 1.0)
floors = st.sampled_from([0.0, 1e-6, 0.1, 0.3, 0.5])


def drawn(name, loop, **arguments):
    return st.fixed_dictionaries(arguments).map(lambda given: SimpleNamespace(
        name=name, loop=lambda t, rate: loop(t, rate, **given), schedule=getattr(torch, name)(**given, base_lr=RATE)
    ))  # fmt: skip


FACTORS = st.one_of(
    drawn("StepLR", step, step_size=counts, gamma=st.floats(0.01, 1.1)),
    drawn("MultiStepLR", multi_step, milestones=st.lists(st.integers(0, 60), max_size=4), gamma=shares),
    drawn("ConstantLR", constant, factor=shares, total_iters=counts),
    drawn("LinearLR", line, start_factor=shares, end_factor=st.just(0.0) | shares, total_iters=counts),
    drawn("ExponentialLR", exponential, gamma=st.floats(0.5, 1.1)),
    drawn("PolynomialLR", polynomial, total_iters=counts, power=st.just(1) | st.floats(0.2, 3.0)),
)
COSINES = drawn("CosineAnnealingLR", annealing, T_max=counts)
ANNEALINGS = st.one_of(
    drawn("CosineAnnealingLR", annealing, T_max=counts, eta_min=floors),
    drawn("CosineAnnealingWarmRestarts", restarts, T_0=counts, T_mult=st.integers(1, 3), eta_min=floors),
)


def rates(loops, updates=UPDATES):
    """One rate, which every one of `loops` changes in turn at every step."""
    rate = RATE
    for t in range(updates):
        for loop in loops:
            rate = loop(t, rate)
        yield rate


@given(FACTORS | ANNEALINGS)
def test_a_scheduler_alone(one):
    assert_agrees(one.schedule, list(rates([one.loop])))
    assert lr.parse(repr(one.schedule)) == one.schedule


@given(st.lists(FACTORS | ANNEALINGS, min_size=1, max_size=4), st.data())
def test_sequential_starts_each_at_its_milestone(several, data):
    milestones = sorted(data.draw(st.lists(st.integers(0, 60), min_size=len(several) - 1, max_size=len(several) - 1)))
    edges, expected = [0, *milestones, UPDATES], []
    for one, begin, end in zip(several, edges, edges[1:]):
        expected += rates([one.loop], end - begin)
    schedule = torch.SequentialLR([one.schedule for one in several], milestones)
    assert_agrees(schedule, expected)
    assert lr.parse(repr(schedule)) == schedule


@given(st.lists(FACTORS, min_size=1, max_size=3), COSINES | st.none(), st.randoms())
def test_chained_is_a_product_of_factors(several, cosine, random):
    several = [*several, *([cosine] if cosine else [])]
    random.shuffle(several)
    schedules = [one.schedule for one in several]
    expected = list(rates([one.loop for one in several]))
    held = torch.ChainedScheduler(schedules, after="hold")
    fallen = next((t for t in range(UPDATES) if cosine and cosine.schedule(t) == 0), UPDATES)
    assert_agrees(held, [*expected[:fallen], *[0.0] * (UPDATES - fallen)], peak=max(expected[:fallen]))
    with contextlib.suppress(lr.Refused):  # where the others go on after the cosine has ended
        schedule = torch.ChainedScheduler(schedules)
        assert_agrees(schedule, expected)
        assert lr.parse(repr(schedule)) == schedule


@given(
    st.floats(0.0, 0.5),
    st.floats(0.5, 1.0),
    counts,
    st.none() | counts,
    st.sampled_from(["triangular", "triangular2", "exp_range"]),
)
def test_cyclic(low, high, up, down, mode):
    schedule = torch.CyclicLR(low, high, up, down, mode, gamma=0.97)
    size = up + (down or up)
    expected = []
    for t in range(UPDATES):
        cycle = math.floor(1 + t / size)
        x, turn = 1 + t / size - cycle, up / size
        scale = {"triangular": 1, "triangular2": 0.5 ** (cycle - 1), "exp_range": 0.97**t}[mode]
        expected.append(low + (high - low) * (x / turn if x <= turn else (x - 1) / (turn - 1)) * scale)
    assert_agrees(schedule, expected, peak=high)
    assert lr.parse(repr(schedule)) == schedule


def one_cycle(t, total, pct, strategy, div, final, three_phase):
    """PyTorch's rate at step t, where it does not raise."""
    low, end = 1 / div, 1 / div / final
    phases = [(pct * total - 1, low, 1.0), (total - 1, 1.0, end)]
    if three_phase:
        phases = [phases[0], (2 * pct * total - 2, 1.0, low), (total - 1, low, end)]
    begin = 0.0
    for i, (stop, a, b) in enumerate(phases):
        if t <= stop or i == len(phases) - 1:
            u = (t - begin) / (stop - begin)
            return b + (a - b) / 2 * (math.cos(math.pi * u) + 1) if strategy == "cos" else (b - a) * u + a
        begin = stop
    raise AssertionError


@given(
    st.integers(1, 100),
    st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5]) | st.floats(0.0, 0.5),
    st.sampled_from(["cos", "linear"]),
    st.floats(0.5, 30.0),
    st.floats(1.0, 1e5),
    st.booleans(),
)
def test_one_cycle(total, pct, strategy, div, final, three_phase):
    assume(pct * total != 1)
    arguments = {
        "total_steps": total,
        "pct_start": pct,
        "anneal_strategy": strategy,
        "div_factor": div,
        "final_div_factor": final,
    }
    schedule = torch.OneCycleLR(1.0, **arguments, three_phase=three_phase)
    expected = [one_cycle(t, total, pct, strategy, div, final, three_phase) for t in range(total + 1)]
    assert_agrees(schedule, expected)
    held = torch.OneCycleLR(1.0, **arguments, three_phase=three_phase, after="hold")
    assert_agrees(held, [*expected[:-1], expected[-2]])
    assert lr.parse(repr(schedule)) == schedule


@given(st.floats(0.01, 1.0), st.integers(0, 30), st.sampled_from(["cos", "linear"]))
def test_swa(swa_lr, epochs, strategy):
    alpha = lambda t: (
        (1 - math.cos(math.pi * min(t / max(epochs, 1), 1))) / 2 if strategy == "cos" else min(t / max(epochs, 1), 1)
    )
    expected = [swa_lr * alpha(t or not epochs) + RATE * (1 - alpha(t or not epochs)) for t in range(40)]
    assert_agrees(torch.SWALR(swa_lr, epochs, strategy, base_lr=RATE), expected)


def test_functions_become_tables():
    assert_agrees(torch.LambdaLR(lambda t: 1 / (1 + t), base_lr=0.1, steps=9), [0.1 / (1 + t) for t in range(9)])
    assert_agrees(torch.MultiplicativeLR(lambda t: 0.9, base_lr=0.1, steps=9), [0.1 * 0.9**t for t in range(9)])
    scaled = torch.CyclicLR(0.0, 1.0, 2, scale_fn=lambda x: 1 / x, scale_mode="cycle", steps=9)
    assert_agrees(scaled, [0, 0.5, 1, 0.5, 0, 0.25, 0.5, 0.25, 0])


def test_a_rate_that_grows_ends_where_float32_does():
    schedule = torch.ExponentialLR(1.5, base_lr=0.1)
    assert_agrees(schedule, [0.1 * 1.5**t for t in range(218)])
    assert np.isfinite(schedule(10**9))


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (torch.ConstantLR(0.5, 0, base_lr=1), [0.5, 0.5, 0.5]),
        (torch.LinearLR(0.5, total_iters=0, base_lr=1), [0.5, 0.5, 0.5]),
        (torch.PolynomialLR(0, base_lr=1), [1, 1, 1]),
        (torch.PolynomialLR(2, power=0, base_lr=1), [1, 1, 1]),
        (torch.StepLR(1, gamma=0, base_lr=1), [1, 0, 0]),
        (torch.MultiStepLR([2], gamma=0, base_lr=1), [1, 1, 0]),
    ],
)
def test_corners(schedule, rates):
    assert schedule(range(3)).tolist() == rates


LINEAR = lambda: torch.LinearLR(1 / 3, total_iters=3, base_lr=1)
COSINE = lambda **arguments: torch.CosineAnnealingLR(7, base_lr=1, **arguments)
PUBLISHED = [
    ("warmup3_cosine_total10", "torch SequentialLR(LinearLR(1e-8->1,3)+CosineAnnealingLR(7),[3])",
     lambda: torch.SequentialLR([torch.LinearLR(1e-8, total_iters=3, base_lr=1), COSINE()], [3])),
    ("LINEAR warm-up 3, total 10, end 0", "torch SequentialLR(LinearLR(1/3),PolynomialLR(7))",
     lambda: torch.SequentialLR([LINEAR(), torch.PolynomialLR(7, base_lr=1)], [3])),
    ("ONE-CYCLE total 10, pct_start .3, div 25, final_div 1e4 (fastai 1e5 on max)", "torch OneCycleLR(max 1,total 10) cos",
     lambda: torch.OneCycleLR(1, total_steps=10)),
    ("ONE-CYCLE total 10, pct_start .3, div 25, final_div 1e4 (fastai 1e5 on max)", "torch OneCycleLR linear",
     lambda: torch.OneCycleLR(1, total_steps=10, anneal_strategy="linear")),
    ("CYCLIC / RESTARTS", "torch CyclicLR(0,1,up 2,down 3) triangular2", lambda: torch.CyclicLR(0, 1, 2, 3, mode="triangular2")),
    ("torch misc", "torch LinearLR(1/3->1,3)", LINEAR),
    ("torch misc", "torch ConstantLR(1/3,3)", lambda: torch.ConstantLR(1 / 3, 3, base_lr=1)),
    ("torch misc", "torch Chained[CosineAnnealingLR(7), Linear(1/3,3)]", lambda: torch.ChainedScheduler([COSINE(), LINEAR()])),
    ("torch misc", "torch Chained[Constant(.5,3), WarmRestarts(4)] (overwrites)",
     lambda: torch.ChainedScheduler([torch.ConstantLR(0.5, 3, base_lr=1), torch.CosineAnnealingWarmRestarts(4, base_lr=1)])),
]  # fmt: skip


@pytest.mark.parametrize(("group", "label", "schedule"), PUBLISHED, ids=[label for _, label, _ in PUBLISHED])
def test_what_pytorch_printed(group, label, schedule):
    assert_agrees(schedule(), [rate for rate in sequence(group, label) if isinstance(rate, float | int)])


class Scheduler(SimpleNamespace):
    """What `from_torch` reads of a scheduler; its subclasses have the names of PyTorch's."""


def live(name, **attributes):
    return type(name, (Scheduler,), {})(base_lrs=[0.1, 0.3], **attributes)


def test_a_scheduler_object_is_read_in_the_same_words():
    up, down = (
        live("LinearLR", start_factor=0.1, end_factor=1.0, total_iters=5),
        live("CosineAnnealingLR", T_max=9, eta_min=0.01),
    )
    both = live("SequentialLR", _schedulers=[up, down], _milestones=[5])
    expected = torch.SequentialLR(
        [torch.LinearLR(0.1, base_lr=0.3), torch.CosineAnnealingLR(9, 0.01, base_lr=0.3)], [5]
    )
    assert lr.compat.from_torch(both, group=1) == expected
    own = type("Mine", (type(up),), {})(**vars(up))
    assert lr.compat.from_torch(own) == torch.LinearLR(0.1, base_lr=0.1)


SENTENCES = [
    (lambda: torch.StepLR(base_lr=0.1, step_size=0), "StepLR(step_size=0): step_size is a whole number of steps from 1 on"),
    (lambda: torch.StepLR(9, gamma=-1, base_lr=0.1), "StepLR(gamma=-1): gamma is a number from 0"),
    (lambda: torch.CosineAnnealingLR(base_lr=0, T_max=9), "CosineAnnealingLR(base_lr=0): a learning rate is positive"),
    (lambda: torch.CosineAnnealingLR(base_lr=1, T_max=9, after="zero"), "there is no after of CosineAnnealingLR 'zero'"),
    (lambda: torch.CosineAnnealingWarmRestarts(9, 1.5, base_lr=1), "CosineAnnealingWarmRestarts(T_mult=1.5): T_mult is a whole number"),
    (lambda: torch.ConstantLR(1.5, base_lr=1), "ConstantLR(factor=1.5): factor is a number from 0 to 1"),
    (lambda: torch.LinearLR(0, base_lr=1), "LinearLR(start_factor=0): start_factor is a number above 0 to 1"),
    (lambda: torch.LinearLR(end_factor=2, base_lr=1), "LinearLR(end_factor=2): end_factor is a number from 0 to 1"),
    (lambda: torch.MultiStepLR([3.5], base_lr=1), "MultiStepLR(milestones=3.5): milestones is a whole number of steps"),
    (lambda: torch.LambdaLR(lambda t: 1, base_lr=1), "say for how many updates, steps=1000"),
    (lambda: torch.LambdaLR(0.1, base_lr=1, steps=9), "LambdaLR(lr_lambda=0.1): lr_lambda is a function of the update number"),
    (lambda: torch.LambdaLR(lambda t: "x", base_lr=1, steps=9), "LambdaLR(lr_lambda=...) at update 0 is 'x', not a number"),
    (lambda: torch.CyclicLR(0.1, 0.01), "the cycle goes up from base_lr; swap the two"),
    (lambda: torch.CyclicLR(0.1, 1, mode="square"), "there is no mode of CyclicLR 'square'"),
    (lambda: torch.OneCycleLR(1), "OneCycleLR does not say how long it is"),
    (lambda: torch.OneCycleLR(1, total_steps=9, pct_start=2.0), "OneCycleLR(pct_start=2): pct_start is a float between 0 and 1"),
    (lambda: torch.OneCycleLR(1, total_steps=10, pct_start=0.1), "pct_start * total_steps is 1"),
    (lambda: torch.OneCycleLR(1, 9, anneal_strategy="exp"), "there is no anneal_strategy of OneCycleLR 'exp'"),
    (lambda: torch.SWALR(0, base_lr=1), "SWALR(swa_lr=0): a learning rate is positive"),
    (lambda: torch.SequentialLR([], []), "SequentialLR([]): write a list of schedules"),
    (lambda: torch.SequentialLR([1], []), "SequentialLR of 1: what it is made of are schedules"),
    (lambda: torch.SequentialLR([LINEAR(), COSINE()], [3, 5]), "SequentialLR of 2 schedules needs 1 rising milestones, not [3, 5]"),
    (lambda: torch.SequentialLR([LINEAR(), torch.SequentialLR([LINEAR(), COSINE()], [3])], [3]), "name all schedulers in one SequentialLR"),
    (lambda: torch.SequentialLR([torch.ChainedScheduler([LINEAR(), LINEAR()]), COSINE()], [3]), "SequentialLR of ChainedScheduler"),
    (lambda: torch.SequentialLR([LINEAR(), torch.OneCycleLR(1, 9)], [3]), "replaces the rate that the others start from"),
    (lambda: torch.SequentialLR([LINEAR(), torch.SWALR(0.1, base_lr=1)], [3]), "SWALR (1 * decay(10, to=0.1, curve=cosine)) after a milestone"),
    (lambda: torch.ChainedScheduler([COSINE(eta_min=0.1), LINEAR()]), "with eta_min it moves the rate that it finds towards another one"),
    (lambda: torch.ChainedScheduler([torch.OneCycleLR(1, 9), LINEAR()]), "sets the rate and undoes those before it; put it last"),
    (lambda: torch.ChainedScheduler([LINEAR(), torch.CyclicLR(0, 1)]), "a CyclicLR, which begins at the optimizer's rate, or none of PyTorch's"),
    (lambda: torch.ChainedScheduler([LINEAR(), torch.ExponentialLR(0.9, base_lr=2)]), "begin at [1, 2]; give all the same base_lr"),
    (lambda: torch.ChainedScheduler([COSINE(), torch.ExponentialLR(0.9, base_lr=1)]), "rises again at update 7 while 1 * repeat(stable(1), shrink=0.9)"),
    (lambda: torch.ReduceLROnPlateau(), "ReduceLROnPlateau follows a metric"),
    (lambda: lr.compat.from_torch(0.1), "from_torch(float): not a scheduler of torch.optim.lr_scheduler"),
    (lambda: lr.compat.from_torch(live("StepLR", step_size=3, gamma=0.1), group=2), "from_torch(group=2): the optimizer has 2 parameter groups"),
    (lambda: lr.compat.from_torch(live("ReduceLROnPlateau")), "write feedback=optim.plateau(...) in an experiment"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "sentence"), SENTENCES)
def test_what_is_refused_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
