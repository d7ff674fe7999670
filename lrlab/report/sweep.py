"""What came out of a sweep: the basins as a picture, and tables of them, of the best and of what diverged."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lrlab.record import read_json
from lrlab.refusal import Refused
from lrlab.report.style import frames, log_values, save, styles


def read_sweep(folder: Path) -> dict[str, Any]:
    """What `lrlab sweep` wrote into a folder."""
    if not (folder / "sweep.json").exists():
        raise Refused(f"{folder} holds no finished sweep; the same `lrlab sweep` again goes on with it")
    return read_json(folder / "sweep.json")


def plot_sweep(sweep: Mapping[str, Any], path: Path) -> None:
    """Draw the basins, a line each: mean over seeds with its interval, divergences as crosses above.

    A bar under each line is the interval of its best value; what was stopped for others is hollow. The file is PNG, SVG or PDF.
    """
    basins = sweep["basins"]
    figure, axes = frames(1, 1, 6.4, 4.4)
    axis = axes[0, 0]
    losses = [loss for line in basins for loss in line["mean"] if loss is not None]
    low, high = (min(losses), max(losses)) if losses else (0.0, 1.0)
    room = 0.06 * (high - low or 1.0)
    for i, (line, style) in enumerate(zip(basins, styles(len(basins)))):
        values, mean = np.array(line["values"]), np.array(line["mean"], float)
        axis.plot(values, mean, marker="o", markersize=4, linewidth=1.6, label=_named(line), **style)
        axis.fill_between(
            values, np.array(line["low"], float), np.array(line["high"], float),
            alpha=0.18, linewidth=0, color=style["color"],
        )  # fmt: skip
        stopped = np.array(line["pruned"])
        axis.plot(values[stopped], mean[stopped], "o", markersize=6, markerfacecolor="white", color=style["color"])
        lost = values[np.isnan(mean)]
        axis.plot(lost, np.full(len(lost), high + room), "x", markersize=6, color=style["color"])
        found = {name: np.nan if value is None else value for name, value in line["optimum"].items()}
        if np.isfinite(found["low"]):
            height = low - room * (1 + 0.6 * i)
            axis.plot(
                [found["low"], found["high"]], [height] * 2, linewidth=3, solid_capstyle="butt", color=style["color"]
            )
            axis.plot(found["value"], height, "|", markersize=9, color=style["color"])
    if all(value > 0 for line in basins for value in line["values"]):
        log_values(axis)
    axis.set_xlabel(f"{basins[0]['path']}" if basins else "")
    axis.set_ylabel(f"final {sweep['metric']}{' (nats)' * (sweep['metric'] == 'loss')}")
    axis.set_title(
        f"{sweep['experiment']} ({sweep['preset']}): mean over {_seeds(sweep)} seeds, 95 % interval"
        + "\nhollow: stopped for others, with the loss then" * any(any(line["pruned"]) for line in basins),
        fontsize=11,
    )
    if len(basins) > 1:
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", frameon=False, fontsize=9)
    save(figure, path)


def print_sweep(sweep: Mapping[str, Any], console: Console) -> None:
    """The basins, the best, a warning where it lies at an edge, and who diverged when."""
    for line in sweep["basins"]:
        console.print(_basin(line, sweep["metric"]))
    diverged = [member for member in sweep["members"] if member["diverged"] is not None]
    if diverged:
        console.print(_diverged(diverged))
    best = sweep["best"]
    if best is None:
        console.print("Every trial diverged in some seed; sweep lower rates.")
        return
    between = "" if best["low"] is None else f", 95 % interval [{best['low']:.4f}, {best['high']:.4f}]"
    console.print(f"best: {_said(best['vary'])}: {sweep['metric']} {best['metric']:.4f}{between}", highlight=False)
    if best["edges"]:
        console.print(
            f"[bold]At the edge of what was tried[/]: {' and '.join(best['edges'])}; a better value may lie beyond it, so sweep wider.",
            highlight=False,
        )


def _basin(line: Mapping[str, Any], metric: str) -> Table:
    found = line["optimum"]
    told = f"best {found['value']:.3g}" if found["value"] is not None else "no best"
    told += f" [{found['low']:.3g}, {found['high']:.3g}]" if found["low"] is not None else ""
    if line["sensitivity"] is not None:
        told += f" · sensitivity {line['sensitivity']:.4f}"
    table = Table(title=f"{_named(line) or line['path']} · {told}", title_justify="left", box=SIMPLE_HEAD)
    table.add_column(line["path"], justify="right")
    table.add_column(metric, justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("")
    for i, value in enumerate(line["values"]):
        mean, low, high = (line[name][i] for name in ("mean", "low", "high"))
        mark = "[bold]*[/]" if i == line["best"] else ""
        table.add_row(
            f"{value:.4g}",
            "diverged" if mean is None or np.isnan(mean) else f"{mark}{mean:.4f}",
            "" if low is None or np.isnan(low) else f"[{low:.4f}, {high:.4f}]",
            "stopped for others" * line["pruned"][i],
        )
    return table


def _diverged(members: list[Mapping[str, Any]]) -> Table:
    table = Table(title="diverged", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("run")
    table.add_column("seed", justify="right")
    table.add_column("at update", justify="right")
    for member in members:
        table.add_row(_said(member["vary"]), str(member["seed"]), str(member["diverged"]))
    return table


def _named(line: Mapping[str, Any]) -> str:
    return _said(line["others"])


def _said(vary: Mapping[str, Any]) -> str:
    shown = {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in vary.items()}
    return ", ".join(value if name in ("shape", "arm") else f"{name} {value}" for name, value in shown.items())


def _seeds(sweep: Mapping[str, Any]) -> int:
    return len({member["seed"] for member in sweep["members"]})
