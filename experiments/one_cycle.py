"""One cycle of a high rate, with a momentum that moves against it, trains faster than a constant rate.

Smith & Topin 2017, Super-convergence, arXiv:1708.07120: the rate rises from a low value to a high one, falls back, and on to a
hundredth or less of the low one, while the momentum falls and rises again. On CIFAR-10 a ResNet-56 reached 92.4 % in 10,000
updates, a step policy 91.2 % in 80,000 (figure 1a). Here: digits, a perceptron with one layer of 128, batches of 16, 10 epochs,
each shape at the best of four peaks in factors of two; and a step policy (a tenth at a half
and at three quarters) eight times as long. Seeds are paired.

Cost: 6 seconds on two CPU cores of an AMD EPYC (Zen 5), preset cpu, 16 seeds.
Run: lrlab run one_cycle
Found: seeds 0 to 15 and, in brackets, 16 to 31, AMD EPYC, jax 0.10.2; paired 95 % intervals.
    training loss no higher than a constant rate's in 15 (16) of 16 seeds
    its logarithm against a constant rate: -0.40 [-0.51, -0.29] (-0.34 [-0.44, -0.23])
    its logarithm against linear decay:    +0.01 [-0.14, +0.15] (-0.04 [-0.17, +0.10]), not held
    held-out loss against a constant rate: +0.001 [-0.005, +0.008] (+0.002 [-0.001, +0.004]) nats, not held
    errors against steps in eight times the updates: +0.14 [-0.11, +0.39] (+0.12 [-0.13, +0.37]) % of the images, not held
It fits a third closer than a constant rate, as linear decay does, and this does not carry over to held-out images. Nor can it be
eight times as fast here: ten epochs at a constant rate classify as well as eighty, so there is no slow baseline to outrun. At
twice its best peak, 0.2, it ends at 0.17 nats where the others end at 0.25 (linear), 0.30 (cosine) and 1.1 (constant).
"""

import numpy as np

from lrlab import cosine, decay, named, optim, stable
from lrlab.experiment import Experiment
from lrlab.sweep import lowest
from lrlab.task.vision import Digits
from lrlab.verdict import lower, often

BASE = Experiment(
    task=Digits(hidden=(128,)),
    schedule=0.1 * named.one_cycle(1.0),
    optimizer=optim.momentum(),
    steps=890,
    batch=16,
    evaluate_every=89,
)
SHAPES = {
    "10 epochs / 1cycle": {"schedule": named.one_cycle(1.0), "optimizer": optim.momentum(optim.opposed())},
    "10 epochs / cosine": {"schedule": decay(curve=cosine)},
    "10 epochs / linear": {"schedule": decay()},
    "10 epochs / constant": {"schedule": stable()},
    "80 epochs / steps": {
        "schedule": stable() >> 0.1 * stable("25%") >> 0.1 * stable("25%"),
        "steps": 7120,
        "evaluate_every": 712,
    },
}
PEAKS = (0.025, 0.05, 0.1, 0.2)
ARMS = {
    f"{shape} @ {peak:g}": {**own, "schedule": peak * own["schedule"]}
    for shape, own in SHAPES.items()
    for peak in PEAKS
}
PRESETS = {"cpu": {"seeds": 16}}


def verdict(runs):
    def best(shape, metric, read=np.asarray):
        """What a shape comes to at that of its peaks where the mean is lowest, for each seed."""
        values = np.array([read(runs[f"{shape} @ {peak:g}"].final[metric]) for peak in PEAKS])
        return values[lowest(values)]

    fitted = {shape: best(shape, "train_loss", np.log) for shape in SHAPES}
    held = {shape: best(shape, "loss") for shape in SHAPES}
    error = {shape: best(shape, "accuracy", lambda share: 100 * (1 - np.asarray(share))) for shape in SHAPES}
    ours, constant, linear = "10 epochs / 1cycle", "10 epochs / constant", "10 epochs / linear"
    no_higher = [a <= b for a, b in zip(fitted[ours], fitted[constant])]
    return [
        often("1cycle's training loss is no higher than a constant rate's", no_higher, -(-7 * len(no_higher) // 8)),
        lower(
            "1cycle's training loss is below a constant rate's", fitted[ours], fitted[constant], unit="of the logarithm"
        ),
        lower(
            "1cycle's training loss is below that of linear decay",
            fitted[ours],
            fitted[linear],
            unit="of the logarithm",
        ),
        lower("1cycle's held-out loss is below a constant rate's", held[ours], held[constant]),
        lower(
            "1cycle makes fewer errors than steps in eight times the updates",
            error[ours],
            error["80 epochs / steps"],
            unit="% of errors",
            paper="7.6 % in 10,000 updates, 8.8 % in 80,000",
        ),
    ]
