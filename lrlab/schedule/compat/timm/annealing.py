"""The schedulers of timm that anneal the rate in cycles: cosine, hyperbolic tangent and polynomial."""

import math
from itertools import pairwise
from typing import Any

from lrlab.schedule import words
from lrlab.schedule.compat import check, piece
from lrlab.schedule.compat.cycle import cycles, few, joined, switches
from lrlab.schedule.compat.piece import bend, ratio
from lrlab.schedule.compat.rates import hold
from lrlab.schedule.compat.timm.warmed import warmed
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, polynomial, tanh
from lrlab.schedule.curve import power as power_curve
from lrlab.schedule.time import LAST_STEP


def CosineLRScheduler(
    t_initial: int,
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    *,
    k_decay: float = 1.0,
    base_lr: float,
    **other: Any,
) -> Schedule:
    """Cosines from the base rate to `lr_min`, `cycle_limit` of them, then `lr_min` (SGDR; k-decay of Zhang & Li 2020).

    Without `warmup_prefix` the clock of the cosine runs during the warm-up, so that the base rate is never used.

    >>> CosineLRScheduler(100, warmup_t=5, base_lr=0.1)
    join(0.1 * warmup(5), shift(0.1 * decay(100, curve=cosine), 5))
    >>> CosineLRScheduler(100, warmup_t=5, warmup_prefix=True, lr_min=1e-3, base_lr=0.1)
    0.1 * warmup(5) >> decay(100, to=0.01, curve=cosine)
    >>> CosineLRScheduler(30, cycle_mul=2, cycle_decay=0.5, cycle_limit=3, base_lr=0.1)
    0.1 * repeat(decay(30, curve=cosine), 3, stretch=2, shrink=0.5)
    """
    where = "CosineLRScheduler"
    base, k = check.rate(base_lr, where), check.share(k_decay, where, "k_decay", positive=True)
    curve = cosine if k == 1 else cosine @ power_curve(k)
    waves = _waves(where, base, curve, t_initial, lr_min, cycle_mul, cycle_decay, cycle_limit)
    return warmed(where, base, waves, warmup_t, warmup_lr_init, prefix=warmup_prefix, other=other)


def TanhLRScheduler(
    t_initial: int,
    lb: float = -7.0,
    ub: float = 3.0,
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    *,
    base_lr: float,
    **other: Any,
) -> Schedule:
    """Hyperbolic tangents from near the base rate to near `lr_min`, then `lr_min` (HTD, Hsueh et al. 2019).

    Without `warmup_prefix` the warm-up goes to where the first of them is by then.

    >>> TanhLRScheduler(100, warmup_t=5, warmup_prefix=True, base_lr=0.1)
    join(0.1 * warmup(5), 0.1 * decay(100, curve=tanh(-7, 3)), off())
    """
    where, base = "TanhLRScheduler", check.rate(base_lr, "TanhLRScheduler")
    waves = _waves(where, base, tanh(lb, ub), t_initial, lr_min, cycle_mul, cycle_decay, cycle_limit)
    waves = words.join(waves, hold(lr_min)) if not waves._claims() else waves
    met = None if warmup_prefix else float(str(waves(check.steps(warmup_t, where, "warmup_t"))))
    return warmed(where, base, waves, warmup_t, warmup_lr_init, prefix=warmup_prefix, other=other, to=met)


def PolyLRScheduler(
    t_initial: int,
    power: float = 0.5,
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    *,
    k_decay: float = 1.0,
    base_lr: float,
    **other: Any,
) -> Schedule:
    """(1 - u**k_decay)**power from the base rate to `lr_min`, in cycles, then `lr_min`.

    >>> PolyLRScheduler(100, power=2, base_lr=0.1)
    0.1 * decay(100, curve=polynomial(2))
    """
    where, base = "PolyLRScheduler", check.rate(base_lr, "PolyLRScheduler")
    p, k = (check.share(value, where, name, positive=True) for value, name in ((power, "power"), (k_decay, "k_decay")))
    curve = bend(p) if k == 1 else power_curve(k) if p == 1 else polynomial(p) @ power_curve(k)
    waves = _waves(where, base, curve, t_initial, lr_min, cycle_mul, cycle_decay, cycle_limit)
    return warmed(where, base, waves, warmup_t, warmup_lr_init, prefix=warmup_prefix, other=other)


def _waves(
    where: str, base: float, curve: Curve, t_initial: Any, lr_min: Any, cycle_mul: Any, cycle_decay: Any, cycle_limit: Any
) -> Schedule:  # fmt: skip
    """The cycles, from the base rate to `lr_min`, without a warm-up."""
    length, low = check.steps(t_initial, where, "t_initial", least=1), check.share(lr_min, where, "lr_min")
    mul = check.share(cycle_mul, where, "cycle_mul", positive=True)
    shrink = check.share(cycle_decay, where, "cycle_decay", positive=True)
    limit = check.steps(cycle_limit, where, "cycle_limit")
    if limit < 2:
        return base * piece.way(length, 1.0, ratio(low, base), curve) if limit else hold(low)
    if mul != 1:
        return _changing(where, base, curve, length, low, mul, shrink, limit)
    return _alike(base, curve, length, low, 1, shrink, limit if limit * length <= LAST_STEP else None)


def _alike(
    base: float, curve: Curve, length: int, low: float, stretch: int, shrink: float, times: int | None
) -> Schedule:
    """Cycles that begin on whole steps."""
    if shrink == 1:
        return base * words.repeat(piece.way(length, 1.0, ratio(low, base), curve), times, stretch=stretch)
    falls = base * words.repeat(words.decay(length, curve=curve), times, stretch=stretch, shrink=shrink)
    return falls + low * words.repeat(words.warmup(length, curve=curve), times, stretch=stretch) if low else falls


def _changing(
    where: str, base: float, curve: Curve, length: int, low: float, mul: float, shrink: float, limit: int
) -> Schedule:
    """Cycles each `mul` times as long as the one before, beginning where timm's logarithm says that they do."""

    def number(t: int) -> float:
        grown = 1 - t / length * (1 - mul)
        return math.floor(math.log(grown, mul)) if grown > 0 else math.inf  # where cycles have shrunk to nothing

    begins = [0.0, float(length)]
    while len(begins) <= limit and begins[-2] < begins[-1] <= LAST_STEP:
        begins.append(float(f"{length * (mul ** len(begins) - 1) / (mul - 1):.12g}"))
    few(len(begins) - 1, where, "cycle_limit")
    endless = begins[-1] > LAST_STEP
    at = [0, *switches(begins[1 : -1 if endless else None], number)]
    if mul == int(mul) and at == begins[: len(at)]:
        return _alike(base, curve, length, low, int(mul), shrink, None if endless else len(begins) - 1)
    parts = []
    for i, span in enumerate(pairwise(begins)):
        level = ratio(base * shrink**i, 1)
        parts += cycles([span], [*at, LAST_STEP][i : i + 2], [level], ratio(low, level), curve)
    return joined(parts if endless else [*parts, hold(low)])
