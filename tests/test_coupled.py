"""Hyperparameters that follow the rate: decay that is independent of its peak, and momentum that moves against it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trained import RATE, trained

import lrlab as lr
from lrlab.optim import (
    adamw,
    group,
    independent,
    lion,
    momentum,
    muon,
    opposed,
    rest,
)


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


def test_an_optimizer_couples_its_momentum_to_the_rate_it_is_built_with():
    _, states = trained(momentum(momentum=opposed(low=0.8, high=0.9)).build(RATE))
    used = lr.values_used(states)
    np.testing.assert_allclose(used["momentum"][[0, 4, 19]], [0.9, 0.8, 0.8 + 0.1 * 15 / 16], rtol=1e-6)
