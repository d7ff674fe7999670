"""nanodo's `get_learning_rate_schedule` (its git head), whose Optax optimizer counts updates from 0; after the end it holds."""

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check, optax
from lrlab.schedule.compat.rates import chain, hold
from lrlab.schedule.core import Schedule

_CONSTANT = "constant_linear_decay_"


def get_learning_rate_schedule(
    *,
    peak_learning_rate: float,
    init_learning_rate: float = 0.0,
    final_learning_rate: float = 0.0,
    warmup_steps: int = 0,
    num_train_steps: int,
    decay_type: str = "cosine",
    decay_steps: int | None = None,
) -> Schedule:
    """The fields of the configuration are the arguments: a warm-up from `init_learning_rate`, then `decay_type`.

    Args:
        decay_type: "cosine", "linear", "rsqrt", "constant", "constant_without_warmup", or "constant_linear_decay_" with the
            steps of the decay, or their percentage of the run, after it: "constant_linear_decay_10p".
        decay_steps: how long the cosine takes; by default what the warm-up leaves of `num_train_steps`.

    >>> get_learning_rate_schedule(peak_learning_rate=1e-3, warmup_steps=1000, num_train_steps=10_000, decay_type="rsqrt")
    1e-3 * warmup(1000) >> rsqrt(1001)
    >>> get_learning_rate_schedule(
    ...     peak_learning_rate=1e-3, warmup_steps=1000, num_train_steps=10_000, decay_type="constant_linear_decay_20p"
    ... )
    1e-3 * warmup(1000) >> stable(7000) >> decay(2000)
    """
    where = "get_learning_rate_schedule"
    peak = check.rate(peak_learning_rate, where, "peak_learning_rate")
    final = check.share(final_learning_rate, where, "final_learning_rate")
    warm = check.steps(warmup_steps, where, "warmup_steps")
    steps = check.steps(num_train_steps, where, "num_train_steps", least=1)
    rise = optax.linear_schedule(check.share(init_learning_rate, where, "init_learning_rate"), peak, warm)
    after = lambda *schedules: chain(*([rise] if warm else []), *schedules)
    match decay_type:
        case "cosine":
            over = check.steps(steps - warm if decay_steps is None else decay_steps, where, "decay_steps", least=1)
            return after(optax.cosine_decay_schedule(peak, over, final / peak))
        case "linear":
            return after(optax.linear_schedule(peak, final, steps - warm))
        case "rsqrt":
            return after(peak * words.rsqrt(1 + warm))
        case "constant":
            return after(hold(peak))
        case "constant_without_warmup":
            return hold(peak)
    down = _decay_steps(decay_type, steps, where)
    if warm + down > steps:
        raise Refused(
            f"{where}(warmup_steps={warm}, num_train_steps={steps}, decay_type='{decay_type}'): warm-up and decay take "
            f"more than the run; shorten one of them"
        )
    return after(hold(peak, steps - down - warm), optax.linear_schedule(peak, final, down))


def _decay_steps(decay_type: str, steps: int, where: str) -> int:
    text = str(decay_type).removeprefix(_CONSTANT)
    try:
        share = float(text.removesuffix("p")) / 100 if text.endswith("p") else int(text) / steps
    except ValueError:
        share = -1.0
    if text == decay_type or not 0 <= share <= 1:
        raise Refused(
            f"{where}(decay_type={decay_type!r}): there are cosine, linear, rsqrt, constant, constant_without_warmup, and "
            f"{_CONSTANT}500 or {_CONSTANT}10p for the last 500 updates or the last 10 % of the run"
        )
    return int(steps * share) if text.endswith("p") else int(text)
