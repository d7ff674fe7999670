"""optax.schedules (Optax 0.2.8), which an optimizer calls with its count of updates, from 0; after the end all of them hold.

Optax counts in float32, and so the staircase of its `exponential_decay`, compiled, switches one update late at some
multiples of `transition_steps`, such as 107, 214, 428 and 856 for 107. Here it switches where it should.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import bend, first
from lrlab.schedule.compat.rates import chain, hold, legs, piecewise_constant, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, geometric, linear
from lrlab.schedule.time import LAST_STEP
from lrlab.schedule.write import written


def constant_schedule(value: float) -> Schedule:
    """One value for ever.

    >>> constant_schedule(3e-4)
    3e-4 * stable()
    """
    return hold(check.share(value, "constant_schedule", "value"))


def polynomial_schedule(
    init_value: float, end_value: float, power: float, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    """From `init_value`, held for `transition_begin`, to `end_value` over `transition_steps`, as (1 - u)**power.

    Where `transition_steps` is zero or less it stays at `init_value` for ever.

    >>> polynomial_schedule(0.1, 0.01, 2, 1000, 200)
    0.1 * stable(200) >> decay(1000, to=0.1, curve=polynomial(2))
    """
    where = "polynomial_schedule"
    curve = _bent(linear, power, where, "power")
    return _transition(init_value, end_value, curve, transition_steps, transition_begin, where)


def linear_schedule(init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0) -> Schedule:
    """From `init_value`, held for `transition_begin`, to `end_value` in a straight line over `transition_steps`.

    Where `transition_steps` is zero or less it stays at `init_value` for ever.

    >>> linear_schedule(0, 0.1, 1000)
    0.1 * warmup(1000)
    """
    return _transition(init_value, end_value, linear, transition_steps, transition_begin, "linear_schedule")


def piecewise_constant_schedule(
    init_value: float, boundaries_and_scales: Mapping[int, float] | None = None
) -> Schedule:
    """`init_value`, multiplied by a scale from each boundary on; the scales multiply one another.

    >>> piecewise_constant_schedule(0.1, {30: 0.5, 60: 0.1})
    join(0.1 * stable(30), 0.05 * stable(30), 5e-3 * stable())
    """
    where = "piecewise_constant_schedule"
    boundaries, values = _scaled(init_value, boundaries_and_scales, where)
    return piecewise_constant(values, boundaries)


def piecewise_interpolate_schedule(
    interpolate_type: str, init_value: float, boundaries_and_scales: Mapping[int, float] | None = None
) -> Schedule:
    """From `init_value`, linearly or on cosines, to its multiple by a scale at each boundary; the scales multiply one
    another.

    >>> piecewise_interpolate_schedule("cosine", 0.004, {30: 25, 100: 0.1})
    0.1 * warmup(30, start=0.04, curve=cosine) >> decay(70, to=0.1, curve=cosine)
    """
    where = "piecewise_interpolate_schedule"
    curves = {"linear": linear, "cosine": cosine}
    curve = curves[check.choice(interpolate_type, where, "interpolate_type", curves)]
    boundaries, values = _scaled(init_value, boundaries_and_scales, where)
    return legs(values, boundaries, curve)


def linear_onecycle_schedule(
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    pct_final: float = 0.85,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """One cycle of three straight lines: from `peak_value / div_factor` to the peak, back, and on to that over
    `final_div_factor` (Smith & Topin 2017).

    >>> linear_onecycle_schedule(1000, 0.1)
    0.1 * warmup(300, start=0.04) >> decay(550, to=0.04) >> decay(150, to=1e-4)
    """
    where = "linear_onecycle_schedule"
    steps = check.steps(transition_steps, where, "transition_steps", least=1)
    first = _beginning(peak_value, div_factor, where)
    final = check.share(final_div_factor, where, "final_div_factor", positive=True)
    scales = {
        int(check.share(pct_start, where, "pct_start", most=1.0) * steps): div_factor,
        int(check.share(pct_final, where, "pct_final", most=1.0) * steps): 1 / div_factor,
        steps: 1 / final,
    }
    return piecewise_interpolate_schedule("linear", first, scales)


def cosine_onecycle_schedule(
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """One cycle of two cosines: from `peak_value / div_factor` to the peak, and to that over `final_div_factor`.

    Where `pct_start` leaves no step to rise it begins at the peak.

    >>> cosine_onecycle_schedule(1000, 0.1)
    0.1 * warmup(300, start=0.04, curve=cosine) >> decay(700, to=4e-6, curve=cosine)
    """
    where = "cosine_onecycle_schedule"
    steps = check.steps(transition_steps, where, "transition_steps", least=1)
    first = _beginning(peak_value, div_factor, where)
    final = check.share(final_div_factor, where, "final_div_factor", positive=True)
    start = int(check.share(pct_start, where, "pct_start", most=1.0) * steps)
    scales = {start: div_factor, steps: 1 / (div_factor * final)}
    return piecewise_interpolate_schedule("cosine", first, scales)


def exponential_decay(
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    """`init_value`, held for `transition_begin`, then times `decay_rate` every `transition_steps`, for ever.

    Args:
        staircase: fall (or rise) in steps instead of smoothly.
        end_value: bounds it, from below where `decay_rate` is less than 1, from above otherwise. Without it a rate that
            rises stops where float32 ends.

    >>> exponential_decay(0.1, 1000, 0.5, end_value=1e-3)
    maximum(0.1 * repeat(decay(1000, to=0.5, curve=geometric), shrink=0.5), 1e-3 * stable())
    >>> exponential_decay(0.1, 1000, 0.5, staircase=True)
    0.1 * repeat(stable(1000), shrink=0.5)
    """
    where = "exponential_decay"
    init, steps = check.share(init_value, where, "init_value"), _transition_steps(transition_steps, where)
    ratio = check.share(decay_rate, where, "decay_rate")
    begin = _transition_begin(transition_begin, where)
    if not steps or not ratio:
        return hold(init)
    schedule = _geometric(init, steps, ratio, staircase) if init and ratio != 1 else hold(init)
    if init and ratio != 1:
        schedule = chain(hold(init, begin), schedule)
    if end_value is None:
        return schedule
    end = check.share(end_value, where, "end_value")
    if ratio < 1:
        return words.maximum(schedule, hold(end)) if end else schedule
    return words.minimum(schedule, hold(end)) if end else hold(0)


def cosine_decay_schedule(init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0) -> Schedule:
    """A cosine from `init_value` to `alpha` times it over `decay_steps`, to a power (Loshchilov & Hutter 2016).

    >>> cosine_decay_schedule(0.1, 1000, alpha=0.1)
    0.1 * decay(1000, to=0.1, curve=cosine)
    """
    where = "cosine_decay_schedule"
    init, alpha = check.share(init_value, where, "init_value"), check.share(alpha, where, "alpha")
    steps = check.steps(decay_steps, where, "decay_steps", least=1)
    return way(init, init * alpha, steps, _bent(cosine, exponent, where, "exponent"))


def warmup_constant_schedule(init_value: float, peak_value: float, warmup_steps: int) -> Schedule:
    """A straight line from `init_value` to `peak_value`, which is held.

    Where `warmup_steps` is zero it stays at `init_value` for ever, and never reaches the peak.

    >>> warmup_constant_schedule(0, 3e-4, 2000)
    3e-4 * warmup(2000) >> stable()
    """
    where = "warmup_constant_schedule"
    peak, warm = check.share(peak_value, where, "peak_value"), _transition_steps(warmup_steps, where, "warmup_steps")
    rise = _transition(init_value, peak_value, linear, warm, 0, where)
    return chain(rise, hold(peak)) if warm else rise


def warmup_cosine_decay_schedule(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> Schedule:
    """A straight line from `init_value` to `peak_value`, then a cosine to `end_value`; `decay_steps` counts them both.

    >>> warmup_cosine_decay_schedule(0, 3e-4, 2000, 10_000, end_value=3e-5)
    3e-4 * warmup(2000) >> decay(8000, to=0.1, curve=cosine)
    """
    where = "warmup_cosine_decay_schedule"
    warm = check.steps(warmup_steps, where, "warmup_steps")
    total = check.steps(decay_steps, where, "decay_steps", least=1)
    if total <= warm:
        raise Refused(
            f"{where}(warmup_steps={warm}, decay_steps={total}): decay_steps counts the warm-up too, and must be more than it"
        )
    init, peak = check.share(init_value, where, "init_value"), check.share(peak_value, where, "peak_value")
    end = check.share(end_value, where, "end_value") if peak else 0.0
    down = way(peak, end, total - warm, _bent(cosine, exponent, where, "exponent"))
    return chain(way(init, peak, warm), down)


def warmup_exponential_decay_schedule(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    """A straight line from `init_value` to `peak_value`, then `exponential_decay`.

    >>> warmup_exponential_decay_schedule(0, 0.1, 500, 1000, 0.5)
    0.1 * warmup(500) >> repeat(decay(1000, to=0.5, curve=geometric), shrink=0.5)
    """
    where = "warmup_exponential_decay_schedule"
    init, peak = check.share(init_value, where, "init_value"), check.share(peak_value, where, "peak_value")
    down = exponential_decay(peak, transition_steps, decay_rate, transition_begin, staircase, end_value)
    warm = check.steps(warmup_steps, where, "warmup_steps")
    return chain(way(init, peak, warm), down)


def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, Any]]) -> Schedule:
    """Warm restarts, each cycle with its own arguments of `warmup_cosine_decay_schedule` (Loshchilov & Hutter 2016).

    >>> sgdr_schedule([dict(init_value=0, peak_value=peak, warmup_steps=1, decay_steps=9) for peak in (1, 0.5)])
    join(1 * warmup(1) >> decay(8, curve=cosine), 0.5 * warmup(1) >> decay(8, curve=cosine))
    """
    cycles = []
    for kwargs in cosine_kwargs:
        try:
            cycles.append(warmup_cosine_decay_schedule(**kwargs))
        except TypeError as error:
            raise Refused(f"sgdr_schedule({dict(kwargs)}): {error}") from None
    if not cycles:
        raise Refused(
            "sgdr_schedule([]) has no cycle; write one dict of arguments for each, such as dict(init_value=0, ...)"
        )
    return words.join(*cycles)


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """Schedules one after another, each with its own clock, the next from its boundary on; a longer one is cut.

    >>> join_schedules([linear_schedule(0, 0.1, 500), cosine_decay_schedule(0.1, 1000)], [500])
    0.1 * warmup(500) >> decay(1000, curve=cosine)
    """
    edges = [0, *(check.steps(boundary, "join_schedules", "boundaries") for boundary in boundaries)]
    if len(edges) != len(schedules) or edges != sorted(edges):
        raise Refused(
            f"join_schedules({len(schedules)} schedules, boundaries={written(list(boundaries))}): there is one boundary "
            f"between each two schedules, in ascending order"
        )
    for schedule in schedules:
        if not isinstance(schedule, Schedule):
            raise Refused(
                f"join_schedules([..., {schedule!r}, ...]): from a function of the step make a schedule with from_optax"
            )
    lengths = [end - begin for begin, end in pairwise(edges)]
    return chain(*(first(s, n) for s, n in zip(schedules, lengths)), schedules[-1])


def from_optax(schedule: Callable[[Any], Any], steps: int) -> Schedule:
    """The first `steps` values of a function of the step, such as an `optax.Schedule`, as a table; then the last of them.

    >>> from_optax(lambda count: 0.1 / (1 + count), 3)(np.arange(4)).tolist()  # doctest: +ELLIPSIS
    [0.10..., 0.05..., 0.033..., 0.033...]
    """
    steps = check.steps(steps, "from_optax", "steps", least=1)
    if not callable(schedule):
        raise Refused(f"from_optax({schedule!r}, ...): an Optax schedule is a function of the step")
    if isinstance(schedule, Schedule):
        return words.table(schedule, steps)
    counts = jnp.arange(steps)
    try:
        values = jax.vmap(lambda count: jnp.asarray(schedule(count), jnp.float32))(counts)
    except jax.errors.JAXTypeError:  # it asks `if count < ...`: one step at a time
        values = [float(schedule(count)) for count in range(steps)]
    return words.table(np.asarray(values, np.float32))


def _transition(init: Any, end: Any, curve: Curve, steps: Any, begin: Any, where: str) -> Schedule:
    init, end = check.share(init, where, "init_value"), check.share(end, where, "end_value")
    steps, begin = _transition_steps(steps, where), _transition_begin(begin, where)
    if not steps:
        return hold(init)
    change = way(init, end, steps, curve)
    return chain(hold(init, begin), change)


def _geometric(init: float, steps: int, ratio: float, staircase: bool) -> Schedule:
    """`init` times `ratio` every so many steps, for ever or as long as that is a number."""
    if ratio < 1:
        cycle = words.stable(steps) if staircase else words.decay(steps, to=ratio, curve=geometric)
        return init * words.repeat(cycle, shrink=ratio)
    cycle = words.stable(steps) if staircase else words.ramp(steps, start=1, to=ratio, curve=geometric)
    times = int(math.log(float(np.finfo(np.float32).max) / max(init, 1.0)) / math.log(ratio))
    return init * words.repeat(cycle, max(min(times, LAST_STEP // steps), 1), shrink=ratio)


def _transition_steps(value: Any, where: str, name: str = "transition_steps") -> int:
    """Steps; below zero, as at zero, nothing changes."""
    return max(check.steps(value, where, name, least=-LAST_STEP), 0)


def _transition_begin(value: Any, where: str) -> int:
    return max(check.steps(value, where, "transition_begin", least=-LAST_STEP), 0)


def _bent(curve: Curve, power: Any, where: str, name: str) -> Curve:
    """What remains of a curve, to a power."""
    power = check.share(power, where, name, positive=True)
    return bend(power) if curve is linear else curve if power == 1 else bend(power) @ curve


def _beginning(peak: Any, div: Any, where: str) -> float:
    """Where one cycle begins."""
    return check.share(peak, where, "peak_value") / check.share(div, where, "div_factor", positive=True)


def _scaled(init: Any, scales: Any, where: str) -> tuple[list[int], list[float]]:
    """Boundaries in ascending order, and the values before, between and after them."""
    values, boundaries = [check.share(init, where, "init_value")], []
    for boundary, scale in sorted((scales or {}).items()):
        boundaries.append(check.steps(boundary, where, "a boundary"))
        values.append(values[-1] * check.share(scale, where, f"the scale at {boundary}"))
    return boundaries, values
