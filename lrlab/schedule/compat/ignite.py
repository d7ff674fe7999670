"""ignite.handlers.param_scheduler (pytorch-ignite 0.5.5), attached to Events.ITERATION_STARTED: event t is before update t.

`optimizer` and `param_name`, which say whose number it is, are left out; so is `base_lr`, but for a warm-up that ends
there: ignite sets the rate, whatever it was. Cycles go on for ever.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn

from lrlab.refusal import Refused
from lrlab.schedule import words
from lrlab.schedule.combine import Scale
from lrlab.schedule.compat import check
from lrlab.schedule.compat.cycle import endless, few, joined
from lrlab.schedule.compat.piece import first, piece, ratio
from lrlab.schedule.compat.rates import chain, hold, way
from lrlab.schedule.compat.torch.stepped import scheduler
from lrlab.schedule.core import Schedule
from lrlab.schedule.curve import Curve, cosine, linear
from lrlab.schedule.time import LAST_STEP
from lrlab.schedule.write import written


def LinearCyclicalScheduler(
    start_value: float,
    end_value: float,
    cycle_size: int,
    cycle_mult: float = 1.0,
    start_value_mult: float = 1.0,
    end_value_mult: float = 1.0,
    warmup_duration: int = 0,
    *,
    monotonic: bool = False,
    base_lr: float | None = None,
) -> Schedule:
    """Cycles from `start_value` to `end_value` and back, or (`monotonic`) only there, with a way back of its own.

    Each is `cycle_mult` times as long as the one before, rounded down, and its values are multiplied too.

    >>> LinearCyclicalScheduler(0.01, 0.1, 100)
    0.1 * repeat(warmup(50, start=0.1) >> decay(50, to=0.1))
    >>> LinearCyclicalScheduler(0.1, 0, 90, warmup_duration=10, monotonic=True)
    repeat(join(0.1 * decay(90), 0.1 * warmup(10)))
    """
    where = "LinearCyclicalScheduler"
    if warmup_duration and not monotonic:
        raise Refused(f"{where}(warmup_duration={written(warmup_duration)}): only monotonic cycles need a way back")
    mults = (cycle_mult, start_value_mult, end_value_mult)
    return _cycles(where, start_value, end_value, cycle_size, *mults, warmup_duration, linear, back=not monotonic)


def CosineAnnealingScheduler(
    start_value: float,
    end_value: float,
    cycle_size: int,
    cycle_mult: float = 1.0,
    start_value_mult: float = 1.0,
    end_value_mult: float = 1.0,
    warmup_duration: int = 0,
    *,
    base_lr: float | None = None,
) -> Schedule:
    """Cosines from `start_value` to `end_value`, each after the first a line of `warmup_duration` later.

    >>> CosineAnnealingScheduler(0.1, 0.01, 100, cycle_mult=2)
    0.1 * repeat(decay(100, to=0.1, curve=cosine), stretch=2)
    """
    where, mults = "CosineAnnealingScheduler", (cycle_mult, start_value_mult, end_value_mult)
    return _cycles(where, start_value, end_value, cycle_size, *mults, warmup_duration, cosine)


def PiecewiseLinear(milestones_values: Sequence[tuple[int, float]], *, base_lr: float | None = None) -> Schedule:
    """Lines through values at updates; the first value before them, the last one after.

    >>> PiecewiseLinear([(10, 0.5), (20, 0.1)])
    0.5 * stable(10) >> decay(10, to=0.2)
    """
    where = "PiecewiseLinear"
    pairs = list(milestones_values)
    if not pairs or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise Refused(f"{where}({written(pairs)}): write pairs of an update and its rate, [(0, 0.1), (100, 0.01)]")
    edges = [check.steps(edge, where, "milestones_values") for edge, _ in pairs]
    values = [check.share(value, where, "milestones_values") for _, value in pairs]
    if edges != sorted(edges):
        raise Refused(f"{where}(milestones_values={written(pairs)}): the updates ascend; write them in order")
    ends = [(0, values[0]), *zip(edges, values)]
    ways = [way(a, b, end - begin) for (begin, a), (end, b) in pairwise(ends) if end > begin]
    jumps = not ways or ends[-2][0] == ends[-1][0]  # its last value is that of a milestone that takes no time
    return chain(*ways, *([hold(values[-1])] if jumps else []))


def ConcatScheduler(
    schedulers: Sequence[Schedule], durations: Sequence[int], *, base_lr: float | None = None
) -> Schedule:
    """Schedules one after another, each from its own beginning, all but the last for a duration.

    >>> ConcatScheduler([LinearCyclicalScheduler(0, 0.1, 100), CosineAnnealingScheduler(0.1, 0, 900)], [50])
    join(0.1 * warmup(50), 0.1 * repeat(decay(900, curve=cosine)))
    """
    where = "ConcatScheduler"
    children = [_schedule(child, where) for child in schedulers]
    lasts = [check.steps(duration, where, "durations", least=1) for duration in durations]
    if len(children) < 2 or len(lasts) != len(children) - 1:
        raise Refused(f"{where} of {len(children)} schedules and {len(lasts)} durations: all but the last have one")
    return words.join(*(first(child, over) for child, over in zip(children, lasts)), children[-1])


def LRScheduler(lr_scheduler: Schedule, *, base_lr: float | None = None) -> Schedule:
    """A scheduler of PyTorch (`compat.torch`) as ignite asks it (beside PyTorch 2.13): once before the first update.

    Those that change the rate that they find do so then, once too often: an exponential is a step ahead, a line begins at
    the square of its factor. With a warm-up before it there is no such update.

    >>> from lrlab import compat
    >>> LRScheduler(compat.torch.StepLR(30, base_lr=0.1))
    0.1 * repeat(stable(30), shrink=0.1)
    >>> LRScheduler(compat.torch.LinearLR(0.5, total_iters=10, base_lr=0.1))
    0.05 * warmup(10, start=0.5)
    """
    where, shape = "LRScheduler", getattr(lr_scheduler, "shape", None)
    match scheduler(_schedule(lr_scheduler, where)), shape:
        case "" | "LambdaLR" | "StepLR" | "MultiStepLR" | "OneCycleLR", _:  # CyclicLR leaves no name
            return lr_scheduler
        case "ExponentialLR" | "MultiplicativeLR" | "CosineAnnealingWarmRestarts", _:
            return words.shift(lr_scheduler, 1)
        case "ConstantLR" | "LinearLR", Schedule():
            found = float(str(shape(0)))
            return found * lr_scheduler if found else words.off()
        case "PolynomialLR", Schedule():
            over = 0 if shape._claims() else shape.length
            return (over / (over + 1)) ** getattr(shape.curve, "p", 1.0) * lr_scheduler if over else lr_scheduler  # type: ignore[attr-defined]
        case "CosineAnnealingLR", Schedule():
            return _late_cosine(lr_scheduler)
    raise Refused(
        f"{where}({lr_scheduler}): ignite asks PyTorch's StepLR, CosineAnnealingLR and their like, made with compat.torch; "
        "join others with ConcatScheduler"
    )


def create_lr_scheduler_with_warmup(
    lr_scheduler: Schedule,
    warmup_start_value: float,
    warmup_duration: int,
    warmup_end_value: float | None = None,
    *,
    base_lr: float | None = None,
) -> Schedule:
    """A line that reaches `warmup_end_value` at update `warmup_duration` - 1, then the schedule: from there on if it begins
    at that value, an update later if it does not.

    Without a `warmup_end_value` it is `base_lr`, or where a scheduler of PyTorch begins, which changes that.

    >>> create_lr_scheduler_with_warmup(CosineAnnealingScheduler(0.1, 0, 90), 0, 11, 0.1)
    0.1 * warmup(10) >> repeat(decay(90, curve=cosine))
    """
    where = "create_lr_scheduler_with_warmup"
    warm = check.steps(warmup_duration, where, "warmup_duration", least=2)
    begin, end = float(str(_schedule(lr_scheduler, where)(0))), warmup_end_value
    if end is None:
        end = begin if scheduler(lr_scheduler) or base_lr is None else check.rate(base_lr, where)
    end = check.share(end, where, "warmup_end_value")
    up = way(check.share(warmup_start_value, where, "warmup_start_value"), end, warm - 1)
    meets = math.isclose(begin, end, rel_tol=2e-7)
    return chain(up, lr_scheduler) if meets else chain(up, hold(end, 1), lr_scheduler)


def ReduceLROnPlateauScheduler(*args: Any, **kwargs: Any) -> NoReturn:
    """Refused: it follows a metric."""
    raise Refused(
        "ReduceLROnPlateauScheduler follows a metric and is no function of the update number; give the run a schedule, "
        "0.1 * stable(), and feedback=plateau(factor=0.1, patience=10)"
    )


def _schedule(child: Any, where: str) -> Schedule:
    if not isinstance(child, Schedule):
        raise Refused(
            f"{where} of {child!r}: what it is made of are schedules, such as compat.ignite.PiecewiseLinear(...)"
        )
    return child


def _late_cosine(schedule: Any) -> Schedule:
    """PyTorch's cosine whose recursion was asked for the step before the first: above the base rate, for one update."""
    fall = getattr(schedule.shape, "schedule", schedule.shape)
    fall = getattr(fall, "parts", (fall,))[0]
    to, over = getattr(fall, "to", 1.0), fall.length
    if over == 1:
        raise Refused("LRScheduler of CosineAnnealingLR(T_max=1) divides by zero; write a longer one")
    above = to + 2 * (1 - to) / (1 + math.cos(math.pi / over))
    return words.join(ratio(schedule.peak * above, 1) * words.stable(1), words.shift(schedule, 1))


def _cycles(
    where: str,
    start_value: Any,
    end_value: Any,
    cycle_size: Any,
    cycle_mult: Any,
    start_value_mult: Any,
    end_value_mult: Any,
    warmup_duration: Any,
    curve: Curve,
    *,
    back: bool = False,
) -> Schedule:
    start, end = check.share(start_value, where, "start_value"), check.share(end_value, where, "end_value")
    size, warm = (
        check.steps(cycle_size, where, "cycle_size", least=2),
        check.steps(warmup_duration, where, "warmup_duration"),
    )
    mult = check.share(cycle_mult, where, "cycle_mult", positive=True)
    starts = check.share(start_value_mult, where, "start_value_mult", positive=True)
    ends = check.share(end_value_mult, where, "end_value_mult", positive=True)
    if mult == int(mult) and not (back and size % 2 and mult > 1):
        return _alike(start, end, size, int(mult), starts, ends, warm, curve, back)
    parts, begun, cut = [], 0, 0
    while size and begun < LAST_STEP:
        longer, warmer = int(size * mult), int(warm * mult)
        if (longer, warmer) == (size, warm):  # rounded down, they grow no more
            return joined([*parts, _alike(start, end, size, 1, starts, ends, warm, curve, back)])
        parts += [*_legs(start, end, size, curve, back), *([way(end, start * starts, warm)] if warm else [])]
        begun, cut = begun + size + warm, cut + 1
        few(cut, where, "cycles that cycle_mult makes")
        start, end, size, warm = start * starts, end * ends, longer, warmer
    return joined(parts)


def _alike(
    start: float, end: float, size: int, stretch: int, starts: float, ends: float, warm: int, curve: Curve, back: bool
) -> Schedule:
    """Cycles of which each is `stretch` times as long as the one before."""

    def waves(a: float, b: float, after: float, shrink: float) -> Schedule:
        cycle = chain(*_legs(a, b, size, curve, back), *([way(b, after, warm)] if warm else []))
        top = max(a, b)
        if isinstance(cycle, Scale):
            return cycle.peak * endless(cycle.shape, shrink, top, stretch)
        return endless(cycle, shrink, top, stretch)

    if starts == ends or not end:
        return waves(start, end, start * starts, starts) if start or end else words.off()
    if not start:
        return waves(start, end, start, ends)
    return start * waves(1.0, 0.0, starts, starts) + end * waves(0.0, 1.0, 0.0, ends)


def _legs(start: float, end: float, size: int, curve: Curve, back: bool) -> list[Schedule]:
    """From start to end; or to it in half the time, and back."""
    if not back:
        return [way(start, end, size, curve)]
    there, rest = (size + 1) // 2, size // 2
    begin, stop = (1 / size, (size + 1) / size) if size % 2 else (0.0, 1.0)
    return [way(start, end, there, piece(curve, 0, stop)), way(end, start, rest, piece(curve, begin, 1))]
