"""One picture of schedules, on a linear and a logarithmic axis, with their parts and areas."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrlab.report.sample import Sampled, short
from lrlab.report.style import frames, log_floor, save, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WAYS = {1: ("#F2C879", "rises"), 0: ("#E4E4E4", "holds"), -1: ("#A9CFE8", "falls")}  # ground and word of a stretch


def plot_schedules(curves: Mapping[str, Sampled], path: Path) -> None:
    """Draw schedules by name over the longest run, on a linear and a log axis, with their parts and areas.

    Where a part rises (warm-up), holds or falls (decay, cooldown) is shaded below the axes, a row for each schedule in
    their order, and behind the curve of a single one. The file is PNG, SVG or PDF.
    """
    lanes = len(curves) if len(curves) <= 8 else 0
    columns = 1 if len(curves) <= 8 else 2  # of captions
    captions = -(-len(curves) // columns)
    heights = (3.4, 0.24 * lanes + 0.02) if lanes else (3.4,)
    figure, axes = frames(len(heights), 2, 11.0, sum(heights) + 0.5 + 0.2 * captions, heights=heights, sharex=True)
    style = styles(len(curves))
    for axis in axes[0]:
        for (name, curve), look in zip(curves.items(), style):
            draw_rate(axis, curve, _caption(name, curve), look)
        if len(curves) == 1:
            shade(axis, next(iter(curves.values())))
    axes[0, 0].set_ylabel("learning rate")
    _log(axes[0, 1], list(curves.values()))
    if lanes:
        axes[0, 0].legend(handles=_ways(), loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=9)
    for axis in axes[1] if lanes else ():
        _draw_lanes(axis, list(curves.values()), style)
    for axis in axes[-1]:
        axis.set_xlim(0, max(curve.steps for curve in curves.values()))
        axis.set_xlabel("step (optimizer updates)")
        axis.ticklabel_format(axis="x", style="sci", scilimits=(0, 5), useMathText=True)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=3.5,
    )
    save(figure, path)


def draw_rate(axis: "Axes", curve: Sampled, name: str, style: dict[str, Any]) -> None:
    """Draw a schedule onto an axis that begins at zero."""
    seen = curve.thinned(1000)
    axis.plot(seen.t, seen.rate, label=name, linewidth=1.6, **style)
    axis.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    axis.set_ylim(0, 1.05 * max(np.max(line.get_ydata(), initial=0.0) for line in axis.lines) or 1.0)


def _ways() -> list[Any]:
    from matplotlib.patches import Patch

    return [Patch(color=ground, label=word) for ground, word in _WAYS.values()]


def _caption(name: str, curve: Sampled) -> str:
    area = f"LR area {short(curve.area)}, {100 * curve.share:.0f} % of the peak held"
    return f"{textwrap.shorten(name, 110, placeholder=' …')}   ({area})"


def _log(axis: "Axes", curves: Sequence[Sampled]) -> None:
    floor = log_floor(curves)
    axis.set_yscale("log")
    axis.set_ylim(floor / 1.2, 1.3 * max(max(curve.peak for curve in curves), floor))
    if any((curve.rate < floor).any() for curve in curves):
        axis.set_title("logarithmic; lower rates, such as 0, lie beneath", fontsize=9)


def shade(axis: "Axes", curve: Sampled) -> None:
    """Shade behind a curve where its parts rise and where they fall."""
    for _, begin, end, way in curve.stretches:
        if way:
            axis.axvspan(begin, end, color=_WAYS[way][0], alpha=0.3, linewidth=0)


def _draw_lanes(axis: "Axes", curves: Sequence[Sampled], style: Sequence[dict[str, Any]]) -> None:
    """A lane for each schedule, from the top: its stretches, shaded by where the rate goes, under their names."""
    steps = max(curve.steps for curve in curves)
    for lane, (curve, look) in enumerate(zip(curves, style)):
        if not curve.stretches:
            axis.text(0.5 * steps, lane, "too many parts to draw", ha="center", va="center_baseline", fontsize=7.5)
        for name, begin, end, way in curve.stretches:
            axis.barh(lane, end - begin, 0.8, begin, color=_WAYS[way][0], edgecolor="white", linewidth=0.6)
            if (end - begin) / steps > 0.0135 * len(name):
                axis.text((begin + end) / 2, lane, name, ha="center", va="center_baseline", fontsize=7.5)
        axis.plot((-0.065, -0.015), (lane, lane), transform=axis.get_yaxis_transform(), clip_on=False, **look)
    axis.set_ylim(len(curves) - 0.5, -0.5)
    axis.set_yticks([])
    axis.grid(False)
    axis.spines[["left", "bottom"]].set_visible(False)
