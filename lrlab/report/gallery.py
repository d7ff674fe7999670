"""Many schedules, each in a small panel of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lrlab.report.picture import draw_rate, shade
from lrlab.report.sample import sample
from lrlab.report.style import COLOURS, bare_figure, frames, save
from lrlab.schedule import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 4
_LEFT, _WIDTH, _HEIGHT = 1.35, 2.35, 1.2  # inches: room for the names of families, and of one panel with its title


def plot_words(schedules: Mapping[str, Schedule], steps: int, path: Path) -> None:
    """Draw each schedule in a panel of its own under its text, four to a row, shaded where it rises and where it falls."""
    rows = -(-len(schedules) // 4)
    figure, axes = frames(rows, 4, 13.0, 1.9 * rows, heights=(1,) * rows, sharex=True, sharey=True)
    for axis, (text, schedule) in zip(axes.flat, schedules.items()):
        curve = sample(schedule, steps)
        shade(axis, curve)
        draw_rate(axis, curve, text, {"color": COLOURS[0]})
        axis.set_title(text, fontsize=7.5, family="monospace")
    for axis in axes[-1]:
        axis.set_xlabel("step", fontsize=8)
    for axis in axes[:, 0]:
        axis.set_ylabel("share of the peak", fontsize=8)
    save(figure, path)


def plot_gallery(families: Mapping[str, Mapping[str, tuple[Schedule, str]]], steps: int, path: Path) -> None:
    """Draw schedules family by family, four to a row, each scaled to its peak under its name and its reference."""
    rows = {family: -(-len(members) // _COLUMNS) for family, members in families.items()}
    width, height = _LEFT + _COLUMNS * _WIDTH, _HEIGHT * sum(rows.values()) + 0.15
    figure = bare_figure(width, height)
    top = height - 0.05
    for i, (family, members) in enumerate(families.items()):
        figure.text(
            0.1 / width, (top - 0.12) / height, family, fontsize=11, weight="bold", va="top", color=COLOURS[i % 7]
        )
        for j, (name, (schedule, reference)) in enumerate(members.items()):
            row, column = divmod(j, _COLUMNS)
            left, bottom = _LEFT + column * _WIDTH, top - (row + 1) * _HEIGHT + 0.1
            axis = figure.add_axes((left / width, bottom / height, (_WIDTH - 0.2) / width, (_HEIGHT - 0.48) / height))
            _draw_specimen(axis, schedule, steps, COLOURS[i % 7])
            axis.set_title(name, fontsize=9, family="monospace", weight="bold", loc="left", pad=13)
            axis.text(0, 1.06, reference, fontsize=7, color="0.35", transform=axis.transAxes)
        top -= _HEIGHT * rows[family]
    save(figure, path)


def _draw_specimen(axis: "Axes", schedule: Schedule, steps: int, colour: str) -> None:
    seen = sample(schedule, steps).thinned(300)
    axis.fill_between(seen.t, seen.rate / seen.peak, color=colour, alpha=0.15, linewidth=0)
    axis.plot(seen.t, seen.rate / seen.peak, color=colour, linewidth=1.4)
    axis.set(xlim=(0, steps - 1), ylim=(0, 1.03), xticks=[], yticks=[])
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color("0.6")
