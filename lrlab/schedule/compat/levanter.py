"""Levanter's `OptimizerConfig.lr_scheduler` (marin-community, git 2f8a58a), whose optimizer counts updates from 0."""

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import ceil, floor
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check, fields, optax
from lrlab.schedule.compat.cycle import few, joined
from lrlab.schedule.compat.piece import first, ratio, rsqrt
from lrlab.schedule.compat.rates import chain, hold, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.number import number
from lrlab.schedule.time import LAST_STEP
from lrlab.schedule.write import written

_WHERE = "lr_scheduler"


def lr_scheduler(
    num_train_steps: int,
    *,
    learning_rate: float = 6e-4,
    min_lr_ratio: float = 0.1,
    warmup: float = 0.01,
    decay: float | None = None,
    rewarmup: float = 0.0,
    cooldown: float | None = None,
    cycle_length: float | Sequence[int] | None = None,
    cycles: int | Sequence[int] | None = None,
    haps: Sequence[int] | None = None,
    lr_schedule: str = "cosine",
    **lr_schedule_fields: Any,
) -> Schedule:
    """Cycles of a warm-up, the rate, and a decay to `min_lr_ratio` of it; the fields of the configuration are the arguments.

    After the run inv_sqrt and power fall on, and the others hold.

    Args:
        warmup: in steps or, up to 1, as a share of the cycle, cut to whole steps. So are `decay`, which by default is the
            rest; `rewarmup`, which is the warm-up of the cycles after the first; and `cooldown`, of the run, a line to
            the lowest rate after all cycles.
        cycle_length: steps or a share of the run, the last cycle taking what does not make another; or a list of lengths.
        cycles: how many, or a list of where they end, once called `haps`.
        lr_schedule: constant, cosine (exponent=1), linear, inv_sqrt (timescale=10_000), inv, or power (batch_size,
            seq_length, a=4.6, b=-0.51), with these fields beside it. Tokens of power are counted beyond 2^31.

    >>> lr_scheduler(10_000, learning_rate=1e-3, warmup=1000, decay=0.2, lr_schedule="linear", min_lr_ratio=0)
    1e-3 * warmup(1000) >> stable(7000) >> decay(2000)
    >>> lr_scheduler(10_000, learning_rate=1e-3, warmup=0, cycles=4, rewarmup=500, decay=0.2)
    join(1e-3 * stable(2000) >> decay(500, to=0.1, curve=cosine), repeat(1e-3 * warmup(500, start=0.1) >> stable(1500) >> decay(500, to=0.1, curve=cosine), 3))
    """  # fmt: skip
    total = check.steps(num_train_steps, _WHERE, "num_train_steps", least=1)
    high = check.rate(learning_rate, _WHERE, "learning_rate")
    low = check.share(min_lr_ratio, _WHERE, "min_lr_ratio", most=1.0)
    fall = _DECAYS[check.choice(lr_schedule, _WHERE, "lr_schedule", _DECAYS)]
    fields.known(lr_schedule_fields, [fall], f"{_WHERE}('{lr_schedule}')", hidden=("high", "low", "warm", "over"))
    cool = _steps(cooldown or 0, total, "cooldown")
    edges = _edges(total - cool, cycle_length, cycles, haps)
    parts, level = [], 0.0
    for begin, end in pairwise(edges):
        each = end - begin
        warm = _steps(rewarmup, each, "rewarmup") if begin else _steps(warmup, each, "warmup")
        over = each - warm if decay is None else _steps(decay, each, "decay")
        if not 0 <= over <= each:
            name = "decay" if over > 0 else "warm-up"
            raise Refused(
                f"{_WHERE}(num_train_steps={total}): the {name} is longer than its cycle of {each} steps; shorten it"
            )
        context = {"high": high, "low": ratio(high * low, 1), "warm": warm, "over": over}
        down = fields.call(fall, {**lr_schedule_fields, **context}, f"{_WHERE}('{lr_schedule}')")
        rise = way(level, high, warm)
        if warm + over > each:  # the decay begins where it must to be over in time
            rise = first(rise, each - over)
        level = float(f"{float(down(over)):.7g}")  # float32 has no more digits
        last = end == edges[-1] and not cool
        parts.append(chain(rise, hold(high, max(each - warm - over, 0)), down if last else first(down, over)))
    return joined([*parts, way(level, high * low, cool)] if cool else parts)


def _constant(*, high: float) -> Schedule:
    return hold(high)


def _cosine(*, high: float, low: float, over: int, exponent: float = 1.0) -> Schedule:
    return optax.cosine_decay_schedule(high, over, ratio(low, high), exponent)


def _linear(*, high: float, low: float, over: int) -> Schedule:
    return optax.linear_schedule(high, low, over)


def _inv_sqrt(*, high: float, low: float, warm: int, timescale: float = 10_000) -> Schedule:
    """min(1, sqrt(timescale/(t + warm))): it does not fall before the timescale has passed."""
    scale = number(
        timescale, f"{_WHERE}(timescale={written(timescale)}): timescale is a number of steps from 1 on", least=1
    )
    begin = max(ceil(scale), warm)
    fall = chain(hold(high, begin - warm), ratio(high * (scale / begin) ** 0.5, 1) * rsqrt(begin))
    return words.maximum(fall, low) if low else fall


def _inv(*, high: float, low: float, over: int) -> Schedule:
    """1/(1 + (high/low - 1) t/over) to `low`; the first two updates are alike."""
    if not low:
        raise Refused(
            f"{_WHERE}(min_lr_ratio=0): inv falls to a rate above zero, and divides by it; write min_lr_ratio=0.1"
        )
    if low == high or not over:
        return hold(low)
    rate = (high / low - 1) / over
    second = ratio(high / (1 + rate), 1)
    return chain(hold(second, 1), second * words.inverse_time(rate / (1 + rate), over - 1))


def _power(*, high: float, batch_size: int, seq_length: int, a: float = 4.6, b: float = -0.51) -> Schedule:
    """The rate or, where that is less, batch_size a tokens^b (Shen et al. 2024, arXiv 2408.13359)."""
    batch = check.steps(batch_size, _WHERE, "batch_size", least=1)
    tokens = batch * check.steps(seq_length, _WHERE, "seq_length", least=1)
    scale = batch * check.share(a, _WHERE, "a", positive=True)
    if not b < 0:
        raise Refused(f"{_WHERE}(b={written(b)}): the exponent is negative, such as -0.51")
    until = (high / scale) ** (1 / b) / tokens  # steps
    if until >= LAST_STEP:
        return hold(high)
    begin = floor(until) + 1
    return chain(hold(high, begin), scale * (begin * tokens) ** b * words.inverse_time(1 / begin, power=-b))


_DECAYS: dict[str, Callable[..., Schedule]] = {
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "inv_sqrt": _inv_sqrt,
    "inv": _inv,
    "power": _power,
}


def _edges(total: int, cycle_length: Any, cycles: Any, haps: Any) -> list[int]:
    """Where the cycles begin, and the last one ends."""
    given = {"cycle_length": cycle_length, "cycles": cycles, "haps": haps}
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) > 1:
        raise Refused(f"{_WHERE}({', '.join(given)}) says more than once what the cycles are; leave one of them")
    ((name, value),) = given.items() or [("cycles", 1)]
    if isinstance(value, Sequence):
        lengths = [check.steps(length, _WHERE, name, least=1) for length in value]
        ends = list(accumulate(lengths)) if name == "cycle_length" else lengths
    elif name == "cycle_length":
        length = max(_steps(value, total, name), 1)
        few(total // length, _WHERE, "cycles of cycle_length")
        ends = [i * length for i in range(1, total // length)]
    else:
        count = check.steps(value, _WHERE, name, least=1)
        few(count, _WHERE, name)
        ends = [int(total / count * i) for i in range(1, count)]
    edges = [0, *ends, *([] if ends and ends[-1] == total else [total])]
    if any(end <= begin for begin, end in pairwise(edges)):
        raise Refused(
            f"{_WHERE}({name}={written(value)}): cycles end one after another within the {total} steps of the run"
        )
    return edges


def _steps(value: Any, total: int, name: str) -> int:
    """Steps, or a share of the whole up to 1."""
    value = check.share(value, _WHERE, name)
    return int(value * total) if value <= 1 else check.steps(value, _WHERE, name)
