"""Where an optimizer may begin anew: at the starts of a schedule's cycles."""

from itertools import accumulate
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule.clock import Repeat, Shift, Stairs
from lrlab.schedule.combine import Pointwise, Scale, Sequence

_MOST = 1000  # the clock is compared with every one of them at every update


def cycle_starts(schedule: Any) -> tuple[int, ...]:
    """The updates at which the cycles of a schedule in steps begin, the first of each `repeat` left out.

    Raises `Refused` where there are none, or more than 1000.

    >>> from lrlab import repeat, decay, warmup
    >>> cycle_starts(0.1 * warmup(5) >> repeat(decay(10), 3, stretch=2))
    (15, 35)
    """
    starts = tuple(sorted(set(_starts(schedule, 1))))
    if not starts:
        raise Refused(
            f"{schedule} has no cycles to begin anew at; write a schedule with repeat(..., times), or the updates to "
            f"restart at one by one"
        )
    return starts


def _starts(schedule: Any, k: int) -> list[int]:
    """In the steps of a schedule's own clock; `k` stretches time."""
    match schedule:
        case Scale():
            return _starts(schedule.shape, k)
        case Sequence():
            begins = accumulate((part._length(k) for part in schedule.parts), initial=0)
            return [begin + start for part, begin in zip(schedule.parts, begins) for start in _starts(part, k)]
        case Pointwise():
            return [start for part in schedule.parts for start in _starts(part, k)]
        case Shift():
            return [start - schedule.by * k for start in _starts(schedule.schedule, k) if start > schedule.by * k]
        case Stairs():
            return [start * schedule._steps() * k for start in _starts(schedule.schedule, 1)]
        case Repeat():
            return _cycles(schedule, k)
    return []


def _cycles(schedule: Repeat, k: int) -> list[int]:
    """The starts of its cycles, and in them those of cycles within."""
    starts, begin, length = [], 0, schedule._length(k)
    while begin < length:
        starts += [begin, *(begin + start for start in _starts(schedule.schedule, k))]
        if len(starts) > _MOST:
            raise Refused(f"{schedule} begins more than {_MOST} times; write the updates to restart at one by one")
        begin, k = begin + schedule.schedule._length(k), k * schedule.stretch
    return starts[1:]
