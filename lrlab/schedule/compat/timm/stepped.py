"""The schedulers of timm that lower the rate by a factor at steps."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.cycle import endless, few, switches
from lrlab.schedule.compat.piece import ratio
from lrlab.schedule.compat.rates import piecewise_constant
from lrlab.schedule.compat.timm.warmed import warmed
from lrlab.schedule.compat.torch.factor import staircase
from lrlab.schedule.core import Schedule
from lrlab.schedule.write import written


def StepLRScheduler(
    decay_t: float,
    decay_rate: float = 1.0,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = True,
    *,
    base_lr: float,
    **other: Any,
) -> Schedule:
    """`decay_rate` times the rate every `decay_t`, which need not be whole.

    >>> StepLRScheduler(30, 0.1, base_lr=0.1)
    0.1 * repeat(stable(30), shrink=0.1)
    >>> StepLRScheduler(2.5, 0.1, base_lr=0.1)
    0.1 * repeat(join(stable(3), 0.1 * stable(2)), shrink=0.01)
    """
    where, base = "StepLRScheduler", check.rate(base_lr, "StepLRScheduler")
    gamma, every = check.share(decay_rate, where, "decay_rate"), check.share(decay_t, where, "decay_t", positive=True)
    fall = staircase(int(every), gamma, base) if every == int(every) else _uneven(where, every, gamma, base)
    return warmed(where, base, base * fall, warmup_t, warmup_lr_init, prefix=warmup_prefix, other=other)


def MultiStepLRScheduler(
    decay_t: Sequence[int],
    decay_rate: float = 1.0,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = True,
    *,
    base_lr: float,
    **other: Any,
) -> Schedule:
    """`decay_rate` times the rate one step before each of `decay_t`.

    >>> MultiStepLRScheduler([30, 60], 0.1, base_lr=0.1)
    join(0.1 * stable(29), 0.01 * stable(30), 1e-3 * stable())
    """
    where, base = "MultiStepLRScheduler", check.rate(base_lr, "MultiStepLRScheduler")
    gamma = check.share(decay_rate, where, "decay_rate")
    edges = [check.steps(step, where, "decay_t") for step in decay_t]
    if edges != sorted(edges):
        raise Refused(f"{where}(decay_t={written(edges)}): the steps ascend; write them in order")
    levels = [ratio(base * gamma**i, 1) for i in range(len(edges) + 1)]
    fall = piecewise_constant(levels, [max(edge - 1, 0) for edge in edges])
    return warmed(where, base, fall, warmup_t, warmup_lr_init, prefix=warmup_prefix, other=other)


def _uneven(where: str, every: float, gamma: float, base: float) -> Schedule:
    """A factor `gamma` at the first step from each multiple of `every`, which lie between steps."""
    share = Fraction(every).limit_denominator(1000)
    stride, period = share.denominator, share.numerator
    if every < 1 or gamma == 0 or abs(share - Fraction(every)) > 1e-12 * every:
        raise Refused(
            f"{where}(decay_t={written(every)}, decay_rate={written(gamma)}): steps that are not whole are a fraction above 1, "
            "such as 2.4, of a positive rate; write whole steps"
        )
    few(stride, where, "steps before decay_t meets a whole one")
    at = [0, *switches([float(i * share) for i in range(1, stride + 1)], lambda t: t // every)]
    late = at[-1] - period  # where the float lies above the fraction, timm is a step late at every whole one
    edges = [0, *(begin - late for begin in at[1:])]
    first, *others = [words.stable(end - begin) for begin, end in pairwise(edges)]
    cycle = words.join(first, *(ratio(gamma**i, 1) * stair for i, stair in enumerate(others, 1)))
    fall = endless(cycle, ratio(gamma**stride, 1), base)
    return words.shift(fall, -late) if late else fall
