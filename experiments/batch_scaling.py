"""With the batch the rate grows in proportion for SGD and with the square root for Adam, and a growing batch does what decay does.

Goyal et al. 2017, arXiv:1706.02677 (section 2.1): k times the batch with k times the rate of SGD follows the same curve; ImageNet's
error is 23.6 % at 256 and 23.7 % at 8192. Malladi et al. 2022, arXiv:2205.10287 (definition 5.1): Adam's rate grows with the square root
of k, while 1 - b1 and 1 - b2 grow with k and eps falls with its root. Smith et al. 2017, arXiv:1711.00489: where the rate would fall by
a factor the batch may grow by it instead; to the same accuracy on CIFAR-10 in a third of the updates. Here: digits, a perceptron with one
layer of 128, 10 epochs at a constant rate from batches of 16 on (SGD with momentum 0.9; Adam with b1 0.99, since at k = 16 the rule must
leave it positive), and 22 epochs in three phases, in which the rate falls, or the batch grows, by four and again by four.

Cost: 3 seconds on two CPU cores of an AMD EPYC (Zen 5), after as long to compile (preset cpu, 16 seeds). gpu, by arithmetic: a transformer of 30
    million parameters, 26 minutes on one H100 at 15 % of its peak (2.3e17 FLOPs); not run yet, its rates are a width's share of those of
    small ones, and what is allowed for "as well" is the digits'.
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
from lrlab.scale import TOKENS_30M
from lrlab.task.language import Language
from lrlab.task.vision import Digits
from lrlab.verdict import between, equal, lower

RATE = 0.0125
LAST = 1437  # examples, an epoch of the digits
BASE = Experiment(
    task=Digits(hidden=(128,)),
    schedule=RATE * stable(),
    optimizer=optim.momentum(),
    steps="10ep",
    batch=16,
    evaluate_every=89,
    log_every=1,
)


def arms(rate, adam, lasts, phases):
    """The arms, given the rates of SGD and of Adam at a batch of 16, how long a run lasts, and how many updates of 16, 64 and 256
    examples each of three phases.
    """
    of = lambda size: {"batch": size, "steps": lasts, "evaluate_every": "10%"}
    sgd = lambda k: {"schedule": k * rate * stable()}
    second, third = (f"{100 * updates / sum(phases):.4f}%" for updates in phases[1:])

    def scaled(by, k=1):
        """Adam at so many times its rate, and as Malladi et al. scale the rest of it to k times the batch."""
        own = optim.adam(b1=1 - 0.01 * k, b2=1 - 0.001 * k, eps=1e-8 / k**0.5)
        return {"optimizer": own, "schedule": by * adam * stable()}

    return {
        "SGD / batch 16": {**sgd(1), **of(16)},
        "SGD / batch 64, rate × 4": {**sgd(4), **of(64)},
        "SGD / batch 64, rate × 2": {**sgd(2), **of(64)},
        "SGD / batch 64, rate × 1": {**sgd(1), **of(64)},
        "Adam / batch 16": {**scaled(1), **of(16)},
        "Adam / batch 256, rate × 4, b1, b2, eps": {**scaled(4, 16), **of(256)},
        "Adam / batch 256, rate × 16": {**scaled(16), **of(256)},
        "Adam / batch 256, rate × 1": {**scaled(1), **of(256)},
        "three phases / constant": {**sgd(1), "steps": 3 * phases[0]},
        "three phases / the rate falls": {
            "steps": 3 * phases[0],
            "schedule": rate * stable() >> 0.25 * stable("33.3333%") >> 0.25 * stable("33.3333%"),
        },
        "three phases / the batch grows": {
            **sgd(1),
            "steps": sum(phases),
            "batch": 256,
            "accumulate": 16,
            "batch_schedule": 16 * stable() >> 4 * stable(second) >> 4 * stable(third),
        },
    }


ARMS = arms(RATE, adam=2e-3, lasts="10ep", phases=(704, 176, 44))
PRESETS = {
    "cpu": {"seeds": 16},
    "gpu": {  # a transformer on token shards as in `gpt2`
        "task": Language(),
        **TOKENS_30M,
        "batch": 16,
        "evaluate_every": 800,
        "seeds": 3,
        "arms": arms(0.01, adam=1.5e-4, lasts="128e3ex", phases=(4096, 1024, 256)),
    },
}


def last_losses(run):
    """The training loss over the last examples, for each seed."""
    means = []
    for folder in run.folders:
        seen = [(row["loss"], row.get("batch", 16)) for row in rows(Path(folder)) if "loss" in row]
        size = int(seen[-1][1])
        means.append(np.mean([loss for loss, _ in seen[-(LAST // size) :]]))
    return np.array(means)


def verdict(runs):
    loss = {arm.partition(" / ")[::2]: run.final["loss"] for arm, run in runs.items()}
    sgd, adam = ({name: held for (family, name), held in loss.items() if family == one} for one in ("SGD", "Adam"))
    phases = {
        name: last_losses(runs[f"three phases / {name}"]) for name in ("constant", "the rate falls", "the batch grows")
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
