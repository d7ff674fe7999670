"""A designed schedule is the one whose predicted final loss is least, found by gradient descent through a law or the bound.

After the warm-up it never rises and never falls below zero: it is a table of falls, shares of the peak that add up to at
most one. Luo et al. 2025 design so through their law; Defazio et al. 2023 and Schaipp et al. 2025 through the bound.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from lrlab.refusal import Refused
from lrlab.schedule import Horizon, Schedule, cosine, decay, linear, polynomial, power, sqrt, stable, warmup
from lrlab.theory.fitting import Fitted
from lrlab.theory.last_iterate import best_peak, final_bound
from lrlab.theory.laws import law

_KNOTS, _DESCENTS = 48, 500  # fewer knots than a law has bins, or the falls choose among bins
_NEAR = 24
_RATE = 0.1  # of the descent, in logits
_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3)  # of the peak at the end
_CURVES = (linear, cosine, sqrt, power(2.0), polynomial(1.5), polynomial(2.0), polynomial(3.0))


class Design(NamedTuple):
    """The rates found, [T]; the few-word schedule nearest to them; and the same run as cosine and as WSD."""

    table: np.ndarray
    simple: Schedule
    cosine: Schedule  # to zero or to a tenth, whichever is better
    wsd: Schedule  # a linear cooldown over the last fifth


def design_by_law(fitted: Fitted, steps: int, peak: float | None = None, warm: int = 0) -> Design:
    """The schedule of a run whose final loss a fitted law predicts to be least, at a peak that is given.

    Args:
        fitted: from `fit`.
        steps: of the whole run.
        peak: by default the highest that was fitted, since no law knows where a run diverges.
        warm: of the steps, a linear warm-up.

    Raises `Refused` for laws that do not see how the rate falls.
    """
    if law(fitted.law).needs != "falls" and fitted.law != "bound":
        raise Refused(f"{fitted.law} does not see how a rate falls, so it cannot design; fit --law mpl or --law tissue")
    peak = fitted.peak if peak is None else peak
    _check(steps, warm, peak)
    letters, at = fitted.parameters, np.array([steps])
    final = lambda shape: law(fitted.law)(letters, peak * jnp.asarray(shape), at)[0]
    return _design(_descend(final, steps, warm), final, lambda shape: peak, steps, warm)


def design_by_bound(steps: int, peak: float | None = None, warm: int = 0) -> Design:
    """The schedule whose last-iterate bound is least, for gradients of norm 1 at distance 1.

    Args:
        steps: of the whole run.
        peak: by default, of this design as of cosine and WSD, the one with the lowest bound.
        warm: of the steps, a linear warm-up.

    >>> from lrlab.theory import final_bound
    >>> designed = design_by_bound(100)
    >>> print(f"{final_bound(designed.table):.4f}")  # a linear decay has 0.2036; one that may rise at its last step 0.2001
    0.2012
    """
    _check(steps, warm, peak)
    final = (lambda shape: best_peak(shape).bound) if peak is None else (lambda shape: final_bound(peak * shape))
    best = lambda shape: float(best_peak(shape).rate) if peak is None else peak
    return _design(_descend(final, steps, warm), final, best, steps, warm)


def simplified(shape: np.ndarray, warm: int = 0, loss: Callable[[np.ndarray], Any] | None = None) -> Schedule:
    """The nearest of some two thousand `warmup >> stable >> decay` to a shape that never rises after its warm-up, [T].

    With a loss, of the two dozen nearest the one with the least loss of its values.

    >>> simplified(np.minimum(1, np.arange(1000, 0, -1) / 300))
    stable(700) >> decay()
    """
    steps = len(shape) - warm
    at = np.linspace(0, steps - 1, min(steps, 400)).round().astype(int)
    wanted, found = shape[warm:][at], []
    for held in np.unique(np.linspace(0, 0.98 * steps, 50).round().astype(int)):
        u = np.maximum(at - held, 0) / max(steps - held, 1)
        for curve in _CURVES:
            _, fall = curve.shares(u, 1 - u, np)
            found += [(np.mean((to + (1 - to) * fall - wanted) ** 2), int(held), to, curve) for to in _SHARES]
    found.sort(key=lambda candidate: candidate[0])
    near = [_in_words(warm, *candidate[1:]) for candidate in found[: 1 if loss is None else _NEAR]]
    values = [s.resolve(Horizon(len(shape)))(np.arange(len(shape))).astype(np.float64) for s in near]
    return near[0] if loss is None else near[int(np.argmin([loss(v) for v in values]))]


def _in_words(warm: int, held: int, to: float, curve: Any) -> Schedule:
    rest = stable(held) >> decay(to=to, curve=curve) if held else decay(to=to, curve=curve)
    return warmup(warm) >> rest if warm else rest


def _design(shape: np.ndarray, loss: Any, peak: Callable[[np.ndarray], float], steps: int, warm: int) -> Design:
    """The shape at its peak, and each schedule at its own."""
    over = min(max(steps // 5, 1), steps - warm)
    begun = (lambda rest: warmup(warm) >> rest) if warm else (lambda rest: rest)
    values = lambda s: s.resolve(Horizon(steps))(np.arange(steps)).astype(np.float64)
    with jax.enable_x64(True):
        loss = jax.jit(loss)
        cosines = (begun(decay(to=to, curve=cosine)) for to in (0.0, 0.1))
        named = (
            simplified(shape, warm, loss),
            min(cosines, key=lambda s: float(loss(values(s)))),
            begun(stable() >> decay(over)),
        )
        return Design(peak(shape) * shape, *(float(f"{peak(values(s)):.3g}") * s for s in named))


def _check(steps: int, warm: int, peak: float | None) -> None:
    if not 0 <= warm < steps - 2:
        raise Refused(f"a warm-up of {warm} steps leaves nothing to design of {steps}; shorten it")
    if peak is not None and not (np.isfinite(peak) and peak > 0):
        raise Refused(f"a peak of {peak} is no rate to design with; write a positive number, such as 3e-4")


def _shape(logits: jax.Array, steps: int, warm: int) -> jax.Array:
    """Shares of the peak, [T]: a linear warm-up, then what the falls up to each knot have left, and lines between knots."""
    falls = jax.nn.softmax(logits)
    left = 1 - jnp.cumsum(falls)[:-1]
    after = jnp.interp(jnp.linspace(0, len(left) - 1, steps - warm), jnp.arange(len(left)), left)
    return jnp.concatenate([jnp.arange(warm) / max(warm, 1), after])


@jax.enable_x64(True)
def _descend(final: Callable[[jax.Array], jax.Array], steps: int, warm: int) -> np.ndarray:
    """The shape that Adam finds from a linear decay and from one that holds for most of the run, whichever is lower."""
    knots = min(_KNOTS, steps - warm)
    loss = lambda logits: final(_shape(logits, steps, warm))
    starts = jnp.stack([jnp.zeros(knots + 1), jnp.where(jnp.arange(knots + 1) < 0.7 * knots, -2.0, 0.0)])
    found, losses = jax.jit(jax.vmap(partial(_adam, loss)))(starts)
    return np.asarray(_shape(found[jnp.argmin(losses)], steps, warm))


def _adam(loss: Callable[[jax.Array], jax.Array], start: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The lowest point on the way, and its loss."""
    optimizer = optax.adam(optax.cosine_decay_schedule(_RATE, _DESCENTS))

    def step(carry, _):
        logits, state, best, lowest = carry
        value, gradient = jax.value_and_grad(loss)(logits)
        best, lowest = jnp.where(value < lowest, logits, best), jnp.minimum(value, lowest)
        updates, state = optimizer.update(gradient, state)
        return (logits + updates, state, best, lowest), None

    first = (start, optimizer.init(start), start, jnp.asarray(jnp.inf, start.dtype))
    (_, _, best, lowest), _ = lax.scan(step, first, None, length=_DESCENTS)
    return best, lowest
