"""Warm-up followed by decay beats a constant rate, and beats decay without warm-up at a high peak.

Vaswani et al. 2017 (section 5.3) trained the first transformer with a warm-up and a decay; Xiong et al. 2020 showed
that the post-LN transformer needs the warm-up, Kalra & Barkeshli 2024 that a warm-up raises the peak that any network
bears, and Defazio et al. 2023 that decay to zero beats a constant rate. Here: byte-level transformers on Python's own
documentation, 32 wide, pre-LN with 2 layers and post-LN with 6, AdamW without clipping, 1500 updates of 256 bytes;
each shape at several peaks, seeds paired (same start, same batches).

Cost: 2 minutes on two CPU cores (preset cpu, 3 seeds; measured 73 s for 36 runs on an idle AMD EPYC).
Run: lrlab run transformer_warmup_decay
Found: four seeds (--seeds 4), AMD EPYC, jax 0.10.2; held-out nats, paired 95 % intervals.
    pre-LN at a peak of 1.6e-2, warm-up + decay against a constant rate: -0.296 [-0.330, -0.262]
    pre-LN at a peak of 1.6e-2, warm-up + decay against decay alone:     -0.119 [-0.145, -0.093]
    pre-LN, each at its best peak, against a constant rate:              -0.062 [-0.079, -0.046]
    post-LN at a peak of 8e-3, against a constant rate:                  -1.255 [-1.397, -1.114]
    post-LN at a peak of 8e-3, against decay alone:                      -1.069 [-1.618, -0.520]
    post-LN, each at its best peak, against a constant rate:             -0.030 [-0.083, +0.022], not held
Each arm is taken at the optimum of its parabola. Post-LN without warm-up ends near the entropy of single bytes (3.25 nats) at
8e-3 in every seed at a constant rate, and in three of four with decay alone, where one reached 2.58. The last claim does
not show: at its best, low peak a constant rate hardly needs the warm-up, and 1500 updates are few; the sign is the
paper's in 3 of 4 seeds. In a wider grid (3 seeds) the post-LN optimum lies inside: warm-up + decay 1.990, 1.878 and
2.018 at peaks of 2e-3, 4e-3 and 8e-3, constant 1.972, 1.918 and 3.232 at 1e-3, 2e-3 and 8e-3.
"""

from lrlab import decay, optim, stable, warmup
from lrlab.experiment import Experiment
from lrlab.sweep import tuned
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
        best = {shape: tuned(peaks[shape], losses[shape]) for shape in (ours, "constant")}
        edges = [shape for shape, arm in best.items() if arm.at_edge]
        claims += [
            lower(f"{high}: {ours} beats a constant rate", losses[ours][-1], losses["constant"][-1]),
            lower(f"{high}: {ours} beats decay alone", losses[ours][-1], losses["decay alone"][-1]),
            lower(
                f"{model}, each at its best peak: {ours} beats a constant rate",
                *(arm.losses for arm in best.values()),
                note=f"the best peak lies at the edge of those tried: {', '.join(edges)}" if edges else "",
            ),
        ]
    return claims
