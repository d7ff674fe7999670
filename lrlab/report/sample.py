"""A schedule as an eye sees it: its values at enough steps, the area under them, and which stretches rise or fall."""

from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np

from lrlab.schedule import Mark, Schedule
from lrlab.schedule.write import written

_MOST_STEPS = 2**20  # looked at one by one; 30 ms of a warm-up and a decay
_MOST_PARTS = 200  # more cannot be told apart in a picture


class Stretch(NamedTuple):
    """A run of steps, begin <= t < end, under the names of the parts that play in it; `way` is 1 where the rate rises, -1 where it falls."""

    name: str
    begin: int
    end: int
    way: int


class Sampled(NamedTuple):
    """Steps of a run, [samples], and the rates there, [samples] in float64.

    >>> import lrlab as lr
    >>> warm = sample(0.5 * lr.warmup(4) >> lr.stable(6), steps=10)
    >>> warm.peak, warm.area, warm.share
    (0.5, 3.75, 0.75)
    """

    steps: int
    t: np.ndarray
    rate: np.ndarray
    marks: list[Mark]
    stretches: list[Stretch]

    @property
    def peak(self) -> float:
        """The highest rate."""
        return float(self.rate.max())

    @property
    def area(self) -> float:
        """The sum of the rates over the run: exact where every step was looked at, trapezia between samples elsewhere."""
        before, after = self.rate[:-1], self.rate[1:]
        return float(np.sum(np.diff(self.t) * (before + after) + before - after) / 2 + self.rate[-1])

    @property
    def share(self) -> float:
        """The area as a share of that of the peak held over the run; 0 for a schedule that is 0."""
        return self.area / (self.peak * self.steps) if self.peak else 0.0

    def thinned(self, bins: int) -> Self:
        """First, last, lowest and highest sample of each bin: what can be seen at a width of `bins` points."""
        each = len(self.t) // bins
        if each < 4:
            return self
        body = self.rate[: bins * each].reshape(bins, each)
        first = np.arange(bins) * each
        kept = [first, first + each - 1, first + body.argmin(1), first + body.argmax(1)]
        kept = np.unique(np.concatenate([*kept, np.arange(bins * each, len(self.t))]))
        return self._replace(t=self.t[kept], rate=self.rate[kept])


def sample(schedule: Schedule, steps: int) -> Sampled:
    """A schedule at every step of a run, up to a million; beyond, at a million steps and both sides of every joint.

    The schedule must be in steps: `schedule.resolve(Horizon(steps))`.
    """
    marks = schedule.marks()
    joints = np.unique([0, steps, *(t for mark in marks for t in mark[1:] if t < steps)])
    if steps <= _MOST_STEPS:
        t = np.arange(steps)
    else:
        grid = np.linspace(0, steps - 1, _MOST_STEPS).round().astype(np.int64)
        t = np.sort(np.concatenate([grid, joints[:-1], joints[1:] - 1]))
        t = t[np.diff(t, prepend=-1) > 0]  # np.unique, which hashes, takes ten times as long
    rate = schedule(t).astype(np.float64)
    stretches = []
    if len(joints) <= _MOST_PARTS:
        for begin, end in pairwise(joints.tolist()):
            names = dict.fromkeys(mark.name for mark in marks if mark.begin <= begin and end <= mark.end)
            here = slice(*np.searchsorted(t, (begin, end)))
            stretches += [Stretch(" · ".join(names), *piece) for piece in _pieces(begin, end, t[here], rate[here])]
    return Sampled(steps, t, rate, marks, stretches)


def short(number: float) -> str:
    """A number to four digits, in the notation.

    >>> short(267012.3), short(0.00030004), short(0)
    ('267000', '3e-4', '0')
    """
    return written(float(f"{number:.4g}"))


def _pieces(begin: int, end: int, t: np.ndarray, rate: np.ndarray) -> list[tuple[int, int, int]]:
    """Begin, end and way of a stretch, and of what is level at its ends (`minimum(warmup(50), 0.6)`) apart."""
    way, slack = _way(rate), 1e-6 * rate.max()
    if not way:
        return [(begin, end, 0)]
    leaves = int(np.argmax(np.abs(rate - rate[0]) > slack)) - 1
    arrives = len(rate) - int(np.argmax(np.abs(rate - rate[-1])[::-1] > slack))
    first = int(t[leaves]) if leaves > len(rate) / 20 else begin
    last = int(t[arrives]) if len(rate) - 1 - arrives > len(rate) / 20 else end
    return [piece for piece in ((begin, first, 0), (first, last, way), (last, end, 0)) if piece[0] < piece[1]]


def _way(rate: np.ndarray) -> int:
    """1 where rates only rise, -1 where they only fall, 0 otherwise; up to the rounding of float32."""
    change, slack = np.diff(rate), 1e-6 * rate.max()
    if rate[-1] - rate[0] > slack and change.min() >= -slack:
        return 1
    return -1 if rate[0] - rate[-1] > slack and change.max() <= slack else 0
