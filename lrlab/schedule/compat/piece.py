"""What peers' schedules are put together from: ways between two levels, and pieces of them."""

from lrlab.schedule import words
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, linear, span


def way(over: int | None, start: float, to: float, curve: Curve = linear) -> Schedule:
    """From the level `start` to the level `to`, in the word that says it best.

    >>> way(9, 0.1, 1), way(9, 1, 0.1), way(9, 0.2, 0.1)
    (warmup(9, start=0.1), decay(9, to=0.1), ramp(9, start=0.2, to=0.1))
    """
    if start == to == 1:
        return words.stable(over)
    if to == 1 and start < 1:
        return words.warmup(over, start=start, curve=curve)
    if start == 1 and to < 1:
        return words.decay(over, to=to, curve=curve)
    return words.ramp(over, start=start, to=to, curve=curve)


def piece(curve: Curve, begin: float, end: float) -> Curve:
    """A curve between two of its fractions; all of it from 0 to 1.

    >>> from lrlab.schedule.curve import cosine
    >>> piece(cosine, 0, 0.5), piece(linear, 0, 0.5), piece(cosine, 0, 1)
    (cosine @ span(0, 0.5), span(0, 0.5), cosine)
    """
    if begin == 0 and end == 1:
        return curve
    return span(begin, end) if curve == linear else curve @ span(begin, end)


def ratio(a: float, b: float) -> float:
    """a/b, without the last digit where that is only rounding.

    >>> 1e-6 / 0.1, ratio(1e-6, 0.1)
    (9.999999999999999e-06, 1e-05)
    """
    exact = a / b
    short = float(f"{exact:.12g}")
    return short if abs(short - exact) <= 4e-16 * abs(exact) else exact
