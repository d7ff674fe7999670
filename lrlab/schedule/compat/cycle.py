"""Cycles whose ends fall between two steps, cut at the steps where the peer's own arithmetic cuts them."""

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from math import floor
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat.piece import piece, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve

MOST = 1000  # cycles that are written one by one


def switches(ends: Sequence[float], cycle: Callable[[int], float]) -> list[int]:
    """The updates at which cycles 1, 2, ... begin: the first for which the peer's `cycle(update)` says so.

    Args:
        ends: where cycles 0, 1, ... end on the real line.
        cycle: the peer's own number of the cycle that an update belongs to; it may err by a rounding at an end.

    >>> switches([2.5, 5, 7.5], lambda t: t // 2.5)
    [3, 5, 8]
    """
    beside = lambda end: range(max(floor(end) - 1, 0), floor(end) + 3)
    return [next(t for t in beside(end) if cycle(t) >= i) for i, end in enumerate(ends, 1)]


def cycles(
    begins: Sequence[float], at: Sequence[int], levels: Sequence[float], to: float, curve: Curve
) -> list[Schedule]:
    """Cycle i runs along `curve` from levels[i] to `to` between begins[i] and begins[i + 1], and serves the updates from
    at[i] to at[i + 1] - 1.

    >>> from lrlab.schedule.curve import linear
    >>> cycles([0, 2.5, 5], [0, 3, 5], [1, 1], 0.0, linear)
    [decay(3, curve=span(0, 1.2)), decay(2, curve=span(0.2, 1))]
    """
    parts = []
    for (begin, end), (first, after), level in zip(pairwise(begins), pairwise(at), levels):
        if first < after:
            share = [max(float(f"{(t - begin) / (end - begin):.12g}"), 0.0) for t in (first, after)]
            parts.append(way(after - first, level, to, piece(curve, share[0], share[1])))
    return parts


def joined(parts: Sequence[Schedule]) -> Schedule:
    """Schedules joined, equal ones in a row as a repetition.

    >>> joined([words.decay(3), words.decay(3), words.decay(2)])
    join(repeat(decay(3), 2), decay(2))
    """
    runs = ((part, len(list(run))) for part, run in groupby(parts))
    return words.join(*(part if times == 1 else words.repeat(part, times) for part, times in runs))


def few(number: Any, where: str, name: str) -> None:
    """Refuse more cycles than can be written one by one."""
    if number > MOST:
        raise Refused(f"{where}({name}={number:g}): at most {MOST} cycles can be written one by one; ask for fewer")
