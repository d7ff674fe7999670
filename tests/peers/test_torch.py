"""PyTorch's own schedulers, stepped as in a training loop, against ours: at every update, for drawn arguments.

Needs torch, which lrlab does not: skipped where it is not installed.
"""

import warnings

import hypothesis.strategies as st
import pytest
from compat.published import assert_agrees
from hypothesis import assume, given

import lrlab as lr

torch = pytest.importorskip("torch")
schedulers = {**vars(torch.optim.lr_scheduler), "SWALR": torch.optim.swa_utils.SWALR}

rates = st.floats(1e-5, 1.0)
counts = st.integers(1, 30)
shares = st.floats(0.01, 1.0)
UPDATES = 150


def optimizer(base_lr):
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base_lr, momentum=0.9)


def used(scheduler, updates):
    """The rates of so many updates, fewer where the scheduler raises at one."""
    found = []
    for _ in range(updates):
        found.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        try:
            scheduler.step()
        except (ValueError, ZeroDivisionError):
            break
    return found


def both(name, base_lr, arguments):
    """A scheduler of PyTorch, and the function of ours that is called alike."""
    keyword = {} if name == "CyclicLR" else {"base_lr": base_lr}
    return schedulers[name](optimizer(base_lr), **arguments), getattr(lr.compat.torch, name)(**arguments, **keyword)


def agree(theirs, ours, updates=UPDATES):
    from_object = lr.compat.from_torch(theirs, steps=updates)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = used(theirs, updates)
    assert_agrees(ours, expected)
    assert_agrees(from_object, expected)
    assert lr.parse(repr(ours)) == ours


FACTORS = st.one_of(
    st.tuples(st.just("StepLR"), st.fixed_dictionaries({"step_size": counts, "gamma": shares})),
    st.tuples(
        st.just("MultiStepLR"), st.fixed_dictionaries({"milestones": st.lists(counts, max_size=4), "gamma": shares})
    ),
    st.tuples(st.just("ConstantLR"), st.fixed_dictionaries({"factor": shares, "total_iters": counts})),
    st.tuples(
        st.just("LinearLR"),
        st.fixed_dictionaries({"start_factor": shares, "end_factor": st.just(0.0) | shares, "total_iters": counts}),
    ),
    st.tuples(st.just("ExponentialLR"), st.fixed_dictionaries({"gamma": st.floats(0.5, 1.0)})),
    st.tuples(st.just("PolynomialLR"), st.fixed_dictionaries({"total_iters": counts, "power": st.floats(0.2, 3.0)})),
)
ANNEALINGS = st.one_of(
    st.tuples(
        st.just("CosineAnnealingLR"),
        st.fixed_dictionaries({"T_max": counts, "eta_min": st.sampled_from([0.0, 1e-6, 0.3])}),
    ),
    st.tuples(
        st.just("CosineAnnealingWarmRestarts"),
        st.fixed_dictionaries(
            {"T_0": counts, "T_mult": st.integers(1, 3), "eta_min": st.sampled_from([0.0, 1e-6, 0.3])}
        ),
    ),
)
SWA = st.tuples(
    st.just("SWALR"),
    st.fixed_dictionaries(
        {"swa_lr": rates, "anneal_epochs": st.integers(0, 30), "anneal_strategy": st.sampled_from(["cos", "linear"])}
    ),
)
CYCLES = st.tuples(
    st.just("CyclicLR"),
    st.fixed_dictionaries(
        {
            "base_lr": st.floats(0.0, 0.5),
            "max_lr": st.floats(0.5, 1.0),
            "step_size_up": counts,
            "step_size_down": st.none() | counts,
            "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
            "gamma": st.floats(0.9, 1.01),
        }
    ),
)
ONE_CYCLES = st.tuples(
    st.just("OneCycleLR"),
    st.fixed_dictionaries(
        {
            "max_lr": rates,
            "total_steps": st.integers(1, 120),
            "pct_start": st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.45, 1.0]) | st.floats(0.0, 1.0),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
            "div_factor": st.floats(0.5, 30.0),
            "final_div_factor": st.floats(1.0, 1e5),
            "three_phase": st.booleans(),
        }
    ),
)


@given(FACTORS | ANNEALINGS | SWA | CYCLES, rates)
def test_a_scheduler_alone(drawn, base_lr):
    name, arguments = drawn
    agree(*both(name, base_lr, arguments))


@given(ONE_CYCLES)
def test_one_cycle(drawn):
    name, arguments = drawn
    assume(arguments["pct_start"] * arguments["total_steps"] != 1)
    agree(*both(name, 1.0, arguments))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("StepLR", {"step_size": 7, "gamma": 1.5}),
        ("ExponentialLR", {"gamma": 1.1}),
        ("ConstantLR", {"total_iters": 0}),
        ("LinearLR", {"total_iters": 0}),
        ("PolynomialLR", {"total_iters": 0}),
        ("MultiStepLR", {"milestones": [0, 0, 5, 5, 5]}),
        ("StepLR", {"step_size": 3, "gamma": 0.0}),
        ("PolynomialLR", {"power": 0}),
    ],
)
def test_corners(name, arguments):
    agree(*both(name, 0.1, arguments))


@given(st.integers(1, 40), rates)
def test_functions_become_tables(period, base_lr):
    function = lambda t: 0.5 + (t % period) / period
    for name in ("LambdaLR", "MultiplicativeLR"):
        factor = function if name == "LambdaLR" else lambda t: 0.5 + function(t) / 2
        theirs = schedulers[name](optimizer(base_lr), lr_lambda=factor)
        agree(theirs, getattr(lr.compat.torch, name)(factor, base_lr=base_lr, steps=UPDATES))
    for scale_mode in ("cycle", "iterations"):
        arguments = {
            "base_lr": 0.1,
            "max_lr": 1.0,
            "step_size_up": period,
            "scale_fn": lambda x: 1 / (1 + x),
            "scale_mode": scale_mode,
        }
        theirs = schedulers["CyclicLR"](optimizer(base_lr), **arguments)
        agree(theirs, lr.compat.torch.CyclicLR(**arguments, steps=UPDATES))


@given(st.lists(FACTORS | ANNEALINGS | CYCLES, min_size=1, max_size=4), st.data(), rates)
def test_sequential(drawn, data, base_lr):
    milestones = sorted(data.draw(st.lists(st.integers(0, 60), min_size=len(drawn) - 1, max_size=len(drawn) - 1)))
    shared = optimizer(base_lr)
    drawn = sorted(drawn, key=lambda one: one[0] == "CyclicLR")  # a CyclicLR built first replaces the rate of the rest
    theirs, ours = [], []
    for name, arguments in drawn:
        theirs.append(schedulers[name](shared, **arguments))
        ours.append(both(name, base_lr, arguments)[1])
    sequence = schedulers["SequentialLR"](shared, theirs, milestones)
    agree(sequence, lr.compat.torch.SequentialLR(ours, milestones))


@given(st.lists(FACTORS, min_size=1, max_size=4), ANNEALINGS | st.none(), rates)
def test_chained(drawn, last, base_lr):
    shared = optimizer(base_lr)
    theirs, ours = [], []
    for name, arguments in [*drawn, *([last] if last else [])]:
        theirs.append(schedulers[name](shared, **arguments))
        ours.append(both(name, base_lr, arguments)[1])
    chain = schedulers["ChainedScheduler"](theirs)
    try:
        schedule = lr.compat.torch.ChainedScheduler(ours)
    except lr.Refused:
        assume(False)
    agree(chain, schedule)
