"""What gradient descent is expected to lose on the noisy quadratic, for any schedule, without drawing its noise.

The loss is 1/2 sum_i h_i x_i^2 for distances x_i from the optimum; the gradient of one example has noise of variance
sigma^2 h_i, which a batch of B divides by B. An update at the rate eta turns the second moments exactly into

    E[x_i^2]  ->  (1 - eta h_i)^2 E[x_i^2]  +  eta^2 sigma^2 h_i / B

Reference: Zhang et al. 2019, Which algorithmic choices matter at which batch sizes?, arXiv:1907.04164, section 3.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lrlab.refusal import Refused


def expected_loss(rates: Any, eigenvalues: Any, sigma: Any = 1.0, start: Any = 1.0, batch: Any = 1) -> jax.Array:
    """The expected loss after every update of gradient descent, [T]; not finite once a rate is too high for too long.

    Args:
        rates: eta of the updates, [T].
        eigenvalues: h of the Hessian, [d].
        sigma: scale of the noise of one example's gradient.
        start: every coordinate's distance from the optimum at first.
        batch: examples per update.

    In the precision of the rates: every term is positive, so float32 is right to about 1e-5 after 10^4 updates, and under
    `jax.enable_x64` float64 to 1e-12. It may be vmapped and differentiated in all that is given.

    >>> [round(float(loss), 4) for loss in expected_loss([0.5, 0.25], eigenvalues=[1.0, 0.5])]
    [0.4219, 0.3113]
    """
    eta, h = (jnp.asarray(x, jnp.promote_types(jnp.asarray(x).dtype, jnp.float32)) for x in (rates, eigenvalues))
    if eta.ndim != 1 or h.ndim != 1:
        raise Refused(
            f"rates of one run are an array [T] and eigenvalues an array [d], not of shapes {eta.shape} and {h.shape}; "
            f"use jax.vmap for several"
        )
    return _losses(eta, h, sigma, start, batch)


@jax.jit
def _losses(eta: jax.Array, h: jax.Array, sigma: Any, start: Any, batch: Any) -> jax.Array:
    noise = sigma**2 * h / batch

    def update(moments, eta):
        moments = (1 - eta * h) ** 2 * moments + eta**2 * noise
        return moments, h @ moments / 2

    return lax.scan(update, start**2 * jnp.ones_like(h), eta)[1]
