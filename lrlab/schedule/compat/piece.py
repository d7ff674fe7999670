"""What peers' schedules are put together from: ways between two levels, pieces of them, first steps, and tables."""

from bisect import bisect_right
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.clock import Repeat, Shift, Stairs
from lrlab.schedule.combine import Pointwise, Scale, Sequence, Then, then
from lrlab.schedule.compat import check
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, linear, polynomial, power, span
from lrlab.schedule.part import Part, Table
from lrlab.schedule.time import LAST_STEP, Horizon
from lrlab.schedule.write import written


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


def bend(p: float) -> Curve:
    """The curve of (1 - u)**p.

    >>> bend(1), bend(2)
    (linear, polynomial(2))
    """
    return linear if p == 1 else polynomial(p)


def ascending(p: float) -> Curve:
    """The curve of u**p.

    >>> ascending(1), ascending(2)
    (linear, power(2))
    """
    return linear if p == 1 else power(p)


def rsqrt(timescale: float, over: int | None = None) -> Schedule:
    """sqrt(timescale / (timescale + t)); the timescale need not be whole.

    >>> rsqrt(100.0), rsqrt(0.8)
    (rsqrt(100), inverse_time(1.25, power=0.5))
    """
    if timescale == int(timescale):
        return words.rsqrt(int(timescale), over)
    return words.inverse_time(1 / timescale, over, power=0.5)


def later(by: int, schedule: Schedule) -> Schedule:
    """A schedule that begins, from 1, after so many steps.

    >>> later(80, words.decay(20)), later(0, words.decay(20))
    (stable(80) >> decay(20), decay(20))
    """
    return words.stable(by) >> schedule if by and schedule != words.stable() else schedule


def cooldown(begin: int, over: int, *, held: bool) -> Schedule:
    """min(1, (begin + over - t)/over), which nothing stops at zero, unless it is `held` there.

    >>> cooldown(80, 20, held=True)
    stable(80) >> decay(20)
    """
    times = 1 if held else (LAST_STEP - begin) // over
    fall = words.decay(times * over, curve=piece(linear, 0, times))
    return later(begin, fall)


def ratio(a: float, b: float) -> float:
    """a/b, without the last digit where that is only rounding.

    >>> 1e-6 / 0.1, ratio(1e-6, 0.1)
    (9.999999999999999e-06, 1e-05)
    """
    exact = a / b
    short = float(f"{exact:.12g}")
    return short if abs(short - exact) <= 4e-16 * abs(exact) else exact


def first(schedule: Schedule, steps: int) -> Schedule:
    """The first `steps` steps of a schedule, made to last just so long: cut where it is longer, held where shorter.

    >>> first(words.decay(100), 70), first(words.decay(100), 120), first(words.repeat(words.decay(10)), 25)
    (decay(70, curve=span(0, 0.7)), join(decay(100), off(20)), repeat(decay(10), over=25))
    """
    match schedule:
        case Scale(shape=Repeat()):
            return schedule.replace(shape=first(schedule.shape, steps))
        case Repeat(over=int() as over) if over < steps:
            return _held(schedule, steps - over)
        case Repeat() if not schedule.schedule._claims() and steps <= schedule.schedule.length:
            return first(schedule.schedule, steps)
    if schedule._claims():
        try:
            return schedule.resolve(Horizon(steps=steps))
        except Refused:  # what it lasts without the part that takes the rest is longer
            return _cut(schedule, steps)
    rest = steps - schedule.length
    return _cut(schedule, steps) if rest < 0 else _held(schedule, rest)


def tabulated(function: Any, steps: Any, where: str, name: str) -> list[float]:
    """The values of a Python function at updates 0 to steps - 1; `Refused` where it is none, or `steps` is not said."""
    if not callable(function):
        raise Refused(f"{where}({name}={written(function)}): {name} is a function of the update number")
    if steps is None:
        raise Refused(
            f"{where} is given a Python function, which becomes a table; say for how many updates, steps=1000"
        )
    return [
        number(function(t), f"{where}({name}=...) at update {t}")
        for t in range(check.steps(steps, where, "steps", least=1))
    ]


def number(value: Any, where: str) -> float:
    """What a Python function returned, as a float."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Refused(f"{where} is {value!r}, not a number") from None


def _cut(schedule: Any, steps: int) -> Schedule:
    """A schedule that lasts longer than `steps`, ended there."""
    match schedule:
        case Scale():
            return schedule.replace(shape=_cut(schedule.shape, steps))
        case Pointwise():
            longer = [part for part in schedule.parts if part._claims() or part.length > steps]
            return schedule.replace(
                parts=tuple(first(part, steps) if part in longer else part for part in schedule.parts)
            )
        case Sequence():
            return _cut_sequence(schedule, steps)
        case Repeat() if schedule.shrink > 1:
            return _cut_growing(schedule, steps)
        case Repeat():
            return schedule.replace(times=None, over=steps)
        case Shift():
            within = max(steps + schedule.by, 1)  # a clock set back by more than there is stands at the first step
            return schedule.replace(schedule=first(schedule.schedule, within), by=within - steps)
        case Stairs(each=int() as each):
            whole, rest = divmod(steps, each)
            last = float(schedule.schedule(whole))
            parts = [
                schedule.replace(schedule=first(schedule.schedule, whole)) if whole else None,
                (last * words.stable(rest) if last else words.off(rest)) if rest else None,
            ]
            return words.join(*filter(None, parts))
        case Table():
            return Table(schedule.values[..., : max(steps, 1)])
        case Part():
            curve = getattr(schedule, "curve", None)
            if not steps or schedule.over is None or curve is None:
                return schedule.replace(over=steps)
            return schedule.replace(over=steps, curve=piece(curve, 0, steps / schedule.length))
    raise Refused(f"{schedule} cannot be ended at step {steps}")


def _cut_sequence(schedule: Sequence, steps: int) -> Schedule:
    kept = []
    for part in schedule.parts:
        lasts = steps if part._claims() else min(part.length, steps)
        if lasts or not kept:
            kept.append(part if not part._claims() and part.length == lasts else first(part, lasts))
        steps -= lasts
    return kept[0] if len(kept) == 1 else schedule.replace(parts=tuple(kept))


def _cut_growing(schedule: Repeat, steps: int) -> Schedule:
    """Cycles that are counted since each is higher than the one before: level ones, times how high they are."""
    each = schedule.schedule.length
    counts = range(1, schedule.times + 1)  # type: ignore[operator]
    whole = bisect_right(counts, steps, key=lambda n: each * schedule._cycles(n))
    rest = steps - each * schedule._cycles(whole)
    if not rest:
        return schedule.replace(times=whole)
    heights = schedule.replace(schedule=words.stable(each), times=whole)
    return schedule.replace(times=None, over=steps, shrink=1.0) * words.join(
        heights, schedule.shrink**whole * words.stable(rest)
    )


def _held(schedule: Schedule, rest: int) -> Schedule:
    """A schedule that is followed by `rest` steps at its last level."""
    if not rest:
        return schedule
    if isinstance(schedule, Scale) and schedule.shape != Then(()):
        return schedule.replace(shape=_held(schedule.shape, rest))
    return words.join(schedule, words.off(rest)) if schedule._ends_at_zero() else then(schedule, words.stable(rest))
