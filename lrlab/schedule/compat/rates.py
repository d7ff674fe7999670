"""Schedules put together from absolute rates and exact steps, as peers give them."""

import math

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.clock import Repeat
from lrlab.schedule.combine import Pointwise, Scale, Sequence
from lrlab.schedule.compat.piece import piece, ratio
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, linear
from lrlab.schedule.part import Decay, Part, Ramp, Warmup


def hold(rate: float, over: int | None = None) -> Schedule:
    """A rate, held; it may be zero.

    >>> hold(0.1, 30), hold(0, 30)
    (0.1 * stable(30), off(30))
    """
    return ratio(rate, 1) * words.stable(over) if rate else words.off(over)


def way(start: float, end: float, over: int, curve: Curve = linear) -> Schedule:
    """From one rate to another, in either direction, over some steps.

    >>> way(0, 0.1, 5), way(0.1, 0.01, 20), way(0.1, 0.1, 20)
    (0.1 * warmup(5), 0.1 * decay(20, to=0.1), 0.1 * stable(20))
    """
    if start == end:
        return hold(start, over)
    if end > start:
        return ratio(end, 1) * words.warmup(over, start=ratio(start, end), curve=curve)
    return ratio(start, 1) * words.decay(over, to=ratio(end, start), curve=curve)


def chain(*schedules: Schedule) -> Schedule:
    """One after another at their own levels; where one begins at the level at which the one before ended, with >>.

    >>> chain(way(0, 0.1, 5), way(0.1, 0.01, 20), hold(0.5))
    join(0.1 * warmup(5) >> decay(20, to=0.1), 0.5 * stable())
    """
    first, *others = schedules
    parts = [first]
    for schedule in others:
        if isinstance(schedule, Scale) and _goes_on(parts[-1], schedule):
            parts[-1] = parts[-1] >> schedule.shape
        else:
            parts.append(schedule)
    return words.join(*parts)


def lasting(schedule: Schedule, steps: int) -> Schedule:
    """A schedule cut or held so that it lasts `steps`.

    >>> lasting(0.1 * words.warmup(5) >> words.decay(20), 15)
    0.1 * warmup(5) >> decay(10, curve=span(0, 0.5))
    >>> lasting(words.rsqrt(100), 30)
    rsqrt(100, 30)
    """
    match schedule:
        case Scale():
            return schedule.peak * lasting(schedule.shape, steps)
        case Pointwise():
            return schedule.replace(parts=tuple(lasting(part, steps) for part in schedule.parts))
        case Part(over=None) | Repeat(times=None, over=None):
            return schedule.replace(over=steps)
    try:
        length = schedule.length
    except Refused:
        return _cut(schedule, steps)  # some part of it takes the rest of the run
    if length < steps:
        return chain(schedule, hold(float(schedule(length)), steps - length))
    return schedule if length == steps else _cut(schedule, steps)


def _cut(schedule: Schedule, steps: int) -> Schedule:
    match schedule:
        case Sequence():
            parts, rest = [], float(steps)
            while rest > (length := _length(part := schedule.parts[len(parts)])):
                parts.append(part)
                rest -= length
            parts.append(lasting(part, int(rest)))
            return type(schedule)._of(parts) if len(parts) > 1 else parts[0]
        case Warmup(over=int(over)) | Decay(over=int(over)) | Ramp(over=int(over)):
            return schedule.replace(over=steps, curve=piece(schedule.curve, 0, steps / over))
        case Part():
            return schedule.replace(over=steps)
    return words.repeat(schedule, over=steps)


def _length(schedule: Schedule) -> float:
    try:
        return schedule.length
    except Refused:
        return math.inf


def _goes_on(before: Schedule, schedule: Scale) -> bool:
    """Whether a schedule begins at its level, and that is where the one before ended (to the rounding of float32)."""
    if before._ends_at_zero() or _length(before) == math.inf:
        return False
    return float(schedule.shape(0)) == 1 and math.isclose(float(before(before.length)), schedule.peak, rel_tol=2e-7)
