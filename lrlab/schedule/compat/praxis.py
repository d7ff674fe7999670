"""praxis.schedules (praxis 1.4.0), whose optimizers multiply the schedule with their `learning_rate` at updates 0, 1, ...

So may you: `3e-4 * praxis.LinearRampupSqrtDecay(1.0, 4000)`.
"""

from collections.abc import Sequence
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import named, words
from lrlab.schedule.compat import check, optax
from lrlab.schedule.compat.piece import ascending, bend, first
from lrlab.schedule.compat.product import product
from lrlab.schedule.compat.rates import chain, hold, piecewise_constant, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, geometric, linear
from lrlab.schedule.write import written


def Constant(value: float = 1.0) -> Schedule:
    """One value for ever.

    >>> Constant(0.1)
    0.1 * stable()
    """
    return hold(check.share(value, "Constant", "value"))


def Polynomial(
    power: float = 1,
    start: tuple[int, float] = (0, 1.0),
    limit: tuple[int, float] = (1, 1.0),
    origin: str = "start",
) -> Schedule:
    """From the point (update, value) `start` to the point `limit`, as u**power or, from the origin "limit", 1 - (1 - u)**power.

    >>> Polynomial(2, (0, 0.1), (1000, 0.01), origin="limit")
    0.1 * decay(1000, to=0.1, curve=polynomial(2))
    """
    p = check.share(power, "Polynomial", "power", positive=True)
    curves = {"start": ascending(p), "limit": bend(p)}
    return _between("Polynomial", start, limit, curves[check.choice(origin, "Polynomial", "origin", curves)])


def Linear(start: tuple[int, float] = (0, 1.0), limit: tuple[int, float] = (1, 1.0)) -> Schedule:
    """A line from the point `start` to the point `limit`.

    >>> Linear((0, 0.0), (1000, 0.1))
    0.1 * warmup(1000)
    """
    return _between("Linear", start, limit, linear)


def Exponential(start: tuple[int, float] = (0, 1.0), limit: tuple[int, float] = (1, 0.5)) -> Schedule:
    """From the point `start` to the point `limit`, straight on a log axis.

    >>> Exponential((100, 1.0), (1000, 0.01))
    1 * stable(100) >> decay(900, to=0.01, curve=geometric)
    """
    return _between("Exponential", start, limit, geometric)


def Cosine(initial_value: float = 1.0, final_value: float = 0.0, total_steps: int = 0) -> Schedule:
    """A cosine from `initial_value` to `final_value`.

    >>> Cosine(1.0, 0.1, 1000)
    1 * decay(1000, to=0.1, curve=cosine)
    """
    steps = check.steps(total_steps, "Cosine", "total_steps", least=1)
    return _between("Cosine", (0, initial_value), (steps, final_value), cosine)


def DelayedCosine(start: tuple[int, float] = (0, 1.0), limit: tuple[int, float] = (1, 0.5)) -> Schedule:
    """A cosine from the point `start` to the point `limit`.

    >>> DelayedCosine((100, 1.0), (1000, 0.1))
    1 * stable(100) >> decay(900, to=0.1, curve=cosine)
    """
    return _between("DelayedCosine", start, limit, cosine)


def LinearRampupPolynomialDecay(power: float = 1, **stages: Any) -> Schedule:
    """A warm-up to `max`, held until `decay_start`, then 1 - u**power to `min_ratio` of it at `decay_end`.

    Args:
        stages: warmup_steps=0, decay_start=0, decay_end=0, min_ratio=0.01 and max, as in the two after this.

    >>> LinearRampupPolynomialDecay(warmup_steps=100, decay_start=200, decay_end=1000, max=1.0)
    1 * warmup(100) >> stable(100) >> decay(800, to=0.01)
    """
    p = check.share(power, "LinearRampupPolynomialDecay", "power", positive=True)
    return _rampup("LinearRampupPolynomialDecay", ascending(p), **stages)


def LinearRampupCosineDecay(**stages: Any) -> Schedule:
    """A warm-up to `max`, held until `decay_start`, then a cosine to `min_ratio` of it at `decay_end`.

    >>> LinearRampupCosineDecay(warmup_steps=100, decay_start=100, decay_end=1000, min_ratio=0.1, max=1.0)
    1 * warmup(100) >> decay(900, to=0.1, curve=cosine)
    """
    return _rampup("LinearRampupCosineDecay", cosine, **stages)


def LinearRampupExponentialDecay(**stages: Any) -> Schedule:
    """A warm-up to `max`, held until `decay_start`, then exponential to `min_ratio` of it at `decay_end`.

    >>> LinearRampupExponentialDecay(warmup_steps=100, decay_start=100, decay_end=1000, max=1.0)
    1 * warmup(100) >> decay(900, to=0.01, curve=geometric)
    """
    return _rampup("LinearRampupExponentialDecay", geometric, **stages)


def PiecewiseConstant(boundaries: Sequence[int], values: Sequence[float]) -> Schedule:
    """A value up to each boundary, and the last from the last one on. As in praxis a value of zero is skipped: the next that
    is none, but for the last, is used for it.

    >>> PiecewiseConstant([30, 60], [0.1, 0.05, 0.01])
    join(0.1 * stable(30), 0.05 * stable(30), 0.01 * stable())
    """
    where = "PiecewiseConstant"
    edges = [check.steps(boundary, where, "boundaries") for boundary in boundaries]
    given = [check.share(value, where, "values") for value in values]
    if edges != sorted(edges) or len(given) != len(edges) + 1:
        raise Refused(
            f"{where}(boundaries={written(list(boundaries))}, values={written(list(values))}): boundaries ascend, and there "
            f"is one value more than there are boundaries"
        )
    used = [next(filter(None, given[i:-1]), 0.0) for i in range(len(edges))]
    return piecewise_constant([*used, given[-1]], edges)


def LinearRampupPiecewiseConstant(boundaries: Sequence[int], values: Sequence[float]) -> Schedule:
    """A warm-up to the first value at the first boundary, and a new value at each other one.

    >>> LinearRampupPiecewiseConstant([10, 30, 60], [0.1, 0.05, 0.01])
    join(0.1 * warmup(10) >> stable(20), 0.05 * stable(30), 0.01 * stable())
    """
    where = "LinearRampupPiecewiseConstant"
    edges = [check.steps(boundary, where, "boundaries", least=1) for boundary in boundaries]
    if not edges or len(values) != len(edges):
        raise Refused(
            f"{where}(boundaries={written(list(boundaries))}, values={written(list(values))}): each boundary has its value"
        )
    rest = PiecewiseConstant([edge - edges[0] for edge in edges[1:]], values)
    return chain(way(0, check.share(values[0], where, "values"), edges[0]), *getattr(rest, "parts", [rest]))


def Transformer(
    warmup_steps: int = 4000, model_dim: int = 512, worker_replicas: int = 1, decay_end: int | None = None
) -> Schedule:
    """model_dim^-0.5 min(s^-0.5, s W^-1.5) at update s = t + 1 (Vaswani et al. 2017, eq. 3), with W the warm-up times the
    replicas; held from `decay_end` on.

    >>> Transformer(100, 64, decay_end=1000)
    0.0125 * warmup(99, start=0.01) >> rsqrt(100, 901)
    """
    warm = check.steps(warmup_steps, "Transformer", "warmup_steps", least=1)
    noam = named.noam(model_dim, warm * check.steps(worker_replicas, "Transformer", "worker_replicas", least=1))
    return noam if decay_end is None else first(noam, check.steps(decay_end, "Transformer", "decay_end"))


def SqrtDecay(decay_start: int = 10000, multiplier: float = 1.0, offset: int = 0) -> Schedule:
    """multiplier/sqrt(max(t - offset, decay_start)).

    >>> SqrtDecay(100, offset=50)
    0.1 * stable(150) >> rsqrt(100)
    """
    where = "SqrtDecay"
    begin = check.steps(decay_start, where, "decay_start", least=1)
    delay = check.steps(offset, where, "offset", least=-(2**31) + 1)
    level = check.rate(multiplier, where, "multiplier") * max(begin, -delay) ** -0.5
    return chain(hold(level, max(begin + delay, 0)), level * words.rsqrt(max(begin, -delay)))


def LinearRampupSqrtDecay(peak: float = 1.0, warmup_steps: int = 4000) -> Schedule:
    """peak min(s/warmup_steps, sqrt(warmup_steps/s)) with s = max(t, 1): the first two updates are alike.

    >>> LinearRampupSqrtDecay(1.0, 100)
    join(0.01 * stable(1), 1 * warmup(99, start=0.01) >> rsqrt(100))
    """
    where = "LinearRampupSqrtDecay"
    peak, warm = check.rate(peak, where, "peak"), check.steps(warmup_steps, where, "warmup_steps", least=1)
    return chain(hold(peak / warm, 1), way(peak / warm, peak, warm - 1), peak * words.rsqrt(warm))


def PiecewiseSchedule(boundaries: Sequence[int], schedules: Sequence[Schedule]) -> Schedule:
    """Schedules one after another, each with its own clock, the next from its boundary on.

    >>> PiecewiseSchedule([100], [Linear((0, 0.0), (100, 1.0)), Cosine(1.0, 0.0, 900)])
    1 * warmup(100) >> decay(900, curve=cosine)
    """
    return optax.join_schedules(schedules, boundaries)


def CycleSchedule(schedules: Sequence[Schedule], steps: Sequence[int]) -> Schedule:
    """Schedules in turn, each for its steps, over and over; all of them on the clock of the run.

    >>> CycleSchedule([Constant(1.0), Constant(0.1)], [3, 1])
    repeat(join(stable(3), off(1))) + 0.1 * repeat(join(off(3), stable(1)))
    """
    where = "CycleSchedule"
    lengths = [check.steps(length, where, "steps", least=1) for length in steps]
    if not lengths or len(lengths) != len(schedules):
        raise Refused(f"{where}: there are {len(schedules)} schedules and {len(lengths)} steps; write steps for each")
    turns = [product(schedule, _turn(lengths, i)) for i, schedule in enumerate(schedules)]
    cycle = turns[0]
    for turn in turns[1:]:
        cycle = cycle + turn
    return cycle


def ContinuousSchedule(
    initial_value: float = 1.0, start_step: int = 400_000, half_life_steps: int = 100_000, min: float = 0.01
) -> Schedule:
    """`initial_value`, from `start_step` on halved every `half_life_steps`, no lower than `min` times it.

    >>> ContinuousSchedule(1.0, 1000, 500, min=0.1)
    maximum(1 * stable(1000) >> repeat(decay(500, to=0.5, curve=geometric), shrink=0.5), 0.1)
    """
    where = "ContinuousSchedule"
    initial, begin = check.rate(initial_value, where, "initial_value"), check.steps(start_step, where, "start_step")
    half = check.steps(half_life_steps, where, "half_life_steps", least=1)
    low = check.share(min, where, "min", positive=True)
    if low >= 1:
        raise Refused(f"{where}(min={written(min)}): it lies below the initial value, a share of it such as 0.01")
    return words.maximum(chain(hold(initial, begin), optax.exponential_decay(initial, half, 0.5)), initial * low)


def _between(where: str, start: tuple[int, float], limit: tuple[int, float], curve: Curve) -> Schedule:
    """From one point to another, which comes later; held before and after."""
    if len(start) != 2 or len(limit) != 2 or not start[0] < limit[0]:
        points = f"start={written(list(start))}, limit={written(list(limit))}"
        raise Refused(f"{where}({points}): both are an update and a value there, and the limit comes later")
    begin, end = check.steps(start[0], where, "start"), check.steps(limit[0], where, "limit")
    a, b = (check.share(value, where, "a value", positive=curve.of_positive_levels) for value in (start[1], limit[1]))
    return chain(hold(a, begin), way(a, b, end - begin, curve))


def _rampup(
    where: str,
    curve: Curve,
    *,
    max: float = 0.0,
    warmup_steps: int = 0,
    decay_start: int = 0,
    decay_end: int = 0,
    min_ratio: float = 0.01,
) -> Schedule:
    peak, warm = check.rate(max, where, "max"), check.steps(warmup_steps, where, "warmup_steps")
    begin, end = check.steps(decay_start, where, "decay_start"), check.steps(decay_end, where, "decay_end")
    if not warm <= begin < end:
        raise Refused(
            f"{where}(warmup_steps={warm}, decay_start={begin}, decay_end={end}): the decay starts no earlier than the "
            f"warm-up ends, and ends later than it starts"
        )
    low = peak * check.share(min_ratio, where, "min_ratio", positive=curve.of_positive_levels)
    return chain(way(0, peak, warm), hold(peak, begin - warm), way(peak, low, end - begin, curve))


def _turn(lengths: Sequence[int], i: int) -> Schedule:
    """1 in turn i of a cycle, and 0 in the others."""
    before, after = sum(lengths[:i]), sum(lengths[i + 1 :])
    parts = [words.off(before), words.stable(lengths[i]), words.off(after)]
    return words.repeat(words.join(*(part for part in parts if part.length)))
