"""timm's own schedulers, stepped as its train script steps them, against ours."""

import importlib.util
import sys
from inspect import signature

import hypothesis.strategies as st
import pytest
from hypothesis import assume, given, settings
from peers.driver import assert_same, optimizer, rates_used

import lrlab as lr

SPEC = importlib.util.find_spec("timm")
if SPEC is None:
    pytest.skip("timm is not installed; scripts/peers installs the peers", allow_module_level=True)
sys.modules["timm"] = importlib.util.module_from_spec(
    SPEC
)  # without its models, which want a torchvision that fits torch
timm = importlib.import_module("timm.scheduler")
del sys.modules["timm"]

CYCLES = {
    "lr_min": st.sampled_from([0.0, 1e-4, 0.03]),
    "cycle_mul": st.sampled_from([1.0, 2.0, 3, 1.5, 1.1, 0.7]),
    "cycle_decay": st.sampled_from([1.0, 0.5, 0.3]),
    "cycle_limit": st.integers(1, 9),
    "warmup_prefix": st.booleans(),
}
WARM = {"warmup_t": st.sampled_from([0, 1, 7]), "warmup_lr_init": st.sampled_from([0.0, 1e-5, 0.01])}
POWERS = {"k_decay": st.sampled_from([1.0, 0.5, 3.0])}
CASES = {
    "CosineLRScheduler": {"t_initial": st.integers(1, 40), **CYCLES, **WARM, **POWERS},
    "TanhLRScheduler": {"t_initial": st.integers(1, 40), "lb": st.sampled_from([-7, -2]), "ub": st.sampled_from([3, 1]), **CYCLES, **WARM},
    "PolyLRScheduler": {"t_initial": st.integers(1, 40), "power": st.sampled_from([0.5, 1, 2.0]), **CYCLES, **WARM, **POWERS},
    "StepLRScheduler": {
        "decay_t": st.integers(1, 30) | st.sampled_from([2.4, 2.2, 1.1, 7.75, 7 / 3]),
        "decay_rate": st.sampled_from([0.1, 0.9, 1.05]),
        "warmup_prefix": st.booleans(), **WARM,
    },
    "MultiStepLRScheduler": {
        "decay_t": st.lists(st.integers(0, 60), max_size=4).map(sorted),
        "decay_rate": st.sampled_from([0.1, 0.9, 1.05]),
        "warmup_prefix": st.booleans(), **WARM,
    },
    "WSDLRScheduler": {
        "t_initial": st.integers(20, 60), "decay_t": st.integers(1, 20), "lr_min": st.sampled_from([0.0, 1e-3, 0.03, 0.2]),
        "stable_fn": st.sampled_from(["constant", "rsqrt", "power"]), "stable_power": st.sampled_from([0.5, 0.8]),
        "stable_timescale": st.sampled_from([3, 4.5]), "decay_power": st.sampled_from([0.5, 2.0]),
        "decay_fn": st.sampled_from(["linear", "1-sqrt", "cosine", "power", "exp"]) | st.just(lambda u: (1 - u) ** 2), **WARM,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_scheduler(name, data):
    arguments = data.draw(st.fixed_dictionaries(CASES[name]))
    assume(arguments.get("cycle_mul", 1) >= 1 or arguments["t_initial"] > 5)
    sgd = optimizer(0.1)
    scheduler = getattr(timm, name)(sgd, t_in_epochs=False, **arguments)
    updates = 80
    if arguments.get("cycle_mul", 1) < 1:  # timm fails where its cycles have become nothing
        updates = min(updates, int(arguments["t_initial"] / (1 - arguments["cycle_mul"])))
    rates = rates_used(sgd, lambda t: scheduler.step_update(t), updates)
    assert_same(getattr(lr.compat.timm, name)(base_lr=0.1, **arguments), rates, 0.1)


@pytest.mark.parametrize("sched", ["cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt", "constant"])
@pytest.mark.parametrize("on_epochs", [True, False])
@pytest.mark.parametrize("more", [{}, {"warmup_prefix": True}, {"decay_epochs": 2.4, "min_lr": 1e-3}])
def test_schedulers_by_name(sched, on_epochs, more):
    arguments = {"num_epochs": 12, "warmup_epochs": 2, "decay_milestones": [3, 7], "step_on_epochs": on_epochs, **more}
    arguments |= (
        {} if sched == "step" or "decay_epochs" not in more or sched in ("wsd", "rsqrt") else {"decay_epochs": 3}
    )
    sgd = optimizer(0.1)
    scheduler, _ = timm.create_scheduler_v2(sgd, sched, updates_per_epoch=5, **arguments)

    def step(t):
        scheduler.step_update(t)
        if t % 5 == 0:
            scheduler.step(t // 5)

    ours = lr.compat.timm.create_scheduler_v2(sched, updates_per_epoch=5, base_lr=0.1, **arguments)
    assert_same(ours, rates_used(sgd, step, 80), 0.1)


def test_every_argument_is_taken():
    for name in (*CASES, "create_scheduler_v2"):
        theirs = [p for p in signature(getattr(timm, name)).parameters if p != "optimizer"]
        ours = signature(getattr(lr.compat.timm, name)).parameters
        optional = {"t_in_epochs", "initialize", "noise_range_t", "noise_pct", "noise_std", "noise_seed"}
        assert [p for p in theirs if p not in optional or p in ours] == [
            p for p in ours if p not in ("base_lr", "other")
        ]
