"""Schedules into optax: any hyperparameter scheduled, the field's optimizers as small values, rates that follow a metric."""

from lrlab.optim.feedback import Feedback, FeedbackState, Greedy, Plateau, greedy, plateau, with_feedback
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
from lrlab.optim.stopping import EarlyStopping, early_stopping
from lrlab.optim.watch import Watcher, observe

__all__ = [
    "OPTIMIZERS", "Optimizer", "ScheduledState", "scheduled", "values_used",
    "adadelta", "adagrad", "adam", "adamw", "lion", "momentum", "muon", "nesterov", "rmsprop", "sgd",
    "Feedback", "FeedbackState", "Greedy", "Plateau", "greedy", "plateau", "with_feedback",
    "EarlyStopping", "early_stopping", "Watcher", "observe", "WORDS",
]  # fmt: skip

# What the notation reads besides schedules.
WORDS = {**OPTIMIZERS, "plateau": plateau, "greedy": greedy, "early_stopping": early_stopping}
