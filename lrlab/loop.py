"""The host loop: it dispatches a population's chunks between evaluations and writes down, one chunk behind, what they measured."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.notes import Notes, Outcome, Watcher
from lrlab.parallel import Program, Strategy, compiled, looking
from lrlab.plan import Plan
from lrlab.population import stack
from lrlab.record import Record
from lrlab.refusal import unknown
from lrlab.saving import Kept, Saver, Source, filled, first_members, first_shapes
from lrlab.task import Data, Task, parameters
from lrlab.train import Member, TrainState, first_state


class Pruner(Protocol):
    """Decides at evaluations which members of a population go on."""

    @property
    def word(self) -> str:
        """What a user calls it."""
        ...

    @property
    def metric(self) -> str:
        """The held-out metric that it looks at."""
        ...

    def among(self, arms: Sequence[str]) -> "Pruner":
        """The same for a population whose members are of these arms."""
        ...

    def __call__(self, step: int, alive: jax.Array, losses: jax.Array) -> jax.Array | np.ndarray:
        """Who goes on after `step` updates, [members], of those that are alive."""
        ...


class Ended(NamedTuple):
    """How a population ended."""

    outcomes: list[Outcome]
    states: TrainState  # arrays [members, ...] on the devices
    wall_s: float
    per_s: float  # updates of all members together, after compilation


@dataclass(frozen=True)
class Halving:
    """Successive halving: at each rung the best of the members that are left go on (Jamieson & Talwalkar 2016).

    Args:
        keep: the share of the members that passes a rung, such as 1/2.
        rungs: evaluations at which it is decided, in updates.
        metric: the held-out metric, of which lower is better.
    """

    word = "halving"

    rungs: tuple[int, ...]
    keep: float = 0.5
    metric: str = "loss"

    def among(self, arms: Sequence[str]) -> "Halving":
        """The same, whatever the members are."""
        return self

    def __call__(self, step: int, alive: jax.Array, losses: jax.Array) -> jax.Array:
        """Who of the population goes on, [members]; decided on the device, on one of those that it is dealt to."""
        if step not in self.rungs:
            return alive
        if not alive.is_fully_replicated:
            alive, losses = jax.device_put((alive, losses), alive.addressable_shards[0].device)
        return _pass(self, alive, losses)

    def passed(self, alive: jax.Array, losses: jax.Array) -> jax.Array:
        """Who passes a rung, [members]."""
        ranked = jnp.argsort(jnp.argsort(jnp.where(alive & jnp.isfinite(losses), losses, jnp.inf)))
        return alive & (ranked < jnp.ceil(self.keep * jnp.sum(alive)))


class Start(NamedTuple):
    """Where a population begins, or goes on."""

    chunk: Program  # being compiled
    look: Program
    names: list[str]  # of the metrics that it measures
    step: int  # updates done
    states: TrainState  # [members, ...], filled up to whole blocks, on the devices
    members: Member
    alive: jax.Array
    notes: Sequence[Mapping[str, Any]]  # what was noted of each member up to here
    tail: np.ndarray  # [members, n], the last training losses


def start(
    task: Task,
    members: Sequence[Member],
    plan: Plan,
    data: Data,
    strategy: Strategy,
    block: int = 1,
    saver: Saver | None = None,
    source: Source | None = None,
) -> Start:
    """The newest state that `saver` finds, or else that of `source`, or else the one before the first update.

    The programs are compiled meanwhile.
    """
    count, whole = len(members), len(members) + -len(members) % (block * strategy.shares)
    stacked = stack([*members, *[members[-1]] * (whole - count)])
    padded, alive = strategy.deal(stacked), strategy.deal(np.arange(whole) < count)
    chunk = compiled(strategy, task, plan.batch, plan.accumulate, plan.chunk, block)
    look = looking(strategy, task, data.held_out, plan.batch, block)
    shapes = strategy.begin_shapes(task, stacked)
    chunk.foresee(shapes, padded, alive, data.train, np.int32(0))
    names = list(look.foresee(shapes, padded, alive, data.valid, data.train)[1])
    states, tails = strategy.begin(task, stacked), np.empty((count, 0), np.float32)
    new = Start(chunk, look, names, 0, states, padded, alive, [{} for _ in members], tails)
    tail = strategy.put(np.zeros((count, plan.tail), np.float32))
    like = strategy.kept(first_shapes(Kept(states, alive, tail), count))
    found = None if saver is None else saver.found(like)
    if found is not None:
        step, kept, notes = found
    elif source is not None:
        one = jax.eval_shape(first_state, members[0], parameters(task))
        step = source.step
        kept = source.read(one, dataclasses.replace(plan, steps=source.steps).tail, task, strategy)
        notes = [{"done": step} for _ in members]
    else:
        return new
    alive = np.arange(whole) < count
    alive[:count] = kept.alive
    return new._replace(
        step=step,
        states=strategy.lay(task, filled(kept.states, whole)),
        alive=strategy.deal(alive),
        notes=notes,
        tail=np.asarray(kept.tail),
    )


def run(
    task: Task,
    members: Sequence[Member],
    plan: Plan,
    data: Data,
    strategy: Strategy,
    records: Sequence[Record],
    watch: Watcher = lambda step, losses, rates, per_s: None,
    block: int = 1,
    pruner: Pruner | None = None,
    saver: Saver | None = None,
    begun: Start | None = None,
) -> Ended:
    """Train a population of one kind for `plan.steps` updates, each member with a record, kept however it ends.

    A loss that is not finite ends a member, and so do its early stopping and `pruner`, at an evaluation; the others go
    on. `data` holds the task's arrays, on the devices (`strategy.put`); `block` members are vmapped together; `saver`
    saves them as they go, and `begun` is where they go on, its default a `start`. Raises `Refused` if what a watcher
    watches is not measured, and `Interrupted` if the process was asked to stop.
    """
    clock = time.perf_counter()
    begun = start(task, members, plan, data, strategy, block, saver) if begun is None else begun
    chunk, look, names, step, states, padded, alive, before, tails = begun
    notes = Notes(plan, records, watch, names, before, tails)
    _measured(members[0].watchers, [*notes.names, "train_loss"])
    _measured([pruner], notes.names)
    for length in plan.chunks(step, () if saver is None else saver.saves.planned(plan.steps)):
        states, metrics = chunk(states, padded, alive, data.train, np.int32(length))
        step, going, held_out = step + length, alive, None
        if step % plan.evaluate_every == 0 or step == plan.steps:
            states, held_out = look(states, padded, alive, data.valid, data.train)
            if pruner is not None and step < plan.steps:
                alive = strategy.deal(pruner(step, alive, held_out[pruner.metric]))
        ended = notes.take(step - length, length, metrics, held_out, going)
        # the only wait for the device
        if held_out is not None and members[0].stop is not None and step < plan.steps:
            ended |= notes.stop(step, jax.device_get(states.watched[1]), members)
        saving = saver is not None and saver.due(step, plan.steps)
        if saving:
            ended |= notes.flush()
        if ended:
            alive = strategy.deal(np.asarray(alive) & np.pad(notes.going, (0, len(alive) - len(members))))
            if not notes.going.any():
                break
        if saving and saver is not None:
            kept = Kept(
                first_members(states, len(members)), first_members(alive, len(members)), strategy.put(notes.tails())
            )
            saver.save(step, strategy.kept(kept), [note.told() for note in notes.each], notes.means())
    return Ended(notes.finish(), states, time.perf_counter() - clock, notes.per_s)


def _measured(watchers: Sequence[Any], metrics: list[str]) -> None:
    for watcher in watchers:
        if watcher is not None and watcher.metric not in metrics:
            raise unknown(f"metric for {watcher.word}", watcher.metric, metrics)


_pass = jax.jit(Halving.passed, static_argnums=0)
