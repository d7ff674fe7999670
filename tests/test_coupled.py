"""Hyperparameters that follow the rate: decay that is independent of its peak, and momentum that moves against it."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trained import RATE, trained

import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import (
    adamw,
    group,
    independent,
    lion,
    mechanic,
    momentum,
    muon,
    opposed,
    plateau,
    rest,
    sgd,
)
from lrlab.task.quadratic import Quadratic


@pytest.mark.parametrize("make", [adamw, lion, muon])
def test_an_independent_decay_does_not_change_with_the_peak(make):
    """With nothing but decay (a zero gradient) the weights shrink by 1 - decay s(t) / peak at every update."""
    shrunk = np.cumprod(1 - 0.01 * RATE(np.arange(20)).astype(np.float64) / 1e-2)
    for peak in (1.0, 10.0):
        tx = make(weight_decay=independent(0.01)).build(peak * RATE, (group("head", rate=0.1), rest()))
        params, state = {"head": jnp.ones((2, 2)), "w": jnp.ones((2, 2))}, None
        state = tx.init(params)
        update = jax.jit(tx.update)
        for t in range(20):
            moves, state = update(jax.tree.map(jnp.zeros_like, params), state, params)
            params = optax.apply_updates(params, moves)
            np.testing.assert_allclose(params["w"], shrunk[t], rtol=2e-6)
            np.testing.assert_allclose(params["head"], shrunk[t], rtol=2e-6)


@pytest.mark.parametrize(
    ("rate", "peak"),
    [
        ("1e-3 * warmup(2)", 1e-3),
        ("1e-3 * warmup(1)", 1e-3),
        ("1e-3 * warmup(2) + 1e-3 * warmup(100)", 2e-3),
        ("1e-3 * stable()", 1e-3),
        ("1e-3 * warmup(10, start=0.5) >> stable()", 1e-3),
        ("1e-3 * warmup(10) >> rsqrt(10)", 1e-3),
        ("join(1e-3 * stable(5), 2e-3 * inverse_time(0.1))", 2e-3),
        ("maximum(1e-3 * stable(), 1e-4 * warmup(10))", 1e-3),
        ("off()", 0),
    ],
)
def test_the_peak_of_a_schedule_is_that_of_what_it_holds_too(rate, peak):
    bound = adamw(weight_decay=independent(1e-4)).bound(lr.parse(rate))
    np.testing.assert_allclose(bound.hyperparameters["weight_decay"].peak, peak, rtol=1e-6)


def test_the_peak_of_a_schedule_of_arrays_is_known_unless_they_are_traced():
    peak = lambda level: adamw(weight_decay=independent(1e-4)).bound(level * lr.stable() * lr.warmup(10))
    assert peak(jnp.array(1e-3)).hyperparameters["weight_decay"].peak == np.float32(1e-3)
    with pytest.raises(lr.Refused, match="while it is traced; build the optimizer outside of jit"):
        jax.jit(peak)(1e-3)


def decayed(experiment, gain=1.0, scale=None):
    """What an update of a resolved experiment adds to weights of 1, at a zero gradient."""
    member = experiment.resolve().member(0)
    watched = tuple(watcher and watcher.init()._replace(gain=jnp.float32(gain)) for watcher in member.watchers)
    params = {"w": jnp.ones(2)}

    @jax.jit
    def update(member):
        tx = member.transformation(watched, scale)
        return tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)[0]["w"][0]

    return update(member)


BASE = Experiment(Quadratic(2), 1e-3 * lr.stable(), adamw(weight_decay=independent(0.1)), 4, 1, feedback=plateau())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"groups": (group("w", schedule=1e-2 * lr.decay()),)},
        {"groups": (group("w", weight_decay=independent(0.1)),), "optimizer": adamw()},
        {"groups": (group("w", schedule=1e-2 * lr.decay(), weight_decay=independent(0.1)),), "optimizer": sgd()},
        {"groups": (group("w", schedule=1e-2 * lr.decay()),), "steps": 20_000_000},  # too long for tables
    ],
)
def test_an_independent_decay_follows_the_gain(changes):
    experiment = replace(BASE, **changes)
    np.testing.assert_allclose(decayed(experiment), -0.1, rtol=1e-6)
    np.testing.assert_allclose(decayed(experiment, gain=0.1), -0.01, rtol=1e-6)
    np.testing.assert_allclose(decayed(experiment, gain=0.1, scale=jnp.float32(0.5)), -0.005, rtol=1e-6)
    assert experiment.digest == experiment.resolve().digest
    assert "peak" not in str(experiment.resolve().values())


def test_under_mechanic_an_independent_decay_is_beside_the_run_s_schedule():
    mechanical = replace(BASE, optimizer=mechanic(BASE.optimizer)).resolve().optimizer
    assert mechanical.base.hyperparameters["weight_decay"].peak == 1e-3
    assert mechanical.unbound().base.hyperparameters["weight_decay"].peak is None


@pytest.mark.parametrize("groups", [(), (group("w", schedule=lr.off()),)])
def test_where_the_rate_is_always_zero_nothing_decays(groups):
    assert decayed(replace(BASE, schedule=lr.off(), groups=groups)) == 0


def one_cycle_momentum(t, steps, rise, low, high):
    """torch.optim.lr_scheduler.OneCycleLR(cycle_momentum=True, anneal_strategy="cos"), with its two phases in steps."""
    cos = lambda start, end, share: end + (start - end) / 2 * (1 + np.cos(np.pi * share))
    return cos(high, low, t / rise) if t <= rise else cos(low, high, (t - rise) / (steps - rise))


@given(st.integers(2, 50), st.integers(2, 50), st.floats(0.1, 0.8))
def test_an_opposed_momentum_is_that_of_one_cycle(rise, fall, low):
    rate = 0.1 * lr.warmup(rise, start=1 / 25, curve=lr.cosine) >> lr.decay(fall, to=1e-4, curve=lr.cosine)
    ours = opposed(rate, low=low, high=0.9)(np.arange(rise + fall + 1))
    theirs = [one_cycle_momentum(t, rise + fall, rise, low, 0.9) for t in range(rise + fall + 1)]
    np.testing.assert_allclose(ours, theirs, rtol=3e-7)


@pytest.mark.parametrize(
    ("rate", "momentum"),
    [
        ("warmup(10) >> stable(10) >> decay(10)", "ramp(10, start=0.9, to=0.6) >> stable(10) >> ramp(10, start=1, to=1.5)"),
        ("0.1 * stable(5) >> decay(5)", "0.6 * stable(5) >> ramp(5, start=1, to=1.5)"),
        ("0.1 * stable()", "0.6 * stable()"),
        ("repeat(decay('2ep'), 3, stretch=2)", "repeat(ramp('2ep', start=0.6, to=0.9), 3, stretch=2)"),
        ("decay(10, to=0.5) >> decay(10)", "ramp(10, start=0.6, to=0.75) >> ramp(10, start=1, to=1.2)"),
    ],
)  # fmt: skip
def test_an_opposed_momentum_keeps_the_words_of_the_rate(rate, momentum):
    assert opposed(lr.parse(rate), low=0.6, high=0.9)._written()[0].replace("0000000000000001", "") == momentum


def test_cycles_that_shrink_are_opposed_by_no_momentum():
    with pytest.raises(lr.Refused, match="whose cycles are not equally high; leave out shrink"):
        opposed(0.1 * lr.repeat(lr.warmup(10) >> lr.decay(10), 3, shrink=0.5))


def test_an_optimizer_couples_its_momentum_to_the_rate_it_is_built_with():
    _, states = trained(momentum(momentum=opposed(low=0.8, high=0.9)).build(RATE))
    used = lr.values_used(states)
    np.testing.assert_allclose(used["momentum"][[0, 4, 19]], [0.9, 0.8, 0.8 + 0.1 * 15 / 16], rtol=1e-6)
