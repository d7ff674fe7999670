"""Cycles whose ends fall between two steps, cut at the steps where the peer's own arithmetic cuts them."""

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from math import ceil, floor, log, log1p
from typing import Any

import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat.piece import piece, way
from lrlab.schedule.compat.rates import raised
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine
from lrlab.schedule.time import LAST_STEP
from lrlab.schedule.write import written

MOST = 1000  # cycles that are written one by one
_NONE = float(np.finfo(np.float32).tiny)  # a level that is no number in float32


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


def restarts(
    length: int,
    stretch: float,
    shrink: float,
    to: float,
    where: str,
    name: str,
    number: Callable[[int], float] | None = None,
    span: Callable[[int], tuple[int, int]] | None = None,
) -> Schedule:
    """Cosines from 1 to `to`, each `stretch` times as long and `shrink` times as high as the one before.

    Args:
        name: what the peer calls `stretch`.
        number: the peer's own number of the cycle that an update belongs to, if it may err; see `switches`.
        span: where the peer lets cycle i begin and end, if it rounds that.

    >>> restarts(10, 2, 0.5, 0, "", "")
    repeat(decay(10, curve=cosine), stretch=2, shrink=0.5)
    """
    if stretch < 1:
        raise Refused(
            f"{where}({name}={written(stretch)}): cycles that become shorter end; {name} is a number from 1 on"
        )
    if stretch == 1:
        return words.repeat(way(length, 1.0, to, cosine), shrink=shrink)
    count = ceil(log1p(LAST_STEP / length * (stretch - 1)) / log(stretch))
    few(count, where, f"cycles that {name} makes")
    begins = [
        float(f"{length * (stretch**i - 1) / (stretch - 1):.12g}") for i in range(count + 1)
    ]  # rounding is no step
    ends = begins[1:-1]
    at = [0, *(switches(ends, number) if number else map(ceil, ends)), LAST_STEP]
    if stretch == int(stretch) and at[:-1] == begins[:-1]:
        return words.repeat(way(length, 1.0, to, cosine), stretch=int(stretch), shrink=shrink)
    spans = [span(i) for i in range(count)] if span else list(pairwise(begins))
    return joined(cycles(spans, at, [shrink**i for i in range(count)], to, cosine))


def annealed(length: int, stretch: float, shrink: float, to: float, where: str, name: str) -> Schedule:
    """`restarts` that all fall to `to`, which does not shrink.

    >>> annealed(10, 2, 0.5, 0.1, "", "")
    0.9 * repeat(decay(10, curve=cosine), stretch=2, shrink=0.5) + 0.1
    """
    if to == 1:
        return words.stable()
    if shrink == 1 or not to:
        return restarts(length, stretch, shrink, to, where, name)
    return raised((1 - to) * restarts(length, stretch, shrink, 0.0, where, name), to)


def cycles(
    spans: Sequence[tuple[float, float]], at: Sequence[int], levels: Sequence[float], to: float, curve: Curve
) -> list[Schedule]:
    """Cycle i runs along `curve` from levels[i] to `to` times that over spans[i], and serves the updates from at[i] to
    at[i + 1] - 1.

    >>> from lrlab.schedule.curve import linear
    >>> cycles([(0, 2.5), (2.5, 5)], [0, 3, 5], [1, 0.5], 0.0, linear)
    [decay(3, curve=span(0, 1.2)), 0.5 * decay(2, curve=span(0.2, 1))]
    """
    parts = []
    for (begin, end), (first, after), level in zip(spans, pairwise(at), levels):
        if first < after:
            share = [max(float(f"{(t - begin) / (end - begin):.12g}"), 0.0) for t in (first, after)]
            part = way(after - first, 1.0, to, piece(curve, share[0], share[1]))
            parts.append(part if level == 1 else level * part if level > _NONE else words.off(after - first))
    return parts


def joined(parts: Sequence[Schedule]) -> Schedule:
    """Schedules joined, equal ones in a row as a repetition.

    >>> joined([words.decay(3), words.decay(3), words.decay(2)])
    join(repeat(decay(3), 2), decay(2))
    """
    runs = ((part, len(list(run))) for part, run in groupby(parts))
    return words.join(*(part if times == 1 else words.repeat(part, times) for part, times in runs))


def endless(cycle: Schedule, shrink: float, level: float, stretch: int = 1) -> Schedule:
    """Cycles for ever, each `shrink` times as high as the one before; those that grow, as far as float32 goes.

    Args:
        level: what they are multiplied with, or hold already.

    >>> endless(words.stable(30), 0.1, 1), endless(words.stable(30), 10, 1)
    (repeat(stable(30), shrink=0.1), repeat(stable(30), 39, shrink=10))
    """
    if shrink <= 1:
        return words.repeat(cycle, stretch=stretch, shrink=shrink)
    most = 1 + int(log(np.finfo(np.float32).max / max(level, 1.0)) / log(shrink))
    fit = LAST_STEP / cycle.length
    fit = fit if stretch == 1 else log1p(fit * (stretch - 1)) / log(stretch)
    return words.repeat(cycle, max(min(most, int(fit)), 1), stretch=stretch, shrink=shrink)


def few(number: Any, where: str, name: str) -> None:
    """Refuse more cycles than can be written one by one."""
    if number > MOST:
        raise Refused(f"{where}({name}={number:g}): at most {MOST} cycles can be written one by one; ask for fewer")
