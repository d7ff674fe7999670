"""How one chunk runs on many devices: plain jit on one, pmap on several, or a mesh that jit partitions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lrlab.refusal import Refused
from lrlab.task import Task
from lrlab.train import make_chunk, make_step

_AXIS = "data"


@dataclass(frozen=True)
class Strategy:
    """Where a run's state lives and how its chunk is compiled. All strategies give the same numbers to float32 rounding."""

    name: str  # "jit", "pmap" or "mesh"
    devices: tuple[Any, ...]

    def put(self, tree: Any) -> Any:
        """A copy of every array on every device."""
        return jax.device_put(tree, self.sharding())

    def sharding(self, *axes: str) -> NamedSharding:
        """How an array lies on the devices: split along the named axes, copied where there are none."""
        # Auto axes: under make_mesh's default, explicit axes, an embedding's gather raises ShardingTypeError
        mesh = Mesh(np.array(self.devices), (_AXIS,), axis_types=(AxisType.Auto,))
        return NamedSharding(mesh, PartitionSpec(*axes))


@cache
def compiled(strategy: Strategy, task: Task, batch: int, accumulate: int, length: int) -> Callable[..., Any]:
    """`chunk(state, member, train) -> (state, metrics)` of `length` steps; `state` is donated.

    One program serves every member of the same structure, for as long as the process lives.
    """
    rows = jnp.arange(batch, dtype=jnp.int32)
    if strategy.name == "pmap":
        chunk = make_chunk(make_step(task, batch, accumulate, _AXIS), length)
        program = jax.pmap(
            chunk, _AXIS, in_axes=(None, None, None, 0), out_axes=None, donate_argnums=0, devices=strategy.devices
        )
        rows = rows.reshape(len(strategy.devices), -1)
    else:
        program = jax.jit(make_chunk(make_step(task, batch, accumulate), length), donate_argnums=0)
    rows = jax.device_put(rows, strategy.sharding(_AXIS))
    return lambda state, member, train: program(state, member, train, rows)


def strategy(name: str | None, batch: int, accumulate: int = 1, devices: Sequence[Any] | None = None) -> Strategy:
    """The strategy asked for; by default pmap on several devices and jit on one.

    Raises `Refused` if the devices do not divide the batch.
    """
    devices = tuple(jax.devices() if devices is None else devices)
    if name not in (None, "pmap", "mesh"):
        raise Refused(f"--parallel {name}: there are pmap and mesh")
    if batch % (len(devices) * accumulate):
        share = "" if accumulate == 1 else f" times {accumulate} microbatches"
        below = batch - batch % (len(devices) * accumulate)
        nearest = f"{below} or {below + len(devices) * accumulate}" if below else f"{len(devices) * accumulate}"
        raise Refused(f"a batch of {batch} cannot be shared by {len(devices)} devices{share}; set batch={nearest}")
    return Strategy(name or ("jit" if len(devices) == 1 else "pmap"), devices)
