"""timm.scheduler (timm 1.0.31), stepped as timm's train script does: with t after update t - 1, and not before the first.

So update 0 uses what the scheduler was made with: `warmup_lr_init` where there is a warm-up, the base rate elsewhere. `t`
counts updates (`step_update`) or epochs (`step`): what is stepped once an epoch is `stairs(..., "1ep")`.
"""

from lrlab.schedule.compat.timm.annealing import CosineLRScheduler, PolyLRScheduler, TanhLRScheduler
from lrlab.schedule.compat.timm.factory import PlateauLRScheduler, create_scheduler_v2
from lrlab.schedule.compat.timm.stepped import MultiStepLRScheduler, StepLRScheduler
from lrlab.schedule.compat.timm.wsd import WSDLRScheduler

__all__ = [
    "CosineLRScheduler", "TanhLRScheduler", "PolyLRScheduler", "StepLRScheduler", "MultiStepLRScheduler", "WSDLRScheduler",
    "PlateauLRScheduler", "create_scheduler_v2",
]  # fmt: skip
