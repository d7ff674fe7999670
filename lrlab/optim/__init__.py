"""Schedules into optax: any hyperparameter scheduled, and the field's optimizers as small values."""

from lrlab.optim.optimizers import (
    OPTIMIZERS,
    Optimizer,
    adadelta,
    adagrad,
    adam,
    adamw,
    lion,
    momentum,
    muon,
    nesterov,
    rmsprop,
    sgd,
)
from lrlab.optim.scheduled import ScheduledState, scheduled, values_used

__all__ = [
    "OPTIMIZERS", "Optimizer", "ScheduledState", "scheduled", "values_used",
    "adadelta", "adagrad", "adam", "adamw", "lion", "momentum", "muon", "nesterov", "rmsprop", "sgd",
]  # fmt: skip
