"""The words that schedules are written with: each checks what it is given and builds a node."""

from typing import Any

import numpy as np
from jax.core import Tracer

from lrlab.refusal import Refused
from lrlab.schedule.clock import Repeat, Shift, Stairs
from lrlab.schedule.combine import Join, one_rest, pointwise
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, linear
from lrlab.schedule.number import number
from lrlab.schedule.part import Decay, InverseTime, Off, Ramp, Rsqrt, Stable, Table, Warmup
from lrlab.schedule.time import LAST_STEP, Duration, duration
from lrlab.schedule.write import written

_LARGEST = 100_000_000  # steps in a table


def warmup(over: Duration, *, start: float = 0.0, curve: Curve = linear) -> Schedule:
    """From `start` times the level up to the level (Goyal et al. 2017, section 2.2).

    Update 0 uses `start`; the level itself is first used by the update after the last of `over`.

    Args:
        over: how long: steps, '5ep', '3e6ex', '1e9tok', '20%', or None for the rest of the run.
        start: share of the level at the beginning, between 0 and 1.
        curve: the way up: linear, cosine, sqrt, power(p) or geometric.

    >>> [float(warmup(4)(t)) for t in range(6)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    start = _share(start, "warmup", "start")
    return Warmup(duration(over, "warmup"), start=start, curve=_curve(curve, "warmup", start, 1.0))


def stable(over: Duration = None) -> Schedule:
    """The level, held for `over` (by default for the rest of the run)."""
    return Stable(duration(over, "stable"))


def decay(over: Duration = None, *, to: float = 0.0, curve: Curve = linear) -> Schedule:
    """From the level down to `to` times the level; also called annealing or cooldown.

    Args:
        over: how long (by default the rest of the run).
        to: share of the level at the end, between 0 and 1. Update `over` would use it; the last of the decay is one
            step above it.
        curve: the way down; `sqrt` is the 1-sqrt cooldown of Haegele et al. 2024, `cosine` SGDR's.

    >>> [float(decay(4)(t)) for t in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    to = _share(to, "decay", "to")
    return Decay(duration(over, "decay"), to=to, curve=_curve(curve, "decay", 1.0, to))


def ramp(over: Duration = None, *, start: float, to: float, curve: Curve = linear) -> Schedule:
    """From `start` times the level to `to` times the level, in either direction.

    >>> ramp(2, start=1, to=3)(np.arange(4)).tolist()
    [1.0, 2.0, 3.0, 3.0]
    """
    start, to = _level(start, "ramp", "start"), _level(to, "ramp", "to")
    return Ramp(duration(over, "ramp"), start=start, to=to, curve=_curve(curve, "ramp", start, to))


def rsqrt(timescale: Duration, over: Duration = None) -> Schedule:
    """Inverse square root decay, sqrt(timescale / (timescale + t)): after a warm-up over `timescale` it is the schedule
    of Vaswani et al. 2017 (section 5.3) and of T5.

    >>> float(rsqrt(100)(300))
    0.5
    """
    timescale = duration(timescale, "rsqrt")
    if timescale is None or isinstance(timescale, int) and timescale == 0:
        raise Refused(
            f"rsqrt({timescale}) has no timescale; write the steps after which it has fallen by sqrt(2): rsqrt(10_000)"
        )
    return Rsqrt(duration(over, "rsqrt"), timescale)


def inverse_time(rate: float, over: Duration = None, *, power: float = 1.0) -> Schedule:
    """Inverse time decay, (1 + rate t)**-power: Robbins & Monro's 1/t where power is 1 (Bottou 2012, section 5.2).

    Args:
        rate: how fast it falls, per step; after 1/rate steps it has fallen by 2**power.
        over: how long (by default the rest of the run).
        power: the exponent.

    >>> print(inverse_time(0.01)(np.array([0, 100, 300])))
    [1.   0.5  0.25]
    """
    rate = number(
        rate, f"inverse_time({written(rate)}): the rate is a positive number per step, such as 1e-3", positive=True
    )
    sentence = f"inverse_time(power={written(power)}): the exponent is positive, such as 0.5"
    return InverseTime(duration(over, "inverse_time"), rate, power=number(power, sentence, positive=True))


def off(over: Duration = None) -> Schedule:
    """Zero, for `over` (by default for the rest of the run); what follows it is joined: `join(off(100), warmup(10))`."""
    return Off(duration(over, "off"))


def join(*schedules: Schedule) -> Schedule:
    """Schedules one after another, each at its own level: where `a >> b` multiplies b by the level at which a ended,
    `join(a, b)` jumps to b, as Optax's join_schedules does.

    >>> join(decay(2), 0.5 * stable(2))(np.arange(5)).tolist()
    [1.0, 0.5, 0.5, 0.5, 0.5]
    """
    if not schedules:
        raise Refused("join() joins nothing; write join(first, second)")
    for schedule in schedules:
        if not isinstance(schedule, Schedule):
            raise Refused(
                f"join(..., {written(schedule)}): what is joined must be schedules; to hold a rate write 0.1 * stable(100)"
            )
    one_rest(*schedules)
    return schedules[0] if len(schedules) == 1 else Join._of(schedules)


def repeat(
    schedule: Schedule,
    times: int | None = None,
    *,
    over: Duration = None,
    stretch: int = 1,
    shrink: float = 1.0,
) -> Schedule:
    """Cycles of a schedule, each from the same level: warm restarts (SGDR, Loshchilov & Hutter 2016).

    Args:
        schedule: one cycle. If it takes the rest of the run, the `times` cycles share it and whole steps that are left
            over hold the last value.
        times: how many cycles. Without it they go on for `over` and the last one is cut.
        over: how long the cycles go on, where `times` does not say it (by default the rest of the run).
        stretch: each cycle lasts this many times as long as the one before (T_mult), a whole number.
        shrink: each cycle is this many times as high as the one before.

    >>> repeat(decay(2), 2, stretch=2)(np.arange(7)).tolist()
    [1.0, 0.5, 1.0, 0.75, 0.5, 0.25, 0.0]
    >>> repeat(stable(2), shrink=0.5)(np.arange(7)).tolist()  # a staircase
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125]
    """
    if not isinstance(schedule, Schedule):
        raise Refused(f"repeat({schedule!r}, ...): what is repeated must be a schedule, such as decay('10ep')")
    for name, value in (("times", times), ("stretch", stretch)):
        if name == "times" and value is None:
            continue
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise Refused(f"repeat({name}={value!r}): {name} is a whole number from 1 on")
    if (
        stretch > LAST_STEP
        or times is not None
        and (times > LAST_STEP or stretch > 1 and (times > 31 or int(stretch) ** int(times) > LAST_STEP))
    ):
        raise Refused(
            f"repeat(times={times}, stretch={stretch}) lasts longer than 2**31 - 1 steps; ask for fewer times"
        )
    sentence = f"repeat(shrink={written(shrink)}): each cycle is a positive share of the one before, such as 0.5"
    shrink = number(shrink, sentence, positive=True)
    if times is None:
        return _endless(schedule, over, int(stretch), shrink)
    if over is not None:
        raise Refused(f"repeat({times}, over={written(over)}) says twice how long it goes on; leave one of them out")
    if not isinstance(shrink, Tracer):
        with np.errstate(over="ignore"):  # the highest cycle must be a number too
            number(np.power(shrink, times - 1.0), sentence)
    return Repeat(schedule, int(times), stretch=int(stretch), shrink=shrink)


def _endless(schedule: Schedule, over: Duration, stretch: int, shrink: Any) -> Schedule:
    if schedule._claims():
        raise Refused(
            f"{schedule} in repeat(...) takes the rest of the run, and there is no number of cycles to share it; write "
            f"repeat(..., times), or give the cycle a duration"
        )
    sentence = f"repeat(shrink={written(shrink)}) without times grows beyond every number; write repeat(..., times)"
    number(shrink, sentence, most=1.0)
    return Repeat(schedule, None, over=duration(over, "repeat"), stretch=stretch, shrink=shrink)


def shift(schedule: Schedule, by: int) -> Schedule:
    """A schedule whose clock is `by` steps ahead, or behind where `by` is negative: shift(s, by)(t) = s(t + by).

    >>> shift(warmup(4), 1)(np.arange(4)).tolist()
    [0.25, 0.5, 0.75, 1.0]
    >>> shift(warmup(4), -1)(np.arange(4)).tolist()
    [0.0, 0.0, 0.25, 0.5]
    """
    if not isinstance(schedule, Schedule):
        raise Refused(f"shift({written(schedule)}, ...): what is shifted must be a schedule, such as warmup(100)")
    if not isinstance(by, int | np.integer) or isinstance(by, bool) or abs(by) > LAST_STEP:
        raise Refused(f"shift(..., {written(by)}): the clock is shifted by whole steps, such as 1 or -100")
    return Shift(schedule, int(by))


def stairs(schedule: Schedule, each: Duration) -> Schedule:
    """A schedule whose clock moves once every `each` steps: stairs(s, n)(t) = s(t // n).

    So durations in `schedule` are counted in stairs: what others step once an epoch is `stairs(..., "1ep")`.

    >>> stairs(decay(2), 3)(np.arange(8)).tolist()
    [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.0, 0.0]
    """
    if not isinstance(schedule, Schedule):
        raise Refused(f"stairs({written(schedule)}, ...): what moves in stairs must be a schedule, such as decay(90)")
    each = duration(each, "stairs")
    if each is None or isinstance(each, int) and each == 0:
        raise Refused(f"stairs(..., {written(each)}): each stair lasts a step or more; write stairs(schedule, 100)")
    return Stairs(schedule, each)


def table(values: Any, steps: int | None = None) -> Schedule:
    """One value per step, then the last one held.

    Args:
        values: numbers, [steps]; or a schedule, of which the first `steps` values are taken (all, if it is in steps).
        steps: for numbers, how many steps they are spread over by linear interpolation, ends included.

    >>> table([1.0, 0.0], steps=5)(np.arange(5)).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if steps is not None and (
        not isinstance(steps, int | np.integer) or isinstance(steps, bool) or not 1 <= steps <= LAST_STEP
    ):
        raise Refused(f"table(steps={steps!r}): steps is a positive whole number")
    count = values.length if isinstance(values, Schedule) and steps is None else steps or 0
    if count > _LARGEST:
        raise Refused(f"a table of {count} steps takes too much memory; at most {_LARGEST}")
    if isinstance(values, Schedule):
        values = values(np.arange(count))
    if isinstance(values, Tracer):
        return Table(values)
    try:
        given = np.asarray(values)
    except ValueError:  # lists of different lengths
        given = np.empty((0, 0))
    if given.ndim != 1 or not given.size or given.dtype.kind not in "iuf":
        raise Refused(
            f"table({written(values)}) is not a list of numbers; write one rate per step, table([1.0, 0.5, 0.1])"
        )
    rates = number(given, "table(...) holds values that are negative or not finite; a rate is a number from 0 on")
    if steps is not None and steps != len(rates):
        rates = np.interp(np.linspace(0, len(rates) - 1, steps), np.arange(len(rates)), rates)
    return Table(rates)


def minimum(left: Any, right: Any) -> Schedule:
    """The lower of two schedules (or a number) at every step."""
    return pointwise("minimum", left, right)


def maximum(left: Any, right: Any) -> Schedule:
    """The higher of two schedules (or a number) at every step."""
    return pointwise("maximum", left, right)


def _level(value: Any, word: str, name: str) -> Any:
    return number(value, f"{word}({name}={written(value)}): {name} is a share of the level, a number from 0 on")


def _share(value: Any, word: str, name: str) -> Any:
    value = _level(value, word, name)
    sentence = f"{word}({name}={written(value)}): {name} is a share of the level, between 0 and 1; to rise above it write ramp(start=..., to=...)"
    return number(value, sentence, most=1.0)


def _curve(curve: Any, word: str, a: Any, b: Any) -> Curve:
    if not isinstance(curve, Curve):
        raise Refused(
            f"{word}(curve={curve!r}): a curve is linear, cosine, sqrt, power(p) or geometric, without quotes"
        )
    if curve.of_positive_levels:
        for level in (a, b):
            number(
                level,
                f"{word} with curve=geometric cannot reach zero; give both ends a positive level, such as 1e-3",
                positive=True,
            )
    return curve
