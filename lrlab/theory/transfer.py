"""What the bound says about a rate that is right for one run and wanted for another: horizon, cooldown, continuation."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lrlab.refusal import Refused
from lrlab.schedule import Curve, linear
from lrlab.theory.last_iterate import best_peak, final_bound


def transferred(rate: Any, tuned: Any, wanted: Any, gradient_norms: Any = 1.0) -> jax.Array:
    """The base rate for another schedule or horizon, from one that was tuned: rate gamma*(wanted) / gamma*(tuned).

    Args:
        rate: the best base rate of the tuned run.
        tuned, wanted: values of the two shapes at a base rate of 1, [T] and [T'].
        gradient_norms: G, a number: it and the distance to the optimum are those of both runs, and drop out.

    The direction holds on real runs; the size is overstated, by 20 to 75 % between cooldowns of 124M models, in the runs
    of Schaipp et al. 2025. Across horizons of one shape it is T^-1/2.

    >>> import numpy as np
    >>> linear = lambda T: np.linspace(1, 0, T + 1)[:-1]
    >>> round(float(transferred(1e-3, linear(1000), linear(4000))), 7)
    0.0005014
    """
    return rate * best_peak(wanted, gradient_norms).rate / best_peak(tuned, gradient_norms).rate


def cooled(steps: int, fraction: Any, curve: Curve = linear) -> jax.Array:
    """A constant rate of 1 with a cooldown to 0 over the last `fraction` of the steps (at least one step), [steps].

    Unlike `stable() >> decay(...)` the fraction is a real number, in which the values are continuous.

    >>> cooled(4, 0.5)
    Array([1. , 1. , 1. , 0.5], dtype=float32)
    """
    over = jnp.maximum(jnp.asarray(fraction, float) * steps, 1)
    r = jnp.minimum(jnp.arange(steps, 0, -1) / over, 1)
    return curve(1.0, 0.0, 1 - r, r, jnp)


def best_cooldown(
    steps: int, rate: Any, gradient_norms: Any = 1.0, distance: Any = 1.0, curve: Curve = linear
) -> tuple[jax.Array, jax.Array]:
    """The fraction of a run to cool down over, at a base rate that is given, and the final bound with it.

    It grows with the rate (Schaipp et al. 2025; 124M models: 0.2 at a peak of 1e-4 to 0.9 at 3e-3), and
    with the horizon: it is the way to use a tuned rate for longer.

    >>> fraction, _ = best_cooldown(400, 0.03)
    >>> round(float(fraction), 2)
    0.54
    """
    grid = jnp.linspace(1 / steps, 1, 129)

    def nearer(fractions):
        of = lambda fraction: final_bound(rate * cooled(steps, fraction, curve), gradient_norms, distance)
        bounds = lax.map(of, fractions)
        best = jnp.argmin(bounds)
        return fractions[best], bounds[best]

    coarse, _ = nearer(grid)
    return nearer(jnp.clip(coarse + (grid - 0.5) / 64, 1 / steps, 1))


def continued(
    done: Any, shape_values: Any, gradient_norms: Any = 1.0, distance: Any = 1.0
) -> tuple[jax.Array, jax.Array]:
    """The base rate for the rest of a run that is extended, and the final bound with it (Schaipp et al. 2025).

    Args:
        done: rates of the updates that were made, [t].
        shape_values: the rest at a base rate of 1, [T - t].
        gradient_norms, distance: as in `bound`, of the whole run.

    >>> import numpy as np
    >>> rate, _ = continued(np.full(4000, 8.1e-3), np.minimum(1, np.arange(4000, 0, -1) / 1600))
    >>> 0.4 < rate / 8.1e-3 < 0.5
    Array(True, dtype=bool)
    """
    done, shape_values = (
        jnp.asarray(x, jnp.promote_types(jnp.asarray(x).dtype, jnp.float32)) for x in (done, shape_values)
    )
    if not len(done) or not len(shape_values):
        raise Refused("a run that is continued has updates behind it and before it; for a fresh one there is best_peak")
    level = jnp.maximum(done.max(), jnp.finfo(done.dtype).tiny)

    def nearer(rates):
        of = lambda rate: final_bound(jnp.concatenate([done, rate * shape_values]), gradient_norms, distance)
        bounds = lax.map(of, rates)
        best = jnp.argmin(bounds)
        return rates[best], bounds[best]

    coarse, _ = nearer(level * jnp.geomspace(1e-2, 1e2, 129))
    return nearer(coarse * jnp.geomspace(0.93, 1 / 0.93, 129))
