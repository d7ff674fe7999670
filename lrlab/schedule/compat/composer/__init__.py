"""composer.optim (mosaicml 0.32): multipliers of the base rate, functions of the time that is done, in Composer's time strings.

`max_duration` is the Trainer's, and so is `scale_schedule_ratio`; "ep" needs `dataloader_len`, "sp" `batch_size` and "tok"
`tokens_per_batch`. Update t uses the multiplier of batch t. The Trainer of 0.32 steps its schedulers before it counts the
batch, so that it uses the first multiplier twice: what it does is `shift(..., -1)`.
"""

from lrlab.schedule.compat.composer.plain import (
    ConstantScheduler,
    CosineAnnealingScheduler,
    CosineAnnealingWarmRestartsScheduler,
    ExponentialScheduler,
    LinearScheduler,
    MultiStepScheduler,
    PolynomialScheduler,
    StepScheduler,
)
from lrlab.schedule.compat.composer.warmed import (
    ConstantWithWarmupScheduler,
    CosineAnnealingWithWarmupScheduler,
    LinearWithWarmupScheduler,
    MultiStepWithWarmupScheduler,
    PolynomialWithWarmupScheduler,
)

__all__ = [
    "StepScheduler", "MultiStepScheduler", "ConstantScheduler", "LinearScheduler", "ExponentialScheduler",
    "CosineAnnealingScheduler", "CosineAnnealingWarmRestartsScheduler", "PolynomialScheduler",
    "MultiStepWithWarmupScheduler", "ConstantWithWarmupScheduler", "LinearWithWarmupScheduler",
    "CosineAnnealingWithWarmupScheduler", "PolynomialWithWarmupScheduler",
]  # fmt: skip
