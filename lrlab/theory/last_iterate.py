"""How far from the optimum the last iterate can be: the bound of convex optimisation, for any schedule.

For subgradients of norm G_t and a start at distance D from the optimum, Defazio et al. 2023 (Theorem 10) and Schaipp et
al. 2025 (Theorem 1, arXiv 2501.18965) bound f(x_t) - f* by Omega_t. Summed by parts, their double sum is

    Omega_t = [D^2 / S_t  +  eta_t G_t^2  +  sum_{k<t} (eta_k G_k)^2 / (S_t - S_k)] / 2,      S_t = eta_1 + ... + eta_t

in which every term is positive, so nothing cancels as long as S_t - S_k is added up from its own terms. Scaled by a
base rate gamma it is t1/gamma + gamma t2, least at gamma* = sqrt(t1/t2), where it is 2 sqrt(t1 t2).
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer

from lrlab.refusal import Refused

_BLOCK = 64  # steps whose pairs are summed one by one; further apart they meet through averages
_AVERAGES = 96
_SPACING = 0.45  # of ln s: 1/x as a sum of exponentials is then right to 1e-8


class BestPeak(NamedTuple):
    """The base rate gamma* that minimises the bound after the last step, and that bound Omega*."""

    rate: jax.Array
    bound: jax.Array


def bound(rates: Any, gradient_norms: Any = 1.0, distance: Any = 1.0) -> jax.Array:
    """The bound Omega_t on the suboptimality of the last iterate after every step, [T], in the units of the loss.

    Args:
        rates: eta_t >= 0 of the updates, [T]. A rate of zero moves nothing, so the bound stays; before the first
            positive rate there is none, and it is infinite.
        gradient_norms: G_t, a number or [T].
        distance: D, from the start to the optimum.

    Takes time linear in T, also under `jax.grad` and `jax.vmap`: 1/x is a sum of 96 exponentials, so what lies more
    than a block of steps back is in 96 running averages. In float32 right to 1e-6, also at T = 10^6.

    >>> [round(float(omega), 4) for omega in bound([0.5, 0.5, 0.25])]
    [1.25, 1.0, 1.1917]
    """
    eta, G = _checked(rates, gradient_norms)
    return _bound(eta, G, jnp.asarray(distance, eta.dtype))


def final_bound(rates: Any, gradient_norms: Any = 1.0, distance: Any = 1.0) -> jax.Array:
    """The last entry of `bound`, by itself and cheaper: what a design minimises.

    >>> round(float(final_bound([0.5, 0.5, 0.25])), 4)
    1.1917
    """
    t1, t2 = _terms(rates, gradient_norms, distance)
    return t1 + t2


def best_peak(shape_values: Any, gradient_norms: Any = 1.0, distance: Any = 1.0) -> BestPeak:
    """The base rate with which a schedule's shape has the lowest final bound, and that bound (Schaipp et al. 2025).

    Args:
        shape_values: the schedule at a base rate of 1, [T].
        gradient_norms, distance: as in `bound`.

    >>> import numpy as np
    >>> rate, lowest = best_peak(np.linspace(1, 0, 401)[:-1])
    >>> print(f"{rate:.5f} {lowest:.5f}")
    0.04956 0.10063
    """
    if not isinstance(shape_values, Tracer) and not np.any(np.asarray(shape_values)):
        raise Refused("a shape that is zero throughout has no best peak; give it a schedule at a base rate of 1")
    t1, t2 = _terms(shape_values, gradient_norms, distance)
    return BestPeak(jnp.sqrt(t1 / t2), 2 * jnp.sqrt(t1 * t2))


def _terms(rates: Any, gradient_norms: Any, distance: Any) -> tuple[jax.Array, jax.Array]:
    """The two halves of the final bound: what falls with the base rate, and what grows with it."""
    eta, G = _checked(rates, gradient_norms)
    return _halves(eta, G, jnp.asarray(distance, eta.dtype))


@jax.jit
def _halves(eta: jax.Array, G: jax.Array, D: jax.Array) -> tuple[jax.Array, jax.Array]:
    after = jnp.append(_sums(eta, reverse=True)[1:], 0)
    # after the last positive rate nothing follows, and (eta G)^2 / 0 stands for its own term, eta G^2
    last = (after == 0) & (eta > 0)
    terms = eta * G**2 * jnp.where(last, 1, eta / jnp.where(after > 0, after, 1))
    return D**2 / (2 * (after[0] + eta[0])), _sums(terms)[-1] / 2


def _checked(rates: Any, gradient_norms: Any) -> tuple[jax.Array, jax.Array]:
    eta = jnp.asarray(rates)
    eta = eta.astype(jnp.promote_types(eta.dtype, jnp.float32))
    if eta.ndim != 1 or not len(eta):
        raise Refused(
            f"a bound is of the rates of one run, an array [T], not of shape {eta.shape}; use jax.vmap for several"
        )
    G = jnp.asarray(gradient_norms, eta.dtype)
    if G.shape not in ((), eta.shape):
        raise Refused(
            f"gradient norms of shape {G.shape} do not fit {len(eta)} rates; give one number, or one for each rate"
        )
    if not isinstance(eta, Tracer) and not (np.isfinite(eta).all() and (np.asarray(eta) >= 0).all()):
        raise Refused("rates are finite and not negative; these are not")
    return eta, jnp.broadcast_to(G, eta.shape)


# ---- sums of positive terms, each difference S_t - S_k added up from its own terms


def _add(a, b):
    """Sums with their rounding errors, (high, low): Knuth's two-sum."""
    high = a[0] + b[0]
    shadow = high - a[0]
    return high, (a[0] - (high - shadow)) + (b[0] - shadow) + a[1] + b[1]


def _sums(x: jax.Array, reverse: bool = False) -> jax.Array:
    """Compensated cumulative sums, in a square of sqrt(T) rows: along all of them at once, then down the row totals."""
    n = math.isqrt(len(x) - 1) + 1
    square = jnp.pad(x[::-1] if reverse else x, (0, n * n - len(x))).reshape(n, n)
    zeros = jnp.zeros(n, x.dtype)

    def onward(sums, column):
        sums = _add(sums, column)
        return sums, sums

    totals, along = lax.scan(onward, (zeros, zeros), (square.T, jnp.zeros_like(square)))
    _, above = lax.scan(lambda sums, total: (_add(sums, total), sums), (zeros[0], zeros[0]), totals)
    high, low = _add(tuple(part.T for part in along), tuple(part[:, None] for part in above))
    sums = (high + low).reshape(-1)[: len(x)]
    return sums[::-1] if reverse else sums


def _across(q: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    """sum_k q_k / (S_t - S_k) over the k of a block, [n, h], for the t of the block after it, [n, h]."""
    after = jnp.pad(jnp.cumsum(left[:, :0:-1], 1)[:, ::-1], ((0, 0), (0, 1)))
    between = after[:, None, :] + jnp.cumsum(right, 1)[:, :, None]
    return jnp.sum(jnp.where(between > 0, q[:, None, :] / jnp.where(between > 0, between, 1), 0), -1)


def _within(q: jax.Array, eta: jax.Array) -> jax.Array:
    """sum_{k<t} q_k / (S_t - S_k) within one block, [B]: the left half of every dyadic piece meets its right half."""
    total, h = jnp.zeros_like(q), 1
    while h < len(q):
        halves, old = eta.reshape(-1, 2, h), q.reshape(-1, 2, h)[:, 0]
        met = _across(old, halves[:, 0], halves[:, 1])
        total, h = total + jnp.stack([jnp.zeros_like(met), met], 1).reshape(-1), 2 * h
    return total


def _exponentials(shortest: jax.Array, longest: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Exponents s_j and weights w_j, 1/x = sum_j w_j exp(-s_j x) between two distances.

    The trapezoidal rule on 1/x = int exp(-x e^u + u) du, which converges exponentially; what lies below the lowest
    exponent, where exp(-s x) is 1, is a geometric series and has exponent 0.
    """
    low, high = jnp.log(1e-5 / longest), jnp.log(20 / shortest)
    h = jnp.maximum((high - low) / (_AVERAGES - 2), _SPACING)
    s = jnp.exp(low + h * jnp.arange(_AVERAGES - 1))
    return jnp.append(s, 0), jnp.append(h * s, h * s[0] / jnp.expm1(h))


@jax.jit
def _bound(eta: jax.Array, G: jax.Array, D: jax.Array) -> jax.Array:
    T = len(eta)
    blocks = jnp.pad(eta, (0, -T % _BLOCK)).reshape(-1, _BLOCK)
    q = jnp.pad((eta * G) ** 2, (0, -T % _BLOCK)).reshape(-1, _BLOCK)
    s, w = _exponentials(*_distances(lax.stop_gradient(blocks)))

    @partial(jax.checkpoint, prevent_cse=False)
    def step(carry, block):
        past, area, old_eta, old_q = carry
        new_eta, new_q = block
        upto, length = jnp.cumsum(new_eta), jnp.sum(old_eta)
        far = jnp.exp(-(length + upto)[:, None] * s[None]) @ (w * (past[0] + past[1]))
        near = _across(old_q[None], old_eta[None], new_eta[None])[0] + _within(new_q, new_eta)
        after = jnp.append(jnp.cumsum(old_eta[:0:-1])[::-1], 0)
        fading = (past[0] + past[1]) * jnp.expm1(-s * length)
        past = _add(past, (fading, jnp.zeros_like(s)))
        past = _add(past, (old_q @ jnp.exp(-after[:, None] * s[None]), jnp.zeros_like(s)))
        reached = upto + (area[0] + area[1])
        area = _add(area, (upto[-1], jnp.zeros_like(D)))
        return (past, area, new_eta, new_q), (reached, far + near)

    nothing = jnp.zeros_like(s), jnp.zeros_like(s)
    start = (nothing, (jnp.zeros_like(D), jnp.zeros_like(D)), jnp.zeros_like(blocks[0]), jnp.zeros_like(q[0]))
    _, (S, sums) = lax.scan(step, start, (blocks, q))
    S, sums = S.reshape(-1)[:T], sums.reshape(-1)[:T]
    omega = (D**2 / jnp.where(S > 0, S, 1) + eta * G**2 + sums) / 2
    return _held(jnp.where(S > 0, omega, jnp.inf), eta)


def _distances(blocks: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The shortest S_t - S_k of steps that are more than a block apart, and the longest."""
    lengths, first = blocks.sum(1), jnp.take_along_axis(blocks, jnp.argmax(blocks > 0, 1)[:, None], 1)[:, 0]
    gaps = jnp.append(0, lengths[:-1]) + first
    longest = jnp.maximum(lengths.sum(), jnp.finfo(blocks.dtype).tiny)
    return jnp.minimum(jnp.min(jnp.where(gaps > 0, gaps, jnp.inf)), longest), longest


def _held(omega: jax.Array, eta: jax.Array) -> jax.Array:
    """The bound where the rate is positive; where it is zero that of the last positive one."""
    moved = lax.cummax(jnp.where(eta > 0, jnp.arange(len(eta)), -1))
    return jnp.where(moved < 0, jnp.inf, omega[jnp.maximum(moved, 0)])
