"""The best peak falls with the horizon: by the bound as T^-1/2, on a quadratic by more, on language models by less.

Schaipp et al. 2025 (arXiv:2501.18965) read T^-0.49 off their bound, for a cosine; Bjorck et al. 2024 (arXiv:2409.19913) find
T^-0.32 for language models at one batch; Shen et al. 2024 (arXiv:2408.13359, the power scheduler) find the batch times
n^-0.51 for n tokens, and Goyal et al. 2017 the batch, at a fixed number of examples. Here: the bound; the exact noisy quadratic of 200
eigenvalues 1/i; and, where LRLAB_DATA has them, the runs of 124M parameters of github.com/fabian-sp/lr-scheduling. Nothing
is trained. Not here: a refit of the step law (Li et al. 2025), whose published runs have no licence.

Cost: 1 second on two CPU cores of an AMD EPYC (Zen 5), once JAX has compiled.
Run: lrlab run lr_scaling_laws --data DIR
Found: exact numbers, no spread; jax 0.10.2. Powers of the horizon T:
    by the bound, 200 to 600 steps: cosine -0.492, WSD with a fifth -0.488, constant -0.568; over 500 to 8000 -0.50, -0.50, -0.55
    on the noisy quadratic, 500 to 8000 updates: cosine -0.62, from -0.47 between the first two to -0.74 between the last:
        -0.49 is not held here. A quadratic is strongly convex: the longer a run, the more directions are done with, and for
        these the best rate falls as 1/T; the bound allows the worst of convex functions at every horizon.
    on 124M language models, WSD with cooldowns of 0.1 and 0.2, 15,000 to 50,000 updates: -0.27 and -0.24; with longer
        cooldowns the best peak is at or near the highest that was tried
The best peak of the quadratic is in proportion to the batch up to 32 of 8000 examples, and stops where the curvature binds.
"""

import csv
from functools import cache

import jax
import numpy as np

from lrlab import cosine, decay, stable
from lrlab.published import available, published
from lrlab.report.style import frames, styles
from lrlab.sweep import tuned
from lrlab.theory import best_peak, expected_loss
from lrlab.verdict import exact

BASE, ARMS, PRESETS = None, {}, {"cpu": {}}

RUNS = "loss_curves/lr_scheduling/runs.csv"
SHAPES = {
    "linear": lambda steps: decay(steps),
    "cosine": lambda steps: decay(steps, curve=cosine),
    "WSD, fifth": lambda steps: stable(steps - steps // 5) >> decay(steps // 5),
    "constant": lambda steps: stable(steps),
}
HORIZONS, LONG, MEASURED = (200, 300, 400, 500, 600), (500, 1000, 2000, 4000, 8000), (15_000, 25_000, 35_000, 50_000)
T = np.arange(max(LONG))
PEAKS = np.geomspace(0.005, 8, 56).tolist()
BATCHES = (1, 2, 4, 8, 16, 32, 64)  # of 8000 examples in all
FRACTIONS, TRIED = (
    ("0.1", "0.2"),
    (5e-4, 1e-3, 2e-3),
)  # cooldowns whose best peak lies among the peaks tried, at every horizon


def values(name, steps):
    """The shape at every update, [T]; after `steps` zeros, which change nothing."""
    return np.asarray(SHAPES[name](steps)(T), float) * (steps > T)


@cache
def by_bound(name, horizons):
    """The base rate with the least bound, [horizons]."""
    return [float(best_peak(values(name, steps)).rate) for steps in horizons]


@cache
def on_quadratic(name, steps, batch=1):
    """The peak with the least expected loss on the noisy quadratic."""
    with jax.enable_x64(True):
        final = lambda peak: expected_loss(peak * values(name, steps), 1 / np.arange(1.0, 201), batch=batch)[-1]
        return tuned(PEAKS, np.asarray(jax.vmap(final)(np.array(PEAKS)))[:, None]).value


@cache
def of_runs(fraction, steps):
    """The best peak of WSD with this cooldown at 124M parameters, by the parabola in ln peak."""
    table = csv.DictReader(published(RUNS, "github.com/fabian-sp/lr-scheduling").read_text().splitlines())
    losses = {peak: [] for peak in TRIED}
    for run in table:
        told = (
            run["params"],
            run["dataset"],
            run["scheduler"],
            run["decay_type"],
            run["cooldown_fraction"],
            run["iterations"],
        )
        if (
            told == ("123587328", "slimpajama", "wsd", "linear", fraction, str(steps))
            and float(run["peak_lr"]) in losses
        ):
            losses[float(run["peak_lr"])].append(float(run["final_val_loss"]))
    bend, slope, _ = np.polyfit(np.log(TRIED), [np.mean(losses[peak]) for peak in TRIED], 2)
    return float(np.exp(-slope / (2 * bend)))


def exponent(x, y):
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def known():
    """The claims about published runs, where they are at hand."""
    if available(RUNS):
        powers = [exponent(MEASURED, [of_runs(fraction, steps) for steps in MEASURED]) for fraction in FRACTIONS]
        told = "cooldowns of 0.1 and 0.2, four horizons, three peaks: " + ", ".join(f"{power:.3f}" for power in powers)
        yield exact("of 124M language models the best peak falls with the horizon, more slowly than by the bound", float(np.mean(powers)), -0.47, -0.05, unit="power of T", note=told, paper="-0.32")  # fmt: skip


def verdict(runs):
    quadratic = [on_quadratic("cosine", steps) for steps in LONG]
    scaled = [on_quadratic("cosine", 8000 // batch, batch) for batch in BATCHES]
    told = lambda x, y: (
        "between neighbours " + ", ".join(f"{power:.2f}" for power in np.diff(np.log(y)) / np.diff(np.log(x)))
    )
    return [
        exact("by the bound the best peak of a cosine falls as T^-0.49", exponent(HORIZONS, by_bound("cosine", HORIZONS)), -0.51, -0.47, unit="power of T", note="200 to 600 steps", paper="-0.492"),
        exact("by the bound the best peak of WSD falls as T^-0.49", exponent(HORIZONS, by_bound("WSD, fifth", HORIZONS)), -0.51, -0.47, unit="power of T", note="200 to 600 steps", paper="-0.488"),
        exact("by the bound the best constant rate falls faster", exponent(HORIZONS, by_bound("constant", HORIZONS)), -0.6, -0.53, unit="power of T", note="200 to 600 steps", paper="-0.568"),
        exact("on the noisy quadratic the best peak of a cosine falls as T^-0.49 too", exponent(LONG, quadratic), -0.51, -0.47, unit="power of T", note=f"500 to 8000 updates; {told(LONG, quadratic)}"),
        exact("on the noisy quadratic, of a fixed number of examples, the best peak grows with the batch", exponent(BATCHES[:5], scaled[:5]), 0.9, 1.1, unit="power of the batch", note=f"1 to 16; {told(BATCHES, scaled)}", paper="1, by the linear scaling rule and the power scheduler"),
        *known(),
    ]  # fmt: skip


def picture(runs):
    figure, axes = frames(1, 4 if available(RUNS) else 3, 17.0, 4.8)
    bound, quadratic, batches = axes[0, :3]
    for name, style in zip(SHAPES, styles(len(SHAPES))):
        _draw(bound, LONG, by_bound(name, LONG), name, style)
        _draw(quadratic, LONG, [on_quadratic(name, steps) for steps in LONG], name, style)
    bound.set(title="by the bound", xlabel="horizon (optimizer updates)", ylabel="best peak learning rate")
    quadratic.set(title="noisy quadratic", xlabel="horizon (optimizer updates)")
    scaled = [on_quadratic("cosine", 8000 // batch, batch) for batch in BATCHES]
    _draw(batches, BATCHES, scaled, "cosine, up to 16", styles(1)[0], 5)
    batches.set(title="noisy quadratic, 8000 examples in all", xlabel="batch (examples)")
    if available(RUNS):
        for fraction, style in zip(FRACTIONS, styles(2)):
            peaks = [of_runs(fraction, steps) for steps in MEASURED]
            _draw(axes[0, 3], MEASURED, peaks, f"cooldown of {fraction}", style)
        axes[0, 3].set(title="124M language models, WSD", xlabel="horizon (optimizer updates)")
    levels = (
        (0.003, 0.01, 0.03),
        (0.02, 0.05, 0.1, 0.2, 0.5),
        (0.1, 0.3, 1, 3),
        (8e-4, 9e-4, 1e-3, 1.1e-3, 1.2e-3, 1.3e-3),
    )
    for axis, across, up in zip(axes[0], (LONG, LONG, BATCHES, MEASURED), levels):
        axis.set_xticks(across, [f"{tick:g}" for tick in across], fontsize=8)
        axis.set_yticks(up, [f"{tick:g}" for tick in up], fontsize=8)
        axis.minorticks_off()
        axis.legend(title="power of the horizontal axis", fontsize=8, title_fontsize=8, frameon=False)
    return figure


def _draw(axis, x, y, name, style, first=None):
    """Points on logarithmic axes, with the power that fits the first of them."""
    axis.loglog(x, y, marker="o", markersize=4, label=f"{name}: {exponent(x[:first], y[:first]):.2f}", **style)
