"""timm's schedulers by their names, and the one that follows a metric."""

from collections.abc import Sequence
from typing import Any, NoReturn

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.timm.annealing import CosineLRScheduler, PolyLRScheduler, TanhLRScheduler
from lrlab.schedule.compat.timm.stepped import MultiStepLRScheduler, StepLRScheduler
from lrlab.schedule.compat.timm.wsd import WSDLRScheduler
from lrlab.schedule.core import Schedule


def PlateauLRScheduler(*args: Any, **kwargs: Any) -> NoReturn:
    """Refused: it follows a metric."""
    raise Refused(
        "PlateauLRScheduler follows a metric and is no function of the update number; give the run a schedule, "
        "0.1 * stable(), and feedback=plateau(factor=0.1, patience=10)"
    )


def create_scheduler_v2(
    sched: str = "cosine",
    num_epochs: int = 300,
    decay_epochs: float | None = None,
    decay_milestones: Sequence[int] = (90, 180, 270),
    cooldown_epochs: int = 0,
    patience_epochs: int = 10,
    decay_rate: float = 0.1,
    min_lr: float = 0.0,
    warmup_lr: float = 1e-5,
    warmup_epochs: int = 0,
    warmup_prefix: bool = False,
    noise: Any = None,
    noise_pct: float = 0.67,
    noise_std: float = 1.0,
    noise_seed: int = 42,
    cycle_mul: float = 1.0,
    cycle_decay: float = 0.1,
    cycle_limit: int = 1,
    k_decay: float = 1.0,
    decay_fn: str | None = None,
    stable_timescale: float | None = None,
    plateau_mode: str = "max",
    step_on_epochs: bool = True,
    updates_per_epoch: int = 0,
    *,
    base_lr: float,
) -> Schedule:
    """The schedule of a scheduler by its name, its durations in epochs.

    In updates where `updates_per_epoch` is given: it moves with every one of them, or (`step_on_epochs`) once an epoch.

    >>> create_scheduler_v2(num_epochs=90, warmup_epochs=5, step_on_epochs=False, updates_per_epoch=100, base_lr=0.1)
    join(0.1 * warmup(500, start=1e-4), shift(0.1 * decay(9000, curve=cosine), 500))
    >>> create_scheduler_v2("step", decay_epochs=30, updates_per_epoch=100, base_lr=0.1)
    stairs(0.1 * repeat(stable(30), shrink=0.1), 100)
    """
    where = "create_scheduler_v2"
    check.choice(sched, where, "sched", _SCHEDULERS)
    if sched == "plateau":
        PlateauLRScheduler()
    if sched == "none":
        return check.rate(base_lr, where) * words.stable()
    each = check.steps(updates_per_epoch, where, "updates_per_epoch", least=0 if step_on_epochs else 1)
    n = 1 if step_on_epochs else each
    total, warm, decay = num_epochs * n, warmup_epochs * n, decay_epochs
    given = {"base_lr": base_lr, "warmup_t": warm, "warmup_lr_init": warmup_lr, "noise_range_t": noise}
    waves = {"lr_min": min_lr, "cycle_mul": cycle_mul, "cycle_decay": cycle_decay, "cycle_limit": cycle_limit}
    if sched in ("wsd", "rsqrt"):
        rest = total if warmup_prefix else total - warm
        decay = 0.2 if decay is None else decay
        schedule = WSDLRScheduler(
            rest,
            round(decay * (rest if 0 < decay < 1 else n)),
            min_lr,
            "rsqrt" if sched == "rsqrt" else "constant",
            None if stable_timescale is None else stable_timescale * n,
            decay_fn=decay_fn or ("linear" if sched == "rsqrt" else "1-sqrt"),
            **given,
        )
    else:
        given["warmup_prefix"] = warmup_prefix
        match sched:
            case "step":
                schedule = StepLRScheduler((90 if decay is None else decay) * n, decay_rate, **given)
            case "constant":
                schedule = StepLRScheduler(1, **given)
            case "multistep":
                schedule = MultiStepLRScheduler([step * n for step in decay_milestones], decay_rate, **given)
            case "tanh":
                schedule = TanhLRScheduler(total, **waves, **given)
            case "poly":
                schedule = PolyLRScheduler(total, decay_rate, k_decay=k_decay, **waves, **given)
            case _:
                schedule = CosineLRScheduler(total, k_decay=k_decay, **waves, **given)
    return words.stairs(schedule, each) if step_on_epochs and each > 1 else schedule


_SCHEDULERS = ("cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt", "constant", "plateau", "none")
