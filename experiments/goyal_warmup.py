"""A batch k times as large trains as well with a rate k times as high, warmed up gradually, until the batch is too large.

Goyal et al. 2017, Accurate, large minibatch SGD, arXiv:1706.02677: on ImageNet the error of a batch of 8192 was 23.74 ± 0.09 %
against 23.60 ± 0.12 % of 256, with rates in proportion (section 2.1) and a warm-up over 5 of 90 epochs (2.2); without the warm-up
it was 24.84 ± 0.37 % (table 1), and far beyond 8192 the rule breaks (figure 1). Here: digits, a perceptron of two layers of 32,
momentum 0.9, 18 epochs, the schedule of the paper (`lr.named.goyal`) with each duration a fifth, and twice its rate for a batch of
16, 0.0125, which is the best or next to it. Seeds are paired.

Cost: 2 seconds on two CPU cores of an AMD EPYC (Zen 5), after a few to compile (preset cpu, 32 seeds).
Run: lrlab run goyal_warmup
Found: seeds 0 to 31 and, in brackets, 32 to 63, AMD EPYC, jax 0.10.2; held-out nats, paired 95 % intervals.
    4 times the batch and rate with warm-up, against the batch of 16: +0.009 [+0.003, +0.015] (+0.014 [+0.007, +0.020]), not held
    the same against the rate left as it is: -0.036 [-0.044, -0.029] (-0.036 [-0.044, -0.029])
    the same against no warm-up:             -0.002 [-0.006, +0.001] (+0.002 [-0.004, +0.007]), not held
    64 times the batch and rate: it ends at 1.75 [1.56, 1.95] (1.78 [1.59, 1.96]) and 0.155 is what the batch of 16 comes to
The rule wins back three quarters of what the larger batch loses, and 0.0135, a seed's standard deviation, was asked. The warm-up
does nothing: two layers bear four times the rate from the first update on. At 64 times the batch there is one update an epoch.
"""

from pathlib import Path

import numpy as np

from lrlab import optim, stable, warmup
from lrlab.experiment import Experiment
from lrlab.report import draw_losses, held_out_losses
from lrlab.report.style import frames, styles
from lrlab.task.vision import Digits
from lrlab.verdict import between, equal, lower

EPOCHS, RATE, BATCH = 18, 0.0125, 16
GUESS = np.log(10)  # nats, what a run counts with that diverged
STEPS = (
    0.1 * stable("33.3333%") >> 0.1 * stable("22.2222%") >> 0.1 * stable("11.1111%")
)  # at 30, 60 and 80 of 90 epochs
FLAT = stable() >> STEPS


def warmed(k):
    """The schedule at k times the batch, whose warm-up begins at the rate of the small one."""
    return RATE * k * warmup("5.5556%", start=1 / k) >> stable() >> STEPS


def larger(k, updates):
    """What a batch k times as large changes, of so many updates an epoch."""
    return {"batch": BATCH * k, "steps": EPOCHS * updates, "evaluate_every": updates}


BASE = Experiment(
    task=Digits(),
    schedule=RATE * FLAT,
    optimizer=optim.momentum(),
    steps=EPOCHS * 89,
    batch=BATCH,
    evaluate_every=89,
)
ARMS = {
    "batch 16 / unscaled": {},
    "batch 64 / unscaled": larger(4, 22),
    "batch 64 / square root": {"schedule": RATE * 2 * FLAT, **larger(4, 22)},
    "batch 64 / linear": {"schedule": RATE * 4 * FLAT, **larger(4, 22)},
    "batch 64 / linear, warm-up": {"schedule": warmed(4), **larger(4, 22)},
    "batch 1024 / linear": {"schedule": RATE * 64 * FLAT, **larger(64, 1)},
    "batch 1024 / linear, warm-up": {"schedule": warmed(64), **larger(64, 1)},
}
PRESETS = {"cpu": {"seeds": 32}}


def verdict(runs):
    loss = {arm: run.final["loss"] for arm, run in runs.items()}
    rule = loss["batch 64 / linear, warm-up"]
    return [
        equal(
            "4 times the batch and the rate, with warm-up, trains as well",
            rule,
            loss["batch 16 / unscaled"],
            within=0.0135,
            paper="23.74 ± 0.09 % of error at 8192, 23.60 ± 0.12 % at 256",
        ),
        lower("4 times the batch at the same rate trains worse", rule, loss["batch 64 / unscaled"], by=0.008),
        lower(
            "without the warm-up 4 times the rate trains worse",
            rule,
            loss["batch 64 / linear"],
            paper="24.84 ± 0.37 % without a warm-up, 23.74 ± 0.09 % with it",
        ),
        between(
            "at 64 times the batch the rule fails: held-out loss",
            [known if np.isfinite(known) else GUESS for known in loss["batch 1024 / linear, warm-up"]],
            1.0,
            unit="nats",
            paper="the error rises sharply beyond 8192, 32 times the batch",
        ),
    ]


def picture(runs):
    figure, axes = frames(1, 2, 10, 4.2, sharex=True)
    for axis, batches in zip(axes[0], (("16", "64"), ("16", "1024"))):
        arms = [arm for arm in runs if arm.split()[1] in batches]
        for arm, style in zip(arms, styles(len(arms))):
            curves = [held_out_losses(Path(folder)) for folder in runs[arm].folders]
            draw_losses(axis, [curve / [curve[0, 0], 1] for curve in curves], arm.replace(" /", ","), style)
        axis.set_yscale("log")
        axis.set_xticks(range(0, EPOCHS + 1, 6))
        axis.set_xlabel("epochs")
        axis.legend(frameon=False, fontsize=9)
    axes[0, 0].set_ylabel("held-out loss (nats)")
    figure.suptitle("goyal_warmup: mean and range over seeds", fontsize=11)
    return figure
