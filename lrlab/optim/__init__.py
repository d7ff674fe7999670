"""Schedules into optax: any hyperparameter scheduled, the field's optimizers as small values, rates that follow a metric."""

from lrlab.optim.feedback import Feedback, FeedbackState, Greedy, Plateau, greedy, plateau, with_feedback
from lrlab.optim.free import (
    RATE_FREE,
    Mechanic,
    RateFree,
    cocob,
    dadapt_adamw,
    dog,
    dowg,
    evaluation_params,
    mechanic,
    momo,
    momo_adam,
    prodigy,
    schedule_free_adamw,
    schedule_free_sgd,
)
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
    "RATE_FREE", "Mechanic", "RateFree", "cocob", "dadapt_adamw", "dog", "dowg", "evaluation_params", "mechanic", "momo",
    "momo_adam", "prodigy", "schedule_free_adamw", "schedule_free_sgd",
    "EarlyStopping", "early_stopping", "Watcher", "observe", "WORDS",
]  # fmt: skip

# What the notation reads besides schedules.
WORDS = {**OPTIMIZERS, **RATE_FREE, "plateau": plateau, "greedy": greedy, "early_stopping": early_stopping}
