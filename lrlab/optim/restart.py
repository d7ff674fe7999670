"""Where an optimizer may begin anew: at the starts of a schedule's cycles."""

from itertools import accumulate
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule.clock import Repeat
from lrlab.schedule.combine import Pointwise, Scale, Sequence

_MOST = 1000  # the clock is compared with every one of them at every update


def cycle_starts(schedule: Any) -> tuple[int, ...]:
    """The updates at which the cycles of a schedule in steps begin, the run's first one left out.

    >>> from lrlab import repeat, decay, warmup
    >>> cycle_starts(0.1 * warmup(5) >> repeat(decay(10), 3, stretch=2))
    (15, 35)
    """
    return tuple(sorted({start for start in _starts(schedule, 0) if start > 0}))


def _starts(schedule: Any, begin: int) -> list[int]:
    match schedule:
        case Scale():
            return _starts(schedule.shape, begin)
        case Sequence():
            begins = accumulate((part.length for part in schedule.parts), initial=begin)
            return [start for part, at in zip(schedule.parts, begins) for start in _starts(part, at)]
        case Pointwise():
            return [start for part in schedule.parts for start in _starts(part, begin)]
        case Repeat():
            each, starts, length = schedule.schedule.length, [0], schedule.length
            if each * _MOST < length:
                raise Refused(f"{schedule} begins more than {_MOST} times; write the updates to restart at one by one")
            while (start := starts[-1] + each * schedule.stretch ** (len(starts) - 1)) < length:
                starts.append(start)
            return [begin + start for start in starts[1:]]
    return []
