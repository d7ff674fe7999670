"""The exact noisy quadratic: against its solution in one sum, and against runs of the sampled task."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import lrlab as lr
from lrlab import train
from lrlab.optim import sgd
from lrlab.population import stack
from lrlab.refusal import Refused
from lrlab.task.quadratic import Quadratic
from lrlab.theory import expected_loss

STEPS = 60


def solved(rates, h, sigma, start, batch):
    """The expected loss after the last update, in 80 bits: what is left of the start, and of the noise of every update."""
    eta, h = np.asarray(rates, np.longdouble)[:, None], np.asarray(h, np.longdouble)
    factors = (1 - eta * h) ** 2
    left = np.cumprod(np.append(factors, np.ones((1, len(h))), 0)[::-1], 0)[::-1]  # of what was there before update t
    moments = left[0] * start**2 + (left[1:] * eta**2 * sigma**2 * h / batch).sum(0)
    return float(h @ moments / 2)


@st.composite
def runs(draw):
    """Rates on both sides of what the largest eigenvalue bears, eigenvalues, noise, start and batch; one length."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rates = rng.uniform(0, draw(st.sampled_from([0.01, 1.0, 3.0])), STEPS)
    h = rng.uniform(0, 1, 5) ** draw(st.sampled_from([1, 4]))
    return rates, h, rng.uniform(0, 2), rng.uniform(0.1, 2), int(rng.integers(1, 9))


@given(runs())
@settings(max_examples=30)
def test_the_recursion_is_its_solution(run):
    with jax.enable_x64(True):
        losses = np.asarray(expected_loss(*run))
        short = np.asarray(expected_loss(run[0][:1], *run[1:]))
    assert losses[-1] == pytest.approx(solved(*run), rel=1e-12)  # 60 products and sums of 2e-16 each
    assert short[0] == pytest.approx(losses[0], rel=1e-12)


@pytest.mark.parametrize("steps", [100, 10_000])
def test_float32_is_nearly_as_good(steps):
    run = np.linspace(0.5, 0, steps), 1 / np.arange(1.0, 21), 1.0, 1.0, 1
    assert float(expected_loss(*run)[-1]) == pytest.approx(solved(*run), rel=1e-5)  # as the docstring has it


def test_it_is_the_mean_of_sampled_runs():
    """Training itself, with 2000 seeds: the mean loss lies within four standard errors of the expectation at all steps."""
    task, seeds, batch = Quadratic(dimensions=5, sigma=0.7, start=1.5, optimum=0.3), 2000, 3
    schedule = lr.table(0.8 * lr.warmup(5) >> lr.decay(STEPS - 5), STEPS)
    members = stack([train.Member(schedule, sgd(), seed) for seed in range(seeds)])
    step, none, rows = train.make_step(task, batch), task.load().train, jnp.arange(batch)

    def update(states, _):
        states, _ = jax.vmap(lambda state, member: step(state, member, none, rows))(states, members)
        return states, jax.vmap(lambda params: task.metrics(params, jnp.arange(1))["loss"][0])(states.params)

    states = train.first_states(members, train.first_params(task, members))
    losses = np.asarray(jax.jit(lambda states: jax.lax.scan(update, states, None, STEPS)[1])(states))
    expected = expected_loss(schedule(np.arange(STEPS)), task.eigenvalues, task.sigma, task.start, batch)
    errors = losses.std(1) / np.sqrt(seeds)
    assert (errors[5:] > 0).all()
    assert (np.abs(losses.mean(1) - expected) <= 4 * errors + 1e-6).all()
    assert np.abs(losses.mean(1) / expected - 1).max() < 0.1  # so the interval is one that could fail


def test_it_is_a_function_of_jax():
    h, rates = jnp.array([1.0, 0.1]), jnp.linspace(0.5, 0.1, STEPS)
    many = jax.vmap(lambda k: expected_loss(k * rates, h))(jnp.array([0.5, 1.0]))
    np.testing.assert_allclose(many[1], expected_loss(rates, h), rtol=1e-6)
    slope = jax.grad(lambda k: expected_loss(k * rates, h)[-1])(1.0)
    finite = (expected_loss(1.01 * rates, h)[-1] - expected_loss(0.99 * rates, h)[-1]) / 0.02
    assert slope == pytest.approx(float(finite), rel=1e-2)


def test_several_runs_are_refused():
    with pytest.raises(
        Refused, match=r"an array \[T\] and eigenvalues an array \[d\], not of shapes \(2, 3\) and \(1,\); use jax.vmap"
    ):
        expected_loss(np.ones((2, 3)), [1.0])
