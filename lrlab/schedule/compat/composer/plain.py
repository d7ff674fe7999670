"""Composer's schedulers without a warm-up."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise
from math import ceil
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check, optax
from lrlab.schedule.compat.composer.time import Run, run_of
from lrlab.schedule.compat.cycle import cycles, few, joined
from lrlab.schedule.compat.piece import bend, piece, ratio
from lrlab.schedule.compat.piece import way as shares
from lrlab.schedule.compat.rates import chain, hold, piecewise_constant, way
from lrlab.schedule.compat.torch.factor import staircase
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, linear
from lrlab.schedule.time import LAST_STEP
from lrlab.schedule.write import written


def StepScheduler(
    step_size: str, gamma: float = 0.1, *, base_lr: float, max_duration: Any = None, **run: Any
) -> Schedule:
    """`gamma` times the rate every `step_size`.

    >>> StepScheduler("2ep", base_lr=0.1, dataloader_len=50)
    0.1 * repeat(stable(100), shrink=0.1)
    """
    where, base = "StepScheduler", check.rate(base_lr, "StepScheduler")
    size = run_of(where, max_duration, run).batches(step_size, "step_size", scaled=True)
    if size != int(size):
        raise Refused(
            f"{where}(step_size={written(step_size)}): it is {float(size):g} batches; write a time of whole batches"
        )
    return base * staircase(int(size), check.share(gamma, where, "gamma"), base)


def MultiStepScheduler(
    milestones: Sequence[str], gamma: float = 0.1, *, base_lr: float, max_duration: Any = None, **run: Any
) -> Schedule:
    """`gamma` times the rate at every milestone.

    >>> MultiStepScheduler(["30ba", "0.8dur"], base_lr=0.1, max_duration="100ba")
    join(0.1 * stable(30), 0.01 * stable(50), 1e-3 * stable())
    """
    return stairs("MultiStepScheduler", milestones, gamma, base_lr, run_of("MultiStepScheduler", max_duration, run))


def ConstantScheduler(
    alpha: float = 1.0, t_max: str = "1dur", *, base_lr: float, max_duration: Any = None, **run: Any
) -> Schedule:
    """`alpha` times the base rate until `t_max`, and from there on the base rate.

    >>> ConstantScheduler(0.5, "20ba", base_lr=0.1)
    join(0.05 * stable(20), 0.1 * stable())
    """
    where, base = "ConstantScheduler", check.rate(base_lr, "ConstantScheduler")
    over = ceil(run_of(where, max_duration, run).batches(t_max, "t_max", scaled=True))
    return chain(hold(base * check.share(alpha, where, "alpha"), over), hold(base))


def LinearScheduler(
    alpha_i: float = 1.0, alpha_f: float = 0.0, t_max: str = "1dur", *, base_lr: float, max_duration: Any = None, **run: Any
) -> Schedule:  # fmt: skip
    """A line from `alpha_i` to `alpha_f` times the base rate.

    >>> LinearScheduler(base_lr=0.1, max_duration="2ep", dataloader_len=50)
    0.1 * decay(100)
    """
    return _annealed("LinearScheduler", alpha_i, alpha_f, linear, t_max, base_lr, max_duration, run)


def ExponentialScheduler(
    gamma: float, decay_period: str = "1ep", *, base_lr: float, max_duration: Any = None, **run: Any
) -> Schedule:
    """`gamma` times the rate every `decay_period`, smoothly.

    >>> ExponentialScheduler(0.5, "1ep", base_lr=0.1, dataloader_len=50)
    0.1 * repeat(decay(50, to=0.5, curve=geometric), shrink=0.5)
    """
    where, base = "ExponentialScheduler", check.rate(base_lr, "ExponentialScheduler")
    gamma = check.share(gamma, where, "gamma", positive=True)
    period = run_of(where, max_duration, run).batches(decay_period, "decay_period", scaled=True)
    if period == int(period):
        return optax.exponential_decay(base, int(period), gamma)
    return base * staircase(1, gamma ** (1 / float(period)), base)


def CosineAnnealingScheduler(
    t_max: str = "1dur", alpha_f: float = 0.0, *, base_lr: float, max_duration: Any = None, **run: Any
) -> Schedule:
    """A cosine from the base rate to `alpha_f` times it.

    >>> CosineAnnealingScheduler(alpha_f=0.1, base_lr=0.1, max_duration="100ba")
    0.1 * decay(100, to=0.1, curve=cosine)
    """
    return _annealed("CosineAnnealingScheduler", 1.0, alpha_f, cosine, t_max, base_lr, max_duration, run)


def CosineAnnealingWarmRestartsScheduler(
    t_0: str, t_mult: float = 1.0, alpha_f: float = 0.0, *, base_lr: float, max_duration: Any = None, **run: Any
) -> Schedule:
    """Cosines from the base rate to `alpha_f` times it, each `t_mult` times as long as the one before, rounded down.

    >>> CosineAnnealingWarmRestartsScheduler("10ba", 2, base_lr=0.1)
    0.1 * repeat(decay(10, curve=cosine), stretch=2)
    """
    where, base = "CosineAnnealingWarmRestartsScheduler", check.rate(base_lr, "CosineAnnealingWarmRestartsScheduler")
    mult, low = check.share(t_mult, where, "t_mult", positive=True), check.share(alpha_f, where, "alpha_f")
    time = run_of(where, max_duration, run)
    first = time.batches(t_0, "t_0", scaled=True)
    if first != int(first):
        raise Refused(f"{where}(t_0={written(t_0)}): it is {float(first):g} batches; write a time of whole batches")
    unit = 1 / time.each(time.unit(t_0, "t_0"), "t_0")
    if mult == int(mult) or int(mult * int(first / unit)) * unit == first:  # rounded down, it may never grow
        return base * words.repeat(shares(int(first), 1.0, low, cosine), stretch=int(mult))
    return base * _restarts(where, int(first), mult, low, unit)


def PolynomialScheduler(
    power: float, t_max: str = "1dur", alpha_f: float = 0.0, *, base_lr: float, max_duration: Any = None, **run: Any
) -> Schedule:
    """(1 - u)**power from the base rate to `alpha_f` times it.

    >>> PolynomialScheduler(2, base_lr=0.1, max_duration="100ba")
    0.1 * decay(100, curve=polynomial(2))
    """
    where = "PolynomialScheduler"
    curve = bend(check.share(power, where, "power", positive=True))
    return _annealed(where, 1.0, alpha_f, curve, t_max, base_lr, max_duration, run)


def level(where: str, base: float, alpha: Any, name: str) -> float:
    """A multiplier as a rate."""
    return ratio(base * check.share(alpha, where, name), 1)


def leg(start: float, end: float, begin: Fraction, stop: Fraction, curve: Curve) -> Schedule:
    """From one rate at a time to another at a time, which may both lie between two batches."""
    first, after = ceil(begin), ceil(stop)
    if first == after:
        return hold(end)
    share = [float((t - begin) / (stop - begin)) for t in (first, after)]
    leg = way(start, end, after - first, piece(curve, *share))
    return leg if share[1] == 1 else words.join(leg, hold(end))


def stairs(where: str, milestones: Sequence[str], gamma: Any, base_lr: Any, time: Run) -> Schedule:
    """The base rate, times `gamma` at every milestone."""
    base, gamma = check.rate(base_lr, where), check.share(gamma, where, "gamma")
    edges = sorted(ceil(time.batches(milestone, "milestones", scaled=True, least=False)) for milestone in milestones)
    return piecewise_constant([ratio(base * gamma**i, 1) for i in range(len(edges) + 1)], edges)


def _annealed(where, alpha_i, alpha_f, curve: Curve, t_max, base_lr, max_duration, run) -> Schedule:
    base, over = check.rate(base_lr, where), run_of(where, max_duration, run).batches(t_max, "t_max", scaled=True)
    return leg(level(where, base, alpha_i, "alpha_i"), level(where, base, alpha_f, "alpha_f"), Fraction(0), over, curve)


def _restarts(where: str, first: int, mult: float, low: float, unit: Fraction) -> Schedule:
    """Cosines over whole units of time, until one would have none, where Composer fails and here the end is held."""
    lengths = [int(first / unit)]
    while lengths[-1] and sum(lengths) * unit < LAST_STEP:
        few(len(lengths), where, "cycles that t_mult makes")
        lengths.append(int(mult * lengths[-1]))
    begins = [float(begin * unit) for begin in accumulate(filter(None, lengths), initial=0)]
    return joined(cycles(list(pairwise(begins)), [ceil(begin) for begin in begins], [1.0] * len(begins), low, cosine))
