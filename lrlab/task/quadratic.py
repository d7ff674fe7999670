"""The noisy quadratic: a loss whose optimum, curvature and gradient noise are known exactly."""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule import Horizon
from lrlab.task import Data, Params, check


@dataclass(frozen=True)
class Quadratic:
    """L(w) = 1/2 sum_i h_i (w_i - w*)^2 with h_i = i^-power; an example's gradient has noise of variance sigma^2 h_i.

    The defaults are a model of neural-network training in which every textbook ordering of schedules can be computed.
    Noise is drawn for each example by its row; there is no data and so no epoch.

    Args:
        dimensions: number of coordinates.
        power: how fast the eigenvalues fall.
        sigma: scale of the gradient noise; the noise covariance is sigma^2 times the Hessian, over the batch.
        start: every coordinate's distance from the optimum at first, so that E[(w - w*)^2] is start^2.
        optimum: every coordinate of w*. Weight decay pulls towards 0, so set it to see decay do harm.

    Reference: Zhang et al. 2019, Which algorithmic choices matter at which batch sizes?, arXiv:1907.04164.

    >>> Quadratic(dimensions=2).metrics({"w": jnp.ones(2)}, jnp.arange(1))["loss"]
    Array([0.75], dtype=float32)
    """

    dimensions: int = 200
    power: float = 1.0
    sigma: float = 1.0
    start: float = 1.0
    optimum: float = 0.0

    def __post_init__(self) -> None:
        check.positive(self, "dimensions")
        for name in ("power", "sigma", "start"):
            check.between(self, name, 0.0, float("inf"))
        if not isinstance(self.optimum, int | float) or not math.isfinite(self.optimum):
            raise Refused(f"Quadratic(optimum={self.optimum!r}): write a number, such as 0.0")

    @property
    def eigenvalues(self) -> np.ndarray:
        """h, [dimensions] float32, largest first."""
        return (np.arange(1.0, self.dimensions + 1) ** -self.power).astype(np.float32)

    def load(self) -> Data:
        """No data: empty arrays, one held-out example (the expectation), and a digest of the definition."""
        empty = np.zeros(0, np.float32)
        return Data(empty, empty, 0, 1, hashlib.sha256(repr(self).encode()).hexdigest())

    def horizon(self, steps: int, batch: int) -> Horizon:
        """How long a run is; examples never run out, so there are no epochs."""
        return Horizon(steps, batch=batch)

    def init(self, seed: int) -> Params:
        """The same start for every seed; seeds differ in their noise."""
        return {"w": np.full(self.dimensions, self.optimum + self.start, np.float32)}

    def batch(self, train: Any, seed: jax.Array, step: jax.Array, rows: jax.Array, size: int) -> jax.Array:
        """The rows themselves, [b]."""
        return rows

    def loss(self, params: Params, batch: jax.Array, key: jax.Array, rows: jax.Array) -> jax.Array:
        """L(w) plus each example's noise, which is linear in w and 0 in expectation, [b]."""
        h, distance = self.eigenvalues, params["w"] - self.optimum
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows)
        noise = jax.vmap(lambda key: jax.random.normal(key, h.shape))(keys)
        return (h * distance**2).sum() / 2 + self.sigma * noise @ (np.sqrt(h) * distance)

    def held(self, valid: Any, rows: jax.Array) -> jax.Array:
        """The rows themselves, [b]."""
        return rows

    def metrics(self, params: Params, batch: jax.Array) -> dict[str, jax.Array]:
        """{"loss": [b]}, the exact excess loss L(w), the same for every example."""
        excess = (self.eigenvalues * (params["w"] - self.optimum) ** 2).sum() / 2
        return {"loss": jnp.broadcast_to(excess, batch.shape)}

    @property
    def work(self) -> None:
        """No matmul to count."""

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        return self.dimensions
