"""Under muP the best rate does not change with the width of a transformer; in the standard parametrization it falls.

Yang et al. 2022, Tensor Programs V, arXiv:2203.03466, figure 1 and table 8: matrices from width to width take base / width of
the rate, the output is multiplied by as much, and attention is divided by the head size and not by its root. Here:
byte-level transformers on Python's own documentation, 32, 64 and 128 wide with 2 layers and 2 heads, the base 32, 800
updates of 256 bytes, AdamW with b2 = 0.95, decay 0.1 and clipping at 1, a warm-up of 5 % and linear decay; best rates by
parabola, seeds paired. At width 32 both are the same to the bit. That activations move as far at every width under muP, and
farther the wider the model without, is held in tests/test_coordinates.py.

Cost: 14 minutes on two CPU cores of an AMD EPYC (Zen 5), preset cpu, 480 runs. gpu, by arithmetic: 13 minutes on one H100 at 10 % of its peak
    (8e16 FLOPs); not run yet.
Run: lrlab run mup_transfer
Found: 32 seeds, AMD EPYC, jax 0.10.2; paired 95 % intervals; in brackets what 32 other seeds gave (--seeds 32:64).
    best rate at width 128 over that at 32, muP:      -0.31 octaves [-0.40, -0.22]   (-0.28 [-0.37, -0.18])
    best rate at width 128 over that at 32, standard: -2.24 octaves [-2.34, -2.14]   (-2.24 [-2.34, -2.14])
    muP, best loss at 64 against 32:   -0.165 nats [-0.183, -0.146]   (-0.159 [-0.176, -0.142])
    muP, best loss at 128 against 64:  -0.097 nats [-0.107, -0.088]   (-0.104 [-0.115, -0.092])
The drift under muP is within the half octave asked, and is not zero. By a parabola through three the best rate of one seed is known to
a quarter of an octave: twelve seeds gave -0.29 [-0.47, -0.11], and twelve others -0.33 [-0.515, -0.14], which did not hold, so that
the module takes more. At width 128 the best loss under muP is 0.066 [0.057, 0.075] below that of the standard parametrization.
"""

import numpy as np

from lrlab import decay, optim, warmup
from lrlab.experiment import Experiment
from lrlab.report.style import frames, styles
from lrlab.sweep import tuned
from lrlab.task.language import Language
from lrlab.verdict import between, lower

BASE = Experiment(
    task=Language(),
    schedule=2**-7 * warmup("5%") >> decay(),
    optimizer=optim.adamw(b1=0.9, b2=0.95, weight_decay=0.1),
    steps=800,
    batch=8,
    clip=1.0,
)
POWERS = {  # of two: rates around the best
    ("standard", 32): (-8, -7, -6),
    ("standard", 64): (-9, -8, -7),
    ("standard", 128): (-10, -9, -8),
    ("muP", 32): (-8, -7, -6),
    ("muP", 64): (-8, -7, -6),
    ("muP", 128): (-8, -7, -6),
}


def _wide(parametrization, width):
    """What makes the base this wide; at the width of the base muP changes nothing."""
    if parametrization == "standard" or width == 32:
        return {"task.width": width}
    return {"task.width": width, "task.mup_base": 32, "groups": optim.mup(width, 32, matrices="layers.*kernel")}


def _arm(parametrization, width, power):
    """What the arm is called: at the width of the base one serves both parametrizations."""
    return f"{'both' if width == 32 else parametrization} / width {width} @ 2^{power}"


ARMS = {
    _arm(name, width, power): {**_wide(name, width), "schedule.peak": 2.0**power}
    for (name, width), powers in POWERS.items()
    for power in powers
}
PRESETS = {
    "cpu": {"seeds": 32},
    "gpu": {
        "task.text": "fineweb10B/fineweb_train_*.bin",
        "task.validation": "fineweb10B/fineweb_val_*.bin",
        "task.held_out": 2048,
        "task.sequence": 256,
        "task.layers": 12,
        "task.compute": "bfloat16",
        "batch": 64,
        "steps": 3000,
    },
}


def verdict(runs):
    best = {
        (name, width): tuned(
            [2.0**power for power in powers],
            [runs[_arm(name, width, power)].final["loss"] for power in powers],
        )
        for (name, width), powers in POWERS.items()
    }
    drift = {name: np.log2(np.divide(best[name, 128].values, best[name, 32].values)) for name in ("standard", "muP")}
    edges = [f"{name} at {width}" for (name, width), arm in best.items() if arm.at_edge]
    note = f"the best rate lies at the edge of those tried: {', '.join(edges)}" if edges else ""
    loss = {width: arm.losses for (name, width), arm in best.items() if name == "muP"}
    return [
        between(
            "under muP the best rate at width 128 is that at 32, to half an octave",
            drift["muP"],
            -0.5,
            0.5,
            unit="octaves",
            note=note,
            paper="rates found with 40 million parameters serve 6.7 billion",
        ),
        between(
            "in the standard parametrization it is lower, by 1.2 octaves or more",
            drift["standard"],
            high=-1.2,
            unit="octaves",
            note=note,
        ),
        lower("muP, each at its best rate: width 64 ends below 32", loss[64], loss[32], paper="wider is always better"),
        lower(
            "muP, each at its best rate: width 128 ends below 64", loss[128], loss[64], paper="wider is always better"
        ),
    ]


def picture(runs):
    """Final loss against the peak for each width, as in the paper's figure 1."""
    figure, (axes,) = frames(1, 2, 8, 3.8, sharex=True, sharey=True)
    names, widths = (dict.fromkeys(keys) for keys in zip(*POWERS))
    panels, style = dict(zip(names, axes)), dict(zip(widths, styles(3)))
    for (name, width), powers in POWERS.items():
        losses = np.array([runs[_arm(name, width, power)].final["loss"] for power in powers])
        panels[name].plot(powers, losses.mean(1), marker="o", label=f"width {width}", **style[width])
        panels[name].plot(powers, losses, ".", color=style[width]["color"], alpha=0.5)
    for name, axis in panels.items():
        axis.set(title=name, xlabel="peak learning rate")
        axis.set_xticks(range(-10, -5), [f"$2^{{{power}}}$" for power in range(-10, -5)])
    axes[0].set_ylabel("final held-out loss (nats)")
    axes[1].legend(frameon=False)
    return figure
