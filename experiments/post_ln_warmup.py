"""A post-LN transformer trains with Vaswani's schedule, and without its warm-up collapses to the frequencies of single bytes.

Vaswani et al. 2017, arXiv:1706.03762, section 5.3, equation 3: the rate is d_model^-0.5 min(s^-0.5, s W^-1.5) at update s. That
the post-LN transformer needs the warm-up was told by Liu et al. 2019 (RAdam), arXiv:1908.03265, and explained by Xiong et al.
2020, arXiv:2002.04745, whose pre-LN transformer does without. Here: byte-level transformers on Python's own documentation, 32 wide
with 6 layers, 1000 updates of 256 bytes, the paper's Adam (0.9, 0.98, 1e-9) without clipping, W = 400; against it the same
schedule that stands at its peak where the other rises. A run has collapsed where it ends within 0.1 nats of what a model
loses that knows how frequent each byte is and nothing else.

Cost: 21 seconds on two CPU cores of an AMD EPYC (Zen 5), preset cpu, 16 runs. gpu, by arithmetic: 4 minutes on one H100 at 30 % of its peak (6e16 FLOPs); not run yet.
Run: lrlab run post_ln_warmup
Found: four seeds, AMD EPYC, jax 0.10.2; held-out nats, mean and standard deviation, and in brackets what four other seeds
    gave (--seeds 4:8). A collapsed model loses 3.247.
    post-LN, Vaswani's schedule     2.252 +- 0.040   (2.226 +- 0.040)
    post-LN, without its warm-up    3.277 +- 0.026   (3.244 +- 0.014)   collapsed in 4 of 4 seeds (4 of 4)
    pre-LN, Vaswani's schedule      1.915 +- 0.019   (1.910 +- 0.061)
    pre-LN, without its warm-up     2.025 +- 0.036   (2.031 +- 0.046)
All claims held; paired, the warm-up is worth 1.025 [0.945, 1.105] nats to post-LN (1.018 [0.971, 1.065]). In trials, two seeds:
at half these rates post-LN without warm-up ended at 3.00 and with it at 2.07; with W = 250, whose peak is 1.1e-2, it collapsed
with the warm-up too (one seed).
"""

from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from lrlab import optim, rsqrt, warmup
from lrlab.experiment import Experiment
from lrlab.override import from_values
from lrlab.record import read_json
from lrlab.schedule.named import noam
from lrlab.task.language import Language
from lrlab.verdict import exact, lower, often

BASE = Experiment(
    task=Language(width=32, layers=6, norm_position="post"),
    schedule=(32 * 400) ** -0.5 * warmup("39.9%", start=1 / 400) >> rsqrt("40%"),  # named.noam(32, 400) in 1000 updates
    optimizer=optim.adam(b1=0.9, b2=0.98, eps=1e-9),
    steps=1000,
    batch=8,
)
PRE, BARE = {"task.norm_position": "pre"}, {"schedule.shape.parts.0.start": 1.0}
ARMS = {
    "post-LN / Vaswani's schedule": {},
    "post-LN / without its warm-up": BARE,
    "pre-LN / Vaswani's schedule": PRE,
    "pre-LN / without its warm-up": {**PRE, **BARE},
}
PRESETS = {
    "cpu": {"seeds": 4},
    "gpu": {
        "seeds": 4,
        "schedule": "named.noam(256, 1600)",
        "task.width": 256,
        "task.layers": 12,
        "task.heads": 4,
        "task.sequence": 256,
        "task.compute": "bfloat16",
        "batch": 64,
        "steps": 4000,
    },
}


def verdict(runs):
    warm, bare, _, pre_bare = (runs[arm].final["loss"] for arm in ARMS)
    task: Any = from_values(read_json(Path(runs["post-LN / without its warm-up"].folders[0]) / "experiment.json")).task
    bar = task.unigram_loss - 0.1
    most = ceil(0.75 * len(bare))
    s, paper = np.array([1, 400, 1600]), noam(d_model=32, warmup_steps=400)
    rates = 32**-0.5 * np.minimum(s**-0.5, s * 400**-1.5)
    return [
        exact(
            "lr.named.noam is equation 3 at s = 1, W and 4 W, to float32: relative error at most",
            np.abs(paper(s - 1) / rates - 1).max(),
            high=6e-8,
        ),
        often(
            "post-LN without warm-up collapses",
            [not loss < bar for loss in bare],
            most,
            paper="perplexity near 500 without warm-up, below 10 with",
        ),
        often("post-LN with Vaswani's schedule does not collapse", [loss < bar for loss in warm], most),
        often("pre-LN without warm-up does not collapse", [loss < bar for loss in pre_bare], len(bare)),
        lower("post-LN ends at least 0.5 lower with the warm-up", warm, bare, by=0.5),
    ]
