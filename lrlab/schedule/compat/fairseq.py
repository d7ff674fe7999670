"""fairseq's schedulers (0.12.2) under their classes' names: asked for update 0 at the start, and again after every update.

`base_lr` is fairseq's `lr`. What it counts in epochs needs `updates_per_epoch`.
"""

import ast
from collections.abc import Mapping, Sequence
from math import floor, log
from typing import Any

import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.cycle import restarts
from lrlab.schedule.compat.piece import bend, ratio
from lrlab.schedule.compat.product import product
from lrlab.schedule.compat.rates import chain, hold, piecewise_constant, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine, geometric
from lrlab.schedule.write import written


def CosineLRSchedule(
    *,
    base_lr: float,
    warmup_updates: int = 0,
    warmup_init_lr: float = -1,
    min_lr: float = 0.0,
    t_mult: float = 1.0,
    lr_period_updates: int = -1,
    lr_shrink: float = 0.1,
    max_update: int = 0,
    after: check.After = "peer",
) -> Schedule:
    """A warm-up, then cosines to `min_lr`, each `t_mult` as long as the one before; both ends shrink by `lr_shrink` a cycle.

    The first takes `lr_period_updates`, or what the warm-up leaves of `max_update`; then it begins again, and `after="hold"`
    stays at its end. fairseq finds the cycle by a logarithm, whose rounding misses some restarts by an update: so it is here.

    >>> CosineLRSchedule(base_lr=0.1, warmup_updates=100, lr_period_updates=1000, t_mult=2, lr_shrink=0.5)
    0.1 * warmup(100) >> repeat(decay(1000, curve=cosine), stretch=2, shrink=0.5)
    """
    where, peak = "CosineLRSchedule", check.rate(base_lr, "CosineLRSchedule")
    low = _below(min_lr, peak, where)
    rise = _rise(where, warmup_updates, warmup_init_lr, low, peak)
    over = lr_period_updates if lr_period_updates > 0 else max_update - warmup_updates
    length = check.steps(over, where, "lr_period_updates", least=1)
    t_mult = check.share(t_mult, where, "t_mult", positive=True)
    if check.holds(after, where):
        return chain(rise, way(peak, low, length, cosine))
    shrink = check.share(lr_shrink, where, "lr_shrink", positive=True, most=1.0)
    number = lambda t: floor(log(1 - t / length * (1 - t_mult), t_mult))
    return chain(rise, peak * restarts(length, t_mult, shrink, ratio(low, peak), where, "t_mult", number))


def InverseSquareRootSchedule(*, base_lr: float, warmup_updates: int = 4000, warmup_init_lr: float = -1) -> Schedule:
    """A warm-up from `warmup_init_lr` (zero, where that is negative), then base_lr sqrt(warmup_updates/t).

    >>> InverseSquareRootSchedule(base_lr=5e-4)
    5e-4 * warmup(4000) >> rsqrt(4000)
    """
    where, peak = "InverseSquareRootSchedule", check.rate(base_lr, "InverseSquareRootSchedule")
    warm = check.steps(warmup_updates, where, "warmup_updates", least=1)
    return chain(_rise(where, warm, warmup_init_lr, 0.0, peak), peak * words.rsqrt(warm))


def PolynomialDecayLRSchedule(
    *,
    base_lr: float,
    total_num_update: int,
    warmup_updates: int = 0,
    end_learning_rate: float = 0.0,
    power: float = 1.0,
) -> Schedule:
    """A warm-up, then (1 - u)**power to `end_learning_rate` at `total_num_update`; after a warm-up as long as that the peak
    is used once, and then the end.

    Not here: `force_anneal`, which anneals anew from wherever the rate is when an epoch begins.

    >>> PolynomialDecayLRSchedule(base_lr=1e-4, total_num_update=10_000, warmup_updates=600)
    1e-4 * warmup(600) >> decay(9400)
    """
    where, peak = "PolynomialDecayLRSchedule", check.rate(base_lr, "PolynomialDecayLRSchedule")
    total = check.steps(total_num_update, where, "total_num_update", least=1)
    warm = check.steps(warmup_updates, where, "warmup_updates")
    end = check.share(end_learning_rate, where, "end_learning_rate")
    curve = bend(check.share(power, where, "power", positive=True))
    rest = [way(peak, end, total - warm, curve)] if warm < total else [hold(peak, 1), hold(end)]
    return chain(way(0, peak, warm), *rest)


def TriStageLRSchedule(
    *,
    base_lr: float,
    warmup_steps: int = 0,
    hold_steps: int = 0,
    decay_steps: int = 0,
    phase_ratio: Sequence[float] | None = None,
    init_lr_scale: float = 0.01,
    final_lr_scale: float = 0.01,
    max_update: int = 0,
) -> Schedule:
    """A warm-up, the peak, and an exponential decay to `final_lr_scale` of it, which is held (SpecAugment, Park et al. 2019).

    `phase_ratio` gives the three as shares of `max_update`, which add up to 1; each is cut to whole updates.

    >>> TriStageLRSchedule(base_lr=5e-5, phase_ratio=(0.1, 0.4, 0.5), max_update=80_000)
    5e-5 * warmup(8000, start=0.01) >> stable(32000) >> decay(40000, to=0.01, curve=geometric)
    """
    where, peak = "TriStageLRSchedule", check.rate(base_lr, "TriStageLRSchedule")
    lengths = {"warmup_steps": warmup_steps, "hold_steps": hold_steps, "decay_steps": decay_steps}
    if phase_ratio is not None:
        if len(phase_ratio) != 3 or sum(phase_ratio) != 1:
            raise Refused(
                f"{where}(phase_ratio={written(list(phase_ratio))}): warm-up, hold and decay are three shares of max_update "
                f"that add up to 1, such as [0.1, 0.4, 0.5]"
            )
        total = check.steps(max_update, where, "max_update", least=1)
        lengths = {name: int(total * share) for name, share in zip(lengths, phase_ratio)}
    warm, flat, down = (check.steps(n, where, name, least=int(name == "decay_steps")) for name, n in lengths.items())
    start = check.share(init_lr_scale, where, "init_lr_scale")
    end = check.share(final_lr_scale, where, "final_lr_scale", positive=True)
    return chain(way(start * peak, peak, warm), hold(peak, flat), way(peak, end * peak, down, geometric))


def TriangularLRSchedule(
    *, base_lr: float, max_lr: float, lr_period_updates: int = 5000, lr_shrink: float = 0.1, shrink_min: bool = False
) -> Schedule:
    """Triangles from `base_lr` up to `max_lr` and back, whose top shrinks by `lr_shrink` a cycle (Smith 2015), in time below
    `base_lr`, unless that shrinks with it.

    >>> TriangularLRSchedule(base_lr=0.01, max_lr=0.1, lr_period_updates=1000, lr_shrink=0.5, shrink_min=True)
    0.1 * repeat(warmup(500, start=0.1) >> decay(500, to=0.1), shrink=0.5)
    >>> TriangularLRSchedule(base_lr=0, max_lr=0.1, lr_period_updates=1000, lr_shrink=0.5)
    0.1 * repeat(warmup(500) >> decay(500), shrink=0.5)
    """
    where, peak = "TriangularLRSchedule", check.rate(max_lr, "TriangularLRSchedule", "max_lr")
    low = check.share(base_lr, where, "base_lr")
    if low >= peak:
        raise Refused(f"{where}(base_lr={written(low)}, max_lr={written(peak)}): max_lr is the top, above base_lr")
    half = check.steps(lr_period_updates, where, "lr_period_updates", least=2) // 2
    shrink = check.share(lr_shrink, where, "lr_shrink", positive=True, most=1.0)
    if shrink_min or shrink == 1 or not low:
        to = ratio(low, peak)
        return peak * words.repeat(words.warmup(half, start=to) >> words.decay(half, to=to), shrink=shrink)
    tops = peak * words.repeat(words.warmup(half) >> words.decay(half), shrink=shrink)
    return tops + low * words.repeat(words.join(words.decay(half), words.warmup(half)))


def FixedLRSchedule(
    *,
    base_lr: float | Sequence[float],
    force_anneal: int | None = None,
    lr_shrink: float = 0.1,
    warmup_updates: int = 0,
    updates_per_epoch: int | None = None,
) -> Schedule:
    """A rate for each epoch, the last one for the others; from epoch `force_anneal` on (the first is 1) that shrinks by
    `lr_shrink` each. The warm-up is (t + 1)/warmup_updates.

    >>> FixedLRSchedule(base_lr=0.1, warmup_updates=100)
    0.1 * warmup(99, start=0.01)
    >>> FixedLRSchedule(base_lr=[0.1, 0.05], force_anneal=4, lr_shrink=0.5, updates_per_epoch=500)
    join(0.1 * stable(500), 0.05 * stable(1000), 0.025 * repeat(stable(500), shrink=0.5))
    """
    where = "FixedLRSchedule"
    rates = [check.rate(rate, where) for rate in (base_lr if isinstance(base_lr, Sequence | np.ndarray) else [base_lr])]
    warm = check.steps(warmup_updates, where, "warmup_updates")
    rise = words.warmup(warm - 1, start=1 / warm) if warm > 1 else words.stable()
    if len(rates) == 1 and force_anneal is None:
        return product(rise, hold(*rates))
    each = _epoch(updates_per_epoch, where)
    if force_anneal is None:
        return product(rise, piecewise_constant(rates, [each * i for i in range(1, len(rates))]))
    until = check.steps(force_anneal, where, "force_anneal", least=1) - 1  # epochs before it
    shrink = check.share(lr_shrink, where, "lr_shrink", positive=True, most=1.0)
    before = rates[:until]
    lengths = [*[each] * (len(before) - 1), each * (until - len(before) + 1)]
    annealed = ratio(rates[-1] * shrink, 1) * words.repeat(words.stable(each), shrink=shrink)
    return product(rise, words.join(*map(hold, before, lengths), annealed))


def StepLRSchedule(
    *,
    base_lr: float,
    warmup_updates: int = 0,
    warmup_init_lr: float = -1,
    min_lr: float = 0.0,
    lr_deacy_period: int = 25000,
    lr_decay: float = 0.5,
) -> Schedule:
    """A warm-up, then times `lr_decay` every `lr_deacy_period` (so spelt there), no lower than `min_lr`.

    >>> StepLRSchedule(base_lr=0.1, warmup_updates=100, lr_deacy_period=1000)
    0.1 * warmup(100) >> repeat(stable(1000), shrink=0.5)
    """
    where, peak = "StepLRSchedule", check.rate(base_lr, "StepLRSchedule")
    low = _below(min_lr, peak, where)
    rise = _rise(where, warmup_updates, warmup_init_lr, low, peak)
    each = check.steps(lr_deacy_period, where, "lr_deacy_period", least=1)
    shrink = check.share(lr_decay, where, "lr_decay", positive=True, most=1.0)
    fall = peak * words.repeat(words.stable(each), shrink=shrink) if shrink < 1 else hold(peak)
    return chain(rise, words.maximum(fall, low) if low and shrink < 1 else fall)


def ManualSchedule(
    *,
    base_lr: float,
    update2lr: str | Mapping[Any, float] = "{}",
    epoch2lr: str | Mapping[Any, float] = "{}",
    updates_per_epoch: int | None = None,
) -> Schedule:
    """A rate from each update on, or from each epoch (the first is 1) until the first of these updates; `base_lr` before.

    The numbers are written as fairseq reads them: "5", "5,9" or "5-9".

    >>> ManualSchedule(base_lr=0.1, update2lr="{'0-99': 0.1, '100': 0.05}")
    join(0.1 * stable(100), 0.05 * stable())
    """
    where, start = "ManualSchedule", check.rate(base_lr, "ManualSchedule")
    epochs, updates = _numbered(epoch2lr, where, "epoch2lr"), _numbered(update2lr, where, "update2lr")
    start = epochs.get(1, updates.get(1, start))
    each = _epoch(updates_per_epoch, where) if epochs else 0
    points = {0: start} | {max(epoch - 1, 0) * each: rate for epoch, rate in epochs.items()}
    points = {t: rate for t, rate in points.items() if t < min(updates, default=t + 1)} | updates
    edges = [t for t, before in zip([*points][1:], points.values()) if points[t] != before]
    return piecewise_constant([next(iter(points.values())), *map(points.__getitem__, edges)], edges)


def ReduceLROnPlateauLRSchedule(*, base_lr: float, **kwargs: Any) -> Schedule:
    """Refused: it follows a metric."""
    raise Refused(
        f"ReduceLROnPlateauLRSchedule follows a metric and is no function of the update number; give the run a schedule, "
        f"{written(base_lr)} * stable(), and feedback=plateau(factor=0.1, patience=0)"
    )


def _rise(where: str, warmup_updates: Any, warmup_init_lr: Any, low: float, peak: float) -> Schedule:
    """The warm-up from `warmup_init_lr`, or from `low` where that is negative."""
    start = low if warmup_init_lr < 0 else check.share(warmup_init_lr, where, "warmup_init_lr")
    return way(start, peak, check.steps(warmup_updates, where, "warmup_updates"))


def _below(min_lr: Any, peak: float, where: str) -> float:
    low = check.share(min_lr, where, "min_lr")
    if low >= peak:
        raise Refused(f"{where}(min_lr={written(low)}): the least rate lies below base_lr={written(peak)}; lower it")
    return low


def _epoch(updates: Any, where: str) -> int:
    if updates is None:
        raise Refused(f"{where} counts epochs here; say how many updates one has, updates_per_epoch=1000")
    return check.steps(updates, where, "updates_per_epoch", least=1)


def _numbered(given: str | Mapping[Any, float], where: str, name: str) -> dict[int, float]:
    """Rates by the number they begin at, in ascending order."""
    sentence = f"{where}({name}={written(given)}): {name} gives a rate to numbers, {{'5': 0.1, '6-9': 0.05}}"
    try:
        rates = ast.literal_eval(given) if isinstance(given, str) else given
        ranges = [(part.split("-"), rate) for key, rate in rates.items() for part in str(key).split(",")]
        numbers = [(range(int(ends[0]), int(ends[-1]) + 1), rate) for ends, rate in ranges]
    except (ValueError, SyntaxError, AttributeError, TypeError, MemoryError, RecursionError):
        raise Refused(sentence) from None
    if any(not many or many[0] < 0 for many, _ in numbers):
        raise Refused(sentence)
    if sum(many[-1] - many[0] + 1 for many, _ in numbers) > _MOST:
        raise Refused(f"{where}: {name} names more than {_MOST} numbers; leave out those whose rate the one before has")
    checked = [(many, check.share(rate, where, name)) for many, rate in numbers]
    points = {k: rate for many, rate in checked for k in many}
    return dict(sorted(points.items()))


_MOST = 100_000  # numbers that are told apart
