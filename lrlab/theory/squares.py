"""Robust least squares: damped Gauss-Newton or Newton steps on Huber's loss, compiled, from several starts at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

_ENOUGH = 1e-8  # of the cost: an accepted step that gains less is the last


class Solution(NamedTuple):
    """Where the steps ended, [p], what it costs there, and whether they came to rest."""

    z: jax.Array
    cost: jax.Array
    converged: jax.Array


def huber(r: jax.Array, delta: jax.Array) -> jax.Array:
    """Half the square of small residuals, delta |r| - delta^2/2 of those beyond delta (Huber 1964)."""
    small = jnp.minimum(jnp.abs(r), delta)
    return small * (jnp.abs(r) - small / 2)


def minimise(
    residuals: Callable[[jax.Array], jax.Array],
    weights: jax.Array,
    delta: jax.Array,
    z: jax.Array,
    box: tuple[Any, Any],
    most: Any,
    exact: bool = False,
) -> Solution:
    """The z in a box, [p], near the start that minimises sum_i weights_i huber(residuals(z)_i), in at most `most` steps.

    The damping shrinks by three after a step that helps and grows by four after one that does not (Marquardt 1963);
    large residuals are weighed down (Holland & Welsch 1977), which makes the steps those of the robust loss. What pushes
    out of the box stays, and what no residual depends on. The curvature is Gauss and Newton's, or with `exact` that of
    the loss itself, in every direction without its sign (Dauphin et al. 2014): it costs a few times as much, and goes
    in thirty steps along valleys in which the other creeps for thousands.
    """
    low, high = box
    cost_of = lambda z: jnp.sum(weights * huber(residuals(z), delta))

    def step(carry):
        z, cost, damping, i, _ = carry
        r, J = residuals(z), jax.jacfwd(residuals)(z)
        w = weights * jnp.minimum(1, delta / jnp.maximum(jnp.abs(r), 1e-300))
        H, g = jax.hessian(cost_of)(z) if exact else (J.T * w[None]) @ J, J.T @ (w * r)
        free = (jnp.diag(H) != 0) & ~((z <= low) & (g > 0) | (z >= high) & (g < 0))
        both = free[:, None] & free[None]
        bends, ways = jnp.linalg.eigh(jnp.where(both, H, 0))
        H = jnp.where(both, (ways * jnp.abs(bends)[None]) @ ways.T, 0)
        added = jnp.where(free, damping * jnp.diag(H), 1)
        new = jnp.clip(z - jnp.linalg.solve(H + jnp.diag(added), jnp.where(free, g, 0)), low, high)
        lower = cost_of(new)
        helps = lower < cost
        rests = helps & (cost - lower < _ENOUGH * cost) | (damping > 1e12)
        return (
            jnp.where(helps, new, z),
            jnp.where(helps, lower, cost),
            damping * jnp.where(helps, 1 / 3, 4.0),
            i + 1,
            rests,
        )

    z = jnp.clip(z, low, high)
    start = z, cost_of(z), jnp.asarray(1e-2, z.dtype), 0, jnp.asarray(False)
    z, cost, _, _, rests = lax.while_loop(lambda carry: ~carry[4] & (carry[3] < most), step, start)
    return Solution(z, cost, rests & jnp.isfinite(cost))
