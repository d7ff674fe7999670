"""A law fitted to two or three loss curves predicts the curves of schedules it has not seen, several times as well as the area.

Tissue et al. 2024 (arXiv:2408.11029) and Luo et al. 2025 (arXiv:2503.12811, the multi-power law) add to the area under the
rates what the falls of the rate bring. Here: both, and the area alone, fitted to the three curves of 25M and 100M parameters
that Luo et al. fit (constant, cosine, two stages) and judged on their other six; and Tissue's law fitted to a constant
rate and a cosine of half the length at 124M (Schaipp et al. 2025) and judged on how nine other schedules end, at three peaks.
The curves are the authors' (github.com/thu-yao-01-luo/MultiPowerLaw and github.com/fabian-sp/lr-scheduling, both MIT) and do
not come with lrlab. Nothing is trained; `closing_the_loop` does it with runs of one's own.

Cost: 7 seconds on two CPU cores of an AMD EPYC (Zen 5).
Run: lrlab run annealing_law --data DIR
Found: exact numbers of single runs; AMD EPYC, jax 0.10.2. All claims hold. Over six curves that were not fitted:
    25M   multi-power law R^2 0.9990, mean error 0.0035 nats; Tissue's 0.9939, 0.0069; the area alone 0.940, 0.0245
    100M  multi-power law R^2 0.9986, mean error 0.0037 nats; Tissue's 0.9963, 0.0058; the area alone 0.933, 0.0308
    124M, mean error of nine ends at peaks of 5e-4, 1e-3, 2e-3: Tissue's 0.013, 0.006, 0.016 nats; the area alone 0.162, 0.200, 0.247
How `fit` starts and weighs was chosen on the curves of 25M and 100M, which flatters it there; those of 124M are new to it.
The table of the final losses at 124M is of another held-out sample, 0.036 nats above the curves: ends are those of the curves.
"""

import csv
import gzip
from functools import cache

import numpy as np

from lrlab import cosine, decay, linear, sqrt, stable, warmup
from lrlab.curves import read_curves
from lrlab.published import published
from lrlab.report.style import COLOURS, frames
from lrlab.theory import Observed, fit, score
from lrlab.verdict import exact

BASE, ARMS, PRESETS = None, {}, {"cpu": {}}

SIZES, LAWS = ("25M", "100M"), ("mpl", "tissue", "power")
FITTED = ("cosine_24000", "constant_24000", "wsdcon_9")
PEAKS = ("0.0005", "0.001", "0.002")
WARM, SETTLED = 300, 1000  # updates of warm-up at 124M, and from which the loss is fitted


@cache
def curves(size):
    """The nine curves of Luo et al. by name."""
    folder = published("loss_curves/multi_power_law", "github.com/thu-yao-01-luo/MultiPowerLaw") / size
    return {path.stem: read_curves(path)[0].observed() for path in sorted(folder.glob("*.csv"))}


@cache
def fitted(size, law):
    return fit(law, [curves(size)[name] for name in FITTED])


@cache
def scores(size, law):
    """Mean R^2 and mean absolute error over the six curves that were not fitted."""
    of = fitted(size, law)
    unseen = [curve for name, curve in curves(size).items() if name not in FITTED]
    each = [score(curve.loss, of.loss(curve.rates, curve.at)) for curve in unseen]
    return float(np.mean([one.r2 for one in each])), float(np.mean([one.mae for one in each]))


@cache
def runs_of(peak):
    """The curves at 124M with this peak, by tag, kind of cooldown and length."""
    folder = published("loss_curves/lr_scheduling", "github.com/fabian-sp/lr-scheduling")
    points = {}
    for row in csv.DictReader(gzip.decompress((folder / "curves_val.csv.gz").read_bytes()).decode().splitlines()):
        points.setdefault(row["run"], []).append((int(row["iter"]), float(row["val_loss"])))
    found = {}
    for run in csv.DictReader((folder / "runs.csv").read_text().splitlines()):
        told = run["params"], run["dataset"], run["group"], run["peak_lr"]
        if told == ("123587328", "slimpajama", "main", peak) and run["tag"] != "sl":
            at, loss = np.array([point for point in points[run["run"]] if point[0] >= SETTLED]).T
            found[run["tag"], run["decay_type"], run["iterations"]] = Observed(rates(run), at.astype(int), loss)
    return found


def rates(run):
    """The rate of every update of a run of the table, [T]."""
    steps, peak, share = int(run["iterations"]), float(run["peak_lr"]), float(run["cooldown_fraction"])
    if run["scheduler"] == "cos":
        rest = decay(steps - WARM, to=0.1 if run["tag"].startswith("cos-10") else 0.0, curve=cosine)
    elif share:
        over = round(share * steps)
        rest = stable(steps - WARM - over) >> decay(over, curve=sqrt if run["decay_type"] == "sqrt" else linear)
    else:
        rest = stable(steps - WARM)
    return peak * np.asarray((warmup(WARM) >> rest)(np.arange(steps)), float)


@cache
def ends(peak, law):
    """Of nine schedules at 124M by name the last measured loss, and what a law fitted to two others says of it."""
    runs = runs_of(peak)
    constant = next(curve for (tag, _, _), curve in runs.items() if tag == "stable-124m")
    half = next(curve for (tag, _, steps), curve in runs.items() if (tag, steps) == ("cos-10-124m", "25000"))
    of = fit(law, [constant, half])
    cosines = {"cos-10-124m": "cosine to 10 %", "cos-zero-124m": "cosine to zero"}
    return {
        cosines.get(tag, f"WSD {tag.removeprefix('ann124-')}, {kind}"): (
            curve.loss[-1],
            of.loss(curve.rates, curve.at[-1:])[0],
        )
        for (tag, kind, steps), curve in runs.items()
        if tag != "stable-124m" and steps == "50000"
    }


def off(peak, law):
    """The mean error of the ends, in nats."""
    return float(np.mean([abs(predicted - measured) for measured, predicted in ends(peak, law).values()]))


def verdict(runs):
    r2 = {law: min(scores(size, law)[0] for size in SIZES) for law in LAWS}
    mae = {law: max(scores(size, law)[1] for size in SIZES) for law in LAWS}
    times = lambda law: min(scores(size, "power")[1] / scores(size, law)[1] for size in SIZES)
    told = lambda what: ", ".join(f"{what(peak):.4f}" for peak in PEAKS) + " at peaks of 5e-4, 1e-3, 2e-3"
    return [
        exact("the multi-power law explains six unseen curves of 25M and 100M parameters", r2["mpl"], 0.993, unit="R^2, mean of six, at worst of two sizes", paper="0.9988 and 0.9983"),
        exact("its predictions are near", mae["mpl"], high=0.0075, unit="nats, mean error, at worst of two sizes", paper="0.00376 and 0.00435"),
        exact("Tissue's law explains them too", r2["tissue"], 0.993, unit="R^2, mean of six, at worst of two sizes"),
        exact("its predictions are nearly as near", mae["tissue"], high=0.009, unit="nats, mean error, at worst of two sizes"),
        exact("the multi-power law beats the area alone", times("mpl"), 3, unit="times smaller an error, at worst of two sizes"),
        exact("so does Tissue's", times("tissue"), 3, unit="times smaller an error, at worst of two sizes"),
        exact("fitted to a constant rate and a cosine of 124M, Tissue's law tells how nine other schedules end", max(off(peak, "tissue") for peak in PEAKS), high=0.02, unit="nats, mean error, at worst of three peaks", note=told(lambda peak: off(peak, "tissue"))),
        exact("and beats the area alone", min(off(peak, "power") / off(peak, "tissue") for peak in PEAKS), 3, unit="times smaller an error, at worst of three peaks", note=f"area alone {told(lambda peak: off(peak, 'power'))}"),
    ]  # fmt: skip


def picture(runs):
    figure, axes = frames(1, 3, 15.0, 5.2)
    for axis, size in zip(axes[0], SIZES):
        unseen = {name: curve for name, curve in curves(size).items() if name not in FITTED}
        for colour, (name, curve) in zip(COLOURS, unseen.items()):
            axis.semilogx(curve.at, curve.loss, ".", color=colour, markersize=2.5, alpha=0.5)
            axis.plot(
                curve.at, fitted(size, "mpl").loss(curve.rates, curve.at), color=colour, linewidth=1.3, label=name
            )
        lowest, late = (what(curve.loss[-1] for curve in unseen.values()) for what in (min, max))
        axis.set(
            title=f"{size}, schedules not fitted",
            xlabel="step (optimizer updates)",
            xlim=(5000, 75_000),
            ylim=(lowest - 0.03, late + 0.2),
        )
        axis.set_xticks([5000, 10_000, 20_000, 40_000, 70_000], ["5k", "10k", "20k", "40k", "70k"])
        axis.minorticks_off()
        axis.legend(fontsize=8, frameon=False)
    axes[0, 0].set_ylabel("loss (nats): measured (points), multi-power law (lines)")
    _draw_errors(axes[0, 2])
    return figure


def _draw_errors(axis):
    """What is predicted of nine ends, less what was measured."""
    for peak, colour in zip(PEAKS, COLOURS):
        for law, marker, name in (("tissue", "o", "Tissue"), ("power", "x", "area")):
            found = ends(peak, law)
            errors = [predicted - measured for measured, predicted in found.values()]
            axis.plot(errors, list(found), marker, color=colour, markersize=5, label=f"{name} @ {float(peak):g}")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set(
        title="124M, the ends of nine schedules not fitted",
        xlabel="predicted less measured loss (nats)",
        ylim=(11, -0.5),
    )
    axis.tick_params(axis="y", labelsize=8)
    axis.legend(
        title="law @ peak learning rate",
        fontsize=8,
        title_fontsize=8,
        frameon=False,
        ncols=3,
        loc="lower center",
        columnspacing=0.8,
        handletextpad=0.1,
    )
