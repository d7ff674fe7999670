"""Hyperparameters coupled to the rate: a decay that follows its shape but not its peak, a momentum that moves against it."""

import operator
from functools import reduce
from typing import Any, Self

import jax
import numpy as np
from jax.core import Tracer

from lrlab.node import Node
from lrlab.refusal import Refused
from lrlab.schedule import Curve, Horizon, Schedule, ramp, repeat, stable
from lrlab.schedule.clock import Repeat
from lrlab.schedule.combine import Pointwise, Scale, Sequence, Then
from lrlab.schedule.number import number
from lrlab.schedule.part import Decay, InverseTime, Off, Part, Ramp, Rsqrt, Stable, Table, Warmup
from lrlab.schedule.write import written


class Independent(Node):
    """A weight decay that is multiplied by the schedule's shape, rate/peak, and not by the rate."""

    weight_decay: Any
    peak: Any = None  # of the schedule it is bound to

    def bound(self, schedule: Any) -> Self:
        """The same decay beside a schedule, whose peak is found on the host."""
        return self if self.peak is not None else self.replace(peak=peak(schedule))

    def resolve(self, horizon: Horizon) -> Self:
        """The same decay with the durations of its schedule in steps."""
        if not isinstance(self.weight_decay, Schedule):
            return self
        return self.replace(weight_decay=self.weight_decay.resolve(horizon))

    def __repr__(self) -> str:
        return f"independent({written(self.weight_decay)})"


class Opposed(Node):
    """A momentum that is `high` where the rate is low and `low` where it is high."""

    low: Any
    high: Any

    def bound(self, schedule: Any) -> Schedule:
        """The momentum's schedule."""
        return _opposed(schedule, self.low, self.high)

    def __repr__(self) -> str:
        return f"opposed(low={written(self.low)}, high={written(self.high)})"


def independent(weight_decay: Any) -> Independent:
    """Independent weight decay: each update takes `weight_decay` times the schedule's shape, rate/peak, off the weights,
    so that the peak can be tuned without changing the decay (Loshchilov & Hutter 2019, algorithm 2; Wortsman et al.
    2023, section 3.2.2). A group's `rate` does not change it, its own schedule does.

    Args:
        weight_decay: a number or a schedule. What is weight_decay=0.1 at a peak of 1e-3 is 1e-4 here.

    >>> independent(1e-4)
    independent(1e-4)
    """
    if not isinstance(weight_decay, Schedule):
        weight_decay = number(
            weight_decay, f"independent({written(weight_decay)}): a weight decay is a number from 0 on, or a schedule"
        )
    return Independent(weight_decay)


def opposed(schedule: Schedule | None = None, *, low: float = 0.85, high: float = 0.95) -> Any:
    """A momentum that falls to `low` while the rate rises, and rises to `high` while it falls, over the same steps and
    on the same curves (Smith 2018, section 4.3; what torch's OneCycleLR does with cycle_momentum).

    Args:
        schedule: the rate; None is that of the run: `momentum(momentum=opposed())`.
        low: where the rate is highest, above 0.
        high: where it is lowest, below 1.

    Returns a schedule, in the words of the rate's. Raises `Refused` for rates that are not warmups, stables, decays,
    ramps and repeats of these without shrink.

    >>> from lrlab import warmup, decay
    >>> opposed(0.1 * warmup("30%") >> decay(), low=0.8, high=1 - 1e-1)
    ramp('30%', start=0.9, to=0.8) >> ramp(start=1, to=1.125)
    """
    for name, value in (("low", low), ("high", high)):
        sentence = f"opposed({name}={written(value)}): a momentum lies above 0 and below 1"
        number(value, sentence, positive=True, most=1 - 1e-7)
    if low > high:
        raise Refused(f"opposed(low={written(low)}, high={written(high)}): low is the lower one")
    return Opposed(low, high) if schedule is None else _opposed(schedule, low, high)


def peak(schedule: Any) -> Any:
    """The highest value of a schedule in steps (or of a number, itself), with what it holds after its end, evaluated on
    the host. Of a schedule without an end, what is known to rise no more counts with its level.
    """
    if isinstance(schedule, Scale):
        return schedule.peak * peak(schedule.shape)
    if isinstance(schedule, Table):
        return schedule.values.max(-1)
    if not isinstance(schedule, Schedule):
        return schedule
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(schedule)):
        raise Refused(f"the peak of {schedule} is not known while it is traced; build the optimizer outside of jit")
    ended = _ended(jax.device_get(schedule), Stable | Off | Rsqrt | InverseTime)
    return float(np.max(ended(sampled(ended, ended.length + 1))))


def sampled(schedule: Schedule, steps: int, most: int = 10_000) -> np.ndarray:
    """Steps of 0 to `steps` at which a schedule is worth a look: evenly spread, with its joints and its last one."""
    joints = [t for mark in schedule.marks() for t in (mark.begin, mark.end - 1, mark.end) if 0 <= t < steps]
    spread = np.linspace(0, max(steps - 1, 0), min(most, steps + 1)).round().astype(np.int64)
    return np.unique(np.concatenate([spread, np.asarray(joints, np.int64)]))


def _ended(schedule: Any, kinds: Any) -> Any:
    """The schedule with its parts of some kinds that have no end, which never rise above their level, left out."""
    match schedule:
        case Scale():
            return schedule.replace(shape=_ended(schedule.shape, kinds))
        case Sequence():
            return schedule.replace(parts=tuple(_ended(part, kinds) for part in schedule.parts))
        case Pointwise():  # where another part is high, one that falls is not at its level
            return schedule.replace(parts=tuple(_ended(part, Stable | Off) for part in schedule.parts))
        case Part(over=None) if isinstance(schedule, kinds):
            return schedule.replace(over=0)
    return schedule


def _opposed(schedule: Any, low: float, high: float) -> Schedule:
    shape = schedule.shape if isinstance(schedule, Scale) else schedule
    first, *others = parts = shape.parts if isinstance(shape, Then) else (shape,)
    if isinstance(first, Repeat) and all(isinstance(part, Stable) for part in others):
        if np.any(first.shrink != 1):
            raise Refused(
                f"a momentum cannot be opposed to {schedule}, whose cycles are not equally high; leave out shrink, or "
                f"write its schedule out"
            )
        cycles = repeat(_opposed(first.schedule, low, high), first.times, over=first.over, stretch=first.stretch)
        return reduce(operator.rshift, others, cycles)
    if not all(isinstance(part, Warmup | Stable | Decay | Ramp) for part in parts):
        raise Refused(
            f"a momentum cannot be opposed to {schedule}: it follows warmup, stable, decay and ramp, or a repeat of "
            f"these; write its schedule out, such as 0.95 * ramp('30%', start=1, to=0.9) >> ramp(start=1, to=1/0.9)"
        )
    levels, level = [], 1.0
    for part in parts:
        start, end, _ = _way(part)
        levels += [level * start, level * end]
        level *= end
    momenta = _against(levels, low, high)
    joined, level = None, 1.0
    part: Any
    for part, start, end in zip(parts, momenta[::2], momenta[1::2]):
        curve = _way(part)[2]
        if curve is None:
            piece = stable(part.over) if joined else start * stable(part.over)
        else:
            piece = ramp(part.over, start=start / level, to=end / level, curve=curve)
        joined = joined >> piece if joined else piece
        level = end
    return joined  # type: ignore[return-value]


def _against(levels: list[float], low: float, high: float) -> list[float]:
    """The momentum at each level: `low` at the peaks, `high` in the valleys, in proportion on the way."""

    def turn(i):
        before = next((x for x in reversed(levels[:i]) if x != levels[i]), None)
        after = next((x for x in levels[i + 1 :] if x != levels[i]), None)
        sides = [x for x in (before, after) if x is not None]
        if all(x < levels[i] for x in sides):
            return low
        return high if all(x > levels[i] for x in sides) else None

    turns = {i: momentum for i in range(len(levels)) if (momentum := turn(i)) is not None}

    def on_the_way(i):
        a, b = max(j for j in turns if j < i), min(j for j in turns if j > i)
        return turns[a] + (turns[b] - turns[a]) * (levels[i] - levels[a]) / (levels[b] - levels[a])

    return [turns[i] if i in turns else on_the_way(i) for i in range(len(levels))]


def _way(part: Any) -> tuple[float, float, Curve | None]:
    """Where a part starts and ends, as shares of the level it is given, and its curve."""
    match part:
        case Warmup():
            return part.start, 1.0, part.curve
        case Decay():
            return 1.0, part.to, part.curve
        case Ramp():
            return part.start, part.to, part.curve
    return 1.0, 1.0, None
