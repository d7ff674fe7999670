"""scenic.train_lib.lr_schedules (git 4181ac1): a product of factors named in a string, at updates 0, 1, ...

scenic counts in float32; here cycles begin where they should.
"""

from collections.abc import Callable, Sequence
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.combine import Scale
from lrlab.schedule.compat import check, fields, optax
from lrlab.schedule.compat.cycle import annealed
from lrlab.schedule.compat.piece import bend, cooldown, later, ratio, rsqrt, way
from lrlab.schedule.compat.product import product
from lrlab.schedule.compat.rates import legs, piecewise_constant
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine
from lrlab.schedule.part import Warmup

_WHERE = "compound_lr_scheduler"


def compound_lr_scheduler(*, factors: str, **config: Any) -> Schedule:
    """Factors joined by `*`; the fields of `lr_configs` are the arguments.

    They are, with the fields that they read:

        constant            base_learning_rate
        polynomial          decay_steps, end_factor, power
        piecewise_constant  decay_events, decay_factors: shares of the whole, each after the update of its event
        piecewise_linear    decay_events, decay_factors
        linear_warmup       warmup_steps, warmup_alpha=0
        rsqrt_decay         warmup_steps=0, timescale=10_000
        decay_every         steps_per_decay, decay_factor
        exponential_decay   decay_steps, decay_rate, staircase=False
        cosine_decay        steps_per_cycle, t_mul=1, m_mul=1, alpha=0, warmup_steps=0, start_decay_step=0,
                            total_steps=steps_per_cycle, after="peer"; it begins again after each cycle, and
                            `after="hold"` stays at the end of the first
        linear_decay        total_steps, warmup_steps=0, end_learning_rate=0, to which it leads what stands before it
        linear_cooldown     total_steps, cooldown_steps, warmup_steps=0, after="peer"; it goes on below zero, and
                            `after="hold"` stays there

    >>> compound_lr_scheduler(
    ...     factors="constant*cosine_decay*linear_warmup", base_learning_rate=1e-3, warmup_steps=1000, steps_per_cycle=9000
    ... )
    1e-3 * warmup(1000) >> repeat(decay(8000, curve=cosine))
    >>> compound_lr_scheduler(
    ...     factors="constant * linear_warmup * linear_decay", base_learning_rate=1e-3, warmup_steps=1000, total_steps=9000,
    ...     end_learning_rate=1e-4,
    ... )
    1e-3 * warmup(1000) >> decay(8000, to=0.1)
    """
    names = [check.choice(name.strip(), _WHERE, "factor", _FACTORS) for name in str(factors).split("*")]
    fields.known(config, _FACTORS.values(), _WHERE, hidden=("before",))
    schedule = words.stable()
    for name in names:
        function, where = _FACTORS[name], f"{name} of {_WHERE}"
        if name == "linear_decay":
            schedule = fields.call(function, {**config, "before": schedule}, where)
        else:
            schedule = product(schedule, fields.call(function, config, where))
    return schedule


def _constant(*, base_learning_rate: float) -> Schedule:
    return check.rate(base_learning_rate, _WHERE, "base_learning_rate") * words.stable()


def _polynomial(*, decay_steps: int, end_factor: float, power: float) -> Schedule:
    curve = bend(check.share(power, _WHERE, "power", positive=True))
    return way(_steps(decay_steps, "decay_steps", 1), 1.0, check.share(end_factor, _WHERE, "end_factor"), curve)


def _piecewise_constant(*, decay_events: Sequence[int], decay_factors: Sequence[float]) -> Schedule:
    events, levels = check.events(decay_events, decay_factors, _WHERE)
    return piecewise_constant(levels, [event + 1 for event in events])


def _piecewise_linear(*, decay_events: Sequence[int], decay_factors: Sequence[float]) -> Schedule:
    events, levels = check.events(decay_events, decay_factors, _WHERE)
    return legs(levels, events)


def _linear_warmup(*, warmup_steps: int, warmup_alpha: float = 0.0) -> Schedule:
    start = check.share(warmup_alpha, _WHERE, "warmup_alpha", most=1.0)
    return way(_steps(warmup_steps, "warmup_steps"), start, 1.0) if warmup_steps else words.stable()


def _rsqrt_decay(*, warmup_steps: int = 0, timescale: float = 10_000) -> Schedule:
    scale = check.share(timescale, _WHERE, "timescale", positive=True)
    return later(_steps(warmup_steps, "warmup_steps"), rsqrt(scale))


def _decay_every(*, steps_per_decay: int, decay_factor: float) -> Schedule:
    every = _steps(steps_per_decay, "steps_per_decay", 1)
    return optax.exponential_decay(
        1.0, every, check.share(decay_factor, _WHERE, "decay_factor", positive=True), staircase=True
    )


def _exponential_decay(*, decay_steps: int, decay_rate: float, staircase: bool = False) -> Schedule:
    over, rate = _steps(decay_steps, "decay_steps", 1), check.share(decay_rate, _WHERE, "decay_rate", positive=True)
    return optax.exponential_decay(1.0, over, rate, staircase=staircase)


def _cosine_decay(
    *,
    steps_per_cycle: int,
    t_mul: float = 1.0,
    m_mul: float = 1.0,
    alpha: float = 0.0,
    warmup_steps: int = 0,
    start_decay_step: int = 0,
    total_steps: int | None = None,
    after: check.After = "peer",
) -> Schedule:
    """The warm-up is taken off the cycles, in equal shares; where nothing is left of them there is no decay."""
    each, warm = _steps(steps_per_cycle, "steps_per_cycle", 1), _steps(warmup_steps, "warmup_steps")
    total = each if total_steps is None else _steps(total_steps, "total_steps", 1)
    left = each - int(warm / (total / each))
    if left <= 0:
        return words.stable()
    shrink = check.share(m_mul, _WHERE, "m_mul", positive=True, most=1.0)
    t_mul = check.share(t_mul, _WHERE, "t_mul", positive=True)
    to, begin = check.share(alpha, _WHERE, "alpha", most=1.0), warm + _steps(start_decay_step, "start_decay_step")
    if check.holds(after, _WHERE):
        return later(begin, way(left, 1.0, to, cosine))
    return later(begin, annealed(left, t_mul, shrink, to, _WHERE, "t_mul"))


def _linear_cooldown(
    *, total_steps: int, cooldown_steps: int, warmup_steps: int = 0, after: check.After = "peer"
) -> Schedule:
    """min(1, (total_steps - t)/cooldown_steps), from the warm-up on."""
    total, over = _steps(total_steps, "total_steps", 1), _steps(cooldown_steps, "cooldown_steps", 1)
    warm, held = _left(total, warmup_steps), check.holds(after, _WHERE)
    if total - over >= warm:
        return cooldown(total - over, over, held=held)
    return (total - warm) / over * cooldown(warm, total - warm, held=held)


def _linear_decay(
    *, before: Schedule, total_steps: int, warmup_steps: int = 0, end_learning_rate: float = 0.0
) -> Schedule:
    """What stands before it, led to `end_learning_rate` by a line from the end of the warm-up to `total_steps`."""
    total, end = _steps(total_steps, "total_steps", 1), check.share(end_learning_rate, _WHERE, "end_learning_rate")
    warm = _left(total, warmup_steps)
    level, shape = (before.peak, before.shape) if isinstance(before, Scale) else (1.0, before)
    if (
        shape == words.stable() or isinstance(shape, Warmup) and shape.length <= warm
    ):  # at its level when it is led down
        return product(before, later(warm, way(total - warm, 1.0, ratio(end, level))))
    down = product(before, later(warm, words.decay(total - warm)))
    up = words.warmup(total - warm)
    return down + end * (words.join(words.off(warm), up) if warm else up) if end else down


_FACTORS: dict[str, Callable[..., Schedule]] = {
    "constant": _constant,
    "polynomial": _polynomial,
    "piecewise_constant": _piecewise_constant,
    "piecewise_linear": _piecewise_linear,
    "linear_warmup": _linear_warmup,
    "rsqrt_decay": _rsqrt_decay,
    "decay_every": _decay_every,
    "exponential_decay": _exponential_decay,
    "cosine_decay": _cosine_decay,
    "linear_decay": _linear_decay,
    "linear_cooldown": _linear_cooldown,
}


def _steps(value: Any, name: str, least: int = 0) -> int:
    return check.steps(value, _WHERE, name, least=least)


def _left(total: int, warmup_steps: int) -> int:
    warm = _steps(warmup_steps, "warmup_steps")
    if warm >= total:
        raise Refused(f"{_WHERE}(total_steps={total}) counts the warm-up too, and must be more than its {warm} steps")
    return warm
