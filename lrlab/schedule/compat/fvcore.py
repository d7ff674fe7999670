"""fvcore.common.param_scheduler (fvcore 0.1.5), functions of the share of a run that is done, and detectron2's use of them.

`LRMultiplier(scheduler, max_iter, base_lr=...)`, detectron2's, makes one a schedule of the update; so does `steps=...`, how
many updates the run has. They are for shares from 0 to 1, and from 1 on most of them fail; here the end is held.
"""

from collections.abc import Sequence
from math import ceil
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import bend, ratio
from lrlab.schedule.compat.progress import Leg, laid, legs_of, steps_of, value
from lrlab.schedule.compat.rates import hold, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine, geometric
from lrlab.schedule.write import written

_EARLY = 1e-6  # WHERE_EPSILON


def ConstantParamScheduler(value: float, *, steps: int | None = None) -> Schedule:
    """A value, held.

    >>> ConstantParamScheduler(0.1)
    0.1 * stable()
    """
    return _one("ConstantParamScheduler", hold(check.share(value, "ConstantParamScheduler", "value")), steps)


def CosineParamScheduler(start_value: float, end_value: float, *, steps: int | None = None) -> Schedule:
    """A cosine from one value to another.

    >>> CosineParamScheduler(0.1, 1e-3), CosineParamScheduler(0.1, 1e-3, steps=900)
    (0.1 * decay(to=0.01, curve=cosine), 0.1 * decay(900, to=0.01, curve=cosine))
    """
    where = "CosineParamScheduler"
    start, end = check.share(start_value, where, "start_value"), check.share(end_value, where, "end_value")
    return _one(where, way(start, end, None, cosine), steps)


def LinearParamScheduler(start_value: float, end_value: float, *, steps: int | None = None) -> Schedule:
    """A line from one value to another.

    >>> LinearParamScheduler(0, 0.1, steps=900)
    0.1 * warmup(900)
    """
    where = "LinearParamScheduler"
    start, end = check.share(start_value, where, "start_value"), check.share(end_value, where, "end_value")
    return _one(where, way(start, end, None), steps)


def ExponentialParamScheduler(start_value: float, decay: float, *, steps: int | None = None) -> Schedule:
    """From a value to `decay` times it, as decay**where.

    >>> ExponentialParamScheduler(2, 0.02, steps=900)
    2 * decay(900, to=0.02, curve=geometric)
    """
    where = "ExponentialParamScheduler"
    start = check.rate(start_value, where, "start_value")
    return _one(where, way(start, start * check.share(decay, where, "decay", positive=True), None, geometric), steps)


def PolynomialDecayParamScheduler(base_value: float, power: float, *, steps: int | None = None) -> Schedule:
    """A value times (1 - where)**power.

    >>> PolynomialDecayParamScheduler(0.1, 0.9, steps=900)
    0.1 * decay(900, curve=polynomial(0.9))
    """
    where = "PolynomialDecayParamScheduler"
    curve = bend(check.share(power, where, "power", positive=True))
    return _one(where, way(check.share(base_value, where, "base_value"), 0.0, None, curve), steps)


def MultiStepParamScheduler(
    values: Sequence[float],
    num_updates: int | None = None,
    milestones: Sequence[int] | None = None,
    *,
    steps: int | None = None,
) -> Schedule:
    """Values that change at milestones out of `num_updates`, or at equal distances; a run has as many updates unless `steps`
    says otherwise. Without `num_updates` the last milestone is the end.

    >>> MultiStepParamScheduler([1, 0.1, 0.01], 90, [60, 80])
    join(1 * stable(60), 0.1 * stable(20), 0.01 * stable(10))
    """
    where = "MultiStepParamScheduler"
    if num_updates is None and (milestones is None or not len(milestones)):
        raise Refused(f"{where} needs num_updates or milestones; write num_updates=1000")
    rates = [check.share(value, where, "values") for value in values]
    each = ceil((num_updates or 0) / max(len(rates), 1))
    edges = [each * i for i in range(1, len(rates))] if milestones is None else list(milestones)
    edges = [check.steps(edge, where, "milestones", least=1) for edge in edges]
    total = edges.pop() if num_updates is None else check.steps(num_updates, where, "num_updates", least=1)
    if len(edges) != len(rates) - 1 or [*edges, total] != sorted({*edges, total}):
        raise Refused(
            f"{where}(values={written(rates)}, milestones={written(milestones)}): milestones ascend to num_updates={total}, and "
            f"there is one value more than there are before it"
        )
    return _levels(where, rates, [edge / total for edge in edges], total if steps is None else steps)


def StepParamScheduler(num_updates: int, values: Sequence[float], *, steps: int | None = None) -> Schedule:
    """Values, each for an equal share of the run, of `num_updates` unless `steps` says otherwise.

    >>> StepParamScheduler(120, [0.1, 0.01, 1e-3])
    join(0.1 * stable(40), 0.01 * stable(40), 1e-3 * stable(40))
    """
    where, rates = "StepParamScheduler", [check.share(value, "StepParamScheduler", "values") for value in values]
    total = check.steps(num_updates, where, "num_updates", least=1)
    if not rates:
        raise Refused(f"{where}(values=[]): write at least one value, [0.1, 0.01]")
    return _levels(where, rates, [i / len(rates) for i in range(1, len(rates))], total if steps is None else steps)


def StepWithFixedGammaParamScheduler(
    base_value: float, num_decays: int, gamma: float, num_updates: int, *, steps: int | None = None
) -> Schedule:
    """A value, and `num_decays` times `gamma` of the one before, each for an equal share of the run.

    >>> StepWithFixedGammaParamScheduler(0.1, 2, 0.1, 120)
    join(0.1 * stable(40), 0.01 * stable(40), 1e-3 * stable(40))
    """
    where = "StepWithFixedGammaParamScheduler"
    base, gamma = check.rate(base_value, where, "base_value"), check.share(gamma, where, "gamma", positive=True)
    decays = check.steps(num_decays, where, "num_decays", least=1)
    return StepParamScheduler(num_updates, [ratio(base * gamma**i, 1) for i in range(decays + 1)], steps=steps)


def CompositeParamScheduler(
    schedulers: Sequence[Schedule],
    lengths: Sequence[float],
    interval_scaling: Sequence[str],
    *,
    steps: int | None = None,
) -> Schedule:
    """Schedulers one after another, each for a share of the run: "rescaled" all of it, "fixed" what of it lies there.

    >>> parts = [ConstantParamScheduler(0.42), CosineParamScheduler(0.42, 0)]
    >>> CompositeParamScheduler(parts, [0.3, 0.7], ["rescaled", "rescaled"], steps=1000)
    0.42 * stable(300) >> decay(700, curve=cosine)
    """
    where = "CompositeParamScheduler"
    shares = [check.share(length, where, "lengths", most=1.0) for length in lengths]
    if not len(schedulers) == len(shares) == len(interval_scaling) or not shares:
        raise Refused(
            f"{where} of {len(schedulers)} schedulers, {len(shares)} lengths and {len(interval_scaling)} interval_scaling: "
            "write one of each for every part"
        )
    if abs(sum(shares) - 1) >= 1e-3:
        raise Refused(f"{where}(lengths={written(shares)}): they add up to {sum(shares):g}, not to 1")
    legs, begin = [], 0.0
    for i, (scheduler, share, scaling) in enumerate(zip(schedulers, shares, interval_scaling)):
        share = 1 - sum(shares[:-1]) if i == len(shares) - 1 else share
        inner = legs_of(scheduler, where)
        rescaled = check.choice(scaling, where, "interval_scaling", ("rescaled", "fixed")) == "rescaled"
        if share > 0:
            legs += _rescaled(inner, begin, share) if rescaled else _fixed(inner, begin, share)
        begin += share
    return laid(legs, steps_of(steps, where))


def WarmupParamScheduler(
    scheduler: Schedule,
    warmup_factor: float,
    warmup_length: float,
    warmup_method: str = "linear",
    rescale_interval: bool = False,
    *,
    steps: int | None = None,
) -> Schedule:
    """detectron2's: a warm-up over a share of the run before a scheduler, whose beginning it covers unless it is rescaled.

    >>> multi = MultiStepParamScheduler([1, 0.1, 0.01], 90_000, [60_000, 80_000])
    >>> LRMultiplier(WarmupParamScheduler(multi, 0.001, 1000 / 90_000), 90_000, base_lr=0.02)
    join(0.02 * warmup(1000, start=1e-3) >> stable(59000), 2e-3 * stable(20000), 2e-4 * stable(10000))
    """
    where, legs = "WarmupParamScheduler", legs_of(scheduler, "WarmupParamScheduler")
    length = check.share(warmup_length, where, "warmup_length", most=1.0)
    start = check.share(warmup_factor, where, "warmup_factor") * value(legs, 0.0)
    end = value(legs, 0.0 if rescale_interval else length)
    constant = check.choice(warmup_method, where, "warmup_method", ("linear", "constant")) == "constant"
    warmup = ConstantParamScheduler(start) if constant else LinearParamScheduler(start, end)
    scaling = ["rescaled", "rescaled" if rescale_interval else "fixed"]
    return CompositeParamScheduler([warmup, scheduler], [length, 1 - length], scaling, steps=steps)


def LRMultiplier(multiplier: Schedule, max_iter: int, *, base_lr: float) -> Schedule:
    """detectron2's: the base rate times a scheduler, over `max_iter` updates.

    >>> LRMultiplier(CosineParamScheduler(1, 0), 90_000, base_lr=0.02)
    0.02 * decay(90000, curve=cosine)
    """
    where = "LRMultiplier"
    steps = check.steps(max_iter, where, "max_iter", least=1)
    return laid(legs_of(multiplier, where), steps, level=check.rate(base_lr, where))


def _one(where: str, way: Schedule, steps: Any) -> Schedule:
    return laid([Leg(0.0, 1.0, way, 0.0)], steps_of(steps, where))


def _levels(where: str, rates: list[float], edges: list[float], steps: Any) -> Schedule:
    starts = [0.0, *edges]
    legs = [Leg(a, b, hold(rate), a, _EARLY) for rate, a, b in zip(rates, starts, [*edges, 1.0])]
    return laid(legs, steps_of(steps, where))


def _rescaled(legs: tuple[Leg, ...], begin: float, share: float) -> list[Leg]:
    place = lambda at: begin + at * share
    first, *others = [
        Leg(place(leg.begin), place(leg.end), leg.way, place(leg.start), leg.early * share) for leg in legs
    ]
    return [first._replace(early=_EARLY), *others]


def _fixed(legs: tuple[Leg, ...], begin: float, share: float) -> list[Leg]:
    """The legs that are used between `begin` and the end of the share; the first of them from there on."""
    kept = [leg for leg in legs if leg.start < begin + share]
    covered = max((i for i, leg in enumerate(kept) if leg.start - leg.early <= begin), default=0)
    return [kept[covered]._replace(start=begin, early=_EARLY), *kept[covered + 1 :]]
