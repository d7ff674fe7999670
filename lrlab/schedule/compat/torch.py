"""torch.optim.lr_scheduler (PyTorch 2.13), stepped once after every optimizer update."""

from typing import Any

from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine


def StepLR(*, base_lr: Any, step_size: int, gamma: float = 0.1) -> Schedule:
    """`gamma` times the rate every `step_size` updates.

    >>> StepLR(base_lr=0.1, step_size=30)
    0.1 * repeat(stable(30), shrink=0.1)
    """
    base_lr = check.rate(base_lr, "StepLR")
    cycle = words.stable(check.steps(step_size, "StepLR", "step_size", least=1))
    return base_lr * words.repeat(cycle, shrink=check.share(gamma, "StepLR", "gamma", positive=True, most=1.0))


def CosineAnnealingLR(*, base_lr: Any, T_max: int, eta_min: float = 0.0, after: check.After = "peer") -> Schedule:
    """A cosine from `base_lr` to `eta_min` over `T_max` updates (SGDR, Loshchilov & Hutter 2016, without restarts).

    After `T_max` it rises again, with period 2 T_max; `after="hold"` stays at `eta_min`.

    >>> CosineAnnealingLR(base_lr=0.1, T_max=100, after="hold")
    0.1 * decay(100, curve=cosine)
    """
    where = "CosineAnnealingLR"
    base_lr, over = check.rate(base_lr, where), check.steps(T_max, where, "T_max", least=1)
    to = check.share(eta_min / base_lr, where, "eta_min / base_lr")
    down = words.ramp(over, start=1.0, to=to, curve=cosine) if to > 1 else words.decay(over, to=to, curve=cosine)
    if check.holds(after, where):
        return base_lr * down
    return base_lr * words.repeat(words.join(down, words.ramp(over, start=to, to=1.0, curve=cosine)))
