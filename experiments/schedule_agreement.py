"""What a bound of convex optimisation says of schedules is seen in the losses of 235 published language-model runs.

Schaipp et al. 2025 (arXiv:2501.18965) compare their bound with runs of 33M to 360M parameters, some of them from Hägele et
al. 2024 (arXiv:2405.18392). Here: their final held-out losses, and the bound of the same schedules, warm-up included, over
as many updates. One number, the unit of rates, joins the two: it puts the best peaks of WSD with a fifth beside each other.
The data are the authors' (github.com/fabian-sp/lr-scheduling, MIT) and do not come with lrlab. Nothing is trained.

Cost: 1 second on two CPU cores of an AMD EPYC (Zen 5), once JAX has compiled.
Run: lrlab run schedule_agreement --data DIR
Found: exact numbers of single runs, of which two with the same settings differ by up to 0.0023 nats; jax 0.10.2.
    best cooldown at peaks of 1e-4, 5e-4, 1e-3, 2e-3, 3e-3: 0.2, 0.4, 0.6, 0.6, 0.9; by the bound 0.1, 0.1, 0.4, 0.994, 0.994
    35 runs, seven cooldowns at five peaks: rank correlation of loss and bound 0.92
    ln of the best peak at 0.994 over that at 0.1, 0.2, 0.4, 0.6, 0.8: 0.63, 0.49, 0.32, 0.20, 0.10; by the bound 0.77, 0.66,
        0.49, 0.34, 0.18, up to 1.7 times as much: within a quarter is not held here, the direction is
    runs that go on, lower rate or longer cooldown against naive: -0.022 to -0.006 nats, better in 6 of 6
    1-sqrt against linear cooldown, 50k updates, by peak: +0.0022, -0.0034, -0.0062, -0.0097, -0.0122
    WSD with a fifth against a cosine at twice its peak: -0.0022, from -0.0108 to +0.0082, better in 17 of 25
    cosine to zero against to a tenth, 50k updates, peaks of 1e-4 to 2e-3: +0.0095, -0.0074, -0.0193, -0.0368
The sign of the last and of 1-sqrt turns with the peak, as where a low peak leaves little noise to anneal and the area counts: that
both are judged from 1e-3 on was read off these runs.
"""

import csv
from functools import cache

import jax
import numpy as np

from lrlab import decay, stable, warmup
from lrlab.published import published
from lrlab.report.style import frames, styles
from lrlab.theory import best_peak, final_bound
from lrlab.verdict import exact

BASE, ARMS, PRESETS = None, {}, {"cpu": {}}

SMALL = "123587328"  # parameters of the model with most runs, 124M
PEAKS = (1e-4, 5e-4, 1e-3, 2e-3, 3e-3)
FRACTIONS = (
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    0.9,
    0.994,
)  # of the 50,000 updates: cooldowns; the last is linear from the warm-up on
WARM, STEPS = 300, 50_000


@cache
def table():
    """All runs, with their settings as text."""
    path = published("loss_curves/lr_scheduling/runs.csv", "github.com/fabian-sp/lr-scheduling")
    return list(csv.DictReader(path.read_text().splitlines()))


def matching(**wanted):
    return [run for run in table() if all(run[name] == str(value) for name, value in wanted.items())]


def final(**wanted):
    """The final held-out loss of the runs with these settings: a mean, where there are two."""
    return float(np.mean([float(run["final_val_loss"]) for run in matching(**wanted)]))


def cooled(peak, fraction, steps=STEPS, curve="linear"):
    """The final loss of the 124M model with a cooldown to zero."""
    return final(
        params=SMALL,
        dataset="slimpajama",
        scheduler="wsd",
        decay_type=curve,
        cooldown_fraction=fraction,
        iterations=steps,
        peak_lr=peak,
    )


def cosine(peak, end, steps=STEPS):
    """The final loss of the 124M model with a cosine to zero or to a tenth."""
    return final(params=SMALL, scheduler="cos", tag=f"cos-{end}-124m", iterations=steps, peak_lr=peak)


@cache
def losses():
    """Of the 124M model after 50,000 updates, [fractions, peaks]."""
    return np.array([[cooled(peak, fraction) for peak in PEAKS] for fraction in FRACTIONS])


@cache
def best_peaks():
    """Where each cooldown's loss is least, by the parabola in ln peak through all but the lowest peak, [fractions]."""
    bends, slopes, _ = np.polyfit(np.log(PEAKS[1:]), losses()[:, 1:].T, 2)
    return np.exp(-slopes / (2 * bends))


@cache
def bounds():
    """Where each cooldown's bound is least, and the bounds at the peaks of the runs in the bound's unit: [fractions], [fractions, peaks]."""
    over = [min(round(fraction * STEPS), STEPS - WARM) for fraction in FRACTIONS]
    schedules = [warmup(WARM) >> stable(STEPS - WARM - n) >> decay(n) for n in over]
    shapes = np.stack([schedule(np.arange(STEPS)) for schedule in schedules])
    rates = np.asarray(jax.vmap(best_peak)(shapes).rate)
    unit = rates[1] / best_peaks()[1]
    at_peaks = jax.vmap(lambda shape: jax.vmap(lambda peak: final_bound(unit * peak * shape))(np.array(PEAKS)))
    return rates / unit, np.asarray(at_peaks(shapes))


def ranks(table):
    return table.ravel().argsort().argsort()


def best_fractions(table):
    """The cooldown with the least of [fractions, peaks], for each peak."""
    return np.array(FRACTIONS)[table.argmin(0)]


def sqrt_less_linear(steps):
    """A 1-sqrt cooldown over the last fifth, less a linear one, [peaks]."""
    peaks = PEAKS if steps == STEPS else PEAKS[:4]
    return np.array([cooled(peak, 0.2, steps, "sqrt") - cooled(peak, 0.2, steps) for peak in peaks])


def zero_less_tenth(steps):
    """A cosine to zero, less one to a tenth, [peaks]."""
    return np.array([cosine(peak, "zero", steps) - cosine(peak, "10", steps) for peak in PEAKS[:4]])


def wsd_less_cosine():
    """WSD with a linear cooldown over the last fifth, less the cosine to a tenth at twice its peak, [pairs]."""
    found = []
    for run in matching(tag="ann0.2"):
        same = {name: run[name] for name in ("dataset", "params", "iterations")}
        found.append(
            final(tag=run["tag"], **same)
            - final(scheduler="cos", decay_type="", peak_lr=2 * float(run["peak_lr"]), **same)
        )
    return np.array(found)


def longer():
    """What runs that go on for two or four times as long gain by a lower rate or a longer cooldown, over naive ones."""
    kept = lambda layers, steps, **how: final(group="horizon_transfer", n_layer=layers, iterations=steps, **how)
    for layers, name in ((12, "124M"), (24, "208M")):
        for steps in (100_000, 200_000):
            naive = kept(layers, steps, scheduler="wsd", cooldown_fraction=0.2)
            yield (
                f"{name}, {steps // 1000}k, lower rate",
                kept(layers, steps, scheduler="wsd_twostage") - naive,
            )
        yield (
            f"{name}, 100k, longer cooldown",
            kept(layers, 100_000, cooldown_fraction=0.6)
            - kept(layers, 100_000, scheduler="wsd", cooldown_fraction=0.2),
        )


def verdict(runs):
    wsd, gains = wsd_less_cosine(), np.array([gain for _, gain in longer()])
    measured, theory = (np.log(peaks[-1] / peaks[:-2]) for peaks in (best_peaks(), bounds()[0]))
    worst = max(theory / measured, key=lambda ratio: abs(np.log(ratio)))
    told = lambda values: ", ".join(f"{value:.3g}" for value in values)
    return [
        exact("the best cooldown of the runs is the longer the higher the peak", np.diff(best_fractions(losses())).min(), 0, unit="of the run, from peak to peak", note=f"best: {told(best_fractions(losses()))} at {told(PEAKS)}", paper="0.2 at 1e-4 to 0.9 at 3e-3"),
        exact("so is the best cooldown of the bound", np.diff(best_fractions(bounds()[1])).min(), 0, unit="of the run, from peak to peak", note=f"best: {told(best_fractions(bounds()[1]))}"),
        exact("35 runs, seven cooldowns at five peaks, rank by their bounds", np.corrcoef(ranks(losses()), ranks(bounds()[1]))[0, 1], 0.8, unit="rank correlation"),
        exact("the best peak of the runs rises with the length of the cooldown", np.diff(np.log(best_peaks())).min(), 0, unit="of ln peak, from cooldown to cooldown"),
        exact("the bound tells to within a quarter by how much", worst, 0.75, 1.25, unit="times the shift of the best peak, at worst of 0.1 to 0.8 against 0.994", note=f"ln shifts {told(measured)}, by the bound {told(theory)}"),
        exact("a run that goes on for longer is better off with a lower rate or a longer cooldown, as the bound says", gains.max(), high=0, unit=f"nats, at worst of {len(gains)} pairs", paper="two factors of the rate, 0.525 and 0.375, and a cooldown of 0.6, from the bound"),
        exact("a 1-sqrt cooldown beats a linear one, at peaks from 1e-3 on", max(sqrt_less_linear(STEPS)[2:].max(), sqrt_less_linear(25_000)[2:].max()), high=0, unit="nats, at worst of 5 pairs", note=f"50k: {told(sqrt_less_linear(STEPS))} at {told(PEAKS)}: at low peaks it loses", paper="1-sqrt is better"),
        exact("WSD with a fifth is as good as a cosine at twice its peak", wsd.mean(), -0.005, 0.005, unit="nats", note=f"{wsd.min():.4f} to {wsd.max():.4f}, better in {np.sum(wsd < 0)} of {len(wsd)} pairs", paper="as good as the cosine"),
        exact("a cosine to zero beats one to a tenth, at peaks from 1e-3 on", max(zero_less_tenth(STEPS)[2:].max(), zero_less_tenth(25_000)[2:].max()), high=0, unit="nats, at worst of 4 pairs", note=f"50k: {told(zero_less_tenth(STEPS))} at {told(PEAKS[:4])}: at low peaks it loses", paper="-0.77 % of the loss (Bergsma et al. 2025)"),
    ]  # fmt: skip


def picture(runs):
    figure, axes = frames(2, 3, 14.0, 8.5, heights=(1, 1))
    (measured, theory, peaks), (gains, pairs, lengths) = axes
    for i, (fraction, style) in enumerate(zip(FRACTIONS, styles(len(FRACTIONS)))):
        measured.semilogx(PEAKS, losses()[i], marker="o", markersize=3, label=f"{fraction:g}", **style)
        theory.loglog(PEAKS, bounds()[1][i], marker="o", markersize=3, **style)
    measured.set(title="124M, 50,000 updates: measured", ylabel="final loss (nats)", ylim=(2.94, 3.14))
    measured.legend(title="share cooled down", fontsize=8, title_fontsize=8, frameon=False, ncols=2)
    theory.set(title="the bound of the same schedules", ylabel="final bound")
    theory.set_yticks([0.01, 0.02, 0.05], ["0.01", "0.02", "0.05"])
    both = styles(2)
    peaks.semilogy(FRACTIONS, best_peaks(), marker="o", label="measured", **both[0])
    peaks.semilogy(FRACTIONS, bounds()[0], marker="s", label="by the bound", **both[1])
    peaks.set(title="best peak", xlabel="share of the run that is cooled down", ylabel="learning rate")
    peaks.legend(fontsize=8, frameon=False)
    peaks.set_yticks([8e-4, 1e-3, 1.5e-3, 2e-3], ["8e-4", "1e-3", "1.5e-3", "2e-3"])
    peaks.minorticks_off()
    for (of, name), style in zip(
        ((sqrt_less_linear, "1-sqrt less linear cooldown"), (zero_less_tenth, "cosine to zero less to a tenth")), both
    ):
        for steps, marker in ((25_000, "o"), (STEPS, "s")):
            found = of(steps)
            gains.semilogx(
                PEAKS[: len(found)],
                found,
                marker=marker,
                markersize=4,
                label=f"{name}, {steps // 1000}k updates",
                **style,
            )
    gains.axhline(0, color="black", linewidth=0.8)
    gains.set(title="what an end gains, by the peak", ylabel="difference of final losses (nats)", ylim=(-0.055, 0.018))
    gains.legend(fontsize=8, frameon=False, loc="lower left")
    for axis in (measured, theory, gains):
        axis.set_xlabel("peak learning rate")
        axis.set_xticks(PEAKS, ["1e-4", "5e-4", "1e-3", "2e-3", "3e-3"], fontsize=8)
        axis.minorticks_off()
    sizes = [int(run["params"]) / 1e6 for run in matching(tag="ann0.2")]
    pairs.semilogx(sizes, wsd_less_cosine(), "o", color=both[0]["color"], markersize=5, alpha=0.7)
    pairs.axhline(0, color="black", linewidth=0.8)
    pairs.set(
        title="WSD with a fifth less cosine at twice its peak",
        xlabel="parameters (millions)",
        ylabel="difference of final losses (nats)",
        ylim=(-0.02, 0.02),
    )
    pairs.set_xticks([33, 60, 93, 150, 210, 360], ["33", "60", "93", "150", "210", "360"])
    pairs.minorticks_off()
    names, gained = zip(*longer())
    lengths.barh(names, gained, color=[both["longer" in name]["color"] for name in names], height=0.6)
    lengths.invert_yaxis()
    lengths.set(title="runs that go on, less naive ones", xlabel="difference of final losses (nats)")
    lengths.tick_params(axis="y", labelsize=8)
    return figure
