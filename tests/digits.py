"""A short run on digits whose schedule has two cycles and whose batches are accumulated, for tests of what an update is."""

import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import adamw
from lrlab.task.vision import Digits

DIGITS = Experiment(
    task=Digits(hidden=(8,)),
    schedule=0.1 * lr.repeat(lr.decay("25%", to=0.1), 2),
    optimizer=adamw(),
    steps=12,
    batch=8,
    accumulate=4,
    evaluate_every=12,
    log_every=1,
)
