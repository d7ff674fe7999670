"""A strategy says where runs' states live and how their program is compiled: plain jit, pmap, a mesh, or a share of the runs each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lrlab.parallel.mesh import Axes, gathering, shared
from lrlab.refusal import Refused
from lrlab.task import Cut, Params, Task
from lrlab.train import Member, TrainState, begin, first_params, first_states

NAMES = ("pmap", "mesh", "members")


@dataclass(frozen=True)
class Strategy:
    """Where runs' states live and how their chunk is compiled. All strategies give the same numbers to float32 rounding."""

    name: str  # "jit" on one device; "pmap" or "mesh" share each batch, "members" shares the population
    devices: tuple[Any, ...]
    axes: Axes  # of the mesh; the others have all devices along `data`

    def put(self, tree: Any) -> Any:
        """A copy of every array on every device."""
        return jax.device_put(tree, self._lies())

    def deal(self, tree: Any) -> Any:
        """Arrays [members, ...], each device with its share where the population is shared, else with them all."""
        return jax.device_put(tree, self._lies("data") if self.name == "members" else self._lies())

    def rows(self, rows: Any) -> Any:
        """Positions in a batch, [batch], or [devices, b] for pmap, each device with its own; all of them where it is not shared."""
        return self.put(rows) if self.name == "members" else jax.device_put(rows, self._lies(("data", "fsdp")))

    def begin(self, task: Task, members: Member) -> TrainState:
        """The states of a population before the first update; on a mesh no device ever holds more than its share."""
        if self.name != "mesh":
            return self.deal(begin(task, members))
        params = first_params(task, members)
        lies = self.layout(task, jax.eval_shape(first_states, members, params))
        return jax.jit(first_states, out_shardings=lies)(self.put(members), jax.device_put(params, lies.params))

    def lay(self, task: Task, states: TrainState) -> TrainState:
        """The states of a population where they belong."""
        return jax.device_put(states, self.layout(task, states))

    def layout(self, task: Task, states: TrainState) -> Any:
        """Where each array of a population's states belongs, as shardings."""
        if self.name == "mesh":
            return shared(states, _cuts(task), self._mesh)
        return jax.tree.map(lambda x: self._lies("data") if self.name == "members" else self._lies(), states)

    def own(self, task: Task, state: TrainState) -> TrainState:
        """What a device holds of one run's state, in shape."""
        if self.name != "mesh":
            return state
        one = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, *x.shape), x.dtype), state)
        part = lambda x, lies: jax.ShapeDtypeStruct(lies.shard_shape(x.shape), x.dtype)
        return jax.tree.map(part, one, self.layout(task, one))

    def gathering(self, task: Task) -> Callable[[Params], Params]:
        """`gather(params)`: one run's parameters, from where they belong to where they are used."""
        return gathering(_cuts(task), self._mesh) if self.name == "mesh" else lambda params: params

    def spread(self, population: Callable[..., Any], task: Task, shared: int) -> Callable[..., Any]:
        """`population(states, members, alive, *shared)` as one program; `states` is donated."""
        if self.name == "members":
            dealt, copied = PartitionSpec("data"), PartitionSpec()
            specs = (dealt, dealt, dealt, *[copied] * shared)
            # check_vma: members never meet, so there is nothing between devices to get wrong
            run = jax.shard_map(population, mesh=self._mesh, in_specs=specs, out_specs=dealt, check_vma=False)
        elif self.name == "mesh":

            def run(*arguments):
                states, metrics = population(*arguments)
                states = lax.with_sharding_constraint(states, self.layout(task, states))
                return states, lax.with_sharding_constraint(metrics, self._lies())
        else:
            run = population
        return jax.jit(run, donate_argnums=0, compiler_options=self._compiler_options)

    @property
    def shares(self) -> int:
        """How many parts a population is dealt in."""
        return len(self.devices) if self.name == "members" else 1

    @property
    def _compiler_options(self) -> dict[str, Any]:
        # XLA:CPU at its usual level of optimization compiles for longer, and what it makes is no faster
        return {"xla_backend_optimization_level": 1} if self.devices[0].platform == "cpu" else {}

    @cached_property
    def _mesh(self) -> Mesh:
        # Auto axes: under make_mesh's default, explicit axes, an embedding's gather raises ShardingTypeError
        auto = (AxisType.Auto,) * len(self.axes)
        return jax.make_mesh(self.axes, self.axes._fields, axis_types=auto, devices=self.devices)

    def _lies(self, *axes: Any) -> NamedSharding:
        """How an array lies on the devices: split along the named axes, copied where there are none."""
        return NamedSharding(self._mesh, PartitionSpec(*axes))


def strategy(
    name: str | None,
    batch: int,
    accumulate: int = 1,
    devices: Sequence[Any] | None = None,
    axes: Axes | None = None,
) -> Strategy:
    """The strategy asked for; by default pmap on several devices and jit on one, and a mesh where `axes` are given.

    Raises `Refused` if the devices do not divide the batch, or are not as many as the axes say.
    """
    devices = tuple(jax.devices() if devices is None else devices)
    name = name or ("mesh" if axes is not None else "jit" if len(devices) == 1 else "pmap")
    if name not in ("jit", *NAMES):
        raise Refused(f"--parallel {name}: there are {', '.join(NAMES)}")
    if axes is None:
        axes = Axes(data=len(devices))
    elif name != "mesh":
        raise Refused(f"--parallel {name} has no axes; write --parallel mesh --mesh {axes}")
    elif axes.size != len(devices):
        raise Refused(
            f"--mesh {axes} is for {axes.size} devices, and there are {len(devices)}; write axes that multiply to that, "
            f"such as {Axes(fsdp=len(devices))}"
        )
    if name != "members":
        _shared(batch, accumulate, axes)
    return Strategy(name, devices, axes)


def _cuts(task: Task) -> Sequence[Cut]:
    return getattr(task, "cuts", ())


def _shared(batch: int, accumulate: int, axes: Axes) -> None:
    """Refuse a batch that the devices cannot share."""
    parts = axes.data * axes.fsdp
    if rest := batch % (parts * accumulate):
        share = "" if accumulate == 1 else f" times {accumulate} microbatches"
        below, above = batch - rest, batch - rest + parts * accumulate
        nearest = f"{below} or {above}" if below else f"{above}"
        raise Refused(f"a batch of {batch} cannot be shared by {parts} devices{share}; set batch={nearest}")
