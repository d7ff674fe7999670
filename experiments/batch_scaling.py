"""With the batch the rate grows in proportion for SGD and with the square root for Adam, and a growing batch does what decay does.

Goyal et al. 2017, arXiv:1706.02677 (section 2.1): k times the batch with k times the rate of SGD follows the same curve; ImageNet's
error is 23.6 % at 256 and 23.7 % at 8192. Malladi et al. 2022, arXiv:2205.10287 (definition 5.1): Adam's rate grows with the square root
of k, while 1 - b1 and 1 - b2 grow with k and eps falls with its root. Smith et al. 2017, arXiv:1711.00489: where the rate would fall by
a factor the batch may grow by it instead; to the same accuracy on CIFAR-10 in a third of the updates. Here: digits, a perceptron with one
layer of 128, 10 epochs at a constant rate from batches of 16 on (SGD with momentum 0.9; Adam with b1 0.99, since at k = 16 the rule must
leave it positive), and 22 epochs in three phases, in which the rate falls, or the batch grows, by four and again by four.

Cost: 25 seconds of processor time, part of it compilation (preset cpu, 16 seeds; AMD EPYC).
Run: lrlab run batch_scaling
Found: seeds 0 to 15 and, in brackets, 16 to 31, AMD EPYC, jax 0.10.2; held-out nats, paired 95 % intervals.
    SGD, 4 times the batch and rate against the batch of 16: +0.006 [+0.002, +0.009] (+0.008 [+0.004, +0.012])
    SGD, the same against the rate left as it is:            -0.026 [-0.031, -0.022] (-0.025 [-0.029, -0.020])
    Adam, 16 times the batch by the square-root rule against the batch of 16: -0.001 [-0.005, +0.003] (+0.001 [-0.003, +0.006])
    Adam, the batch of 16 against 16 times both:      -0.131 [-0.157, -0.106] (-0.114 [-0.138, -0.090])
    Adam, the batch of 16 against the rate as it was: -0.159 [-0.174, -0.143] (-0.167 [-0.187, -0.147])
    training loss where the batch grows over that where the rate falls: 0.991 [0.981, 1.002] (0.987 [0.974, 0.999]), in 924
    updates in place of 2112; at a constant rate over it: 0.400 [0.395, 0.406] (0.399 [0.396, 0.403])
Allowed for "as well" are 0.0135 nats for SGD and 0.0118 for Adam, a seed's standard deviation.
"""

from pathlib import Path

import numpy as np

from lrlab import optim, stable
from lrlab.experiment import Experiment
from lrlab.record import rows
from lrlab.task.vision import Digits
from lrlab.verdict import between, equal, lower

RATE, ADAM = 0.0125, 2e-3
BASE = Experiment(
    task=Digits(hidden=(128,)),
    schedule=RATE * stable(),
    optimizer=optim.momentum(),
    steps=890,
    batch=16,
    evaluate_every=89,
    log_every=1,
)
FOUR = {"batch": 64, "steps": 220, "evaluate_every": 22}
SIXTEEN = {"batch": 256, "steps": 50, "evaluate_every": 5}
THIRDS = {"steps": 2112, "schedule": RATE * stable() >> 0.25 * stable("33.3333%") >> 0.25 * stable("33.3333%")}
GROWING = {  # as many examples in each phase: 704 updates of 16, 176 of 64, 44 of 256
    "steps": 924,
    "batch": 256,
    "accumulate": 16,
    "batch_schedule": 16 * stable() >> 4 * stable("19.0476%") >> 4 * stable("4.7619%"),
}


def adam(rate, k=1):
    """Adam as Malladi et al. scale it to k times the batch, at a rate."""
    return {"optimizer": optim.adam(b1=1 - 0.01 * k, b2=1 - 0.001 * k, eps=1e-8 / k**0.5), "schedule": rate * stable()}


ARMS = {
    "SGD / batch 16": {},
    "SGD / batch 64, rate × 4": {"schedule": 4 * RATE * stable(), **FOUR},
    "SGD / batch 64, rate × 2": {"schedule": 2 * RATE * stable(), **FOUR},
    "SGD / batch 64, rate × 1": FOUR,
    "Adam / batch 16": adam(ADAM),
    "Adam / batch 256, rate × 4, b1, b2, eps": {**adam(4 * ADAM, 16), **SIXTEEN},
    "Adam / batch 256, rate × 16": {**adam(16 * ADAM), **SIXTEEN},
    "Adam / batch 256, rate × 1": {**adam(ADAM), **SIXTEEN},
    "three phases / constant": {"steps": 2112},
    "three phases / the rate falls": THIRDS,
    "three phases / the batch grows": GROWING,
}
PRESETS = {"cpu": {"seeds": 16}}


def last_epoch(run):
    """The training loss over the last epoch, for each seed."""
    means = []
    for folder in run.folders:
        seen = [(row["loss"], row.get("batch", 16)) for row in rows(Path(folder)) if "loss" in row]
        size = int(seen[-1][1])
        means.append(np.mean([loss for loss, _ in seen[-(1437 // size) :]]))
    return np.array(means)


def verdict(runs):
    loss = {arm.partition(" / ")[::2]: run.final["loss"] for arm, run in runs.items()}
    sgd, adam = ({name: held for (family, name), held in loss.items() if family == one} for one in ("SGD", "Adam"))
    phases = {
        name: last_epoch(runs[f"three phases / {name}"]) for name in ("constant", "the rate falls", "the batch grows")
    }
    small, linear, root = "batch 16", "batch 64, rate × 4", "batch 256, rate × 4, b1, b2, eps"
    return [
        equal(
            "SGD: 4 times the batch with 4 times the rate trains as well",
            sgd[linear],
            sgd[small],
            within=0.0135,
            paper="23.74 ± 0.09 % of error at 8192, 23.60 ± 0.12 % at 256",
        ),
        lower("SGD: 4 times the batch at the same rate trains worse", sgd[linear], sgd["batch 64, rate × 1"], by=0.008),
        equal(
            "Adam: 16 times the batch by the square-root rule trains as well",
            adam[root],
            adam[small],
            within=0.0118,
        ),
        lower("Adam: 16 times the batch and the rate trains worse", adam[small], adam["batch 256, rate × 16"], by=0.05),
        lower(
            "Adam: 16 times the batch at the same rate trains worse", adam[small], adam["batch 256, rate × 1"], by=0.05
        ),
        between(
            "a batch that grows fits as a rate that falls: ratio of training losses",
            phases["the batch grows"] / phases["the rate falls"],
            0.85,
            1.2,
        ),
        between(
            "a constant rate does not: ratio of training losses",
            phases["constant"] / phases["the rate falls"],
            high=0.85,
        ),
    ]
