"""A strategy says where runs' states live and how their program is compiled: plain jit, pmap, a mesh, or a share of the runs each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from lrlab.device import host
from lrlab.parallel.mesh import Axes, gathering, shared
from lrlab.refusal import Refused
from lrlab.task import Cut, Params, Task, parameters
from lrlab.train import Member, TrainState, first_params, first_states

NAMES = ("pmap", "mesh", "members")


@dataclass(frozen=True)
class Strategy:
    """Where runs' states live and how their chunk is compiled. All strategies give the same numbers to float32 rounding."""

    name: str  # "jit" on one device; "pmap" or "mesh" share each batch, "members" shares the population
    devices: tuple[Any, ...]
    axes: Axes  # of the mesh; the others have all devices along `data`

    def among(self, runs: int) -> "Strategy":
        """The same on no more devices than can have runs of their own."""
        if self.name != "members" or runs >= len(self.devices):
            return self
        return Strategy("members" if runs > 1 else "jit", self.devices[:runs], Axes(data=runs))

    def put(self, tree: Any) -> Any:
        """A copy of every array on every device."""
        return _placed(tree, self._lies())

    def deal(self, tree: Any) -> Any:
        """Arrays [members, ...], each device with its share where the population is shared, else with them all."""
        return _placed(tree, self._lies("data") if self.name == "members" else self._lies())

    def rows(self, rows: Any) -> Any:
        """Positions in a batch, [batch], or [devices, b] for pmap, each device with its own; all where it is not shared."""
        if self.name == "pmap":
            rows = rows[[i for i, device in enumerate(self.devices) if device in self.own_devices]]
        return self.put(rows) if self.name == "members" else _placed(rows, self._lies(("data", "fsdp")))

    def begin_shapes(self, task: Task, members: Member) -> TrainState:
        """The states of a population before the first update, in shape and place."""
        alike = lambda x: jax.ShapeDtypeStruct((len(members.seed), *x.shape), x.dtype)
        states = jax.eval_shape(first_states, members, jax.tree.map(alike, parameters(task)))
        return jax.tree.map(lambda x, lies: x.update(sharding=lies), states, self.layout(task, states))

    def begin(self, task: Task, members: Member) -> TrainState:
        """The states of a population before the first update; on a mesh no device ever holds more than its share."""
        lies = jax.tree.map(lambda x: x.sharding, self.begin_shapes(task, members))
        params = _placed(first_params(task, members), lies.params)
        return jax.jit(first_states, out_shardings=lies)(self.put(members), params)

    def lay(self, task: Task, states: TrainState) -> TrainState:
        """The states of a population where they belong."""
        return _placed(states, self.layout(task, states))

    def kept(self, tree: Any) -> Any:
        """The arrays, or their shapes, as all processes save them together; those of pmap are each process's own copies."""
        if self.name != "pmap" or jax.process_count() == 1:
            return tree
        everywhere = NamedSharding(Mesh(np.array(self.devices), ("data",)), PartitionSpec())

        def kept(x):
            if isinstance(x, jax.ShapeDtypeStruct):
                return x.update(sharding=everywhere)
            copies = [shard.data for shard in x.addressable_shards]
            return jax.make_array_from_single_device_arrays(x.shape, everywhere, copies)

        return jax.tree.map(kept, tree)

    def resting(self, task: Task, states: TrainState) -> Any:
        """Where a saved population is read of which some are wanted, as shardings: on a mesh as it lay, else on the host."""
        if self.name == "mesh":
            return self.layout(task, states)
        lies = self._lies() if jax.process_count() > 1 else SingleDeviceSharding(host())
        return jax.tree.map(lambda x: lies, states)

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

    def share(self, rows: jax.Array) -> jax.Array:
        """Numbers of examples, [n parts], in a program: each device with its own where devices share a batch."""
        return rows if self.parts == 1 else lax.with_sharding_constraint(rows, self._lies(("data", "fsdp")))

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

    def __str__(self) -> str:
        mesh = f" {self.axes}" if self.name == "mesh" else ""
        processes = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
        return f"{self.name}{mesh} on {len(self.devices)}{processes}"

    @property
    def shares(self) -> int:
        """How many parts a population is dealt in."""
        return len(self.devices) if self.name == "members" else 1

    @property
    def parts(self) -> int:
        """How many parts a batch has within one program."""
        return self._mesh.shape["data"] * self._mesh.shape["fsdp"] if self.name in ("pmap", "mesh") else 1

    @cached_property
    def own_devices(self) -> tuple[Any, ...]:
        """Those of this process."""
        return tuple(device for device in self.devices if device.process_index == jax.process_index())

    @property
    def _compiler_options(self) -> dict[str, Any]:
        # XLA:CPU at its usual level of optimization compiles for longer, and what it makes is no faster
        return {"xla_backend_optimization_level": 1} if self.devices[0].platform == "cpu" else {}

    @cached_property
    def _mesh(self) -> Mesh:
        # Auto axes: under make_mesh's default, explicit axes, an embedding's gather raises ShardingTypeError
        auto = (AxisType.Auto,) * len(self.axes)
        # of pmap, which takes and gives what is this process's own
        devices, axes = (
            (self.own_devices, (len(self.own_devices), 1, 1)) if self.name == "pmap" else (self.devices, self.axes)
        )
        return jax.make_mesh(axes, self.axes._fields, axis_types=auto, devices=devices)

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
        are, more = "is" if len(devices) == 1 else "are", f", or JAX_NUM_CPU_DEVICES={axes.size} before the command"
        raise Refused(
            f"--mesh {axes} is for {axes.size} devices, and there {are} {len(devices)}; write axes that multiply to that, "
            f"such as {Axes(fsdp=len(devices))}{more if devices[0].platform == 'cpu' else ''}"
        )
    if name == "members" and jax.process_count() > 1:
        raise Refused("--parallel members is for the devices of one process; write --parallel mesh, or pmap")
    if name != "members":
        _shared(batch, accumulate, axes)
    return Strategy(name, devices, axes)


def _placed(tree: Any, lies: Any) -> Any:
    """Arrays where `lies`, a sharding or a tree of them, says; every process gives the same, and its devices take their parts."""
    if jax.process_count() == 1:
        return jax.device_put(tree, lies)

    def placed(x, lies):
        if isinstance(x, jax.Array) and not x.is_fully_replicated:
            return jax.device_put(x, lies)
        x = np.asarray(x, jax.dtypes.canonicalize_dtype(np.asarray(x).dtype))
        return jax.make_array_from_callback(x.shape, lies, lambda index: x[index])

    return jax.tree.map(
        placed, tree, lies if not isinstance(lies, NamedSharding) else jax.tree.map(lambda x: lies, tree)
    )


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
