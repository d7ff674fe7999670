"""An experiment is a value: a task, a schedule, an optimizer and a length; a path names any number in it."""

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal, Self

import jax

from lrlab.optim import (
    Batches,
    EarlyStopping,
    Effective,
    Feedback,
    Group,
    Optimizer,
    RateFree,
    Scaling,
    Watcher,
    assigned,
    batches,
    checked,
    cycle_starts,
    effective,
)
from lrlab.plan import Plan
from lrlab.refusal import Refused
from lrlab.schedule import Finding, Horizon, Schedule, lint, table
from lrlab.schedule.time import duration, whole
from lrlab.task import Task, parameters
from lrlab.train import Member

_LONGEST_TABLE = 10_000_000  # steps; 40 MB on each device


@dataclass(frozen=True)
class _Growing(Horizon):
    """A run whose batch follows a schedule."""

    def _known(self, name: str, over: str) -> int:
        raise Refused(f"'{over}' is no number of updates while the batch follows a schedule; write steps, or '20%'")


Monitor = Literal["updates", "spikes", "sharpness"]
Restart = Literal["cycles"] | tuple[int | str, ...]


@dataclass(frozen=True)
class Experiment:
    """One run but for its seed.

    Args:
        task: model, data and loss.
        schedule: the learning rate; durations in any unit.
        optimizer: everything of the optimizer but the rate.
        steps: optimizer updates, or how long the run is in epochs, examples or tokens: "10ep", "3e6ex", "1e9tok".
        batch: examples per update, over all devices and microbatches.
        clip: bound on the gradient's global norm: a number, a schedule, or None.
        accumulate: microbatches per update.
        evaluate_every: updates between evaluations on held-out data, or as long in any unit: "1ep", "5%".
        log_every: updates between rows of the record.
        chunk: updates per dispatch, at most.
        feedback: what multiplies the schedule by a gain that follows a metric, or None.
        stop: early stopping, or None.
        groups: rules that give some parameters rates, schedules and decays of their own; by default all are one group.
        restart: where the optimizer's moments begin anew: at the "cycles" of the schedule, or a tuple of times.
        batch_schedule: examples per update, at most `batch`, in whole microbatches of batch / accumulate; None is always
            `batch`. Durations are then steps or shares of the run: examples are no measure of its updates.
        batch_scaling: the rate of an update with b examples is multiplied by b / batch ("linear"), by its root ("sqrt") or
            by nothing ("none").
        skip_nonfinite: updates in a row whose gradient is not finite that are skipped, with the schedules' clock standing
            still, before the run counts as diverged.
        monitor: what is measured beside the loss: "updates" (their size over that of the weights, for each group),
            "spikes" of the loss, and at evaluations "sharpness" against the edge of stability.
    """

    task: Task
    schedule: Schedule
    optimizer: Optimizer
    steps: int | str
    batch: int
    clip: float | Schedule | None = None
    accumulate: int = 1
    evaluate_every: int | str = 100
    log_every: int = 10
    chunk: int = 20
    feedback: Feedback | None = None
    stop: EarlyStopping | None = None
    groups: tuple[Group, ...] = ()
    restart: Restart = ()
    batch_schedule: Schedule | None = None
    batch_scaling: Scaling = "none"
    skip_nonfinite: int = 0
    monitor: tuple[Monitor, ...] = ()

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "evaluate_every", "log_every", "chunk"):
            value = getattr(self, name)
            if isinstance(value, str) and name in ("steps", "evaluate_every"):
                object.__setattr__(self, name, _lasting(name, value))
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise Refused(f"{name}={value!r}: {name} is a positive whole number")
        if isinstance(self.clip, float | int) and not self.clip > 0:
            raise Refused(
                f"clip={self.clip!r}: the bound on the gradient's norm is positive; without clipping write none"
            )
        if not isinstance(self.skip_nonfinite, int) or self.skip_nonfinite < 0:
            raise Refused(f"skip_nonfinite={self.skip_nonfinite!r}: write how many updates in a row, a whole number")
        object.__setattr__(self, "groups", checked(self.groups))
        if self.restart != "cycles":
            object.__setattr__(
                self, "restart", tuple(duration(at, "what comes before a restart") for at in self.restart)
            )
        if not isinstance(self.schedule, Schedule):
            raise Refused(
                f"schedule={self.schedule!r} is not a schedule; to hold a rate write {self.schedule!r} * stable()"
            )
        if isinstance(self.optimizer, RateFree):
            self.optimizer.suit(self.clip, self.feedback, self.groups, self.restart)

    @property
    def horizon(self) -> Horizon:
        if self.batch_schedule is not None:
            return _Growing(self.length, sequence=self.task.horizon(1, self.batch).sequence)
        return self.task.horizon(self.length, self.batch)

    @property
    def length(self) -> int:
        """Updates of the run."""
        if isinstance(self.steps, int):
            return self.steps
        unit = _Growing(1) if self.batch_schedule is not None else self.task.horizon(1, self.batch)
        return max(1, whole(unit.exact(self.steps)))

    @property
    def batches(self) -> Batches | None:
        """The microbatches of each update of a resolved experiment, or None where the batch does not change."""
        if self.batch_schedule is None:
            return None
        return batches(self.batch_schedule, self.length, self.batch, self.accumulate, self.batch_scaling)

    @property
    def mean_batch(self) -> float:
        """Examples per update over the run."""
        taken = self.batches
        return self.batch if taken is None else float(taken.counts.mean()) * self.batch / self.accumulate

    @property
    def flops_per_step(self) -> float | None:
        """What the matmuls of an update cost, on the mean over the run; None for a task without any."""
        return None if self.task.work is None else self.task.work.flops * self.mean_batch

    def resolve(self) -> Self:
        """The same experiment with every duration in steps. Raises `Refused` where a schedule does not fit the run."""
        horizon = self.horizon
        schedule = self.schedule.resolve(horizon)
        groups = tuple(group.resolve(horizon) for group in self.groups)
        if groups:
            assigned(groups, parameters(self.task))
        if self.restart == "cycles":
            restart = cycle_starts(schedule)
        else:
            restart = tuple(whole(horizon.exact(at)) for at in self.restart)
        fitted = lambda value: value.resolve(horizon) if isinstance(value, Schedule) else value
        resolved = dataclasses.replace(
            self,
            steps=self.length,
            evaluate_every=self.plan.evaluate_every,
            schedule=schedule,
            optimizer=self.optimizer.bound(schedule).resolve(horizon),
            clip=fitted(self.clip),
            groups=groups,
            restart=restart,
            batch_schedule=fitted(self.batch_schedule),
        )
        _ = resolved.batches  # refuses a batch out of range
        return resolved

    def lint(self) -> list[Finding]:
        """What a reader of the literature would remark on in the schedule, for this run and optimizer."""
        horizon = self.horizon
        return lint(
            self.schedule,
            self.length,
            optimizer=self.optimizer.name,
            batch=self.batch,
            sequence=horizon.sequence,
            epoch=horizon.epoch,
        )

    @property
    def plan(self) -> Plan:
        return Plan(
            self.length,
            self.batch,
            self.accumulate,
            max(1, whole(self.horizon.exact(self.evaluate_every))),
            self.log_every,
            self.chunk,
            self.skip_nonfinite,
        )

    def member(self, seed: int) -> Member:
        """What the compiled program is given, of a resolved experiment.

        Schedules go in as tables of their values, so that one program serves every schedule of this length.
        """
        decay = self.optimizer.hyperparameters.get("weight_decay")
        groups = tuple(group.bound(self.schedule, decay) for group in self.groups)
        schedule, optimizer, clip, groups = self._tabled((self.schedule, self.optimizer, self.clip, groups))
        return Member(
            schedule,
            optimizer,
            seed,
            clip,
            self.feedback,
            self.stop,
            groups,
            self.restart,
            self.batches,
            self.skip_nonfinite > 0,
            self.monitor,
        )

    def _tabled(self, tree: Any) -> Any:
        """Every schedule in a tree as a table, unless that is too much memory."""
        is_schedule = lambda node: isinstance(node, Schedule)
        count = sum(map(is_schedule, jax.tree.leaves(tree, is_leaf=is_schedule)))
        if self.length * count > _LONGEST_TABLE:
            return tree
        return jax.tree.map(
            lambda node: table(node, self.length) if is_schedule(node) else node, tree, is_leaf=is_schedule
        )

    def effective(self) -> list[Effective]:
        """What each group of parameters really gets, of a resolved experiment."""
        scale = None if self.batches is None else self.batches.scale()
        return effective(self.optimizer, self.schedule, self.groups, parameters(self.task), self.length, scale)

    def values(self) -> dict[str, Any]:
        """Every field as JSON: schedules and optimizers in the notation, the task by its fields."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @functools.cached_property
    def digest(self) -> str:
        """The identity of the run: a hash of its canonical text, in which what is left at its default does not stand.

        So an option that is new leaves the runs that do not use it what they were.
        """
        told = {**_chosen(self.resolve()), "task": {"kind": type(self.task).__name__, **_chosen(self.task)}}
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _lasting(name: str, value: str) -> Any:
    """How long a run, or what is between its evaluations, lasts. Nothing is a share of a run before it has a length."""
    try:
        if name == "evaluate_every" or not value.endswith("%"):
            return duration(value, name)
    except Refused:
        pass
    share = ", '5%'" if name == "evaluate_every" else ""
    raise Refused(
        f"{name}={value}: write updates, such as 500, or a unit: '10ep' (epochs), '3e6ex' (examples), '1e9tok' (tokens){share}"
    )


def _chosen(node: Any) -> dict[str, Any]:
    """The fields of a dataclass that are not at their defaults, as JSON."""
    values = {field.name: getattr(node, field.name) for field in dataclasses.fields(node)}
    defaults = {field.name: field.default for field in dataclasses.fields(node)}
    return {name: _plain(value) for name, value in values.items() if value != defaults[name]}


def _plain(value: Any) -> Any:
    if isinstance(value, Optimizer | Watcher):
        return value.spelled()
    if isinstance(value, Schedule | Group):
        return repr(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {
            "kind": type(value).__name__,
            **{f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)},
        }
    return value
