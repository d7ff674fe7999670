"""A population is runs that one program trains side by side; here is how they are stacked and how many fit at a time."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.distributed import gathered
from lrlab.parallel import Strategy
from lrlab.refusal import Refused
from lrlab.task import Task, parameters
from lrlab.train import Member, TrainState, first_state, make_step

# On two cores of Zen 5, jax 0.10.2, a block of 8 is 2.7 times as fast as its members in turn where a step has 1e5 operations,
# 1.2 times at 2.7e6, where it compiles a quarter of a second longer, and 0.9 times above 5e6; blocks of 16 and 32 are no faster.
_SMALL = 1e6  # floating-point operations of one member's step
_CACHED = 8  # members of a block
_SHARE = 0.8  # of a device's memory


class Size(NamedTuple):
    """How many runs go side by side."""

    members: int  # in one population, over all devices
    block: int  # vmapped together on a device; 1 maps them one after another


def stack(members: Sequence[Member]) -> Member:
    """Members as one, each number an array [members, ...]; they are alike (`kind`)."""
    return jax.tree.map(
        lambda *values: np.stack([np.asarray(value, jnp.result_type(value)) for value in values]), *members
    )


def kind(member: Member) -> Any:
    """What members of one program have in common: everything but their numbers."""
    leaves, structure = jax.tree.flatten(member)
    return structure, tuple((np.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)


def narrowed(strategy: Strategy, task: Task, member: Member, count: int) -> Strategy:
    """The strategy for `count` members: on no more devices than there are members, or than the memory of a CPU is enough for."""
    if strategy.name == "members" and strategy.devices[0].platform == "cpu":
        data = _bytes(jax.tree.map(np.asarray, task.load()[:2]))
        count = min(count, int(_SHARE * _memory(strategy.devices[:1]) // (_needs(task, member, strategy)[2] + data)))
    return strategy.among(max(1, count))


def size(
    task: Task, member: Member, count: int, batch: int, accumulate: int, strategy: Strategy, block: int | None = None
) -> Size:
    """How many of `count` members like this one to train at a time.

    On a CPU a block is one, unless a step is so small that dispatch outweighs it; on an accelerator it is what the memory
    holds. `block` decides instead.

    Raises `Refused` if the device cannot hold even one.
    """
    state, held, needs = _needs(task, member, strategy)
    memory = _SHARE * _memory(strategy.own_devices)
    if needs > memory:
        raise Refused(
            f"one run needs {needs / 2**30:.1f} GiB for its parameters, gradient and optimizer, and the device lends "
            f"{memory / 2**30:.1f}; make the model smaller, or share it over more devices with --mesh fsdp=N"
        )
    each = -(-count // strategy.shares)
    if block is None:
        block = _block(task, member, state, batch, accumulate, strategy, each, memory)
    elif block < 1:
        raise Refused(f"--block {block}: a block has at least one member")
    block = min(block, each)
    within = max(1, int((memory - needs) // held))  # states of members that wait
    whole = -(-each // block) * block  # the last block is filled up
    each = whole if whole <= within else max(block, within // block * block)
    return Size(*gathered((min(count, each * strategy.shares), block))[0].tolist())


def _needs(task: Task, member: Member, strategy: Strategy) -> tuple[TrainState, float, float]:
    """One member's state in shape, the bytes that a device holds of it, and those that it needs for a step."""
    state = jax.eval_shape(first_state, member, parameters(task))
    own = strategy.own(task, state)
    return state, _bytes(own), _bytes(own) + 2 * _bytes(own.params)  # the gradient and the update beside it


def _block(
    task: Task,
    member: Member,
    state: TrainState,
    batch: int,
    accumulate: int,
    strategy: Strategy,
    each: int,
    memory: float,
) -> int:
    if strategy.devices[0].platform == "cpu":
        tokens = batch * (task.horizon(1, batch).sequence or 1)
        blocks = -(-each // _CACHED)  # of one size, so that few members fill up the last
        return -(-each // blocks) if 6 * tokens * _bytes(state.params) / 4 < _SMALL else 1
    data = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, task.load().train))
    rows = jax.ShapeDtypeStruct((batch,), jnp.int32)
    step = jax.make_jaxpr(make_step(task, batch, accumulate))(state, member, data, rows)
    return max(1, int(memory // (2 * _bytes(state) + _intermediate(step.jaxpr))))


def _bytes(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _intermediate(jaxpr: Any) -> int:
    """Bytes of everything that is computed on the way: more than is ever held at once."""
    inner = [
        value for eqn in jaxpr.eqns for value in jax.tree.leaves(list(eqn.params.values())) if hasattr(value, "eqns")
    ]
    return _bytes([var.aval for eqn in jaxpr.eqns for var in eqn.outvars]) + sum(map(_intermediate, inner))


def _memory(devices: Sequence[Any]) -> float:
    """Bytes that each of a process's devices may hold; those that are a CPU share its memory."""
    stats = devices[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return float(stats["bytes_limit"])
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / len(devices)
