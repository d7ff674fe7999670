"""ignite's own schedulers, called before every update as its engine calls them, against ours."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from peers.driver import assert_same, optimizer

import lrlab as lr

handlers = pytest.importorskip("ignite.handlers")
ours = lr.compat.ignite

VALUES = st.sampled_from([0.0, 1e-3, 0.1, 0.3])
MULTS = st.sampled_from([1.0, 0.5, 0.9, 1.2])
CYCLE = {
    "start_value": VALUES, "end_value": VALUES, "cycle_size": st.integers(2, 30),
    "cycle_mult": st.sampled_from([1.0, 2, 3, 1.5, 1.1]), "start_value_mult": MULTS, "end_value_mult": MULTS,
}  # fmt: skip
CHILDREN = {
    "StepLR": {"step_size": 3, "gamma": 0.5},
    "MultiStepLR": {"milestones": [2, 5]},
    "ConstantLR": {"factor": 0.5, "total_iters": 3},
    "LinearLR": {"start_factor": 0.5, "total_iters": 3},
    "ExponentialLR": {"gamma": 0.9},
    "PolynomialLR": {"total_iters": 60, "power": 1.5},
    "CosineAnnealingLR": {"T_max": 5, "eta_min": 0.01},
    "CosineAnnealingWarmRestarts": {"T_0": 4, "T_mult": 2},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3, "cycle_momentum": False},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 60, "cycle_momentum": False},
    "LambdaLR": {"lr_lambda": lambda t: 0.9**t},
    "MultiplicativeLR": {"lr_lambda": lambda t: 0.9},
}


def rates(sgd, scheduler, updates=60):
    used = []
    for _ in range(updates):
        scheduler(None)
        used.append(float(sgd.param_groups[0]["lr"]))
    return np.array(used)


def child(name):
    """A scheduler of PyTorch, and ours."""
    import torch

    sgd, arguments = optimizer(0.1), CHILDREN[name]
    steps = {"steps": 80} if "lr_lambda" in arguments else {}
    return sgd, getattr(torch.optim.lr_scheduler, name)(sgd, **arguments), getattr(lr.compat.torch, name)(**{"base_lr": 0.1, **arguments, **steps})  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries(CYCLE), st.integers(0, 9), st.sampled_from(["linear", "monotonic", "cosine"]))
def test_cycles(arguments, warm, kind):
    name = "CosineAnnealingScheduler" if kind == "cosine" else "LinearCyclicalScheduler"
    arguments |= {} if kind == "linear" else {"warmup_duration": warm}
    arguments |= {} if kind == "cosine" else {"monotonic": kind == "monotonic"}
    sgd = optimizer(0.1)
    used = rates(sgd, getattr(handlers, name)(sgd, "lr", **arguments), 150)
    assert_same(getattr(ours, name)(**arguments), used, 0.1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), VALUES), min_size=1, max_size=5).map(lambda pairs: sorted(pairs, key=lambda pair: pair[0])))  # fmt: skip
def test_piecewise_linear(pairs):
    sgd = optimizer(0.1)
    assert_same(ours.PiecewiseLinear(pairs), rates(sgd, handlers.PiecewiseLinear(sgd, "lr", pairs)), 0.1)


@pytest.mark.parametrize("name", CHILDREN)
def test_a_scheduler_of_torch(name):
    sgd, theirs, mine = child(name)
    assert_same(ours.LRScheduler(mine), rates(sgd, handlers.LRScheduler(theirs)), 0.1)


@pytest.mark.parametrize("name", CHILDREN)
@pytest.mark.parametrize("end", [None, 0.1, 0.05])
@pytest.mark.parametrize("warm", [2, 3, 7])
def test_a_scheduler_of_torch_after_a_warmup(name, end, warm):
    sgd, theirs, mine = child(name)
    used = rates(sgd, handlers.create_lr_scheduler_with_warmup(theirs, 0.01, warm, end), 40)
    assert_same(ours.create_lr_scheduler_with_warmup(mine, 0.01, warm, end), used, 0.1)


@pytest.mark.parametrize("end", [None, 0.1, 0.05])
@pytest.mark.parametrize("warm", [2, 3, 7])
@pytest.mark.parametrize("start", [0.1, 0.2])
def test_a_schedule_after_a_warmup(start, end, warm):
    sgd = optimizer(0.1)
    theirs = handlers.CosineAnnealingScheduler(sgd, "lr", start, 0.0, 20)
    mine = ours.CosineAnnealingScheduler(start, 0.0, 20)
    used = rates(sgd, handlers.create_lr_scheduler_with_warmup(theirs, 0.01, warm, end))
    assert_same(ours.create_lr_scheduler_with_warmup(mine, 0.01, warm, end, base_lr=0.1), used, 0.1)


def test_one_after_another():
    sgd = optimizer(0.1)
    cycles = handlers.LinearCyclicalScheduler(sgd, "lr", 0.0, 0.1, 8), handlers.CosineAnnealingScheduler(sgd, "lr", 0.1, 0.0, 9)  # fmt: skip
    mine = ours.LinearCyclicalScheduler(0.0, 0.1, 8), ours.CosineAnnealingScheduler(0.1, 0.0, 9)
    assert_same(ours.ConcatScheduler(mine, [20]), rates(sgd, handlers.ConcatScheduler(list(cycles), [20])), 0.1)
