"""An LR range test is one scan whose rate grows geometrically, until the loss has left for good."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lrlab.task import Params, Task
from lrlab.train import Member, first_state, make_step

SMOOTHING = 0.98  # of the exponential mean, as in fastai
STOP = 4.0  # times the best smoothed loss, as in fastai


class Curves(NamedTuple):
    """Losses before each update and their exponential means, [seeds, steps] float32; nan after a test has ended."""

    losses: Any
    smoothed: Any


class _Carry(NamedTuple):
    state: Any
    total: Any  # exponentially weighted, not yet divided by its weights
    weight: Any
    top: Any  # the highest smoothed loss of the first tenth
    best: Any  # the lowest so far
    ended: Any


@partial(jax.jit, static_argnames=("step", "block"))
def of_step(step: Callable[..., Any], states: Any, batches: Any, order: Any, rates: Any, block: int) -> Curves:
    """The curves of a user's `step(state, batch, rate) -> (state, loss)`, one for each of `states`.

    Args:
        step: pure.
        states: every leaf [seeds, ...]; they are read and stay as they are.
        batches: every leaf [batches, ...], shared by the seeds.
        order: which batch each update takes, [seeds, steps].
        rates: [steps] float32.
        block: how many seeds are vmapped together; 1 maps them one after another inside the program.
    """

    def curve(state, order):
        update = lambda state, x: step(state, jax.tree.map(lambda leaf: leaf[x[0]], batches), x[1])
        return _scan(update, state, (order, rates))

    return _side_by_side(curve, (states, order), block)


@cache
def of_task(task: Task, batch: int, accumulate: int, steps: int, block: int) -> Callable[..., Curves]:
    """`curves(params, members, train)` of lrlab's own step: parameters and members have a leading axis of seeds."""
    step, rows = make_step(task, batch, accumulate), jnp.arange(batch, dtype=jnp.int32)

    def curve(params: Params, member: Member, train: Any) -> Any:
        def update(state, _):
            state, metrics = step(state, member, train, rows)
            return state, metrics["loss"]

        return _scan(update, first_state(member, params), jnp.arange(steps))

    @jax.jit
    def curves(params, members, train):
        return _side_by_side(lambda params, member: curve(params, member, train), (params, members), block)

    return curves


def _side_by_side(curve: Callable[..., Any], each: Any, block: int) -> Curves:
    return Curves(*lax.map(lambda one: curve(*one), each, batch_size=None if block == 1 else block))


def _scan(update: Callable[..., Any], state: Any, xs: Any) -> Any:
    """Losses and smoothed losses, [steps]; after the end nothing is computed, or, under vmap, nothing is kept.

    A test ends where its smoothed loss exceeds four times its best, as in fastai, and has also risen as far above where
    it began as it had fallen below, which holds for losses near zero too; or where a loss is not finite.
    """
    steps = len(jax.tree.leaves(xs)[0])

    def go(carry: _Carry, at):
        x, early = at
        state, loss = update(carry.state, x)
        loss = jnp.asarray(loss, jnp.float32)
        total = SMOOTHING * carry.total + (1 - SMOOTHING) * loss
        weight = SMOOTHING * carry.weight + (1 - SMOOTHING)
        smoothed = total / weight
        top = jnp.where(early, jnp.maximum(carry.top, smoothed), carry.top)
        best = jnp.minimum(carry.best, smoothed)
        left = smoothed > jnp.maximum(STOP * best, 2 * top - best)
        return _Carry(state, total, weight, top, best, left | ~jnp.isfinite(smoothed)), (loss, smoothed)

    def body(carry: _Carry, at):
        return lax.cond(carry.ended, lambda carry, at: (carry, (jnp.nan, jnp.nan)), go, carry, at)

    zero = jnp.zeros((), jnp.float32)
    begun = _Carry(state, zero, zero, zero - jnp.inf, zero + jnp.inf, jnp.zeros((), bool))
    return lax.scan(body, begun, (xs, np.arange(steps) < max(1, steps // 10)))[1]
