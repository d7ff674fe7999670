"""A cosine with warm restarts is good whenever a cycle ends: as good as a cosine made for that length.

Loshchilov & Hutter 2016, SGDR, arXiv:1608.03983: the rate falls along a cosine and begins anew at its peak, each cycle twice as
long as the one before; wide ResNets came to 3.74 % of errors on CIFAR-10 and 18.70 % on CIFAR-100. Here: digits, a perceptron with
one layer of 128, momentum 0.9, cycles that end after 5, 15 and 35 epochs against cosines of 15 and 35 epochs, each at the best of
three peaks, which for the restarts is one for all ends. `noisy_quadratic` says what they are in exact expectation.

Cost: 3 seconds on two CPU cores of an AMD EPYC (Zen 5), preset cpu, 16 seeds.
Run: lrlab run sgdr
Found: seeds 0 to 15 and, in brackets, 16 to 31, AMD EPYC, jax 0.10.2; paired 95 % intervals.
    held-out loss over that of the best cosine, after 15 epochs: 1.02 [0.98, 1.06] (1.02 [0.99, 1.04])
    the same after 35 epochs:                                    1.03 [0.98, 1.08] (1.04 [1.01, 1.08])
    training loss, its logarithm, of the epoch before the first restart against the one after: -0.74 [-1.09, -0.39] (-0.53
    [-0.85, -0.22]); of the second: -0.01 [-0.15, +0.12] (+0.02 [-0.16, +0.20]), not held
A cycle's end is a minimum the first time only: after 15 epochs the training images are fitted to 0.002 nats, and going back to the
peak does no more harm. `lr.named.sgdr` is held against the paper's formula in the tests.
"""

from pathlib import Path

import numpy as np

from lrlab import cosine, decay, named, optim
from lrlab.experiment import Experiment
from lrlab.record import rows
from lrlab.report import held_out_losses
from lrlab.sweep import lowest
from lrlab.task.vision import Digits
from lrlab.verdict import between, lower

EPOCH = 89  # updates
ENDS = (5, 15, 35)  # epochs after which a cycle ends
BASE = Experiment(
    task=Digits(hidden=(128,)),
    schedule=0.05 * named.sgdr(1.0, "14.2857%", 3),
    optimizer=optim.momentum(),
    steps=ENDS[-1] * EPOCH,
    batch=16,
    evaluate_every=EPOCH,
)
PEAKS = (0.025, 0.05, 0.1)
SHAPES = {"warm restarts": {"schedule": named.sgdr(1.0, "14.2857%", 3)}} | {
    f"cosine of {end}": {"schedule": decay(curve=cosine), "steps": end * EPOCH} for end in ENDS[:0:-1]
}
ARMS = {
    f"{shape} @ {peak:g}": {**own, "schedule": peak * own["schedule"]}
    for shape, own in SHAPES.items()
    for peak in PEAKS
}
PRESETS = {"cpu": {"seeds": 16}}


def losses(runs, shape, epochs):
    """Held-out losses of a shape after so many epochs, [peaks, seeds]."""
    folders = [runs[f"{shape} @ {peak:g}"].folders for peak in PEAKS]
    at = lambda folder: dict(held_out_losses(Path(folder))).get(epochs * EPOCH, np.nan)
    return np.array([list(map(at, seeds)) for seeds in folders])


def training_loss(run, epoch):
    """Mean over the epoch of that number, from 1, for each seed."""
    span = range((epoch - 1) * EPOCH, epoch * EPOCH)
    seen = [
        [row["loss"] for row in rows(Path(folder)) if "loss" in row and row["step"] in span] for folder in run.folders
    ]
    return np.array([np.mean(own or [np.nan]) for own in seen])


def verdict(runs):
    restarts = np.array([losses(runs, "warm restarts", end) for end in ENDS])  # [ends, peaks, seeds]
    best = lowest(restarts.mean(0))
    claims = []
    for end, ours in zip(ENDS[1:], restarts[1:, best]):  # the first cycle is itself a cosine of its length
        cosines = losses(runs, f"cosine of {end}", end)
        ratio = ours / cosines[lowest(cosines)]
        claims.append(between(f"after {end} epochs within a tenth of the best cosine of {end}: ratio", ratio, high=1.1))
    for end in ENDS[:-1]:
        around = [np.log(training_loss(runs[f"warm restarts @ {PEAKS[best]:g}"], epoch)) for epoch in (end, end + 1)]
        text = f"the restart after {end} epochs raises the training loss: the epoch before it is below the one after"
        claims.append(lower(text, *around, unit="of the logarithm"))
    return claims
