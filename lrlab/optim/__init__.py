"""Schedules into optax: any hyperparameter scheduled, the field's optimizers as small values, groups of parameters, rates
that follow a metric."""

from lrlab.optim.batch import Batches, Scaling, batches
from lrlab.optim.coupled import Independent, Opposed, independent, opposed
from lrlab.optim.effective import Effective, effective
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
from lrlab.optim.groups import (
    Group,
    assigned,
    checked,
    discriminative,
    frozen,
    gradual_unfreezing,
    group,
    layerwise,
    mup,
    rest,
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
from lrlab.optim.restart import cycle_starts
from lrlab.optim.scheduled import ScheduledState, by_name, scheduled, updates_done, values_held, values_used
from lrlab.optim.stopping import EarlyStopping, early_stopping
from lrlab.optim.watch import Watcher, observe

__all__ = [
    "OPTIMIZERS", "Optimizer", "ScheduledState", "scheduled", "values_used", "values_held", "by_name", "updates_done",
    "adadelta", "adagrad", "adam", "adamw", "lion", "momentum", "muon", "nesterov", "rmsprop", "sgd",
    "Group", "group", "rest", "frozen", "layerwise", "discriminative", "gradual_unfreezing", "mup",
    "assigned", "checked", "Effective", "effective", "cycle_starts", "Batches", "Scaling", "batches",
    "Independent", "Opposed", "independent", "opposed",
    "Feedback", "FeedbackState", "Greedy", "Plateau", "greedy", "plateau", "with_feedback",
    "RATE_FREE", "Mechanic", "RateFree", "cocob", "dadapt_adamw", "dog", "dowg", "evaluation_params", "mechanic", "momo",
    "momo_adam", "prodigy", "schedule_free_adamw", "schedule_free_sgd",
    "EarlyStopping", "early_stopping", "Watcher", "observe", "WORDS",
]  # fmt: skip

# What the notation reads besides schedules.
WORDS = {
    **OPTIMIZERS,
    **RATE_FREE,
    **{word.__name__: word for word in (group, rest, frozen, layerwise, discriminative, gradual_unfreezing, mup)},
    **{word.__name__: word for word in (independent, opposed, plateau, greedy, early_stopping)},
}
