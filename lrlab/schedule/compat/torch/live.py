"""The schedule of a scheduler object of PyTorch, read from its attributes: PyTorch is never imported."""

from typing import Any

from lrlab.refusal import Refused
from lrlab.schedule.compat import torch
from lrlab.schedule.compat.piece import ratio
from lrlab.schedule.compat.torch.annealing import CURVES
from lrlab.schedule.compat.torch.cycle import one_cycle
from lrlab.schedule.compat.torch.stepped import stepped
from lrlab.schedule.core import Schedule

_READ = {  # what each class keeps of its arguments under their own names
    "StepLR": ("step_size", "gamma"),
    "ConstantLR": ("factor", "total_iters"),
    "LinearLR": ("start_factor", "end_factor", "total_iters"),
    "ExponentialLR": ("gamma",),
    "PolynomialLR": ("total_iters", "power"),
    "CosineAnnealingLR": ("T_max", "eta_min"),
    "CosineAnnealingWarmRestarts": ("T_0", "T_mult", "eta_min"),
}


def from_torch(scheduler: Any, *, group: int = 0, steps: int | None = None) -> Schedule:
    """The schedule, from update 0 on, of a scheduler object of PyTorch with the parameters that it has now.

    Args:
        scheduler: an object of torch.optim.lr_scheduler or swa_utils, or one that inherits from them.
        group: which of the optimizer's parameter groups.
        steps: how many updates of a Python function (LambdaLR, MultiplicativeLR, `scale_fn`) become a table.

    >>> class StepLR:
    ...     base_lrs, step_size, gamma, optimizer = [0.1], 30, 0.1, None
    >>> from_torch(StepLR())
    0.1 * repeat(stable(30), shrink=0.1)
    """
    name = next((cls.__name__ for cls in type(scheduler).__mro__ if cls.__name__ in torch.__all__), None)
    if name is None:
        raise Refused(
            f"from_torch({type(scheduler).__name__}): not a scheduler of torch.optim.lr_scheduler; tabulate its rates, table([...])"
        )
    if name == "ReduceLROnPlateau":
        return torch.ReduceLROnPlateau()
    if name in ("SequentialLR", "ChainedScheduler"):
        children = [from_torch(child, group=group, steps=steps) for child in scheduler._schedulers]
        return (
            torch.SequentialLR(children, scheduler._milestones)
            if name == "SequentialLR"
            else torch.ChainedScheduler(children)
        )
    if not -len(scheduler.base_lrs) <= group < len(scheduler.base_lrs):
        raise Refused(f"from_torch(group={group}): the optimizer has {len(scheduler.base_lrs)} parameter groups")
    base_lr = float(scheduler.base_lrs[group])
    match name:
        case "LambdaLR" | "MultiplicativeLR":
            return getattr(torch, name)(scheduler.lr_lambdas[group], base_lr=base_lr, steps=steps)
        case "MultiStepLR":
            return torch.MultiStepLR(scheduler.milestones.elements(), scheduler.gamma, base_lr=base_lr)
        case "CyclicLR":
            return _cyclic(scheduler, base_lr, float(scheduler.max_lrs[group]), steps)
        case "OneCycleLR":
            return _one_cycle(scheduler, scheduler.optimizer.param_groups[group])
        case "SWALR":
            to = float(scheduler.optimizer.param_groups[group]["swa_lr"])
            return torch.SWALR(to, scheduler.anneal_epochs, scheduler._anneal_strategy, base_lr=base_lr)
    arguments = {argument: getattr(scheduler, argument) for argument in _READ[name]}
    return getattr(torch, name)(**arguments, base_lr=base_lr)


def _cyclic(scheduler: Any, low: float, high: float, steps: int | None) -> Schedule:
    up = round(scheduler.total_size * scheduler.step_ratio)
    down = scheduler.total_size - up
    return torch.CyclicLR(
        low, high, up, down, scheduler.mode, scheduler.gamma, scheduler._scale_fn_custom, scheduler.scale_mode, steps=steps
    )  # fmt: skip


def _one_cycle(scheduler: Any, group: Any) -> Schedule:
    high = float(group["max_lr"])
    phases = scheduler._schedule_phases
    levels = [phases[0]["start_lr"], *(phase["end_lr"] for phase in phases)]
    shares = [ratio(float(group[level]), high) for level in levels]
    curve = CURVES[scheduler._anneal_func_type]
    return stepped("OneCycleLR", high, one_cycle(shares, [phase["end_step"] for phase in phases], curve, holds=False))
