"""Picture and table of a range test: the loss against the rate, what each rule reads off it, and the short runs that chose."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lrlab.report.sample import short
from lrlab.report.style import COLOURS, frames, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lrlab.finder import RangeTest

_BLUE, _GREEN = COLOURS[0], COLOURS[2]
_LOOKS = [*zip("ov^sDPX*", (*COLOURS[1:2], *COLOURS[3:], "0.45", _GREEN))]  # marker and colour of each suggestion


def plot_range_test(test: "RangeTest", path: Path) -> None:
    """Draw a range test: the losses of every seed and their mean with all suggestions, their slope, and the short runs.

    The file is PNG, SVG or PDF.
    """
    columns = 2 if test.trials else 1
    figure, axes = frames(2, columns, 5.6 + 4.4 * (columns - 1), 5.4, heights=(2.4, 1), sharex="col")
    _draw_losses(axes[0, 0], test)
    _draw_slope(axes[1, 0], test)
    if test.trials:
        whole = axes[0, 1].get_gridspec()[:, 1]
        for axis in axes[:, 1]:
            axis.remove()
        _draw_trials(figure.add_subplot(whole), test)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3 * columns, frameon=False, fontsize=8.5)
    save(figure, path)


def print_range_test(test: "RangeTest", console: Console) -> None:
    """Print what each rule suggests, the short runs, and the rate chosen with its range over seeds."""
    seeds = len(test.losses)
    rules = Table(title=_title(test), title_justify="left", box=SIMPLE_HEAD)
    for name in ("rule", "rate", "over seeds"):
        rules.add_column(name, justify="left" if name == "rule" else "right", no_wrap=True)
    for name, rate in test.suggestions.items():
        rules.add_row(name, _two(rate), " to ".join(map(_two, test.spread[name])) if seeds > 1 else "")
    console.print(rules)
    if test.trials:
        runs = Table(title=f"short runs of {len(test.rates)} updates", title_justify="left", box=SIMPLE_HEAD)
        runs.add_column("peak", justify="right", no_wrap=True)
        runs.add_column("loss, mean over the last tenth", justify="right", no_wrap=True)
        for trial in test.trials:
            loss = trial.losses.mean()
            runs.add_row(_two(trial.rate), f"{loss:.4f}" if np.isfinite(loss) else "diverged")
        console.print(runs)
    over = f", {_two(test.chosen.low)} to {_two(test.chosen.high)} over {seeds} seeds" if seeds > 1 else ""
    because = "the lowest peak whose short run is as good as the best" if test.trials else "not validated by short runs"
    console.print(f"chosen: {_two(test.chosen.rate)}{over} ({because})", highlight=False, soft_wrap=True)


def _draw_losses(axis: "Axes", test: "RangeTest") -> None:
    """Losses of the seeds, their mean while all of them last, and the suggestions on it."""
    axis.plot(
        test.rates,
        test.losses.T,
        color=_BLUE,
        alpha=0.3,
        linewidth=0.7,
        label=["each seed"] + ["_"] * (len(test.losses) - 1),
    )
    mean = _while_all_last(test.smoothed)
    axis.plot(test.rates, mean, color=_BLUE, linewidth=2, label="smoothed, mean over seeds")
    known = np.isfinite(mean)
    for (marker, colour), (name, rate) in zip(_LOOKS, test.suggestions.items()):
        at = np.interp(np.log(rate), np.log(test.rates[known]), mean[known])
        look = {"marker": marker, "color": colour, "markersize": 12 if marker == "*" else 8, "markeredgecolor": "white"}
        axis.plot(rate, at, linestyle="", zorder=3, label=f"{name} {_two(rate)}", **look)
    _mark_chosen(axis, test)
    lowest, begun = np.nanmin(test.losses), float(test.losses[:, 0].max())
    axis.set_ylim(lowest - 0.08 * (begun - lowest), begun + 0.35 * (begun - lowest))
    axis.set_xscale("log")
    axis.set_ylabel("loss before the update")
    axis.set_title(_title(test), fontsize=9)


def _draw_slope(axis: "Axes", test: "RangeTest") -> None:
    mean = _while_all_last(test.derivative)
    axis.plot(test.rates, mean, color=_BLUE, linewidth=1.4)
    axis.axhline(0, color="0.5", linewidth=0.8)
    _mark_chosen(axis, test)
    if np.isfinite(mean).any():
        lowest = float(np.nanmin(mean))
        axis.set_ylim(1.15 * lowest, -0.6 * lowest)
    axis.set_ylabel("slope per\nlog-rate", fontsize=9)
    axis.set_xlabel("learning rate")


def _draw_trials(axis: "Axes", test: "RangeTest") -> None:
    """The loss at the end of the short runs against their peak, of every seed and in the mean."""
    rates = np.array([trial.rate for trial in test.trials])
    losses = np.array([trial.losses for trial in test.trials])
    axis.plot(rates, losses, ".", color=_BLUE, alpha=0.4, markersize=5)
    axis.plot(rates, losses.mean(1), color=_BLUE, marker="o", markersize=4, linewidth=1.6)
    _mark_chosen(axis, test)
    shown = np.minimum(losses[np.isfinite(losses)], test.losses[:, 0].max())
    axis.set_ylim(shown.min() - 0.06 * np.ptp(shown), shown.max() + 0.06 * np.ptp(shown))
    axis.set_xscale("log")
    ticks = rates[:: -(-len(rates) // 8)]
    axis.set_xticks(ticks, [_two(rate) for rate in ticks])
    axis.minorticks_off()
    axis.set_xlabel("peak of the schedule")
    axis.set_title(f"short runs of {len(test.rates)} updates: loss over the last tenth", fontsize=9)
    axis.grid(alpha=0.25, linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)


def _mark_chosen(axis: "Axes", test: "RangeTest") -> None:
    axis.axvspan(test.chosen.low, test.chosen.high, color=_GREEN, alpha=0.15, linewidth=0)
    axis.axvline(test.chosen.rate, color=_GREEN, linewidth=1.5, label=f"chosen {_two(test.chosen.rate)}")


def _while_all_last(curves: np.ndarray) -> np.ndarray:
    """The mean over seeds, nan once a test has ended: without its highest curve a mean would drop."""
    return curves.mean(0)


def _title(test: "RangeTest") -> str:
    seeds = len(test.losses)
    return f"{len(test.rates)} updates from {_two(test.rates[0])} to {_two(test.rates[-1])}, {seeds} {'seed' if seeds == 1 else 'seeds'}"


def _two(rate: float) -> str:
    return short(float(f"{rate:.2g}"))
