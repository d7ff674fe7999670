"""The schedulers of PyTorch that multiply the rate by a factor at every step, and LambdaLR, which sets it."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import reduce
from itertools import accumulate, pairwise
from operator import mul, rshift

from lrlab.schedule import words
from lrlab.schedule.compat import check
from lrlab.schedule.compat.cycle import endless
from lrlab.schedule.compat.piece import tabulated, way
from lrlab.schedule.compat.torch.stepped import stepped
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import linear, polynomial


def LambdaLR(lr_lambda: Callable[[int], float], *, base_lr: float, steps: int | None = None) -> Schedule:
    """`base_lr` times a function of the update number, as a table of the first `steps` updates, then held.

    >>> LambdaLR(lambda t: 1 / (1 + t), base_lr=0.5, steps=3)
    0.5 * table([1, 0.5, 0.3333333333333333])
    """
    values = tabulated(lr_lambda, steps, "LambdaLR", "lr_lambda")
    return stepped("LambdaLR", check.rate(base_lr, "LambdaLR"), words.table(values))


def MultiplicativeLR(lr_lambda: Callable[[int], float], *, base_lr: float, steps: int | None = None) -> Schedule:
    """The rate before times a function of the update number, as a table of the first `steps` updates, then held.

    >>> MultiplicativeLR(lambda t: 0.5, base_lr=0.1, steps=3)
    0.1 * table([1, 0.5, 0.25])
    """
    where = "MultiplicativeLR"
    base_lr, factors = check.rate(base_lr, where), tabulated(lr_lambda, steps, where, "lr_lambda")
    return stepped(where, base_lr, words.table(list(accumulate([1.0, *factors[1:]], mul))))


def StepLR(step_size: int, gamma: float = 0.1, *, base_lr: float) -> Schedule:
    """`gamma` times the rate every `step_size` updates; a rate that grows ends where float32 does.

    >>> StepLR(30, base_lr=0.1)
    0.1 * repeat(stable(30), shrink=0.1)
    """
    base_lr = check.rate(base_lr, "StepLR")
    step_size = check.steps(step_size, "StepLR", "step_size", least=1)
    return stepped("StepLR", base_lr, staircase(step_size, check.share(gamma, "StepLR", "gamma"), base_lr))


def MultiStepLR(milestones: Iterable[int], gamma: float = 0.1, *, base_lr: float) -> Schedule:
    """`gamma` times the rate at every milestone, as often as it is named.

    >>> MultiStepLR([30, 80], base_lr=0.1)
    0.1 * stable(30) >> 0.1 * stable(50) >> 0.1 * stable()
    """
    where = "MultiStepLR"
    base_lr, gamma = check.rate(base_lr, where), check.share(gamma, where, "gamma")
    counted = sorted(Counter(check.steps(m, where, "milestones") for m in milestones).items())
    if gamma == 0 and counted:
        return stepped(where, base_lr, words.join(words.stable(counted[0][0]), words.off()))
    lengths = [end - begin for begin, end in pairwise([0, *(milestone for milestone, _ in counted)])]
    factors = [1.0, *(gamma**times for _, times in counted)]
    stairs = [
        factor * words.stable(over) if factor != 1 else words.stable(over)
        for factor, over in zip(factors, [*lengths, None])
    ]
    return stepped(where, base_lr, reduce(rshift, stairs))


def ConstantLR(factor: float = 1.0 / 3, total_iters: int = 5, *, base_lr: float) -> Schedule:
    """`factor` times the rate for `total_iters` updates, then the rate.

    With `total_iters=0` it is `factor` times the rate for ever. With `factor=0` PyTorch divides by zero at the end; here
    the rate stays zero.

    >>> ConstantLR(0.5, 5, base_lr=0.1)
    0.1 * join(ramp(5, start=0.5, to=0.5), stable())
    """
    where = "ConstantLR"
    base_lr, factor = check.rate(base_lr, where), check.share(factor, where, "factor", most=1.0)
    over = check.steps(total_iters, where, "total_iters")
    if factor in (0, 1):
        return stepped(where, base_lr, words.stable() if factor else words.off())
    held = words.ramp(over, start=factor, to=factor)
    return stepped(where, base_lr, words.join(held, words.stable()) if over else held)


def LinearLR(
    start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5, *, base_lr: float
) -> Schedule:
    """A line from `start_factor` to `end_factor` times the rate over `total_iters` updates.

    With `total_iters=0` it is `start_factor` times the rate for ever.

    >>> LinearLR(0.1, total_iters=500, base_lr=3e-4)
    3e-4 * warmup(500, start=0.1)
    """
    where = "LinearLR"
    base_lr = check.rate(base_lr, where)
    start = check.share(start_factor, where, "start_factor", positive=True, most=1.0)
    to = check.share(end_factor, where, "end_factor", most=1.0)
    over = check.steps(total_iters, where, "total_iters")
    return stepped(where, base_lr, way(over, start, to if over else start))


def ExponentialLR(gamma: float, *, base_lr: float) -> Schedule:
    """`gamma` times the rate at every update; a rate that grows ends where float32 does.

    >>> ExponentialLR(0.99, base_lr=0.1)
    0.1 * repeat(stable(1), shrink=0.99)
    """
    base_lr = check.rate(base_lr, "ExponentialLR")
    return stepped("ExponentialLR", base_lr, staircase(1, check.share(gamma, "ExponentialLR", "gamma"), base_lr))


def PolynomialLR(total_iters: int = 5, power: float = 1.0, *, base_lr: float) -> Schedule:
    """From the rate to zero over `total_iters` updates, as the remaining fraction to a `power`.

    With `total_iters=0` the rate stays.

    >>> PolynomialLR(90, power=2, base_lr=0.1)
    0.1 * decay(90, curve=polynomial(2))
    """
    where = "PolynomialLR"
    base_lr, power = check.rate(base_lr, where), check.share(power, where, "power")
    over = check.steps(total_iters, where, "total_iters")
    if not over or not power:
        return stepped(where, base_lr, words.stable())
    return stepped(where, base_lr, words.decay(over, curve=linear if power == 1 else polynomial(power)))


def staircase(step_size: int, gamma: float, base_lr: float) -> Schedule:
    """A factor `gamma` every `step_size` steps."""
    if gamma == 1:
        return words.stable()
    if gamma == 0:
        return words.join(words.stable(step_size), words.off())
    return endless(words.stable(step_size), gamma, base_lr)
