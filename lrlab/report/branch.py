"""What came of a trunk's branches: final loss against the length of the trunk, and what branching saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lrlab.record import read_json
from lrlab.refusal import Refused
from lrlab.report.style import frames, save, styles


def read_branches(folder: Path) -> dict[str, Any]:
    """What `lrlab branch` wrote into a folder."""
    if not (folder / "branch.json").exists():
        raise Refused(f"{folder} holds no finished branches; the same `lrlab branch` again goes on with them")
    return read_json(folder / "branch.json")


def plot_branches(result: Mapping[str, Any], path: Path) -> None:
    """Draw the final loss against the updates of the trunk, a line for each cooldown, every seed a dot."""
    figure, axes = frames(1, 1, 6.4, 4.2)
    axis, lines = axes[0, 0], _lines(result)
    for (cooldown, points), style in zip(lines.items(), styles(len(lines))):
        axis.plot(
            [at for at, *_ in points], [np.mean(losses) for *_, losses in points], marker="o", label=cooldown, **style
        )
        for at, _, losses in points:
            axis.plot([at] * len(losses), losses, ".", markersize=4, alpha=0.5, color=style["color"])
    axis.set_xlabel("updates of the trunk before the cooldown")
    axis.set_ylabel("final loss (nats)")
    axis.legend(frameon=False, fontsize=9)
    save(figure, path)


def print_branches(result: Mapping[str, Any], console: Console) -> None:
    """A row for each branch, and what branching cost against runs of their own."""
    table = Table(title=f"branches of {result['trunk']}", title_justify="left", box=SIMPLE_HEAD)
    for name in ("trunk", "cooldown", "updates", "final loss"):
        table.add_column(name, justify="left" if name == "cooldown" else "right", no_wrap=True)
    for cooldown, points in _lines(result).items():
        for at, steps, losses in points:
            spread = f" ± {np.std(losses, ddof=1):.3f}" if len(losses) > 1 else ""
            table.add_row(str(at), cooldown, str(steps), f"{np.mean(losses):.4f}{spread}")
    console.print(table)
    for cost in result["cost"]:
        console.print(
            f"{cost['cooldown']}: {cost['branched']} updates with one trunk, {cost['separate']} in runs of their own: "
            f"{cost['saved']:.0%} saved",
            highlight=False,
        )


def _lines(result: Mapping[str, Any]) -> dict[str, list[tuple[int, int, list[float]]]]:
    """Cooldown, of an arm where the trunk has several -> trunk, whole length and the seeds' final losses; nan where one diverged."""
    lines: dict[str, dict[tuple[int, int], list[float]]] = {}
    several = len({member.get("arm") for member in result["members"]}) > 1
    for member in result["members"]:
        loss = member["final"]["loss"]
        points = lines.setdefault(f"{member['arm']} / " * several + member["cooldown"], {})
        points.setdefault((member["at"], member["steps"]), []).append(np.nan if loss is None else loss)
    return {name: [(*point, losses) for point, losses in sorted(points.items())] for name, points in lines.items()}
