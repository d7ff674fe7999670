"""A task is a model, its data and its loss: a frozen, hashable value that knows nothing of schedules or optimizers."""

from functools import cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

from lrlab.schedule import Horizon

Params = dict[str, Any]
Batch = Any


class Data(NamedTuple):
    """What a task reads once, on the host; `train` and `valid` are pytrees of arrays that go to the devices whole."""

    train: Any
    valid: Any
    examples: int  # training examples in one epoch
    held_out: int  # validation examples
    digest: str  # sha256 of the bytes read


class Work(NamedTuple):
    """What one training example costs in matmuls and convolutions, forward and backward."""

    flops: float  # multiplications and additions; what is computed twice to save memory counts once
    dtype: str  # of their operands


class Cut(NamedTuple):
    """An axis of some parameters along which devices may share them."""

    path: str  # a regular expression, found in the parameters' paths, such as `layers.0.mlp.up.kernel`
    axis: int
    parts: int  # what it may be cut into, such as heads; as many devices as divide it may share it


@runtime_checkable
class Task(Protocol):
    """The interface between a task and the step. Every method but `load` and `init` is pure and traceable.

    A task may also have `cuts`, a tuple of `Cut`: what the axis `tensor` of a mesh shares.

    Shapes: b examples on this device out of a global batch of `size`; `rows` [b] int32 are their positions in it.
    """

    def load(self) -> Data:
        """Read the data. Raises `Refused` if there is none or too little."""
        ...

    def horizon(self, steps: int, batch: int) -> Horizon:
        """How long a run of `steps` updates is in examples, tokens and epochs."""
        ...

    def init(self, seed: int) -> Params:
        """Float32 parameters drawn on the host: the same numbers on every device, without a compilation."""
        ...

    def batch(self, train: Any, seed: jax.Array, step: jax.Array, rows: jax.Array, size: int) -> Batch:
        """Rows `rows` of batch number `step`: a function of (seed, step) alone."""
        ...

    def loss(self, params: Params, batch: Batch, key: jax.Array, rows: jax.Array) -> jax.Array:
        """Training loss of each example, [b] float32. `key` belongs to the step; randomness is drawn per row."""
        ...

    def held(self, valid: Any, rows: jax.Array) -> Batch:
        """Validation examples number `rows`."""
        ...

    def metrics(self, params: Params, batch: Batch) -> dict[str, jax.Array]:
        """Evaluation of each example, {"loss": [b], ...}, without randomness or regularisation."""
        ...

    @property
    def work(self) -> Work | None:
        """What an example costs; None where there is no matmul to count."""
        ...


@cache
def parameters(task: Task) -> Params:
    """A run's parameters in shape; drawing them takes a second where they are many."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), task.init(0))
