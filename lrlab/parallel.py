"""How a population's chunk runs on many devices: plain jit on one; pmap or a mesh share batches, or devices share members."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lrlab.refusal import Refused
from lrlab.task import Task
from lrlab.train import make_chunk, make_look, make_step, over_members, while_alive

_AXIS = "data"
_EVALUATE = 64  # held-out examples at a time
NAMES = ("pmap", "mesh", "members")


@dataclass(frozen=True)
class Strategy:
    """Where runs' states live and how their chunk is compiled. All strategies give the same numbers to float32 rounding."""

    name: str  # "jit" on one device; "pmap" or "mesh" share each batch, "members" shares the population
    devices: tuple[Any, ...]

    def put(self, tree: Any) -> Any:
        """A copy of every array on every device."""
        return jax.device_put(tree, self._sharding())

    def deal(self, tree: Any) -> Any:
        """Arrays [members, ...], each device with its share where the population is shared, else with them all."""
        return jax.device_put(tree, self._sharding(_AXIS) if self.name == "members" else self._sharding())

    def spread(self, population: Callable[..., Any], shared: int) -> Callable[..., Any]:
        """`population(states, members, alive, *shared)` as one program; `states` is donated."""
        if self.name == "members":
            dealt, copied = PartitionSpec(_AXIS), PartitionSpec()
            specs = (dealt, dealt, dealt, *[copied] * shared)
            # check_vma: members never meet, so there is nothing between devices to get wrong
            population = jax.shard_map(population, mesh=self._mesh, in_specs=specs, out_specs=dealt, check_vma=False)
        return jax.jit(population, donate_argnums=0, compiler_options=self._compiler_options)

    @property
    def shares(self) -> int:
        """How many parts a population is dealt in."""
        return len(self.devices) if self.name == "members" else 1

    @property
    def _compiler_options(self) -> dict[str, Any]:
        # XLA:CPU at its usual level of optimization compiles for longer, and what it makes is no faster
        return {"xla_backend_optimization_level": 1} if self.devices[0].platform == "cpu" else {}

    @property
    def _mesh(self) -> Mesh:
        # Auto axes: under make_mesh's default, explicit axes, an embedding's gather raises ShardingTypeError
        return Mesh(np.array(self.devices), (_AXIS,), axis_types=(AxisType.Auto,))

    def _sharding(self, *axes: str) -> NamedSharding:
        """How an array lies on the devices: split along the named axes, copied where there are none."""
        return NamedSharding(self._mesh, PartitionSpec(*axes))


@dataclass(eq=False)
class Program:
    """A compiled function that knows how often it was compiled."""

    call: Callable[..., Any]
    compilations: int = 0

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)


@cache
def compiled(strategy: Strategy, task: Task, batch: int, accumulate: int, length: int, block: int) -> Program:
    """`chunk(states, members, alive, train, count) -> (states, metrics)`, `count` steps of at most `length`.

    Arrays of `states`, `members`, `alive` and `metrics` are [members, ...]; `states` is donated. One program serves all
    members of one kind, for as long as the process lives.
    """
    shared = strategy.name == "pmap"
    step, rows = make_step(task, batch, accumulate, _AXIS if shared else None), np.arange(batch, dtype=np.int32)

    def population(*arguments):
        program.compilations += 1  # runs while it is traced, which is once for each compilation
        return over_members(make_chunk(while_alive(step), length), block)(*arguments)

    if shared:
        axes = (None, None, None, None, 0, None)
        run = jax.pmap(population, _AXIS, in_axes=axes, out_axes=None, donate_argnums=0, devices=strategy.devices)
        rows = rows.reshape(len(strategy.devices), -1)
    else:
        run = strategy.spread(population, shared=3)
    rows = strategy.put(rows) if strategy.name == "members" else jax.device_put(rows, strategy._sharding(_AXIS))
    program = Program(lambda states, members, alive, train, count: run(states, members, alive, train, rows, count))
    return program


@cache
def looking(strategy: Strategy, task: Task, held_out: int, batch: int, block: int) -> Callable[..., Any]:
    """`look(states, members, alive, valid, train) -> (states, metrics)`: metrics [members], and watchers told of them."""
    look = while_alive(make_look(task, held_out, min(_EVALUATE, held_out), batch))
    return strategy.spread(over_members(look, block), shared=2)


def strategy(name: str | None, batch: int, accumulate: int = 1, devices: Sequence[Any] | None = None) -> Strategy:
    """The strategy asked for; by default pmap on several devices and jit on one.

    Raises `Refused` if the devices do not divide the batch.
    """
    devices = tuple(jax.devices() if devices is None else devices)
    if name not in (None, *NAMES):
        raise Refused(f"--parallel {name}: there are {', '.join(NAMES)}")
    if name != "members" and batch % (len(devices) * accumulate):
        share = "" if accumulate == 1 else f" times {accumulate} microbatches"
        below = batch - batch % (len(devices) * accumulate)
        nearest = f"{below} or {below + len(devices) * accumulate}" if below else f"{len(devices) * accumulate}"
        raise Refused(f"a batch of {batch} cannot be shared by {len(devices)} devices{share}; set batch={nearest}")
    return Strategy(name or ("jit" if len(devices) == 1 else "pmap"), devices)
