"""torch.optim.lr_scheduler and swa_utils.SWALR (PyTorch 2.13), stepped once after every optimizer update.

`last_epoch` is no argument here: to resume, ask for a later update. Momentum, which CyclicLR and OneCycleLR move against
the rate, is a schedule of its own.
"""

from lrlab.schedule.compat.torch.annealing import SWALR, CosineAnnealingLR, CosineAnnealingWarmRestarts
from lrlab.schedule.compat.torch.composed import ChainedScheduler, ReduceLROnPlateau, SequentialLR
from lrlab.schedule.compat.torch.cycle import CyclicLR, OneCycleLR
from lrlab.schedule.compat.torch.factor import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

__all__ = [
    "LambdaLR", "MultiplicativeLR", "StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR",
    "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR", "SWALR",
    "SequentialLR", "ChainedScheduler", "ReduceLROnPlateau",
]  # fmt: skip
