"""What all of timm's schedulers share: a linear warm-up, before the schedule or over its beginning, and the first update."""

from typing import Any

from lrlab.refusal import Refused, unknown
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.rates import chain, hold, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.write import written

_OTHER = ("t_in_epochs", "noise_range_t", "noise_pct", "noise_std", "noise_seed", "initialize")


def warmed(
    where: str,
    base: float,
    schedule: Schedule,
    warmup_t: Any,
    warmup_lr_init: Any,
    *,
    prefix: bool,
    other: dict[str, Any],
    to: float | None = None,
) -> Schedule:
    """The schedule after a warm-up to the base rate, or to the rate `to`.

    Args:
        prefix: whether the clock of the schedule begins when the warm-up is over.
        other: the peer's other arguments. Noise is refused.
    """
    for name, value in other.items():
        if name not in _OTHER:
            raise unknown(f"argument of {where}", name, _OTHER)
        if name == "noise_range_t" and value is not None:
            raise Refused(
                f"{where}(noise_range_t={written(value)}): the noise is drawn by PyTorch's generator, not a function of the "
                "update number; leave it out, or give timm's rates as a table, table([...])"
            )
    warm = check.steps(warmup_t, where, "warmup_t")
    start = check.share(warmup_lr_init, where, "warmup_lr_init")
    if not warm:
        begins = abs(float(schedule(0)) - base) <= 2e-7 * base
        return schedule if begins else words.join(hold(base, 1), words.shift(schedule, 1))
    return chain(way(start, base if to is None else to, warm), schedule if prefix else words.shift(schedule, warm))
