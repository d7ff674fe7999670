"""A stable rate with a cooldown over its last tenth or fifth (WSD) is as good as a decay over the whole run.

Hu et al. 2024 (MiniCPM), arXiv:2404.06395, section 4 (the loss drops in the cooldown; a tenth of the run is enough, 2.5 % is
not); Hägele et al. 2024, arXiv:2405.18392 (a fifth matches a cosine, the 1-sqrt shape is a little ahead); Wen et al. 2024,
arXiv:2410.05192 (WSD-S goes on at the peak from a model already cooled down; the river valley that explains it). Here:
byte-level transformers on Python's own documentation, 32 wide with 2 layers, 2000 updates of 256 bytes, warm-up over 5 %,
clipping at 1, one stable trunk at WSD's best peak of 6e-3, and for the decay over the whole run its own best of 8e-3; seeds
paired. An arm is the whole run; `lrlab branch` gets the same to the bit from checkpoints of the trunk.

Cost: 51 seconds on two CPU cores of an AMD EPYC (Zen 5), preset cpu, 54 runs. gpu, by arithmetic: 17 minutes
on one H100 at 25 % of its peak, 27 runs of 30 million parameters.
Run: lrlab run wsd_cooldown
Found: six seeds, AMD EPYC, jax 0.10.2; held-out nats, paired 95 % intervals.
    drop in the last fifth, which is the cooldown   0.160 [0.152, 0.169]
    against the trunk that goes on                 -0.134 [-0.152, -0.117]
    a tenth against a fifth                        +0.016 [+0.012, +0.020]
    a fifth against 2.5 %                          -0.063 [-0.067, -0.058]
    against linear decay over the whole run        -0.019 [-0.035, -0.004], asked within 0.02: not held here
    1-sqrt against linear                          -0.002 [-0.004, -0.001]
    WSD-S against WSD                              +0.008 [+0.003, +0.013]
WSD does not end where linear decay does but below it (see `schedule_shapes`). 1-sqrt is ahead as in
the literature, by 0.15 % of the loss. A cooldown over half the run ends 0.004 below one over a fifth, in six other seeds where
that ends.
"""

from pathlib import Path

import numpy as np

from lrlab import Horizon, cosine, decay, join, optim, sqrt, stable, warmup
from lrlab.experiment import Experiment
from lrlab.record import rows
from lrlab.scale import TOKENS_30M
from lrlab.task.language import Language
from lrlab.theory import expected_loss
from lrlab.verdict import between, equal, exact, lower

TRUNK = 6e-3 * warmup("5%") >> stable()
BASE = Experiment(
    task=Language(),
    schedule=TRUNK,
    optimizer=optim.adamw(b1=0.9, b2=0.95, weight_decay=0.1),
    steps=2000,
    batch=8,
    clip=1.0,
)
LENGTHS = {
    "none": TRUNK,
    "2.5 %": TRUNK >> decay("2.5%"),
    "10 %": TRUNK >> decay("10%"),
    "20 %": TRUNK >> decay("20%"),
    "50 %": TRUNK >> decay("50%"),
    "all, from 8e-3": 8e-3 * warmup("5%") >> decay(),
}
SHAPES = {
    "1-sqrt": TRUNK >> decay("20%", curve=sqrt),
    "cosine": TRUNK >> decay("20%", curve=cosine),
    "WSD-S": 6e-3 * join(warmup("5%") >> stable("35%") >> decay("10%"), stable() >> decay("20%")),
}
ARMS = {f"length of a linear cooldown / {name}": {"schedule": schedule} for name, schedule in LENGTHS.items()} | {
    f"shape of a cooldown of 20 % / {name}": {"schedule": schedule} for name, schedule in SHAPES.items()
}
PRESETS = {
    "cpu": {"seeds": 6},
    "gpu": {  # token shards as in `gpt2`; twelve times as wide, at an eighth of the peaks
        **TOKENS_30M,
        "groups": (optim.rest(rate=1 / 8),),
    },
}


def before(folder):
    """The held-out loss where the last fifth of a run begins."""
    looks = [(row["step"], row["held_out"]["loss"]) for row in rows(Path(folder)) if "held_out" in row]
    return next((loss for step, loss in reversed(looks) if step <= 0.8 * looks[-1][0]), np.nan)


def valley(schedule, steps=2000):
    """Where y, across a river valley y^2 / 2 - x, is expected to end under noise of scale 1, in units of the loss."""
    rates = (0.1 * schedule).resolve(Horizon(steps))(np.arange(steps))
    return float(expected_loss(rates, eigenvalues=[1.0])[-1])


def verdict(runs):
    loss = {arm.partition(" / ")[2]: run.final["loss"] for arm, run in runs.items()}
    cooled, whole = loss["20 %"], loss["all, from 8e-3"]
    drop = np.subtract(list(map(before, runs["length of a linear cooldown / 20 %"].folders)), cooled)
    noise, settled = valley(stable()), valley(stable() >> decay("20%"))
    return [
        between("in a cooldown over the last fifth the loss drops by 0.08 or more", drop, 0.08, unit="nats"),
        lower("it ends 0.08 or more below the trunk that goes on", cooled, loss["none"], by=0.08),
        equal("a cooldown over a tenth of the run is as good as over a fifth", loss["10 %"], cooled, within=0.03, paper="a tenth is enough"),
        lower("a cooldown over 2.5 % is not, by over 0.03", cooled, loss["2.5 %"], by=0.03, paper="2.5 % falls short"),
        lower("WSD ends at most 0.02 above a linear decay over the whole run", cooled, whole, by=-0.02),
        equal("WSD ends where a linear decay over the whole run does", cooled, whole, within=0.02, paper="WSD against a cosine to a tenth at twice its peak, 25 pairs of 33M to 360M parameters: -0.002, at most 0.011 apart"),
        equal("the 1-sqrt shape ends where the linear one does", loss["1-sqrt"], cooled, within=0.02, paper="1-sqrt against linear at 124M parameters: +0.002 to -0.012, growing with the peak"),
        equal("WSD-S, which cooled down at half time and went on from there, ends where WSD does", loss["WSD-S"], cooled, within=0.02),
        exact("in a river valley a constant rate eta stays eta / (2 (2 - eta)) above the river", noise / (0.1 / (2 * (2 - 0.1))), 1 - 1e-6, 1 + 1e-6, unit="times"),
        exact("in a river valley a cooldown over a fifth of the run leaves at most a fifth of that", settled / noise, high=0.2, unit="times"),
    ]  # fmt: skip
