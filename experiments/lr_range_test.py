"""One short run in which the rate rises tells the rates at which long runs are best and at which they fail.

Smith 2015, Cyclical learning rates, arXiv:1506.01186 (section 3.3): the rate rises from low to high in one run; where the loss begins
to fall and where it becomes ragged or rises are bounds for training (on CIFAR-10 0.001 and 0.006). Here: digits, a perceptron with one
layer of 128, momentum 0.9, batches of 16; the range test of `lrlab find`, 100 updates from 1e-7 to 10 with short runs that choose, for
each seed, against a sweep of the peak of linear decay over 10 epochs.

Cost: 1 second on two CPU cores of an AMD EPYC (Zen 5), after a few to compile (preset cpu, 16 seeds).
Run: lrlab run lr_range_test
Found: seeds 0 to 15 and, in brackets, 16 to 31, AMD EPYC, jax 0.10.2; octaves, 95 % intervals.
    where the test's loss becomes ragged over where runs fail: +0.48 [+0.20, +0.76] (+0.50 [+0.19, +0.80])
    the rate that short runs choose over the best peak:        +0.06 [-0.12, +0.23] (+0.09 [-0.20, +0.38])
Runs with peaks up to 0.2 train and those from 0.4 on fail (their held-out loss stays above a nat). fastai's stop, four times the
lowest smoothed loss, comes at 1.9 to 3.9, three octaves above that; its rule `valley` reads three octaves below the best peak.
"""

from functools import cache

import numpy as np

from lrlab import decay, optim
from lrlab.experiment import Experiment
from lrlab.finder import find
from lrlab.report.style import COLOURS, frames
from lrlab.sweep import tuned
from lrlab.task.vision import Digits
from lrlab.verdict import between

BASE = Experiment(
    task=Digits(hidden=(128,)),
    schedule=0.05 * decay(),
    optimizer=optim.momentum(),
    steps=890,
    batch=16,
    evaluate_every=89,
)
PEAKS = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
ARMS = {f"linear decay @ {peak:g}": {"schedule.peak": peak} for peak in PEAKS}
PRESETS = {"cpu": {"seeds": 16}}
FAILED = 1.0  # nats; a guess has 2.3


@cache
def tests(seeds):
    """The range test of each seed."""
    return [find(BASE, range(seed, seed + 1)) for seed in seeds]


def swept(runs):
    """Held-out losses, [peaks, seeds], and for each seed the rate from which runs fail, between a peak and the next; nan if none does."""
    losses = np.array([run.final["loss"] for run in runs.values()])
    failed = ~(losses <= FAILED)
    first, ends = failed.argmax(0), np.array([PEAKS[0] / 2, *PEAKS])
    return losses, np.where(failed.any(0), np.sqrt(ends[first] * ends[first + 1]), np.nan)


def verdict(runs):
    found = tests(tuple(next(iter(runs.values())).seeds))
    losses, fails = swept(runs)
    ragged = np.array([test.suggestions.get("ragged", np.nan) for test in found])
    chosen = np.array([test.chosen.rate for test in found])
    return [
        between("where the loss becomes ragged, over where runs fail", np.log2(ragged / fails), -1, 1, unit="octaves"),
        between(
            "the rate chosen over the best peak", np.log2(chosen / tuned(PEAKS, losses).value), -1, 1, unit="octaves"
        ),
    ]


def picture(runs):
    found = tests(tuple(next(iter(runs.values())).seeds))
    losses, _ = swept(runs)
    figure, axes = frames(1, 1, 7, 4.4)
    axis = axes[0, 0]
    for name, read, colour in (
        ("the test's choice", lambda test: test.chosen.rate, COLOURS[2]),
        ("the test's loss becomes ragged", lambda test: test.suggestions.get("ragged", np.nan), COLOURS[1]),
    ):
        rates = np.array(list(map(read, found)))
        axis.axvspan(rates.min(), rates.max(), color=colour, alpha=0.15, linewidth=0)
        axis.axvline(np.exp(np.log(rates).mean()), color=colour, linestyle="--", linewidth=1.4, label=name)
    smoothed = np.array([test.smoothed[0] for test in found]).mean(0)
    axis.plot(found[0].rates, smoothed, color=COLOURS[0], linewidth=1.6, label="range test: smoothed training loss")
    axis.plot(
        PEAKS, losses.mean(1), "o-", color=COLOURS[6], linewidth=1.6, label="sweep: held-out loss after 10 epochs"
    )
    axis.plot(PEAKS, losses, ".", color=COLOURS[6], markersize=4, alpha=0.4)
    axis.set_xscale("log")
    axis.set_xlim(1e-4, 10)
    axis.set_ylim(0, 4)
    axis.set_xlabel("learning rate, of the test or at the peak of a run")
    axis.set_ylabel("loss (nats)")
    axis.legend(frameon=False, fontsize=9)
    figure.suptitle(f"lr_range_test: mean and range over {losses.shape[1]} seeds", fontsize=11)
    return figure
