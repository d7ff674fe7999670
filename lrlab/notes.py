"""What the records of a population are told: fetched from the device one chunk late, and written as rows."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from lrlab.optim import by_name
from lrlab.plan import Plan
from lrlab.record import Record
from lrlab.train import Member

PRUNED = "others went on, whose loss was lower"


class Watcher(Protocol):
    """Told of progress: updates done, each member's last loss and rate ([members]; nan where it ended), updates per second."""

    def __call__(self, step: int, losses: np.ndarray, rates: np.ndarray, per_s: float) -> None: ...


class Outcome(NamedTuple):
    """How a run ended."""

    final: dict[str, float]  # held-out metrics after the last update, and train_loss over the last twentieth
    diverged: int | None  # the first update whose loss was not finite
    stopped: int | None  # updates done when early stopping or halving ended it


class Notes:
    """What the records of a population are told, fetched from the device one chunk late so that it never waits for the host."""

    def __init__(
        self, plan: Plan, records: Sequence[Record], watch: Watcher, names: Any, before: Any, tails: Any
    ) -> None:
        self.watch, self.names = watch, list(names)
        self.each = [Note(plan, record, self.names, told, tail) for record, told, tail in zip(records, before, tails)]
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
        self._clock.append((time.perf_counter(), sum(self.each[i].count for i in np.flatnonzero(before))))
        self.watch(
            max(note.done for note in self.each),
            np.array([note.loss for note in self.each]),
            np.array([note.rate for note in self.each]),
            self.per_s,
        )
        return bool((before != self.going).any())


class Note:
    """What one record is told."""

    def __init__(self, plan: Plan, record: Record, names: list[str], told: Mapping[str, Any], tail: np.ndarray) -> None:
        self.plan, self.record = plan, record
        self.end: str | None = told.get("end")  # "diverged" or "stopped" before the run's length
        self.done, self.count = told.get("done", 0), 0  # updates, in all and in the last chunk
        self.loss = self.rate = float("nan")
        self.held_out = dict.fromkeys(names, float("nan")) | told.get("held_out", {})
        self._because: dict[str, str] = told.get("because", {})
        self._skipped, self._total = told.get("skipped", (0, 0))  # updates in a row up to now, and in all
        self._spikes: int | None = told.get("spikes")  # None where none are looked for
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
            "spikes": self._spikes,
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
        spike = metrics.get("spike", np.zeros(self.count))[: self.count]
        if "spike" in metrics:
            self._spikes = (self._spikes or 0) + int(np.sum(spike))
        rows = [
            {"step": first + i, **{name: float(values[i]) for name, values in metrics.items()}}
            for i in range(self.count)
            if (first + i) % self.plan.log_every == 0
            or spike[i]
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
        self.loss = self.rate = float("nan")

    def finish(self) -> Outcome:
        """Note how the run ended."""
        losses = np.concatenate(self._losses)
        last = losses[-self.plan.tail :]
        last = last[np.isfinite(last)] if self.plan.skip and np.isfinite(last).any() else last
        final = {**self.held_out, "train_loss": float(np.mean(last))}
        if self.end == "diverged":
            final = dict.fromkeys(final, float("nan"))
        counted = {"skipped": self._total} if self.plan.skip else {}
        counted |= {} if self._spikes is None else {"spikes": self._spikes}
        self.record.write(
            [{"step": self.done, "end": self.end or "finished", **self._because, **counted, "final": final}]
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
