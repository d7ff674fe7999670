"""OLMo-core's schedulers (ai2-olmo-core 3.0, optim.scheduler), in steps.

The trainer counts a step before it sets the rate, so update t uses `get_lr(t + 1)`: the first rate of a warm-up is never
used, and the last one of a run of `t_max` steps is the end of the decay. After `t_max` the end is held.
"""

from collections.abc import Sequence
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import ratio
from lrlab.schedule.compat.rates import hold
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, geometric, linear, span
from lrlab.schedule.write import written


def ConstantScheduler(*, base_lr: Any) -> Schedule:
    """The base rate.

    >>> ConstantScheduler(base_lr=0.1)
    0.1 * stable()
    """
    return check.rate(base_lr, "ConstantScheduler") * words.stable()


def ConstantWithWarmup(
    *,
    base_lr: Any,
    t_max: int | None = None,
    warmup: int | None = None,
    warmup_fraction: float | None = None,
    warmup_min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then the base rate.

    >>> ConstantWithWarmup(base_lr=0.1, warmup=10)
    shift(0.1 * warmup(10) >> stable(), 1)
    """  # fmt: skip
    where = "ConstantWithWarmup"
    warm = _counted(where, "warmup", warmup, warmup_fraction, t_max)
    base = check.rate(base_lr, where)
    return words.shift(base * _warmed(where, base, warm, warmup_min_lr, words.stable()), 1)


def WSD(
    *,
    base_lr: Any,
    t_max: int,
    warmup: int | None = None,
    warmup_fraction: float | None = None,
    decay: int | None = None,
    decay_fraction: float | None = 0.1,
    warmup_min_lr: float = 0.0,
    decay_min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, the base rate, and a line to `decay_min_lr` that ends at `t_max`.

    >>> WSD(base_lr=0.1, t_max=100, warmup=10, decay=20, decay_fraction=None)
    shift(0.1 * warmup(10) >> stable(70) >> decay(20), 1)
    """
    where = "WSD"
    base, warm, down = check.rate(base_lr, where), *_both(where, warmup, warmup_fraction, decay, decay_fraction, t_max)
    rest = words.stable(t_max - warm - down) >> words.decay(down, to=_low(where, "decay_min_lr", decay_min_lr, base))
    return words.shift(base * _warmed(where, base, warm, warmup_min_lr, rest), 1)


def PowerLR(
    *,
    base_lr: Any,
    t_max: int,
    b: float = -0.51,
    warmup: int | None = None,
    warmup_fraction: float | None = None,
    warmup_min_lr: float = 0.0,
    decay: int | None = None,
    decay_fraction: float | None = 0.1,
    decay_min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, (t/warmup)^b, and a line to `decay_min_lr` that ends at `t_max` (Shen et al. 2024).

    >>> PowerLR(base_lr=0.1, t_max=100, warmup=10)
    shift(0.1 * warmup(10) >> inverse_time(0.1, 80, power=0.51) >> decay(10), 1)
    """
    where = "PowerLR"
    base, warm, down = check.rate(base_lr, where), *_both(where, warmup, warmup_fraction, decay, decay_fraction, t_max)
    if not b < 0 or not warm:
        raise Refused(f"{where}(b={written(b)}, warmup={warm}): the exponent is negative, and there is a warm-up")
    law = words.inverse_time(1 / warm, t_max - warm - down, power=-b)
    low = _low(where, "decay_min_lr", decay_min_lr, base * float(law(t_max)))
    return words.shift(base * _warmed(where, base, warm, warmup_min_lr, law >> words.decay(down, to=low)), 1)


def LinearWithWarmup(
    *,
    base_lr: Any,
    t_max: int,
    alpha_f: float = 0.1,
    warmup: int | None = None,
    warmup_fraction: float | None = None,
    warmup_min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then a line to `alpha_f` of the base rate at `t_max`.

    >>> LinearWithWarmup(base_lr=0.1, t_max=100, warmup=10)
    shift(0.1 * warmup(10) >> decay(90, to=0.1), 1)
    """  # fmt: skip
    return _annealed("LinearWithWarmup", base_lr, t_max, alpha_f, warmup, warmup_fraction, warmup_min_lr, linear)


def CosWithWarmup(
    *,
    base_lr: Any,
    t_max: int,
    alpha_f: float = 0.1,
    warmup: int | None = None,
    warmup_fraction: float | None = None,
    warmup_min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then a cosine to `alpha_f` of the base rate at `t_max`.

    >>> CosWithWarmup(base_lr=0.1, t_max=100, warmup=10)
    shift(0.1 * warmup(10) >> decay(90, to=0.1, curve=cosine), 1)
    """  # fmt: skip
    return _annealed("CosWithWarmup", base_lr, t_max, alpha_f, warmup, warmup_fraction, warmup_min_lr, cosine)


def HalfCosWithWarmup(
    *,
    base_lr: Any,
    t_max: int,
    alpha_f: float = 0.1,
    warmup: int | None = None,
    warmup_fraction: float | None = None,
    warmup_min_lr: float = 0.0,
) -> Schedule:
    """A warm-up to the middle of a cosine, then its second half: the base rate is that of the whole cosine.

    >>> HalfCosWithWarmup(base_lr=0.1, t_max=100, warmup=10, alpha_f=0)
    shift(join(0.05 * warmup(10), 0.1 * decay(90, curve=cosine @ span(0.5, 1))), 1)
    """  # fmt: skip
    where = "HalfCosWithWarmup"
    base, to = check.rate(base_lr, where), check.share(alpha_f, where, "alpha_f", most=1.0)
    warm, total = _counted(where, "warmup", warmup, warmup_fraction, t_max), _whole(where, t_max)
    middle = ratio(base * (1 + to) / 2, 1)
    half = base * words.decay(_left(where, total, warm), to=to, curve=cosine @ span(0.5, 1))
    if not warm:
        return words.shift(half, 1)
    up = words.warmup(warm, start=_low(where, "warmup_min_lr", warmup_min_lr, middle))
    return words.shift(words.join(middle * up, half), 1)


def InvSqrtWithWarmup(
    *,
    base_lr: Any,
    alpha_f: float = 0.1,
    t_max: int | None = None,
    warmup: int | None = None,
    warmup_fraction: float | None = None,
    warmup_min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then an inverse square root towards `alpha_f` of the base rate.

    >>> InvSqrtWithWarmup(base_lr=0.1, warmup=10, alpha_f=0)
    shift(0.1 * warmup(10) >> rsqrt(10), 1)
    >>> InvSqrtWithWarmup(base_lr=0.1, warmup=10, alpha_f=0.5)
    shift(0.1 * warmup(10) >> 0.5 + 0.5 * rsqrt(10), 1)
    """  # fmt: skip
    where = "InvSqrtWithWarmup"
    base, to = check.rate(base_lr, where), check.share(alpha_f, where, "alpha_f", most=1.0)
    warm = _counted(where, "warmup", warmup, warmup_fraction, t_max)
    if not warm:
        raise Refused(f"{where}(warmup=0): the inverse square root begins where the warm-up ends; write warmup=1000")
    law = words.rsqrt(warm)
    if to:
        law = to + (1 - to) * law if to < 1 else words.stable()
    return words.shift(base * _warmed(where, base, warm, warmup_min_lr, law), 1)


def CosWithWarmupAndLinearDecay(
    *,
    base_lr: Any,
    t_max: int,
    alpha_f: float = 0.1,
    warmup: int | None = None,
    warmup_fraction: float | None = None,
    warmup_min_lr: float = 0.0,
    decay: int | None = None,
    decay_fraction: float | None = 0.1,
    decay_min_lr: float = 0.0,
) -> Schedule:
    """`CosWithWarmup` of which the last `decay` steps are a line to `decay_min_lr`.

    >>> CosWithWarmupAndLinearDecay(base_lr=0.1, t_max=110, warmup=10, decay=50, decay_fraction=None, alpha_f=0)
    shift(0.1 * warmup(10) >> decay(50, curve=cosine @ span(0, 0.5)) >> decay(50), 1)
    """
    where = "CosWithWarmupAndLinearDecay"
    base, warm, down = check.rate(base_lr, where), *_both(where, warmup, warmup_fraction, decay, decay_fraction, t_max)
    to, over = check.share(alpha_f, where, "alpha_f", most=1.0), t_max - warm
    share = ratio(over - down, over)
    arc = words.decay(over - down, to=to, curve=cosine @ span(0, share) if share else cosine)
    low = _low(where, "decay_min_lr", decay_min_lr, base * float(arc(over - down)))
    tail = words.decay(down, to=low)
    rest = tail if not share else arc >> tail if down else arc
    return words.shift(base * _warmed(where, base, warm, warmup_min_lr, rest), 1)


def WSDS(
    *,
    base_lr: Any,
    period_lengths: Sequence[int],
    period_lr_multipliers: Sequence[float] | None = None,
    warmup: int | None = None,
    warmup_fraction: float | None = None,
    decay: int | None = None,
    decay_fraction: float | None = None,
    warmup_min_lr: float = 0.0,
    decay_min_lr: float = 0.0,
) -> Schedule:
    """Periods that each end in a line to `decay_min_lr` and use that value (Wen et al. 2024); the first warms up.

    >>> WSDS(base_lr=0.1, period_lengths=[100, 50], warmup=10, decay=20)
    shift(join(0.1 * warmup(10) >> stable(70) >> decay(20), off(1), 0.1 * stable(29) >> decay(20), off()), 1)
    """
    where, base = "WSDS", check.rate(base_lr, "WSDS")
    lengths = [check.steps(length, where, "period_lengths", least=1) for length in period_lengths]
    if not lengths:
        raise Refused(f"{where}(period_lengths=[]): write the steps of each period, [1000, 500]")
    multipliers = [1.0] * len(lengths) if period_lr_multipliers is None else list(period_lr_multipliers)
    if len(multipliers) != len(lengths):
        raise Refused(f"{where}: there are {len(lengths)} period_lengths and {len(multipliers)} period_lr_multipliers")
    warm = _counted(where, "warmup", warmup, warmup_fraction, lengths[0])
    parts = []
    for i, (length, multiplier) in enumerate(zip(lengths, multipliers)):
        peak = ratio(base * check.rate(multiplier, where, "period_lr_multipliers"), 1)
        down = _counted(where, "decay", decay, decay_fraction, length)
        flat = length - down - (0 if i else warm)
        if flat < 0 or not down:
            raise Refused(f"{where}(period_lengths={written(lengths)}): period {i} has no room for a decay of {down}")
        cool = words.decay(down, to=_low(where, "decay_min_lr", decay_min_lr, peak))
        if i:  # its first step was the end of the period before
            parts.append(peak * (words.stable(flat - 1) >> cool if flat else words.shift(cool, 1)))
        else:
            parts.append(peak * _warmed(where, peak, warm, warmup_min_lr, words.stable(flat) >> cool))
        parts.append(hold(decay_min_lr, 1 if i + 1 < len(lengths) else None))
    return words.shift(words.join(*parts), 1)


def ExponentialScheduler(*, base_lr: Any, t_max: int, lr_min: float = 1e-9) -> Schedule:
    """Geometric from `lr_min` up to the base rate at `t_max`: a range test.

    >>> ExponentialScheduler(base_lr=1.0, t_max=100, lr_min=1e-4)
    shift(1 * warmup(100, start=1e-4, curve=geometric), 1)
    """
    where = "ExponentialScheduler"
    base, total = check.rate(base_lr, where), _whole(where, t_max)
    low = ratio(check.rate(lr_min, where, "lr_min"), base)
    return words.shift(base * words.ramp(total, start=low, to=1.0, curve=geometric) if low > 1 else base * words.warmup(total, start=low, curve=geometric), 1)  # fmt: skip


def _annealed(where, base_lr, t_max, alpha_f, warmup, warmup_fraction, warmup_min_lr, curve: Curve) -> Schedule:
    base, to = check.rate(base_lr, where), check.share(alpha_f, where, "alpha_f", most=1.0)
    warm, total = _counted(where, "warmup", warmup, warmup_fraction, t_max), _whole(where, t_max)
    down = words.decay(_left(where, total, warm), to=to, curve=curve)
    return words.shift(base * _warmed(where, base, warm, warmup_min_lr, down), 1)


def _both(where, warmup, warmup_fraction, decay, decay_fraction, t_max):
    """Steps of warm-up and of decay, which fit into the run."""
    total = _whole(where, t_max)
    warm = _counted(where, "warmup", warmup, warmup_fraction, total)
    down = _counted(where, "decay", decay, decay_fraction if decay is None else None, total)
    if not warm + down <= total:
        raise Refused(f"{where}(t_max={total}): warm-up and decay take {warm + down} steps; shorten one of them")
    return warm, down


def _counted(where: str, name: str, steps: int | None, fraction: float | None, total: Any) -> int:
    """Steps that are given as a number or as a fraction of the run, rounded to the even one."""
    if (steps is None) == (fraction is None):
        raise Refused(f"{where}: one of {name} and {name}_fraction says how long it lasts; write {name}=1000")
    if steps is not None:
        return check.steps(steps, where, name)
    return round(_whole(where, total) * check.share(fraction, where, f"{name}_fraction", most=1.0))


def _whole(where: str, t_max: Any) -> int:
    return check.steps(t_max or 0, where, "t_max", least=1)


def _left(where: str, total: int, warm: int) -> int:
    if total <= warm:
        raise Refused(f"{where}(t_max={total}): the warm-up takes {warm} steps, and leaves none for the decay")
    return total - warm


def _low(where: str, name: str, least: Any, level: float) -> float:
    if not 0 <= least < level:
        raise Refused(f"{where}({name}={written(least)}) lies between 0 and the rate before the decay, {level:g}")
    return ratio(least, level)


def _warmed(where: str, base: Any, warm: int, least: float, rest: Schedule) -> Schedule:
    """A warm-up from `least`, then the rest, as shares of the base rate."""
    return words.warmup(warm, start=_low(where, "warmup_min_lr", least, base)) >> rest if warm else rest
