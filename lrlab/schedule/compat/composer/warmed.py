"""Composer's schedulers with a warm-up, which a scaled run does not scale unless it is told to."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.composer.plain import leg, level, stairs
from lrlab.schedule.compat.composer.time import Run, run_of
from lrlab.schedule.compat.piece import bend, piece
from lrlab.schedule.compat.rates import chain, hold, way
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, linear
from lrlab.schedule.write import written


def MultiStepWithWarmupScheduler(
    t_warmup: str, milestones: Sequence[str], gamma: float = 0.1, scale_warmup: bool = False, *, base_lr: float,
    max_duration: Any = None, **run: Any,
) -> Schedule:  # fmt: skip
    """A warm-up, over the beginning of `MultiStepScheduler`.

    >>> MultiStepWithWarmupScheduler("10ba", ["30ba"], base_lr=0.1)
    join(0.1 * warmup(10), shift(join(0.1 * stable(30), 0.01 * stable()), 10))
    """
    where = "MultiStepWithWarmupScheduler"
    time = run_of(where, max_duration, run)
    rest = stairs(where, milestones, gamma, base_lr, time)
    warm, up = _warmup(where, base_lr, 1.0, t_warmup, scale_warmup, time)
    return chain(up, words.shift(rest, ceil(warm))) if warm else rest


def ConstantWithWarmupScheduler(
    t_warmup: str, alpha: float = 1.0, t_max: str = "1dur", scale_warmup: bool = False, *, base_lr: float,
    max_duration: Any = None, **run: Any,
) -> Schedule:  # fmt: skip
    """A warm-up to `alpha` times the base rate, which is held.

    >>> ConstantWithWarmupScheduler("10ba", base_lr=0.1, max_duration="100ba")
    0.1 * warmup(10) >> stable(90)
    """
    where, given = "ConstantWithWarmupScheduler", (t_warmup, t_max, scale_warmup, base_lr, max_duration, run)
    return _warmed(where, alpha, alpha, linear, *given)


def LinearWithWarmupScheduler(
    t_warmup: str, alpha_i: float = 1.0, alpha_f: float = 0.0, t_max: str = "1dur", scale_warmup: bool = False, *,
    base_lr: float, max_duration: Any = None, **run: Any,
) -> Schedule:  # fmt: skip
    """A warm-up to `alpha_i` times the base rate, then a line to `alpha_f` times it at `t_max`.

    >>> LinearWithWarmupScheduler("0.1dur", base_lr=0.1, max_duration="2ep", dataloader_len=50)
    0.1 * warmup(10) >> decay(90)
    """
    given = (t_warmup, t_max, scale_warmup, base_lr, max_duration, run)
    return _warmed("LinearWithWarmupScheduler", alpha_i, alpha_f, linear, *given)


def CosineAnnealingWithWarmupScheduler(
    t_warmup: str, t_max: str = "1dur", alpha_f: float = 0.0, scale_warmup: bool = False, *, base_lr: float,
    max_duration: Any = None, **run: Any,
) -> Schedule:  # fmt: skip
    """A warm-up, then a cosine to `alpha_f` times the base rate at `t_max`.

    >>> CosineAnnealingWithWarmupScheduler("10ba", base_lr=0.1, max_duration="100ba")
    0.1 * warmup(10) >> decay(90, curve=cosine)
    """
    given = (t_warmup, t_max, scale_warmup, base_lr, max_duration, run)
    return _warmed("CosineAnnealingWithWarmupScheduler", 1.0, alpha_f, cosine, *given)


def PolynomialWithWarmupScheduler(
    t_warmup: str, power: float = 2.0, t_max: str = "1dur", alpha_f: float = 0.0, scale_warmup: bool = False, *,
    base_lr: float, max_duration: Any = None, **run: Any,
) -> Schedule:  # fmt: skip
    """A warm-up, then (1 - u)**power to `alpha_f` times the base rate at `t_max`.

    >>> PolynomialWithWarmupScheduler("10ba", base_lr=0.1, max_duration="100ba")
    0.1 * warmup(10) >> decay(90, curve=polynomial(2))
    """
    where, given = "PolynomialWithWarmupScheduler", (t_warmup, t_max, scale_warmup, base_lr, max_duration, run)
    return _warmed(where, 1.0, alpha_f, bend(check.share(power, where, "power", positive=True)), *given)


def _warmed(
    where, alpha_i, alpha_f, curve: Curve, t_warmup, t_max, scale_warmup, base_lr, max_duration, run
) -> Schedule:
    base, time = check.rate(base_lr, where), run_of(where, max_duration, run)
    start, end = level(where, base, alpha_i, "alpha_i"), level(where, base, alpha_f, "alpha_f")
    warm, up = _warmup(where, base, alpha_i, t_warmup, scale_warmup, time)
    stop = time.batches(t_max, "t_max", scaled=True, least=False)
    units = time.unit(t_warmup, "t_warmup"), time.unit(t_max, "t_max")
    if units[0] != units[1]:
        raise Refused(
            f"{where}(t_warmup={written(t_warmup)}, t_max={written(t_max)}): one is counted in '{units[0]}', the other in "
            f"'{units[1]}'; write both alike"
        )
    if time.duration and units[1] == time.unit("1dur", "") and stop < time.batches("1dur", "max_duration"):
        raise Refused(
            f"{where}(t_max={written(t_max)}): the run goes on after it; write t_max='1dur', or a longer time"
        )
    rest = leg(start, end, warm, stop, curve) if stop > warm else hold(start)
    return chain(up, rest) if warm else rest


def _warmup(where, base, alpha, t_warmup, scale_warmup, time: Run) -> tuple[Fraction, Schedule]:
    """Until when it warms up, and how: its line is scaled with the run if that is asked for, its end is not."""
    warm = time.batches(t_warmup, "t_warmup", least=False)
    top = level(where, check.rate(base, where), alpha, "alpha_i")
    line = time.batches(t_warmup, "t_warmup", scaled=bool(scale_warmup), least=warm > 0)
    until, reached = ceil(warm), ceil(min(line, warm))
    up = way(0.0, top, reached, piece(linear, 0, float(reached / line) if line else 1))
    return warm, chain(up, hold(top, until - reached)) if until > reached else up
