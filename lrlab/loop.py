"""The host loop: it dispatches chunks between evaluations and writes down what they measured, one chunk behind."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from lrlab.optim import by_name, evaluation_params, observe
from lrlab.parallel import Strategy, compiled
from lrlab.record import Record
from lrlab.refusal import unknown
from lrlab.task import Data, Task
from lrlab.train import Member, TrainState, begin, make_evaluate

_EVALUATE = 64  # held-out examples at a time


class Watcher(Protocol):
    """Told of progress: updates done, the last loss and rate, and how fast it goes."""

    def __call__(self, step: int, loss: float, rate: float, per_s: float) -> None: ...


class Outcome(NamedTuple):
    """How a run ended."""

    final: dict[str, float]  # held-out metrics after the last update, and train_loss over the last twentieth
    diverged: int | None  # the first update whose loss was not finite
    stopped: int | None  # updates done when early stopping ended it
    state: TrainState
    wall_s: float
    steps_per_s: float  # after compilation


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

    def chunks(self) -> list[int]:
        """The lengths of the chunks: few different ones, since each is compiled."""
        interval = min(self.evaluate_every, self.steps)
        length = max(n for n in range(1, min(self.chunk, interval) + 1) if interval % n == 0)
        length = length if length >= 8 or length == interval else min(self.chunk, interval)
        lengths = []
        while (step := sum(lengths)) < self.steps:
            boundary = min(step - step % interval + interval, self.steps)
            lengths.append(min(length, boundary - step))
        return lengths


def run(
    task: Task,
    member: Member,
    plan: Plan,
    data: Data,
    strategy: Strategy,
    record: Record,
    watch: Watcher = lambda step, loss, rate, per_s: None,
) -> Outcome:
    """Train one member for `plan.steps` updates; its records are kept however it ends.

    A loss that is not finite ends a run, and so does its early stopping, at an evaluation. `data` holds the task's
    arrays, on the devices (`strategy.put`). Raises `Refused` if what the feedback watches is not measured.
    """
    begun = time.perf_counter()
    state, member = strategy.put(begin(task, member)), strategy.put(member)
    evaluate = _evaluator(task, data.held_out, min(_EVALUATE, data.held_out))
    notes = _Notes(plan, record, watch, names=jax.eval_shape(evaluate, state.params, data.valid))
    _measured(member, notes.metrics)
    step = 0
    for length in plan.chunks():
        chunk = compiled(strategy, task, plan.batch, plan.accumulate, length)
        state, metrics = chunk(state, member, data.train)
        step += length
        held_out = None
        if step % plan.evaluate_every == 0 or step == plan.steps:
            held_out = evaluate(evaluation_params(state.opt_state, state.params), data.valid)
            if any(member.watchers):
                state = state._replace(watched=_observe(member.watchers, state.watched, held_out))
        if not notes.take(step - length, metrics, held_out):
            break
        # the only wait for the device
        if held_out is not None and member.stop is not None and step < plan.steps and state.watched[1].stop:
            notes.stop(step, member.stop.because(state.watched[1]))
            break
    final = notes.finish()
    return Outcome(final, notes.diverged, notes.stopped, state, time.perf_counter() - begun, notes.steps_per_s)


class _Notes:
    """The record's rows, fetched from the device one chunk late so that it never waits for the host."""

    def __init__(self, plan: Plan, record: Record, watch: Watcher, names: Iterable[str]) -> None:
        self.plan, self.record, self.watch = plan, record, watch
        self.diverged: int | None = None
        self.stopped: int | None = None
        self._because: dict[str, str] = {}
        self._skipped, self._total = 0, 0  # updates in a row up to now, and in all
        self._waiting: tuple[int, Any, Any] | None = None
        self._held_out = dict.fromkeys(names, float("nan"))
        self._losses: list[np.ndarray] = []
        self._clock: list[tuple[float, int]] = []

    def take(self, first: int, metrics: Any, held_out: Any) -> bool:
        """Note the chunk before this one; False if that diverged."""
        waiting, self._waiting = self._waiting, (first, metrics, held_out)
        return waiting is None or self._write(*waiting)

    def stop(self, step: int, because: str) -> None:
        """Early stopping ends the run after `step` updates."""
        self.stopped, self._because = step, {"because": because}

    def finish(self) -> dict[str, float]:
        """Note the last chunk and how the run ended; the final metrics."""
        if self.diverged is None and self._waiting is not None:
            self._write(*self._waiting)
        losses = np.concatenate(self._losses)
        last = losses[-max(1, self.plan.steps // 20) :]
        last = last[np.isfinite(last)] if self.plan.skip and np.isfinite(last).any() else last
        final = {**self._held_out, "train_loss": float(np.mean(last))}
        end = "finished" if self.stopped is None else "stopped"
        if self.diverged is not None:
            final, end, self.stopped, self._because = dict.fromkeys(final, float("nan")), "diverged", None, {}
        skipped = {"skipped": self._total} if self.plan.skip else {}
        self.record.write([{"step": len(losses), "end": end, **self._because, **skipped, "final": final}])
        return final

    def _bad(self, metrics: Any) -> np.ndarray:
        """Updates at which the run counts as diverged: the loss is not finite, or too many in a row were skipped."""
        if "skipped" not in metrics:
            return np.flatnonzero(~np.isfinite(metrics["loss"]))
        in_a_row = np.empty(len(metrics["skipped"]), int)
        for i, skipped in enumerate(metrics["skipped"]):
            self._skipped = in_a_row[i] = self._skipped + 1 if skipped else 0
        self._total += int(np.sum(metrics["skipped"]))
        return np.flatnonzero(in_a_row > self.plan.skip)

    @property
    def metrics(self) -> list[str]:
        """The names of what is measured."""
        return [*self._held_out, "train_loss"]

    @property
    def steps_per_s(self) -> float:
        (begun, first), (ended, last) = self._clock[0], self._clock[-1]
        return (last - first) / (ended - begun) if last > first else float("nan")

    def _write(self, first: int, metrics: Any, held_out: Any) -> bool:
        metrics, held_out = jax.device_get((metrics, held_out))
        metrics = by_name(metrics)
        bad = self._bad(metrics)
        count = len(metrics["loss"]) if not len(bad) else int(bad[0]) + 1
        if len(bad):
            self.diverged = first + int(bad[0])
        rows = [
            {"step": first + i, **{name: float(values[i]) for name, values in metrics.items()}}
            for i in range(count)
            if (first + i) % self.plan.log_every == 0
            or first + i in (self.plan.steps - 1, self.diverged, (self.stopped or 0) - 1)
        ]
        if held_out is not None and self.diverged is None:
            self._held_out = {name: float(value) for name, value in held_out.items()}
            rows.append({"step": first + count, "held_out": self._held_out})
        self.record.write(rows)
        self._losses.append(metrics["loss"][:count])
        self._clock.append((time.perf_counter(), first + count))
        self.watch(
            first + count,
            float(metrics["loss"][count - 1]),
            float(metrics["learning_rate"][count - 1]),
            self.steps_per_s,
        )
        return self.diverged is None


def _measured(member: Member, metrics: list[str]) -> None:
    for watcher in member.watchers:
        if watcher is not None and watcher.metric not in metrics:
            raise unknown(f"metric for {watcher.word}", watcher.metric, metrics)


_observe = jax.jit(observe)


@cache
def _evaluator(task: Task, held_out: int, block: int) -> Callable[..., Any]:
    return jax.jit(make_evaluate(task, held_out, block))
