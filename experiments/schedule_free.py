"""Schedule-Free AdamW at a constant rate ends where linear decay to zero does or below, and need not know how long the run is.

Defazio et al. 2024, "The Road Less Scheduled", arXiv:2405.15682, section 4: an average of the iterates takes the place of
a decay. Here: byte-level transformers on Python's own documentation, 32 wide with 2 layers, 2000 updates of 256 bytes,
AdamW with b2 = 0.95, decay 0.1, clipping at 1 and a warm-up of 5 %; each of three arms at its best peak by parabola, seeds
paired. Schedule-Free is evaluated at its average. That its updates are the authors', warm-up included, is held in
tests/test_free.py against trajectories of their code.

Cost: 47 seconds on two CPU cores of an AMD EPYC (Zen 5), preset cpu, 50 runs. gpu, by arithmetic: 16 minutes on one H100 at 30 % of its peak (2.8e17 FLOPs); not run yet,
    and its peaks are those of the small model.
Run: lrlab run schedule_free
Found: five seeds, AMD EPYC, jax 0.10.2; held-out nats, each arm at its best peak, paired 95 % intervals; in brackets
    what five other seeds gave (--seeds 5:10).
    Schedule-Free against linear decay to zero: -0.025 [-0.049, -0.000]   (-0.017 [-0.027, -0.007])
    Schedule-Free against a constant rate:      -0.118 [-0.139, -0.097]   (-0.114 [-0.130, -0.098])
Its best peak, 2.3e-2, is 2.6 times that of linear decay, 8.8e-3. Its curve lies below that of linear decay, which is good
at its end only, all along.
"""

from lrlab import decay, optim, stable, warmup
from lrlab.experiment import Experiment
from lrlab.scale import TOKENS_30M
from lrlab.sweep import tuned
from lrlab.task.language import Language
from lrlab.verdict import lower

BASE = Experiment(
    task=Language(),
    schedule=8e-3 * warmup("5%") >> decay(),
    optimizer=optim.adamw(b1=0.9, b2=0.95, weight_decay=0.1),
    steps=2000,
    batch=8,
    clip=1.0,
)
PEAKS = {
    "linear decay": (4e-3, 8e-3, 1.6e-2),
    "constant rate": (2e-3, 4e-3, 8e-3),
    "Schedule-Free": (8e-3, 1.6e-2, 3.2e-2, 6.4e-2),
}
SHAPES = {
    "linear decay": {"schedule": warmup("5%") >> decay()},
    "constant rate": {"schedule": warmup("5%") >> stable()},
    "Schedule-Free": {
        "schedule": warmup("5%") >> stable(),
        "optimizer": optim.schedule_free_adamw(b1=0.9, b2=0.95, weight_decay=0.1),
    },
}
ARMS = {
    f"{shape} @ {peak:g}": {**changes, "schedule": peak * changes["schedule"]}
    for shape, changes in SHAPES.items()
    for peak in PEAKS[shape]
}
PRESETS = {
    "cpu": {"seeds": 5},
    "gpu": TOKENS_30M,
}


def verdict(runs):
    best = {
        shape: tuned(peaks, [runs[f"{shape} @ {peak:g}"].final["loss"] for peak in peaks])
        for shape, peaks in PEAKS.items()
    }
    note = "; ".join(
        f"the best peak of {shape} lies at the edge of those tried" for shape, arm in best.items() if arm.at_edge
    )
    free, linear, constant = (best[shape].losses for shape in ("Schedule-Free", "linear decay", "constant rate"))
    return [
        lower(
            "Schedule-Free ends at most 0.02 above linear decay to zero, each at its best peak",
            free,
            linear,
            by=-0.02,
            note=note,
            paper="as good as tuned schedules or better, from convex problems to language models",
        ),
        lower(
            "Schedule-Free ends at least 0.07 below a constant rate, each at its best peak",
            free,
            constant,
            by=0.07,
            note=note,
        ),
    ]
