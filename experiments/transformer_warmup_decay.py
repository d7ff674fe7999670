"""Warm-up followed by decay beats a constant rate, and beats decay without warm-up at a high peak.

Vaswani et al. 2017 (section 5.3) trained the first transformer with a warm-up and a decay; Xiong et al. 2020 showed that
the post-LN transformer needs the warm-up and Kalra & Barkeshli 2024 that warm-up raises the peak that any network bears;
Defazio et al. 2023 that decay to zero beats a constant rate. Here: byte-level transformers on Python's documentation,
32 wide, pre-LN with 2 layers and post-LN with 6, AdamW, every shape at every peak, paired seeds.

Cost: about 4 minutes on two CPU cores (preset cpu).
Run: lrlab run transformer_warmup_decay
Found: not yet recorded.
"""

from lrlab import decay, optim, stable, warmup
from lrlab.experiment import Experiment
from lrlab.task.language import Language
from lrlab.verdict import lower, tuned

BASE = Experiment(
    task=Language(),
    schedule=8e-3 * warmup("15%") >> decay(),
    optimizer=optim.adamw(b1=0.9, b2=0.999, weight_decay=0.1),
    steps=1500,
    batch=8,
)
MODELS = {
    "pre-LN": ((4e-3, 8e-3, 1.6e-2), {}),
    "post-LN": ((2e-3, 4e-3, 8e-3), {"task.norm_position": "post", "task.layers": 6}),
}
SHAPES = {"warm-up + decay": warmup("15%") >> decay(), "constant": stable(), "decay alone": decay()}
ARMS = {
    f"{model} / {shape} @ {peak:g}": {"schedule": peak * schedule, **changes}
    for model, (peaks, changes) in MODELS.items()
    for shape, schedule in SHAPES.items()
    for peak in peaks
}
PRESETS = {"cpu": {}}


def verdict(runs):
    claims = []
    for model, (peaks, _) in MODELS.items():
        at_high = {shape: runs[f"{model} / {shape} @ {peaks[-1]:g}"].final["loss"] for shape in SHAPES}
        best = {shape: tuned([runs[f"{model} / {shape} @ {peak:g}"].final["loss"] for peak in peaks]) for shape in SHAPES}
        claims += [
            lower(f"{model}: at a peak of {peaks[-1]:g}, warm-up + decay beats a constant rate", at_high["warm-up + decay"], at_high["constant"]),
            lower(f"{model}: at a peak of {peaks[-1]:g}, warm-up + decay beats decay alone", at_high["warm-up + decay"], at_high["decay alone"]),
            lower(f"{model}: each at its best peak, warm-up + decay beats a constant rate", best["warm-up + decay"], best["constant"]),
        ]
    return claims
