"""Pictures of what theory says before training: a law and its curves, a design and its rivals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrlab.report.style import COLOURS, frames, save, styles

if TYPE_CHECKING:
    from lrlab.theory import Observed


def plot_forecast(
    fitted: Any, given: Sequence[Mapping[str, Any]], forecasts: Sequence[Mapping[str, Any]], path: Path
) -> None:
    """Draw measured losses as points and a law as lines with its interval: what it was fitted to left, what it predicts right.

    Each curve is as `lrlab forecast --json` lists it: of, step, lr, loss, low, high and, if there, measured.
    """
    sides = [side for side in (("fitted", given), ("predicted", forecasts)) if side[1]]
    figure, axes = frames(2, len(sides), 5.6 * len(sides), 6.2, heights=(1, 2.4), sharex="col")
    for column, (title, curves) in enumerate(sides):
        for i, curve in enumerate(curves):
            colour = COLOURS[i % len(COLOURS)]
            axes[0, column].plot(curve["step"], curve["lr"], color=colour, linewidth=1.4)
            axes[1, column].fill_between(
                curve["step"], curve["low"], curve["high"], color=colour, alpha=0.2, linewidth=0
            )
            axes[1, column].plot(curve["step"], curve["loss"], color=colour, linewidth=1.4, label=_legend(curve))
            if "measured" in curve:
                axes[1, column].plot(curve["step"], curve["measured"], ".", color=colour, markersize=2.5, alpha=0.6)
        axes[0, column].set(title=f"{title} ({fitted.law})", ylim=(0, None))
        axes[0, column].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
        axes[1, column].set_xlabel("step (optimizer updates)")
        axes[1, column].set_ylim(*_window(curves))
        axes[1, column].legend(fontsize=8, frameon=False)
    axes[0, 0].set_ylabel("learning rate")
    axes[1, 0].set_ylabel("loss: measured (points), law (lines)")
    save(figure, path)


def plot_bound(runs: "Mapping[str, Observed]", path: Path) -> None:
    """Draw measured losses beside the bounds of the same rates, each run's in the colour of its schedule.

    Distance and gradient norms are unknown, so all rates are scaled by one factor: that with which the bound of the
    first run is least.
    """
    from lrlab.theory import best_peak, bound

    figure, axes = frames(1, 3, 13.0, 3.8)
    unit = float(best_peak(next(iter(runs.values())).rates).rate)
    for (name, run), style in zip(runs.items(), styles(len(runs))):
        omega = np.asarray(bound(unit * run.rates))
        seen = np.unique(np.linspace(len(omega) // 100, len(omega) - 1, 1000).astype(int))
        axes[0, 0].plot(seen, run.rates[seen], label=name, **style)
        axes[0, 1].plot(run.at, run.loss, **style)
        axes[0, 2].plot(seen, omega[seen], **style)
    ends = [(run.loss[-1], float(run.loss[len(run.loss) // 8])) for run in runs.values()]
    axes[0, 1].set_ylim(min(ends)[0] - 0.03, max(top for _, top in ends))
    axes[0, 2].set_ylim(0, 6 * min(line.get_ydata()[-1] for line in axes[0, 2].lines))
    for axis, title in zip(axes[0], ("learning rate", "loss measured", "bound on the last iterate")):
        axis.set(title=title, xlabel="step (optimizer updates)")
    axes[0, 0].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(runs), frameon=False, fontsize=9
    )
    save(figure, path)


def plot_design(document: Mapping[str, Any], rates: Mapping[str, np.ndarray], path: Path) -> None:
    """Draw a designed table, the few words nearest to it, cosine and WSD: their rates left, what is predicted of them right.

    Args:
        document: as `lrlab design --json` prints it.
        rates: of each by name, [T].
    """
    figure, axes = frames(1, 2, 11.0, 3.8)
    names = {"designed": "designed", "simple": document["schedule"], "cosine": "cosine", "wsd": "WSD"}
    for (name, label), style in zip(names.items(), styles(len(names))):
        axes[0, 0].plot(rates[name], label=label, linewidth=1.6, **style)
        axes[0, 1].plot(document["predicted"][name], -list(names).index(name), "o", color=style["color"])
    axes[0, 1].hlines(0, document["low"], document["high"], color=styles(1)[0]["color"], linewidth=1.6)
    axes[0, 0].set(xlabel="step (optimizer updates)", ylabel="learning rate", ylim=(0, None))
    axes[0, 0].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    axes[0, 1].set_yticks([-i for i in range(len(names))], ["designed", "in words", "cosine", "WSD"])
    axes[0, 1].set(
        ylim=(-len(names) + 0.5, 0.5),
        xlabel="final bound" if document["by"] == "bound" else f"final loss predicted by {document['by']}",
    )
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=8,
        handlelength=3.5,
    )
    save(figure, path)


def _legend(curve: Mapping[str, Any]) -> str:
    error = (
        f", final error {curve['score']['final_error']:+.4f}"
        if "score" in curve
        else f", final {curve['loss'][-1]:.3f}"
    )
    return curve["of"].removesuffix(".csv") + error


def _window(curves: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """From under the lowest loss to where the first tenth of the steps ends: the beginning of a curve hides the rest."""
    losses = [np.asarray(curve.get("measured", curve["loss"])) for curve in curves]
    top = max(float(loss[len(loss) // 10]) for loss in losses)
    low = min(float(np.min(loss)) for loss in [*losses, *(curve["loss"] for curve in curves)])
    return low - 0.05 * (top - low), top + 0.05 * (top - low)
