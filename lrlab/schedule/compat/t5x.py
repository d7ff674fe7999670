"""t5x.utils.create_learning_rate_scheduler (git cc342d4): a product of factors named in a string, at updates 0, 1, ..."""

from lrlab.refusal import unknown
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.product import product
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine

_WHERE = "create_learning_rate_scheduler"
_FACTORS = (
    "constant",
    "linear_warmup",
    "linear_decay",
    "rsqrt_decay",
    "rsqrt_normalized_decay",
    "decay_every",
    "cosine_decay",
)


def create_learning_rate_scheduler(
    factors: str = "constant * linear_warmup * rsqrt_decay",
    base_learning_rate: float = 0.5,
    warmup_steps: int = 1000,
    decay_factor: float = 0.5,
    steps_per_decay: int = 20000,
    steps_per_cycle: int = 100000,
    step_offset: int = 0,
    min_learning_rate: float = 1e-8,
) -> Schedule:
    """Factors joined by `*`; nowhere is the rate below `min_learning_rate`, not even at the first update.

    As in t5x, `linear_decay` holds a warm-up and `base_learning_rate` of its own, and `cosine_decay` begins again after
    every `steps_per_cycle`.

    >>> create_learning_rate_scheduler("constant * linear_warmup * rsqrt_normalized_decay", 0.01, 10_000, min_learning_rate=0)
    0.01 * warmup(10000) >> rsqrt(10000)
    >>> create_learning_rate_scheduler(warmup_steps=10_000)
    maximum(5e-3 * warmup(10000) >> rsqrt(10000), 1e-8 * stable())
    """
    names = [name.strip() for name in str(factors).split("*")]
    warm = check.steps(warmup_steps, _WHERE, "warmup_steps", least=1)
    base = check.rate(base_learning_rate, _WHERE, "base_learning_rate")
    level, parts = 1.0, []
    for name in names:
        if name not in _FACTORS:
            raise unknown(f"factor of {_WHERE}", name, _FACTORS)
        if name in ("constant", "linear_decay"):
            level *= base
        if name == "rsqrt_decay":
            level *= warm**-0.5
        if name != "constant":
            parts.append(_factor(name, warm, decay_factor, steps_per_decay, steps_per_cycle))
    schedule = product(level * words.stable(), *parts)
    offset = check.steps(step_offset, _WHERE, "step_offset", least=-(2**31) + 1)
    schedule = words.shift(schedule, -offset) if offset else schedule
    low = check.share(min_learning_rate, _WHERE, "min_learning_rate")
    return words.maximum(schedule, low * words.stable()) if low else schedule


def _factor(name: str, warm: int, decay_factor: float, steps_per_decay: int, steps_per_cycle: int) -> Schedule:
    match name:
        case "linear_warmup":
            return words.warmup(warm)
        case "rsqrt_decay" | "rsqrt_normalized_decay":
            return words.stable(warm) >> words.rsqrt(warm)
        case "decay_every":
            over = check.steps(steps_per_decay, _WHERE, "steps_per_decay", least=1)
            shrink = check.share(decay_factor, _WHERE, "decay_factor", positive=True, most=1.0)
            return words.repeat(words.stable(over), shrink=shrink)
        case "cosine_decay":
            over = check.steps(steps_per_cycle, _WHERE, "steps_per_cycle", least=1)
            return words.stable(warm) >> words.repeat(words.decay(over, curve=cosine))
    slope = check.share(decay_factor, _WHERE, "decay_factor", positive=True)
    over = int(1 / slope * (1 + 1e-12))
    left = max(1 - over * slope, 0.0)  # before the step at which it would go below zero
    rise = words.warmup(warm)
    if left < 1e-12:
        return rise >> words.decay(over)
    return words.join((rise >> words.decay(over, to=left) if over else rise) >> words.stable(1), words.off())
