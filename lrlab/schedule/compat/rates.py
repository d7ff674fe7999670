"""Schedules put together from absolute rates and exact steps, as peers give them."""

import math
from collections.abc import Sequence
from itertools import pairwise

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.combine import Scale
from lrlab.schedule.compat import piece
from lrlab.schedule.compat.piece import ratio
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, linear

LEAST = 1e-37  # of a rate: below that float32 has no numbers


def hold(rate: float, over: int | None = None) -> Schedule:
    """A rate, held; it may be zero.

    >>> hold(0.1, 30), hold(0, 30)
    (0.1 * stable(30), off(30))
    """
    return ratio(rate, 1) * words.stable(over) if rate > LEAST else words.off(over)


def way(start: float, end: float, over: int | None, curve: Curve = linear) -> Schedule:
    """From one rate to another, in either direction, over some steps.

    >>> way(0, 0.1, 5), way(0.1, 0.01, 20), way(0.1, 0.1, 20)
    (0.1 * warmup(5), 0.1 * decay(20, to=0.1), 0.1 * stable(20))
    """
    peak = max(start, end)
    if peak <= LEAST:
        return words.off(over)
    return ratio(peak, 1) * piece.way(over, ratio(start, peak), ratio(end, peak), curve)


def raised(schedule: Schedule, low: float) -> Schedule:
    """A schedule on top of a rate, which may be zero.

    >>> raised(0.1 * words.decay(9), 0.01)
    0.1 * decay(9) + 0.01
    """
    return schedule + low if low > LEAST else schedule


def chain(*schedules: Schedule) -> Schedule:
    """One after another at their own levels; where one begins at the level at which the one before ended, with >>.

    What lasts no step is left out, but for the last.

    >>> chain(way(0, 0.1, 5), way(0.1, 0.01, 20), hold(0.1, 0), hold(0.5))
    join(0.1 * warmup(5) >> decay(20, to=0.1), 0.5 * stable())
    """
    first, *others = [schedule for schedule in schedules[:-1] if _length(schedule)] + [schedules[-1]]
    parts = [first]
    for schedule in others:
        if isinstance(schedule, Scale) and _goes_on(parts[-1], schedule):
            parts[-1] = parts[-1] >> schedule.shape
        else:
            parts.append(schedule)
    return words.join(*parts)


def piecewise_constant(levels: Sequence[float], edges: Sequence[int]) -> Schedule:
    """The first level, and from each edge on the next one.

    >>> piecewise_constant([0.1, 0.05, 0.01], [30, 60])
    join(0.1 * stable(30), 0.05 * stable(30), 0.01 * stable())
    """
    lengths = [end - begin for begin, end in pairwise([0, *edges])]
    return words.join(*(hold(level, n) for level, n in zip(levels, lengths) if n), hold(levels[-1]))


def legs(levels: Sequence[float], edges: Sequence[int], curve: Curve = linear) -> Schedule:
    """From the first level to the next one at each edge.

    >>> legs([0, 0.1, 0.01], [30, 60])
    0.1 * warmup(30) >> decay(30, to=0.1)
    """
    ends = pairwise([0, *edges])
    ways = [way(*pair, end - begin, curve) for pair, (begin, end) in zip(pairwise(levels), ends) if end > begin]
    return chain(*ways) if ways else hold(levels[-1])


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
