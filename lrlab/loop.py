"""The host loop: it dispatches a population's chunks between evaluations and writes down, one chunk behind, what they measured."""

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.optim import by_name
from lrlab.parallel import Strategy, compiled, looking
from lrlab.population import stack
from lrlab.record import Record
from lrlab.refusal import unknown
from lrlab.saving import Kept, Saver, Source, filled, first_members
from lrlab.task import Data, Task
from lrlab.train import Member, TrainState, begin, first_state

PRUNED = "others went on, whose loss was lower"


class Watcher(Protocol):
    """Told of progress: updates done, each member's last loss and rate ([members]; nan where it ended), updates per second."""

    def __call__(self, step: int, losses: np.ndarray, rates: np.ndarray, per_s: float) -> None: ...


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


class Outcome(NamedTuple):
    """How a run ended."""

    final: dict[str, float]  # held-out metrics after the last update, and train_loss over the last twentieth
    diverged: int | None  # the first update whose loss was not finite
    stopped: int | None  # updates done when early stopping or halving ended it


class Ended(NamedTuple):
    """How a population ended."""

    outcomes: list[Outcome]
    states: TrainState  # arrays [members, ...] on the devices
    wall_s: float
    per_s: float  # updates of all members together, after compilation


@dataclass(frozen=True)
class Plan:
    """How long a run is and when the host looks at it.

    Args:
        steps: updates.
        batch: examples per update, over all devices and microbatches.
        accumulate: microbatches per update.
        evaluate_every: updates between evaluations on held-out data; there is always one at the end.
        log_every: updates between rows of the record.
        chunk: updates per dispatch, at most. From eight on, XLA:CPU keeps its temporary memory between updates.
        skip: updates in a row that may be skipped before the run counts as diverged.
    """

    steps: int
    batch: int
    accumulate: int = 1
    evaluate_every: int = 100
    log_every: int = 10
    chunk: int = 20
    skip: int = 0

    @property
    def tail(self) -> int:
        """How many of the last training losses make up the final one: a twentieth."""
        return max(1, self.steps // 20)

    def chunks(self, step: int = 0, stops: Iterable[int] = ()) -> list[int]:
        """The lengths of the chunks from `step` on: as long as may be, up to the next evaluation, stop or the end."""
        lengths, stops = [], sorted({self.steps, *stops})
        while step < self.steps:
            boundary = step - step % self.evaluate_every + self.evaluate_every
            stop = next(stop for stop in stops if stop > step)
            lengths += [min(self.chunk, boundary - step, stop - step)]
            step += lengths[-1]
        return lengths


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
        """Who of the population goes on, [members]; decided on the device, with no word to the host."""
        return _pass(self, alive, losses) if step in self.rungs else alive

    def passed(self, alive: jax.Array, losses: jax.Array) -> jax.Array:
        """Who passes a rung, [members]."""
        ranked = jnp.argsort(jnp.argsort(jnp.where(alive & jnp.isfinite(losses), losses, jnp.inf)))
        return alive & (ranked < jnp.ceil(self.keep * jnp.sum(alive)))


class Start(NamedTuple):
    """Where a population begins, or goes on."""

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
    strategy: Strategy,
    block: int = 1,
    saver: Saver | None = None,
    source: Source | None = None,
) -> Start:
    """The newest state that `saver` finds, or else that of `source`, or else the one before the first update."""
    count, whole = len(members), len(members) + -len(members) % (block * strategy.shares)
    stacked = stack([*members, *[members[-1]] * (whole - count)])
    states, alive = strategy.deal(begin(task, stacked)), strategy.deal(np.arange(whole) < count)
    new = Start(0, states, strategy.deal(stacked), alive, [{} for _ in members], np.empty((count, 0), np.float32))
    like = lambda: Kept(
        first_members(states, count),
        first_members(alive, count),
        strategy.put(np.zeros((count, plan.tail), np.float32)),
    )
    found = None if saver is None else saver.found(like())
    if found is not None:
        step, kept, notes = found
    elif source is not None:
        one = jax.eval_shape(first_state, members[0], task.init(0))
        step, kept = source.step, source.read(one, dataclasses.replace(plan, steps=source.steps).tail, strategy.put)
        notes = [{"done": step} for _ in members]
    else:
        return new
    alive = np.arange(whole) < count
    alive[:count] = kept.alive
    return new._replace(
        step=step,
        states=strategy.deal(filled(kept.states, whole)),
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
    begun = start(task, members, plan, strategy, block, saver) if begun is None else begun
    step, states, padded, alive = begun[:4]
    chunk = compiled(strategy, task, plan.batch, plan.accumulate, plan.chunk, block)
    look = looking(strategy, task, data.held_out, plan.batch, block)
    notes = _Notes(plan, records, watch, jax.eval_shape(look, states, padded, alive, data.valid, data.train)[1], begun)
    _measured([*members[0].watchers, pruner], [*notes.names, "train_loss"])
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
            saver.save(step, kept, [note.told() for note in notes.each], notes.means())
    return Ended(notes.finish(), states, time.perf_counter() - clock, notes.per_s)


class _Notes:
    """What the records of a population are told, fetched from the device one chunk late so that it never waits for the host."""

    def __init__(self, plan: Plan, records: Sequence[Record], watch: Watcher, names: Any, begun: Start) -> None:
        self.watch, self.names = watch, list(names)
        self.each = [
            _Note(plan, record, self.names, told, tail) for record, told, tail in zip(records, begun.notes, begun.tail)
        ]
        self._waiting: tuple[int, int, Any, Any, Any] | None = None
        self._clock: list[tuple[float, int]] = []  # when, and updates since then of all members

    @property
    def going(self) -> np.ndarray:
        """Who has not ended, [members], as far as is known."""
        return np.array([note.end is None for note in self.each])

    @property
    def per_s(self) -> float:
        done = sum(updates for _, updates in self._clock[1:])
        return done / (self._clock[-1][0] - self._clock[0][0]) if done else float("nan")

    def take(self, first: int, length: int, metrics: Any, held_out: Any, alive: Any) -> bool:
        """Note the chunk before this one; whether that ended a member."""
        waiting, self._waiting = self._waiting, (first, length, metrics, held_out, alive)
        return waiting is not None and self._write(*waiting)

    def stop(self, step: int, states: Any, members: Sequence[Member]) -> bool:
        """Early stopping ends members after `step` updates; whether it did."""
        stopping = np.flatnonzero(states.stop[: len(self.each)] & self.going)
        if not len(stopping):
            return False
        self._write(*self._waiting, last=stopping)  # type: ignore[misc]
        self._waiting = None
        for i in stopping[self.going[stopping]]:
            own = type(states)(*(values[i] for values in states))
            self.each[i].stop(step, members[i].stop.because(own))  # type: ignore[union-attr]
        return True

    def flush(self) -> bool:
        """Note the last chunk, waiting for it; whether that ended a member."""
        waiting, self._waiting = self._waiting, None
        return waiting is not None and self._write(*waiting)

    def finish(self) -> list[Outcome]:
        """Note the last chunk and how each run ended."""
        self.flush()
        return [note.finish() for note in self.each]

    def tails(self) -> np.ndarray:
        """The last training losses of each member, [members, n], nan where there are none."""
        return np.stack([note.tail() for note in self.each])

    def means(self) -> dict[str, float]:
        """The held-out metrics, mean over the members that go on."""
        going = [note.held_out for note in self.each if note.end is None]
        return {name: float(np.mean([one[name] for one in going])) for name in self.names if going}

    def _write(self, first: int, length: int, metrics: Any, held_out: Any, alive: Any, last: Any = ()) -> bool:
        metrics, held_out, alive = jax.device_get((metrics, held_out, alive))
        before, metrics = self.going, by_name(metrics)
        for i in np.flatnonzero(before):
            own = {name: values[i, :length] for name, values in metrics.items()}
            looked = None if held_out is None else {name: float(values[i]) for name, values in held_out.items()}
            if alive[i]:
                self.each[i].write(first, own, looked, i in last)
            else:
                self.each[i].stop(first, PRUNED)
        self._clock.append((time.perf_counter(), sum(note.count for note in self.each)))
        self.watch(
            max(note.done for note in self.each),
            np.array([note.loss for note in self.each]),
            np.array([note.rate for note in self.each]),
            self.per_s,
        )
        return bool((before != self.going).any())


class _Note:
    """What one record is told."""

    def __init__(self, plan: Plan, record: Record, names: list[str], told: Mapping[str, Any], tail: np.ndarray) -> None:
        self.plan, self.record = plan, record
        self.end: str | None = told.get("end")  # "diverged" or "stopped" before the run's length
        self.done, self.count = told.get("done", 0), 0  # updates, in all and in the last chunk
        self.loss = self.rate = float("nan")
        self.held_out = dict.fromkeys(names, float("nan")) | told.get("held_out", {})
        self._because: dict[str, str] = told.get("because", {})
        self._skipped, self._total = told.get("skipped", (0, 0))  # updates in a row up to now, and in all
        self._losses: list[np.ndarray] = [tail[len(tail) - min(self.done, len(tail)) :]]

    def told(self) -> dict[str, Any]:
        """What a note goes on from, as JSON."""
        known = {name: value for name, value in self.held_out.items() if np.isfinite(value)}
        return {
            "end": self.end,
            "done": self.done,
            "held_out": known,
            "because": self._because,
            "skipped": [self._skipped, self._total],
        }

    def tail(self) -> np.ndarray:
        """The last training losses, nan before the first."""
        losses = np.concatenate([np.full(self.plan.tail, np.nan, np.float32), *self._losses])
        return losses[len(losses) - self.plan.tail :]

    def write(self, first: int, metrics: dict[str, np.ndarray], held_out: dict[str, float] | None, last: bool) -> None:
        """The rows of a chunk, and of the evaluation after it; `last` if the run ends here."""
        bad = self._bad(metrics)
        self.count = len(metrics["loss"]) if not len(bad) else int(bad[0]) + 1
        self.end = "diverged" if len(bad) else None
        rows = [
            {"step": first + i, **{name: float(values[i]) for name, values in metrics.items()}}
            for i in range(self.count)
            if (first + i) % self.plan.log_every == 0
            or first + i == self.plan.steps - 1
            or (last or self.end)
            and i == self.count - 1
        ]
        self.done = first + self.count
        if held_out is not None and self.end is None:
            self.held_out = held_out
            rows.append({"step": self.done, "held_out": held_out})
        self.record.write(rows)
        self._losses.append(metrics["loss"][: self.count])
        self.loss, self.rate = (float(metrics[name][self.count - 1]) for name in ("loss", "learning_rate"))

    def stop(self, step: int, because: str) -> None:
        """The run ends after `step` updates, before its length."""
        self.end, self.done, self.count, self._because = "stopped", step, 0, {"because": because}

    def finish(self) -> Outcome:
        """Note how the run ended."""
        losses = np.concatenate(self._losses)
        last = losses[-self.plan.tail :]
        last = last[np.isfinite(last)] if self.plan.skip and np.isfinite(last).any() else last
        final = {**self.held_out, "train_loss": float(np.mean(last))}
        if self.end == "diverged":
            final = dict.fromkeys(final, float("nan"))
        skipped = {"skipped": self._total} if self.plan.skip else {}
        self.record.write(
            [{"step": self.done, "end": self.end or "finished", **self._because, **skipped, "final": final}]
        )
        return Outcome(
            final, self.done - 1 if self.end == "diverged" else None, self.done if self.end == "stopped" else None
        )

    def _bad(self, metrics: dict[str, np.ndarray]) -> np.ndarray:
        """Updates at which the run counts as diverged: the loss is not finite, or too many in a row were skipped."""
        if "skipped" not in metrics:
            return np.flatnonzero(~np.isfinite(metrics["loss"]))
        in_a_row = np.empty(len(metrics["skipped"]), int)
        for i, skipped in enumerate(metrics["skipped"]):
            self._skipped = in_a_row[i] = self._skipped + 1 if skipped else 0
        self._total += int(np.sum(metrics["skipped"]))
        return np.flatnonzero(in_a_row > self.plan.skip)


def _measured(watchers: Sequence[Any], metrics: list[str]) -> None:
    for watcher in watchers:
        if watcher is not None and watcher.metric not in metrics:
            raise unknown(f"metric for {watcher.word}", watcher.metric, metrics)


_pass = jax.jit(Halving.passed, static_argnums=0)
