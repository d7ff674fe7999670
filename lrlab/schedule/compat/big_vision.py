"""big_vision's `create_learning_rate_schedule` (git 0127fb6), which its optimizer multiplies with the rate at updates 0, 1, ...

Its durations are read as its configuration writes them: one of `warmup_steps`, `warmup_examples`, `warmup_epochs` and
`warmup_percent`, and so with `cooldown`.
"""

from collections.abc import Sequence
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import bend, cooldown, rsqrt
from lrlab.schedule.compat.product import product
from lrlab.schedule.compat.rates import chain, piecewise_constant, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine

_WHERE = "create_learning_rate_schedule"
_TYPES = ("linear", "polynomial", "cosine", "rsqrt", "stair")


def create_learning_rate_schedule(
    total_steps: int,
    batch_size: int | None = None,
    data_size: int | None = None,
    base: float = 1.0,
    decay_type: str = "stair",
    scale_with_batchsize: bool = False,
    *,
    power: float = 1,
    end: float | None = None,
    linear_end: float = 0,
    timescale: float = 10_000,
    timescale_examples: float | None = None,
    shift: float = 0,
    steps: Sequence[int] = (),
    mults: Sequence[float] = (),
    after: check.After = "peer",
    **durations: Any,
) -> Schedule:
    """A decay, times a warm-up, times a cooldown to zero.

    After `total_steps` the cooldown goes on, below zero; `after="hold"` stays at zero. The others hold their end,
    and `rsqrt` falls on.

    >>> create_learning_rate_schedule(10_000, base=1e-3, decay_type="cosine", warmup_steps=500)
    1e-3 * warmup(500) >> decay(9500, curve=cosine)
    >>> create_learning_rate_schedule(
    ...     100_000, base=1e-3, decay_type="rsqrt", timescale=10_000, warmup_steps=10_000, cooldown_steps=20_000, after="hold"
    ... )
    (1e-3 * warmup(10000) >> rsqrt(10000)) * (stable(80000) >> decay(20000))
    """
    total = check.steps(total_steps, _WHERE, "total_steps", least=1)
    level = check.rate(base, _WHERE, "base")
    if scale_with_batchsize:
        level *= check.steps(batch_size, _WHERE, "batch_size", least=1) / 256
    warm = _duration("warmup", durations, data_size, batch_size, total)
    cool = _duration("cooldown", durations, data_size, batch_size, total)
    if durations:
        raise Refused(f"{_WHERE}({', '.join(durations)}=...) is none of its arguments")
    if warm > 1 and warm >= total:
        raise Refused(
            f"{_WHERE}(total_steps={total}): the warm-up of {warm} steps leaves none for the decay; shorten it"
        )
    rest = total - warm
    match check.choice(decay_type, _WHERE, "decay_type", _TYPES):
        case "stair":
            schedule = _stair(level, steps, mults, warm)
        case "rsqrt":
            if timescale_examples is not None:
                timescale = timescale_examples / check.steps(batch_size, _WHERE, "batch_size", least=1)
            schedule = _rsqrt(level, warm, timescale, check.share(shift, _WHERE, "shift"))
        case "cosine":
            schedule = chain(way(0, level, warm), way(level, 0, rest, cosine))
        case _:
            p = check.share(power, _WHERE, "power", positive=True)
            low = check.share(linear_end if end is None else end, _WHERE, "end")
            schedule = chain(way(0, level, warm), way(level, low, rest, bend(p)))
    held = check.holds(after, _WHERE)
    if cool > total:
        raise Refused(f"{_WHERE}(total_steps={total}): the cooldown of {cool} steps is longer than the run; shorten it")
    return schedule * cooldown(total - cool, cool, held=held) if cool else schedule


def _rsqrt(level: float, warm: int, timescale: Any, shift: float) -> Schedule:
    """level / sqrt(1 + (t - warm + shift)/timescale); all of the warm-up is lowered by the shift."""
    scale = check.share(timescale, _WHERE, "timescale", positive=True) + shift
    level = level / (scale / (scale - shift)) ** 0.5
    return chain(way(0, level, warm), level * rsqrt(scale))


def _stair(level: float, steps: Sequence[int], mults: Sequence[float], warm: int) -> Schedule:
    edges = [check.steps(step, _WHERE, "steps") for step in steps]
    factors = [1.0, *(check.share(mult, _WHERE, "mults") for mult in mults)]
    if edges != sorted(edges) or len(factors) != len(edges) + 1:
        raise Refused(
            f"{_WHERE}(steps={list(steps)}, mults={list(mults)}): there is one factor for each step, in ascending order"
        )
    return product(words.warmup(warm), piecewise_constant([level * factor for factor in factors], edges))


def _duration(name: str, durations: dict[str, Any], data_size: Any, batch_size: Any, total: int) -> int:
    """The duration in steps, rounded as big_vision rounds it: to the nearest, but to one at least unless it is zero."""
    given = {unit: durations.pop(f"{name}_{unit}", None) for unit in ("steps", "examples", "epochs", "percent")}
    given = {unit: value for unit, value in given.items() if value is not None}
    if not given:
        return 0
    if len(given) > 1:
        raise Refused(
            f"{_WHERE}({name}_{', '.join(given)}) says {len(given)} times how long the {name} lasts; leave one"
        )
    ((unit, value),) = given.items()
    label = f"{name}_{unit}"
    if unit == "steps":
        return check.steps(value, _WHERE, label)
    value = check.share(value, _WHERE, label, most=1.0 if unit == "percent" else float("inf"))
    batch = 1 if unit == "percent" else check.steps(batch_size, _WHERE, "batch_size", least=1)
    each = {"examples": 1, "percent": total}.get(unit) or check.steps(data_size, _WHERE, "data_size", least=1)
    exact = value / batch if unit == "examples" else value * (each / batch)
    return max(1, round(exact)) if exact else 0
