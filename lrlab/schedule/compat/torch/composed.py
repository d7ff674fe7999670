"""PyTorch's schedulers made of schedulers, as far as what they do is a function of the update."""

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from operator import mul
from typing import Any, NoReturn

from lrlab.refusal import Refused
from lrlab.schedule import combine, words
from lrlab.schedule.combine import Scale
from lrlab.schedule.compat import check
from lrlab.schedule.compat.piece import first
from lrlab.schedule.compat.torch.stepped import scheduler, stepped
from lrlab.schedule.core import Schedule
from lrlab.schedule.part import Off, Stable
from lrlab.schedule.write import written

_FACTORS = ("StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "MultiplicativeLR")
_PULLED = "it moves the rate that it finds towards another one"
_UNCHAINED = {
    "CosineAnnealingLR": f"with eta_min {_PULLED}",
    "SWALR": _PULLED,
    "SequentialLR": "at a milestone it starts from its own rate",
    "ChainedScheduler": "name all in one",
}
_UNJOINED = {
    "SequentialLR": "PyTorch starts an inner one a step late, or not at all; name all schedulers in one SequentialLR",
    "ChainedScheduler": "PyTorch starts it a step late, or not at all; write join(a, b) with its product",
    "OneCycleLR": "it replaces the rate that the others start from; write join(...) of what you mean",
}
_LEFT_RATE = ("MultiplicativeLR", "SWALR")
_SETTING = ("LambdaLR", "OneCycleLR", "CosineAnnealingWarmRestarts")


def SequentialLR(
    schedulers: Sequence[Schedule], milestones: Sequence[int], *, base_lr: float | None = None
) -> Schedule:
    """Schedules one after another, each from its own beginning, where update `milestones[i]` is the first of the next.

    The schedules carry their own `base_lr`; the one here plays no part.

    >>> from lrlab import compat
    >>> up, down = compat.torch.LinearLR(0.1, total_iters=5, base_lr=0.3), compat.torch.CosineAnnealingLR(95, base_lr=0.3)
    >>> SequentialLR([up, down], [5])
    0.3 * join(warmup(5, start=0.1), repeat(join(decay(95, curve=cosine), ramp(95, start=0, to=1, curve=cosine))))
    """
    where = "SequentialLR"
    children = _schedules(schedulers, where)
    edges = [check.steps(milestone, where, "milestones") for milestone in milestones]
    if len(edges) != len(children) - 1 or edges != sorted(edges):
        raise Refused(
            f"SequentialLR of {len(children)} schedules needs {len(children) - 1} rising milestones, not {written(edges)}"
        )
    for i, child in enumerate(children if len(children) > 1 else []):
        name = scheduler(child)
        if name in _UNJOINED:
            raise Refused(f"SequentialLR of {name} ({child}): {_UNJOINED[name]}")
        if i and name in _LEFT_RATE:
            raise Refused(
                f"SequentialLR: {name} ({child}) after a milestone starts from whatever rate it finds; write join(a, b) with its rate"
            )
    lengths = [end - begin for begin, end in pairwise([0, *edges])]
    parts: list[Any] = [first(child, over) for child, over in zip(children, lengths) if over] + children[-1:]
    peaks = {part.peak if isinstance(part, Scale) else None for part in parts}
    if len(parts) == 1 or len(peaks) > 1 or None in peaks:
        return words.join(*parts)
    return stepped(where, parts[0].peak, words.join(*(part.shape for part in parts)))


def ChainedScheduler(
    schedulers: Sequence[Schedule], *, base_lr: float | None = None, after: check.After = "peer"
) -> Schedule:
    """Schedules that change one rate in turn: the product where each multiplies the rate that it finds.

    One that sets the rate (LambdaLR, OneCycleLR, CosineAnnealingWarmRestarts) undoes those before it, and is
    refused before the last. So is a cosine to an `eta_min`, which is no factor. A cosine to zero is one until it ends;
    from there PyTorch adds, which is reproduced where the others have ended by then. `after="hold"` stays at zero.

    >>> from lrlab import compat
    >>> held, falling = compat.torch.ConstantLR(0.5, 5, base_lr=0.1), compat.torch.ExponentialLR(0.9, base_lr=0.1)
    >>> ChainedScheduler([held, falling])
    0.1 * (join(ramp(5, start=0.5, to=0.5), stable()) * repeat(stable(1), shrink=0.9))
    """
    where = "ChainedScheduler"
    children = _schedules(schedulers, where)
    holds = check.holds(after, where)
    if len(children) == 1 or scheduler(children[-1]) in _SETTING:
        return children[-1]
    for child in children:
        _refuse_unless_factor(child)
    peaks = {child.peak for child in children}
    if len(peaks) > 1:
        raise Refused(
            f"ChainedScheduler: its schedules move one rate, but begin at {written(sorted(peaks))}; give all the same base_lr"
        )
    falling = [_falling(child) if scheduler(child) == "CosineAnnealingLR" else child.shape for child in children]
    product = reduce(mul, falling)
    rising = [i for i, child in enumerate(children) if child.shape is not falling[i]]
    if rising and not holds:
        over = falling[rising[0]].over
        if moving := [
            str(child) for i, child in enumerate(children) if i != rising[0] and not _settled(child.shape, over)
        ]:
            raise Refused(
                f"ChainedScheduler: {children[rising[0]]} rises again at update {over} while {moving[0]} goes on, which no "
                "product describes; write after='hold' to stay at zero there"
            )
        product = words.join(
            first(product, over), words.repeat(words.join(*children[rising[0]].shape.schedule.parts[::-1]))
        )
    return stepped(where, peaks.pop(), product)


def ReduceLROnPlateau(*args: Any, **kwargs: Any) -> NoReturn:
    """No function of the update: always `Refused`, towards `optim.with_feedback`."""
    raise Refused(
        "ReduceLROnPlateau follows a metric, not the update; write feedback=optim.plateau(...) in an experiment, whose conventions are torch's"
    )


def _schedules(schedulers: Any, where: str) -> list[Any]:
    if not isinstance(schedulers, list | tuple) or not schedulers:
        raise Refused(
            f"{where}({written(schedulers)}): write a list of schedules, [LinearLR(...), CosineAnnealingLR(...)]"
        )
    for child in schedulers:
        if not isinstance(child, Schedule):
            raise Refused(
                f"{where} of {child!r}: what it is made of are schedules, such as compat.torch.LinearLR(base_lr=0.1)"
            )
    return list(schedulers)


def _refuse_unless_factor(child: Any) -> None:
    name = scheduler(child)
    instead = "write a * b of what you mean"
    if name in _SETTING:
        raise Refused(f"ChainedScheduler: {child} sets the rate and undoes those before it; put it last, or {instead}")
    if name == "CosineAnnealingLR" and _falling(child)._ends_at_zero() or name in _FACTORS:
        return
    if name in _UNCHAINED:
        raise Refused(f"ChainedScheduler of {name} ({child}): {_UNCHAINED[name]}, so there is no product; {instead}")
    raise Refused(
        f"ChainedScheduler of {child}: a CyclicLR, which begins at the optimizer's rate, or none of PyTorch's; {instead}"
    )


def _falling(cosine: Any) -> Any:
    """A CosineAnnealingLR until `T_max`."""
    cycle = getattr(cosine.shape, "schedule", None)
    return cosine.shape if cycle is None else cycle.parts[0]


def _settled(shape: Any, step: int) -> bool:
    """Whether a shape is known not to change from a step on."""
    if isinstance(shape, combine.Then | combine.Join):
        *before, last = shape.parts
        return (
            sum(part.length for part in before) + (0 if isinstance(last, Scale | Stable | Off) else last.length) <= step
        )
    return isinstance(shape, Stable | Off) or not shape._claims() and shape.length <= step
