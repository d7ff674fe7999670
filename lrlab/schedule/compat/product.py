"""A product of schedules, as peers name it by its factors, in as few words as say it."""

from math import prod

from lrlab.schedule import words
from lrlab.schedule.combine import Scale, Sequence
from lrlab.schedule.core import Schedule
from lrlab.schedule.part import Stable, Warmup


def product(*factors: Schedule) -> Schedule:
    """The factors multiplied; a warm-up, and what holds its level as long, are one after the other.

    >>> product(0.1 * words.stable(), words.warmup(10), words.stable(10) >> words.decay(90))
    0.1 * warmup(10) >> decay(90)
    """
    level = prod(factor.peak for factor in factors if isinstance(factor, Scale))
    shapes = [factor.shape if isinstance(factor, Scale) else factor for factor in factors]
    parts = [shape for shape in shapes if shape not in (words.stable(), words.warmup(0))]
    if not parts:
        return level * words.stable()
    for rise in [part for part in parts if isinstance(part, Warmup)]:
        parts = _placed(rise, [part for part in parts if part is not rise])
    shape = parts[0]
    for part in parts[1:]:
        shape = shape * part
    return shape if level == 1 else level * shape


def _placed(rise: Warmup, parts: list[Schedule]) -> list[Schedule]:
    """The warm-up before the first part that can follow it, or else beside them."""
    for i, part in enumerate(parts):
        if raised := _raised(rise, part):
            return [*parts[:i], raised, *parts[i + 1 :]]
    return [*parts, rise]


def _raised(rise: Warmup, part: Schedule) -> Schedule | None:
    """A warm-up times a part that holds its level as long, as a sequence; None where it does not hold it."""
    match part:
        case Scale():
            raised = _raised(rise, part.shape)
            return raised and part.peak * raised
        case Sequence():
            raised = _raised(rise, part.parts[0])
            return raised and part._of([raised, *part.parts[1:]])
        case Stable(over=None):
            return rise
        case Stable() if part.length >= rise.length:
            return rise >> words.stable(part.length - rise.length) if part.length > rise.length else rise
    return None
