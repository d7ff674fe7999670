"""Warm-up followed by decay beats a constant rate, and beats decay without warm-up at a high peak.

Vaswani et al. 2017 (section 5.3) trained the first transformer with a warm-up and a decay; Xiong et al. 2020 showed
that the post-LN transformer needs the warm-up, Kalra & Barkeshli 2024 that a warm-up raises the peak that any network
bears, and Defazio et al. 2023 that decay to zero beats a constant rate. Here: byte-level transformers on Python's own
documentation, 32 wide, pre-LN with 2 layers and post-LN with 6, AdamW without clipping, 1500 updates of 256 bytes;
each shape at several peaks, seeds paired (same start, same batches).

Cost: 92 seconds on two CPU cores of an AMD EPYC (Zen 5), preset cpu, 64 runs.
Run: lrlab run transformer_warmup_decay
Found: four seeds, AMD EPYC, jax 0.10.2; held-out nats, paired 95 % intervals; in brackets what four other seeds gave (--seeds 4:8).
    warm-up + decay against ...
    a constant rate, pre-LN at 1.6e-2:        -0.296 [-0.330, -0.262]   (-0.325 [-0.420, -0.230])
    decay alone, pre-LN at 1.6e-2:            -0.119 [-0.144, -0.093]   (-0.127 [-0.184, -0.070])
    a constant rate, pre-LN, each at its best:  -0.060 [-0.074, -0.046]   (-0.068 [-0.084, -0.053])
    a constant rate, post-LN at 8e-3:         -1.255 [-1.396, -1.114]   (-0.989 [-1.784, -0.193])
    decay alone, post-LN at 8e-3:             -1.069 [-1.618, -0.520]   (-1.008 [-1.790, -0.225])
    a constant rate, post-LN, each at its best: -0.030 [-0.083, +0.022], not held   (-0.045 [-0.139, +0.049])
Each shape is at its best where the mean is lowest, and a peak twice as high and half as high was tried beside it. A parabola will not
do: at a constant rate post-LN ends at 1.96, 1.90, 2.95 and 3.24 at peaks of 1e-3, 2e-3, 4e-3 and 8e-3, at the last two near the entropy of
single bytes (3.25 nats), so that one through its best would promise 1.79. The last claim does not show: at its best, low peak a
constant rate hardly needs the warm-up, and 1500 updates are few; the sign is the paper's in 3 of 4 seeds, twice.
"""

import numpy as np

from lrlab import decay, optim, stable, warmup
from lrlab.experiment import Experiment
from lrlab.sweep import lowest
from lrlab.task.language import Language
from lrlab.verdict import lower

BASE = Experiment(
    task=Language(),
    schedule=8e-3 * warmup("15%") >> decay(),
    optimizer=optim.adamw(b1=0.9, b2=0.999, weight_decay=0.1),
    steps=1500,
    batch=8,
)
MODELS = {
    "pre-LN": {},
    "post-LN": {"task.norm_position": "post", "task.layers": 6},
}
SHAPES = {"warm-up + decay": warmup("15%") >> decay(), "constant": stable(), "decay alone": decay()}
PEAKS = {  # ascending, by factors of two; the last is the high peak
    "pre-LN": {
        "warm-up + decay": (4e-3, 8e-3, 1.6e-2),
        "constant": (2e-3, 4e-3, 8e-3, 1.6e-2),
        "decay alone": (1.6e-2,),
    },
    "post-LN": {"warm-up + decay": (2e-3, 4e-3, 8e-3), "constant": (1e-3, 2e-3, 4e-3, 8e-3), "decay alone": (8e-3,)},
}
ARMS = {
    f"{model} / {shape} @ {peak:g}": {"schedule": peak * SHAPES[shape], **MODELS[model]}
    for model in MODELS
    for shape in SHAPES
    for peak in PEAKS[model][shape]
}
PRESETS = {"cpu": {"seeds": 4}}


def verdict(runs):
    claims = []
    for model, peaks in PEAKS.items():
        losses = {
            shape: [runs[f"{model} / {shape} @ {peak:g}"].final["loss"] for peak in peaks[shape]] for shape in SHAPES
        }
        ours, high = "warm-up + decay", f"{model} at a peak of {peaks['constant'][-1]:g}"
        best = {shape: lowest(np.array(losses[shape])) for shape in (ours, "constant")}
        edges = [shape for shape, i in best.items() if i in (0, len(peaks[shape]) - 1)]
        claims += [
            lower(f"{high}: {ours} beats a constant rate", losses[ours][-1], losses["constant"][-1]),
            lower(f"{high}: {ours} beats decay alone", losses[ours][-1], losses["decay alone"][-1]),
            lower(
                f"{model}, each at its best peak: {ours} beats a constant rate",
                *(losses[shape][i] for shape, i in best.items()),
                note=f"the best peak lies at the edge of those tried: {', '.join(edges)}" if edges else "",
            ),
        ]
    return claims
