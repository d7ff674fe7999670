"""Flax NNX models as pure functions of nested dictionaries: split once, merged only while a program is traced.

A model's constructor takes `draw(shape, std)`, which makes each parameter, in the order in which it is asked.
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol

import jax
import numpy as np
from flax import nnx

from lrlab.task import Params

Draw = Callable[[tuple[int, ...], float], np.ndarray]


class Modelled(Protocol):
    """A hashable task whose model is made from a way to draw parameters."""

    def model(self, draw: Draw) -> nnx.Module:
        """The model, with parameters from `draw`."""
        ...


def parameters(task: Modelled, seed: int) -> Params:
    """The model's parameters, float32 in NumPy arrays, drawn on the host: nothing is compiled."""
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, *b"init"])))

    def normal(shape, std):
        return generator.standard_normal(shape, np.float32) * np.float32(std)

    return nnx.to_pure_dict(nnx.state(task.model(normal)))


def merge(task: Modelled, params: Params) -> Any:
    """The model that holds `params`. Costs Python time only, so call it while tracing."""
    return nnx.merge(_split(task)[0], params)


def count(task: Modelled) -> int:
    """How many numbers the model learns."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.to_pure_dict(_split(task)[1])))


@functools.cache
def _split(task: Modelled):
    blank = lambda shape, std: np.broadcast_to(np.float32(0), shape)  # takes no memory, however large the model
    return nnx.split(task.model(blank))


def constant(value: float, *shape: int) -> nnx.Param:
    """A parameter that starts at one value everywhere."""
    return nnx.Param(np.full(shape, value, np.float32))
