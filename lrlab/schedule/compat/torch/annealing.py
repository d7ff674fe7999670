"""The schedulers of PyTorch that anneal the rate to another one."""

from typing import Literal

from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import ratio, way
from lrlab.schedule.compat.torch.stepped import stepped
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import cosine, linear

CURVES = {"cos": cosine, "linear": linear}


def CosineAnnealingLR(T_max: int, eta_min: float = 0.0, *, base_lr: float, after: check.After = "peer") -> Schedule:
    """A cosine from `base_lr` to `eta_min` over `T_max` updates (SGDR, Loshchilov & Hutter 2016, without restarts).

    After `T_max` it rises again, with period 2 T_max; `after="hold"` stays at `eta_min`.

    >>> CosineAnnealingLR(100, base_lr=0.1, after="hold")
    0.1 * decay(100, curve=cosine)
    """
    where = "CosineAnnealingLR"
    base_lr, over = check.rate(base_lr, where), check.steps(T_max, where, "T_max", least=1)
    to = ratio(check.share(eta_min, where, "eta_min"), base_lr)
    down = way(over, 1.0, to, cosine)
    up = words.ramp(over, start=to, to=1.0, curve=cosine)
    return stepped(where, base_lr, down if check.holds(after, where) else words.repeat(words.join(down, up)))


def CosineAnnealingWarmRestarts(T_0: int, T_mult: int = 1, eta_min: float = 0.0, *, base_lr: float) -> Schedule:
    """A cosine from `base_lr` towards `eta_min` over `T_0` updates, started again, each `T_mult` times as long (SGDR).

    As stepped without an argument: `step(605)` of T_0=5, T_mult=3 misses its restart by rounding a logarithm.

    >>> CosineAnnealingWarmRestarts(10, 2, base_lr=0.1)
    0.1 * repeat(decay(10, curve=cosine), stretch=2)
    """
    where = "CosineAnnealingWarmRestarts"
    base_lr, over = check.rate(base_lr, where), check.steps(T_0, where, "T_0", least=1)
    to = ratio(check.share(eta_min, where, "eta_min"), base_lr)
    stretch = check.steps(T_mult, where, "T_mult", least=1)
    return stepped(where, base_lr, words.repeat(way(over, 1.0, to, cosine), stretch=stretch))


def SWALR(
    swa_lr: float, anneal_epochs: int = 10, anneal_strategy: Literal["cos", "linear"] = "cos", *, base_lr: float
) -> Schedule:
    """From `base_lr`, the rate that it finds, to `swa_lr`; stepped as PyTorch's averaging does, once an epoch.

    >>> SWALR(0.05, base_lr=0.1)
    0.1 * decay(10, to=0.5, curve=cosine)
    """
    base_lr, to = check.rate(base_lr, "SWALR"), check.rate(swa_lr, "SWALR", "swa_lr")
    over = check.steps(anneal_epochs, "SWALR", "anneal_epochs")
    curve = CURVES[check.choice(anneal_strategy, "SWALR", "anneal_strategy", CURVES)]
    return stepped("SWALR", base_lr, way(over, 1.0, ratio(to, base_lr), curve))
