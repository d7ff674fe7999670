"""A schedule as lint looks at it: at few steps, and none too few.

Between its joints a schedule is monotone and smooth. So it is looked at beside every joint, beside the largest changes
of every table, and at two thousand steps between: a spike of one update is seen in a run of any length, in milliseconds.
"""

from collections.abc import Iterator
from functools import cached_property

import jax
import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule.core import Mark, Schedule
from lrlab.schedule.part import Table
from lrlab.schedule.time import LAST_STEP, Horizon, whole

REACHED = 0.99  # of the peak counts as reached: a percent of the rate is not seen in any loss
_GRID = 2048  # steps between the joints
_JOINTS = 2000  # at most, the first: beyond, a schedule of as many parts takes more than a second
_CHANGES = 64  # of a table at most, the largest,
_CHANGE = 0.01  # and of its highest value at least


class Survey:
    """A schedule over a run of `steps`, looked at where it could surprise."""

    def __init__(self, schedule: Schedule, horizon: Horizon) -> None:
        self.steps = horizon.steps
        self.schedule, self.length = _fitted(schedule, horizon)
        self.room = self.length == self.steps or not schedule._claims()  # for what takes the rest of the run
        if np.shape(self.schedule(0)):
            raise Refused(f"{schedule} is several schedules in one; lint each of them, with one number a place")
        self.marks = self.schedule.marks()
        self.last = max(self.steps, self.length)
        edges = {edge for mark in self.marks for edge in mark[1:]}
        self.joints = np.array(sorted(edges | set(_changes(self.schedule, self.marks)))[:_JOINTS], np.int64)
        beside = np.concatenate([self.joints + offset for offset in (-2, -1, 0, 1)])
        shares = (np.arange(_GRID) + np.arange(_GRID) * 0.6180339887 % 1) / _GRID  # in no rhythm with any cycle
        between = [(shares * end).astype(np.int64) for end in {self.steps, self.last}]
        ends = [0, 1, *(end - back for end in (self.steps, self.length) for back in (2, 1, 0)), self.steps // 2]
        self.t = np.unique(np.clip(np.concatenate([*between, beside, ends]).astype(np.int64), 0, self.last))
        self.values = np.asarray(self.schedule(self.t)).astype(np.float64)
        inside = self.t < self.steps
        self.t_run, self.run = self.t[inside], self.values[inside]

    def at(self, step: int) -> float:
        """The rate at a step that was looked at."""
        return float(self.values[np.searchsorted(self.t, step)])

    @cached_property
    def peak(self) -> float:
        return float(self.run.max())

    @cached_property
    def top(self) -> int:
        """The first step at which the peak is reached."""
        return int(self.t_run[np.argmax(self.run >= REACHED * self.peak)])

    @cached_property
    def warmup(self) -> int:
        """How many updates come before the peak; 0 where the run begins in its upper half."""
        if self.run[0] > self.peak / 2:
            return 0
        rising = [mark.end for mark in self.marks if mark.begin < self.top <= mark.end]
        return min([*rising, self.steps]) if rising else self.top

    @cached_property
    def area(self) -> float:
        """The sum of all rates, by trapezia between the steps that were looked at."""
        before, after = self.run[:-1], self.run[1:]
        return float(np.sum(np.diff(self.t_run) * (before + after) + before - after) / 2 + self.run[-1])

    def part(self, step: int) -> str:
        """The part that plays at a step, by name."""
        playing = [mark for mark in self.marks if mark.begin <= step < mark.end]
        return " and ".join(dict.fromkeys(mark.name for mark in playing or self.marks[-1:])) or "the schedule"


def _fitted(schedule: Schedule, horizon: Horizon) -> tuple[Schedule, int]:
    """The schedule in steps, and how many: its own, or those of the run, or more where its parts do not fit in."""
    exact = schedule._exact(horizon)
    length = horizon.steps if exact is None else whole(exact)
    while True:
        try:
            return schedule._fit(horizon, length), length
        except Refused:
            if exact is not None or length > LAST_STEP:
                raise
            length = 2 * length + 1


def _changes(schedule: Schedule, marks: list[Mark]) -> Iterator[int]:
    """The steps of the largest changes of every table."""
    played = [mark for mark in marks if mark.name == "table"][:_CHANGES]
    for table in jax.tree.leaves(schedule, is_leaf=lambda node: isinstance(node, Table)):
        if not isinstance(table, Table) or np.ndim(table.values) != 1 or len(table.values) < 2:
            continue
        values = np.asarray(table.values)
        change = np.abs(np.diff(values))
        largest = np.flatnonzero(change > _CHANGE * np.abs(values).max())
        largest = 1 + largest[np.argsort(change[largest])[-_CHANGES:]]
        for begin, end in (mark[1:] for mark in played):
            yield from (begin + largest * ((end - begin) // len(table.values))).tolist()
