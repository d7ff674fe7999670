"""NeMo's schedulers (nemo_toolkit 3.0, core.optim.lr_scheduler): PyTorch schedulers, stepped once after every update.

Warm-up is (t + 1)/(W + 1) at update t, and is still in force at t = W; after `max_steps` the rate is `min_lr`.
"""

from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import ratio
from lrlab.schedule.compat.rates import hold
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine, polynomial, sqrt
from lrlab.schedule.write import written


def WarmupPolicy(
    *,
    base_lr: Any,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    max_steps: int | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then the base rate.

    >>> WarmupPolicy(base_lr=0.1, warmup_steps=9)
    0.1 * warmup(9, start=0.1) >> stable()
    """  # fmt: skip
    where, base = "WarmupPolicy", check.rate(base_lr, "WarmupPolicy")
    warm = _counted(where, "warmup", warmup_steps, warmup_ratio, max_steps)
    if max_steps is None:
        return base * _warmed(warm, words.stable())
    flat = words.stable(_total(max_steps, where, warm) + 1 - warm)
    return _ended(base * _warmed(warm, flat), min_lr, where)


def WarmupHoldPolicy(
    *,
    base_lr: Any,
    max_steps: int,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    hold_steps: int | None = None,
    hold_ratio: float | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then the base rate.

    >>> WarmupHoldPolicy(base_lr=0.1, warmup_steps=9, hold_steps=5, max_steps=99)
    join(0.1 * warmup(9, start=0.1) >> stable(91), off())
    """  # fmt: skip
    where = "WarmupHoldPolicy"
    _counted(where, "hold", hold_steps, hold_ratio, max_steps)
    warm = _counted(where, "warmup", warmup_steps, warmup_ratio, max_steps)
    flat = words.stable(_total(max_steps, where, warm) + 1 - warm)
    return _ended(check.rate(base_lr, where) * _warmed(warm, flat), min_lr, where)


def WarmupAnnealing(
    *,
    base_lr: Any,
    max_steps: int,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then a line to `min_lr`.

    >>> WarmupAnnealing(base_lr=0.1, warmup_steps=9, max_steps=99)
    0.1 * warmup(9, start=0.1) >> decay(90)
    """  # fmt: skip
    where = "WarmupAnnealing"
    base, warm, total, low = _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr)
    return base * _warmed(warm, words.ramp(total - warm, start=1.0, to=low) if low > 1 else words.decay(total - warm, to=low))  # fmt: skip


def CosineAnnealing(
    *,
    base_lr: Any,
    max_steps: int,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    constant_steps: int | None = None,
    constant_ratio: float | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then a cosine to `min_lr`; with `constant_steps` it ends so much earlier, and the warm-up is t/W.

    >>> CosineAnnealing(base_lr=0.1, warmup_steps=9, max_steps=99, min_lr=0.01)
    0.1 * warmup(9, start=0.1) >> decay(90, to=0.1, curve=cosine)
    >>> CosineAnnealing(base_lr=0.1, warmup_steps=9, max_steps=99, constant_steps=20)
    0.1 * warmup(9) >> decay(70, curve=cosine)
    """
    where = "CosineAnnealing"
    base, warm, total, low = _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr, above=True)
    flat = _counted(where, "constant", constant_steps, constant_ratio, max_steps)
    if not flat:
        return base * _warmed(warm, words.decay(total - warm, to=low, curve=cosine))
    if total - warm - flat < 1 or low == 1:
        raise Refused(
            f"{where}(max_steps={total}, constant_steps={flat}): the cosine falls, over a step or more after the warm-up; "
            f"write fewer constant steps, or a lower min_lr"
        )
    down = words.decay(total - warm - flat, to=low, curve=cosine)
    return base * (words.warmup(warm) >> down if warm else down)


def SquareAnnealing(
    *,
    base_lr: Any,
    max_steps: int,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    min_lr: float = 1e-5,
) -> Schedule:
    """A warm-up, then (1 - u)^2, no lower than `min_lr`.

    >>> SquareAnnealing(base_lr=0.1, warmup_steps=9, max_steps=99, min_lr=0)
    0.1 * warmup(9, start=0.1) >> decay(90, curve=polynomial(2))
    """  # fmt: skip
    where = "SquareAnnealing"
    base, warm, total, _ = _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr)
    return _floored(base, warm, words.decay(total - warm, curve=polynomial(2)), min_lr)


def SquareRootAnnealing(
    *,
    base_lr: Any,
    max_steps: int,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then sqrt(1 - t/max_steps): its clock runs during the warm-up, so that it falls by a jump after it.

    >>> SquareRootAnnealing(base_lr=0.1, max_steps=99)
    0.1 * decay(99, curve=polynomial(0.5))
    """  # fmt: skip
    where = "SquareRootAnnealing"
    base, warm, total, _ = _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr)
    down = words.decay(total, curve=polynomial(0.5))
    return _floored(base, warm + 1, words.shift(down, warm + 1), min_lr) if warm else _floored(base, 0, down, min_lr)


def NoamAnnealing(
    *,
    base_lr: Any,
    d_model: int,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    max_steps: int | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """base_lr d_model^-0.5 min(s^-0.5, s W^-1.5) with s = max(1, t): the first two updates are alike.

    >>> NoamAnnealing(base_lr=2.0, d_model=256, warmup_steps=100)
    join(1.25e-4 * stable(1), 0.0125 * warmup(99, start=0.01) >> rsqrt(100))
    """  # fmt: skip
    where = "NoamAnnealing"
    base = check.rate(base_lr, where)
    if min_lr > base:
        raise Refused(f"{where}(min_lr={written(min_lr)}): the least rate lies above base_lr={written(base)}")
    scale = base * check.share(d_model, where, "d_model", positive=True) ** -0.5
    warm = max(_counted(where, "warmup", warmup_steps, warmup_ratio, max_steps), 1)
    first = ratio(scale * warm**-1.5, 1) * words.stable(1)
    peak = ratio(scale * warm**-0.5, 1)
    up = peak * words.warmup(warm - 1, start=1 / warm)
    if not min_lr:
        return words.join(first, up >> words.rsqrt(warm))
    return words.join(first, up >> words.stable(1), words.maximum(peak * words.shift(words.rsqrt(warm), 1), min_lr))


def NoamHoldAnnealing(
    *,
    base_lr: Any,
    max_steps: int,
    decay_rate: float = 0.5,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    hold_steps: int | None = None,
    hold_ratio: float | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, the base rate, then (1 + t/W)^-decay_rate (Squeezeformer, Kim et al. 2022), and `min_lr` after max_steps.

    >>> NoamHoldAnnealing(base_lr=0.1, warmup_steps=10, hold_steps=5, max_steps=99, decay_rate=1.0)
    join(0.1 * warmup(10, start=0.09090909090909091) >> stable(5) >> inverse_time(0.1, 85), off())
    """
    where = "NoamHoldAnnealing"
    base, warm, total, _ = _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr)
    flat = _counted(where, "hold", hold_steps, hold_ratio, max_steps)
    if not warm or total < warm + flat:
        raise Refused(f"{where}: it needs a warm-up, and max_steps after warm-up and hold; write warmup_steps=1000")
    power = check.share(decay_rate, where, "decay_rate", positive=True)
    law = base * words.inverse_time(1 / warm, total + 1 - warm - flat, power=power)
    parts = [base * _warmed(warm, words.stable(flat)), words.maximum(law, min_lr)] if min_lr else [base * _warmed(warm, words.stable(flat)) >> law.shape]  # fmt: skip
    return words.join(*parts, hold(min_lr))


def InverseSquareRootAnnealing(
    *,
    base_lr: Any,
    max_steps: int,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then sqrt((W + 1)/(t + 1)); `min_lr` after max_steps.

    >>> InverseSquareRootAnnealing(base_lr=0.1, warmup_steps=9, max_steps=99)
    join(0.1 * warmup(9, start=0.1) >> rsqrt(10, 91), off())
    """  # fmt: skip
    where = "InverseSquareRootAnnealing"
    base, warm, total, _ = _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr)
    return _ended(base * _warmed(warm, words.rsqrt(warm + 1, total + 1 - warm)), min_lr, where)


def T5InverseSquareRootAnnealing(
    *, max_steps: int, constant_steps: int, base_lr: Any = None, min_lr: float = 0.0
) -> Schedule:
    """1/sqrt(max(t, constant_steps)), whatever the base rate; `min_lr` after max_steps.

    >>> T5InverseSquareRootAnnealing(constant_steps=100, max_steps=999)
    join(0.1 * stable(100) >> rsqrt(100, 900), off())
    """
    where = "T5InverseSquareRootAnnealing"
    flat = check.steps(constant_steps, where, "constant_steps", least=1)
    over = _total(max_steps, where, flat) + 1 - flat
    return _ended(ratio(flat**-0.5, 1) * words.stable(flat) >> words.rsqrt(flat, over), min_lr, where)


def PolynomialDecayAnnealing(
    *,
    base_lr: Any,
    max_steps: int,
    power: float = 1.0,
    cycle: bool = False,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, then (1 - u)^power to `min_lr`. `cycle` would begin again after max_steps, where the rate is `min_lr`.

    >>> PolynomialDecayAnnealing(base_lr=0.1, warmup_steps=9, max_steps=99, power=2)
    0.1 * warmup(9, start=0.1) >> decay(90, curve=polynomial(2))
    """
    where = "PolynomialDecayAnnealing"
    base, warm, total, low = _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr, above=True)
    return base * _warmed(warm, words.decay(total - warm, to=low, curve=_poly(power, where)))


def PolynomialHoldDecayAnnealing(
    *,
    base_lr: Any,
    max_steps: int,
    power: float = 1.0,
    cycle: bool = False,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    hold_steps: int | None = None,
    hold_ratio: float | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, the base rate, then (1 - u)^power to `min_lr`. Without a hold the decay's clock runs during the warm-up.

    >>> PolynomialHoldDecayAnnealing(base_lr=0.1, warmup_steps=9, hold_steps=10, max_steps=99)
    0.1 * warmup(9, start=0.1) >> stable(10) >> decay(80, curve=polynomial(1))
    """
    where = "PolynomialHoldDecayAnnealing"
    base, warm, total, low = _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr, above=True)
    curve, said = _poly(power, where), hold_steps is not None or hold_ratio is not None
    flat = _counted(where, "hold", hold_steps, hold_ratio, max_steps)
    over = total - warm - flat
    return _held(where, base, warm, flat, words.decay(max(over, 0), to=low, curve=curve), total, said)


def WarmupHoldAnnealLinear(
    *,
    base_lr: Any,
    max_steps: int,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    hold_steps: int | None = None,
    hold_ratio: float | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, the base rate, then a line to `min_lr`. Without a hold the line's clock runs during the warm-up.

    >>> WarmupHoldAnnealLinear(base_lr=0.1, warmup_steps=9, hold_steps=10, max_steps=99)
    0.1 * warmup(9, start=0.1) >> stable(10) >> decay(80)
    """  # fmt: skip
    where = "WarmupHoldAnnealLinear"
    base, warm, total, low = _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr, above=True)
    said = hold_steps is not None or hold_ratio is not None
    flat = _counted(where, "hold", hold_steps, hold_ratio, max_steps)
    over = total - warm - flat if said else total
    return _held(where, base, warm, flat, words.decay(max(over, 0), to=low), total, said)


def WarmupHoldAnnealOneMinusSquareRoot(
    *,
    base_lr: Any,
    max_steps: int,
    warmup_steps: int | None = None,
    warmup_ratio: float | None = None,
    hold_steps: int | None = None,
    hold_ratio: float | None = None,
    min_lr: float = 0.0,
) -> Schedule:
    """A warm-up, the base rate, then 1 - sqrt(u), no lower than `min_lr` (Haegele et al. 2024).

    >>> WarmupHoldAnnealOneMinusSquareRoot(base_lr=0.1, warmup_steps=9, hold_steps=10, max_steps=99)
    0.1 * warmup(9, start=0.1) >> stable(10) >> decay(80, curve=sqrt)
    """  # fmt: skip
    where = "WarmupHoldAnnealOneMinusSquareRoot"
    base, warm, total, _ = _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr)
    said = hold_steps is not None or hold_ratio is not None
    flat = _counted(where, "hold", hold_steps, hold_ratio, max_steps)
    over = total - warm - flat if said else total
    return _held(where, base, warm, flat, words.decay(max(over, 0), curve=sqrt), total, said, least=min_lr)


def _common(where, base_lr, warmup_steps, warmup_ratio, max_steps, min_lr, above=False):
    """Base rate, steps of warm-up, steps in all, and `min_lr` as a share of the base rate."""
    base = check.rate(base_lr, where)
    warm = _counted(where, "warmup", warmup_steps, warmup_ratio, max_steps)
    total = _total(max_steps, where, warm + 1)
    low = ratio(check.share(min_lr, where, "min_lr"), base)
    if above and low > 1:
        raise Refused(f"{where}(min_lr={written(min_lr)}): the least rate lies above base_lr={written(base)}")
    return base, warm, total, low


def _counted(where: str, name: str, steps: int | None, share: float | None, total: Any) -> int:
    """Steps that are given as a number or as a share of the whole, cut to whole ones."""
    if steps is not None and share is not None:
        raise Refused(f"{where}: {name}_steps and {name}_ratio say the same thing twice; leave one of them out")
    if share is None:
        return check.steps(steps or 0, where, f"{name}_steps")
    if total is None:
        raise Refused(f"{where}({name}_ratio={written(share)}) is a share of max_steps; write max_steps too")
    return int(check.share(share, where, f"{name}_ratio", most=1.0) * total)


def _total(max_steps: Any, where: str, least: int) -> int:
    return check.steps(max_steps, where, "max_steps", least=least)


def _poly(power: float, where: str) -> Any:
    return polynomial(check.share(power, where, "power", positive=True))


def _warmed(warm: int, then: Schedule) -> Schedule:
    return words.warmup(warm, start=1 / (warm + 1)) >> then if warm else then


def _ended(schedule: Schedule, min_lr: float, where: str) -> Schedule:
    return words.join(schedule, hold(check.share(min_lr, where, "min_lr")))


def _floored(base: Any, begin: int, down: Schedule, least: float) -> Schedule:
    """A warm-up over the first `begin` updates, the last of them at the base rate where `down` is shifted, then `down`."""
    shifted = not hasattr(down, "over")
    up = _warmed(begin - 1, words.stable(1)) if shifted and begin else words.warmup(begin, start=1 / (begin + 1))
    if not least:
        return base * (words.join(up, down) if shifted and begin else up >> down if begin else down)
    floor = words.maximum(base * down, least)
    return words.join(base * up, floor) if begin else floor


def _held(where, base, warm, flat, down, total, said, least=0.0):
    """A warm-up, the base rate for `flat` steps and `down`; where no hold is said the clock of `down` began at update 0."""
    if said:
        if total <= warm + flat:
            raise Refused(f"{where}(max_steps={total}): warm-up and hold take {warm + flat} of them; write more")
        if not least:
            return base * _warmed(warm, words.stable(flat) >> down)
        return words.join(base * _warmed(warm, words.stable(flat)), words.maximum(base * down, least))
    if not warm:
        return words.maximum(base * down, least) if least else base * down
    rest = words.shift(down, warm + 1)
    up = base * _warmed(warm, words.stable(1))
    return words.join(up, words.maximum(base * rest, least) if least else base * rest)
