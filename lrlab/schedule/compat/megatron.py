"""Megatron-LM's OptimizerParamScheduler (megatron-core 0.16), which its trainer steps after every update, from 0 before the first.

Durations are in updates; the trainer counts samples, which are as many times more in all of them as the batch is large.
"""

from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import piece
from lrlab.schedule.compat.rates import chain, hold, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, exponential, linear, sqrt
from lrlab.schedule.write import written

_STYLES = ("constant", "linear", "cosine", "inverse-square-root", "WSD")
_COOLDOWNS = {"linear": linear, "cosine": cosine, "exponential": exponential(0.5), "minus_sqrt": sqrt}
_WEIGHT_DECAYS = {"constant": None, "linear": linear, "cosine": cosine}


def OptimizerParamScheduler(
    *,
    max_lr: float,
    lr_decay_steps: int,
    lr_decay_style: str,
    init_lr: float = 0.0,
    min_lr: float = 0.0,
    lr_warmup_steps: int = 0,
    wsd_decay_steps: int | None = None,
    lr_wsd_decay_style: str | None = None,
) -> Schedule:
    """A line from `init_lr` to `max_lr`, then `lr_decay_style` to `min_lr` at `lr_decay_steps`, which is held; its weight
    decay is `get_wd`.

    The inverse square root falls to `min_lr` by a jump after `lr_decay_steps`, and so does a WSD that has no step to decay.

    Args:
        lr_decay_style: "constant", "linear", "cosine", "inverse-square-root" or "WSD".
        lr_decay_steps: counts the warm-up.
        wsd_decay_steps: how long the decay of "WSD" takes; its part that lies in the warm-up is left out.
        lr_wsd_decay_style: how that goes: "linear", "cosine", "exponential" or "minus_sqrt".

    >>> OptimizerParamScheduler(max_lr=3e-4, min_lr=3e-5, lr_warmup_steps=100, lr_decay_steps=1000, lr_decay_style="cosine")
    3e-4 * warmup(100) >> decay(900, to=0.1, curve=cosine)
    >>> OptimizerParamScheduler(
    ...     max_lr=3e-4, lr_warmup_steps=100, lr_decay_steps=1000, lr_decay_style="WSD", wsd_decay_steps=200,
    ...     lr_wsd_decay_style="minus_sqrt",
    ... )
    3e-4 * warmup(100) >> stable(700) >> decay(200, curve=sqrt)
    """
    where, high = "OptimizerParamScheduler", check.rate(max_lr, "OptimizerParamScheduler", "max_lr")
    start, low = (check.share(rate, where, name) for rate, name in ((init_lr, "init_lr"), (min_lr, "min_lr")))
    if max(start, low) > high:
        raise Refused(f"{where}(max_lr={written(high)}): init_lr and min_lr are no higher than that; lower them")
    total = check.steps(lr_decay_steps, where, "lr_decay_steps", least=1)
    warm = check.steps(lr_warmup_steps, where, "lr_warmup_steps")
    if warm >= total:
        raise Refused(f"{where}(lr_decay_steps={total}) counts the warm-up too, and must be more than its {warm} steps")
    rise = way(start, high, warm)
    match check.choice(lr_decay_style, where, "lr_decay_style", _STYLES):
        case "constant":
            return chain(rise, hold(high))
        case "inverse-square-root":
            return _inverse_square_root(rise, high, low, warm, total)
        case "WSD":
            down = check.steps(wsd_decay_steps, where, "wsd_decay_steps")
            style = check.choice(lr_wsd_decay_style, where, "lr_wsd_decay_style", _COOLDOWNS)
            return chain(rise, *_cooled(high, low, warm, total, down, _COOLDOWNS[style]))
        case style:
            return chain(rise, way(high, low, total - warm, _COOLDOWNS[style]))


def get_wd(start_wd: float, end_wd: float, wd_incr_steps: int, wd_incr_style: str) -> Schedule:
    """The weight decay: up from `start_wd` to `end_wd`, as a line or a cosine, or constant.

    >>> get_wd(0.01, 0.1, 1000, "cosine")
    0.1 * warmup(1000, start=0.1, curve=cosine)
    """
    start, end = check.share(start_wd, "get_wd", "start_wd"), check.share(end_wd, "get_wd", "end_wd")
    curve = _WEIGHT_DECAYS[check.choice(wd_incr_style, "get_wd", "wd_incr_style", _WEIGHT_DECAYS)]
    if start > end or curve is None and start != end:
        raise Refused(
            f"get_wd(start_wd={written(start)}, end_wd={written(end)}): a constant weight decay ends where it starts, any "
            f"other rises; change one of the two"
        )
    return way(start, end, check.steps(wd_incr_steps, "get_wd", "wd_incr_steps", least=1), curve or linear)


def _inverse_square_root(rise: Schedule, high: float, low: float, warm: int, total: int) -> Schedule:
    """The rate is `high` at the end of the warm-up; without one at the first two updates."""
    if not warm:
        rise, warm = hold(high, 1), 1
    fall = high * words.rsqrt(warm, total + 1 - warm)
    if low:
        return words.join(rise, words.maximum(fall, low), hold(low))
    return words.join(chain(rise, fall), words.off())


def _cooled(high: float, low: float, warm: int, total: int, down: int, curve: Curve) -> list[Any]:
    """The stable part and the decay of WSD, which begins part way where the warm-up lasts longer."""
    if not down:
        return [hold(high, total - warm + 1), hold(low)]
    if total - down >= warm:
        return [hold(high, total - down - warm), way(high, low, down, curve)]
    flat = 1 if warm else 0  # the end of the warm-up belongs to it
    left = total - warm - flat
    return [hold(high, flat), way(high, low, left, piece(curve, 1 - left / down, 1)) if left else hold(low)]
