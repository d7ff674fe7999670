"""timm's warm-up, stable, decay."""

from collections.abc import Callable
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check, piece
from lrlab.schedule.compat.rates import chain, hold, way
from lrlab.schedule.compat.timm.warmed import warmed
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, exponential, linear, power, sqrt


def WSDLRScheduler(
    t_initial: int,
    decay_t: int,
    lr_min: float = 0.0,
    stable_fn: str = "constant",
    stable_timescale: float | None = None,
    stable_power: float = 0.5,
    decay_fn: str | Callable[[float], float] = "1-sqrt",
    decay_power: float = 0.5,
    decay_ratio: float = 0.1,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    *,
    base_lr: float,
    **other: Any,
) -> Schedule:
    """A warm-up, then `t_initial` steps of which the last `decay_t` fall to `lr_min`, which is held.

    The stable part may fall too, as a power of time, and goes on falling during the decay. A Python function as `decay_fn`
    becomes a table.

    >>> WSDLRScheduler(90, 20, warmup_t=10, base_lr=0.1)
    0.1 * warmup(10) >> stable(70) >> decay(20, curve=sqrt)
    >>> WSDLRScheduler(90, 20, stable_fn="rsqrt", decay_fn="linear", warmup_t=10, base_lr=0.1)
    join(0.1 * warmup(10), 0.1 * rsqrt(10) * (stable(70) >> decay(20)))
    """
    where, base = "WSDLRScheduler", check.rate(base_lr, "WSDLRScheduler")
    total, down = check.steps(t_initial, where, "t_initial", least=1), check.steps(decay_t, where, "decay_t", least=1)
    if down > total:
        raise Refused(f"{where}(t_initial={total}, decay_t={down}): the decay is part of t_initial; shorten it")
    low, flat = check.share(lr_min, where, "lr_min"), total - down
    law = _law(where, stable_fn, warmup_t if stable_timescale is None else stable_timescale, stable_power)
    fall, rise = _fall(where, decay_fn, decay_power, decay_ratio, down)
    if law is None and (curve := getattr(fall, "curve", None)):
        rest = chain(hold(max(base, low), flat), way(max(base, low), low, down, curve))
    else:
        level = base * (law or words.stable())
        rest = (words.maximum(level, low) if low else level) * (words.stable(flat) >> fall if flat else fall)
        rest = rest + words.join(words.off(flat), low * rise) if low else rest
    return warmed(where, base, rest, warmup_t, warmup_lr_init, prefix=True, other=other)


def _law(where: str, name: Any, timescale: Any, exponent: Any) -> Schedule | None:
    """How the stable part falls, if it does."""
    exponent = check.share(exponent, where, "stable_power", positive=True)
    if check.choice(name, where, "stable_fn", ("constant", "rsqrt", "power")) == "constant":
        return None
    timescale = check.share(timescale, where, "stable_timescale", positive=True)
    if name == "rsqrt" or exponent == 0.5:
        return piece.rsqrt(timescale)
    return words.inverse_time(1 / timescale, power=exponent)


def _fall(where: str, decay_fn: Any, exponent: Any, share: Any, down: int) -> tuple[Schedule, Schedule]:
    """The decay from 1 to 0, and what is left of 1 during it."""
    if callable(decay_fn):
        values = piece.tabulated(lambda j: decay_fn(j / down), down + 1, where, "decay_fn")
        return words.table(values), words.table([1 - value for value in values])
    exponent = check.share(exponent, where, "decay_power", positive=True)
    share = check.share(share, where, "decay_ratio", positive=True, most=1.0)
    curves: dict[str, Curve] = {"linear": linear, "1-sqrt": sqrt, "cosine": cosine, "power": power(exponent)}
    name = check.choice(decay_fn, where, "decay_fn", (*curves, "exp"))
    curve = exponential(share) if name == "exp" else curves[name]
    return words.decay(down, curve=curve), words.warmup(down, curve=curve)
