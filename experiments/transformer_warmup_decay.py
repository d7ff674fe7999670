"""Warm-up followed by decay beats a constant rate, and beats decay without warm-up at a high peak.

Cost: about 3 minutes on two CPU cores.
"""

from lrlab import cosine, decay, optim, stable, task, warmup
from lrlab.experiment import Experiment
from lrlab.task.language import Language

BASE = Experiment(
    task=Language(),
    schedule=8e-3 * warmup("10%") >> decay(),
    optimizer=optim.adamw(b1=0.9, b2=0.95, weight_decay=0.1),
    steps=1500, batch=8, clip=1.0,
)
ARMS = {"pre-LN / warm-up + decay": {}, "pre-LN / constant": {"schedule": 4e-3 * stable()}, "pre-LN / decay": {"schedule": 8e-3*decay()}}
PRESETS = {"cpu": {}}
def verdict(runs): return []
