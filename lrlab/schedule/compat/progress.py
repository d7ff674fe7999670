"""Schedules of the progress of a run, from 0 to 1, as fastai and fvcore write them, and laid over whole updates."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from math import floor
from typing import Any, NamedTuple

from lrlab.node import structural
from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.combine import Join, Scale
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import piece, ratio
from lrlab.schedule.compat.rates import chain
from lrlab.schedule.core import Schedule
from lrlab.schedule.part import Off
from lrlab.schedule.write import written


class Leg(NamedTuple):
    """A way along one curve between two shares of the run, and from which share on it is used."""

    begin: float
    end: float
    way: Any  # without a duration
    start: float
    early: float = 0.0  # how much before its start the peer lets it in, so that no rounding keeps it out


class Scaled(Scale):
    """A rate times a shape, which remembers the legs that it was laid from: it can be laid anew as a part of another."""

    peak: Any
    shape: Schedule
    legs: tuple[Leg, ...] = structural(())


class Joined(Join):
    """Parts at their own levels, which remember the legs that they were laid from."""

    parts: tuple[Schedule, ...]
    legs: tuple[Leg, ...] = structural(())


def laid(
    legs: Iterable[Leg], steps: int | None, share: Callable[[float], float] = float, *, level: float = 1.0
) -> Schedule:
    """The legs over so many updates, each from the first update whose share of the run is at its start; without `steps`, in
    percent of the run.

    Args:
        share: the peer's own number for a share of the run.
        level: what all rates are multiplied with.

    >>> from lrlab.schedule.curve import cosine
    >>> ways = [Leg(0, 0.25, 0.1 * words.stable(), 0), Leg(0.25, 1, 0.1 * words.decay(curve=cosine), 0.25)]
    >>> laid(ways, 100), laid(ways, None)
    (0.1 * stable(25) >> decay(75, curve=cosine), join(0.1 * stable('25%'), 0.1 * decay(curve=cosine)))
    >>> laid(ways, 10)
    join(0.1 * stable(3), 0.1 * decay(7, curve=cosine @ span(0.0666666666667, 1)))
    """
    legs = tuple(legs)
    ways = [_times(leg.way, level) for leg in legs]
    if steps is None:
        starts = [*(leg.start for leg in legs), 1.0]
        sizes: list[Any] = [f"{written(float(f'{100 * (b - a):.12g}'))}%" for a, b in pairwise(starts)]
        sizes[-1] = None
        parts = [
            _over(way, size, *_span(leg, *ends)) for leg, way, size, ends in zip(legs, ways, sizes, pairwise(starts))
        ]
        return _remembering(words.join(*parts), legs)
    at = [0, *(_first(leg, steps, share) for leg in legs[1:]), steps]
    parts = [
        _over(way, after - first, *_span(leg, first / steps, after / steps))
        for leg, way, (first, after) in zip(legs, ways, pairwise(at))
        if first < after
    ]
    return _remembering(chain(*parts), legs)


def legs_of(schedule: Any, where: str) -> tuple[Leg, ...]:
    """The legs of a schedule of the progress."""
    if isinstance(schedule, Off):
        return (Leg(0.0, 1.0, words.off(), 0.0),)
    if not isinstance(schedule, Scaled | Joined) or not schedule.legs:
        raise Refused(
            f"{where} of {written(schedule)}: what it is made of are schedules of the progress, from this module"
        )
    return schedule.legs


def value(legs: tuple[Leg, ...], where: float) -> float:
    """The rate at a share of the run."""
    leg = [leg for leg in legs if leg.start - leg.early <= where or leg is legs[0]][-1]
    u = _span(leg, leg.begin, where)[1]
    return float(str(_over(leg.way, 1, 0.0, u)(1) if u else _over(leg.way, 1)(0)))


def steps_of(steps: Any, where: str) -> int | None:
    """How many updates the run has, where that is said."""
    return None if steps is None else check.steps(steps, where, "steps", least=1)


def _remembering(schedule: Schedule, legs: tuple[Leg, ...]) -> Schedule:
    match schedule:
        case Scale():
            return Scaled(schedule.peak, schedule.shape, legs)
        case Join():
            return Joined(schedule.parts, legs)
    return schedule  # off


def _first(leg: Leg, steps: int, share: Callable[[float], float]) -> int:
    near = floor((leg.start - leg.early) * steps)
    return next(t for t in range(max(near - 1, 0), near + 3) if share(t / steps) >= leg.start - leg.early)


def _span(leg: Leg, first: float, after: float) -> tuple[float, float]:
    """Which piece of its curve a leg runs along between two shares of the run."""
    first, after = ((share - leg.begin) / (leg.end - leg.begin) for share in (first, after))
    return max(float(f"{first:.12g}"), 0.0), float(f"{after:.12g}")


def _times(way: Any, level: float) -> Any:
    if level == 1:
        return way
    return ratio(level * way.peak, 1) * way.shape if isinstance(way, Scale) else level * way


def _over(way: Any, over: Any, begin: float = 0.0, end: float = 1.0) -> Schedule:
    """A way, or a piece of it, over a duration."""
    if isinstance(way, Scale):
        return way.replace(shape=_over(way.shape, over, begin, end))
    curve = getattr(way, "curve", None)
    return way.replace(over=over, curve=piece(curve, begin, end)) if curve else way.replace(over=over)
