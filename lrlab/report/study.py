"""Figure and tables of a study, made from what was recorded."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lrlab.record import read_json, rows
from lrlab.refusal import Refused
from lrlab.report.picture import draw_rate
from lrlab.report.sample import Sampled, sample
from lrlab.report.style import frames, save, styles
from lrlab.report.unfinished import so_far
from lrlab.schedule import parse

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_study(folder: Path, picture: Callable[[], "Figure"] | None = None) -> list[Path]:
    """Draw a study into its folder as PNG and SVG, by its module's own `picture` where it has one.

    The usual picture has a column per group of arms: schedules, held-out loss over seeds, final loss against the peak. Arms are
    named "group / arm @ peak". The curves are those of the last peak named; the lowest row shows all peaks and is
    left out where no arm has several.
    """
    study = read_study(folder)
    if not picture and not study["arms"]:
        raise Refused(f"{folder}: {study['experiment']} trains nothing, and only its own module can draw it: lrlab run")
    figure = picture() if picture else _usual(folder, study)
    paths = [folder / "figure.png", folder / "figure.svg"]
    for path in paths:
        save(figure, path)
    return paths


def _usual(folder: Path, study: Mapping[str, Any]) -> "Figure":
    columns, names = _layout(study)
    style = dict(zip(names, styles(len(names)), strict=True))
    basins = any(len(peaks) > 1 for arms in columns.values() for peaks in arms.values())
    heights = (1, 1.8, 1.4) if basins else (1, 1.8)
    figure, axes = frames(len(heights), len(columns), max(3.6 * len(columns), 5.0), 2.0 * sum(heights), heights=heights)
    for column, (group, arms) in enumerate(columns.items()):
        for name, peaks in arms.items():
            arm = peaks[-1]
            run, records = study["arms"][arm], _records(folder, arm, study["arms"][arm]["seeds"])
            curves = [curve for record in records if len(curve := _held_out(record))]
            schedule = parse(run["schedule"])
            planned = sample(schedule, _last_step(curves) if curves else schedule.length)
            draw_rate(axes[0, column], _used(planned, records), name, style[name])
            draw_losses(axes[1, column], curves, name, style[name])
            if basins:
                _draw_basin(axes[2, column], [study["arms"][arm] for arm in peaks], name, style[name])
        axes[0, column].set_title(_title(group, arms), fontsize=10)
        axes[1, column].set_xlabel("step (optimizer updates)")
        axes[0, column].sharex(axes[1, column])
    axes[0, 0].set_ylabel("learning rate")
    axes[1, 0].set_ylabel("held-out loss (nats)")
    if basins:
        axes[2, 0].set_ylabel("final loss (nats)")
        for axis in axes[2]:
            axis.set_xlabel("peak learning rate")
            _tick_peaks(axis)
    handles = {name: line for axis in axes[1] for line, name in zip(*axis.get_legend_handles_labels())}
    fit = int(figure.get_figwidth() / (0.6 + 0.07 * max(map(len, handles))))  # inches
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="outside lower center",
        ncols=min(len(handles), max(fit, 1)),
        frameon=False,
        fontsize=9,
    )
    figure.suptitle(
        f"{study['experiment']} ({study['preset']}): mean and range over {_seeds(study)} seeds", fontsize=11
    )
    return figure


def held_out_losses(folder: Path) -> np.ndarray:
    """The held-out loss of a run, [evaluations, 2] of step and loss."""
    return _held_out(list(rows(folder)))


def draw_losses(axis: "Axes", curves: Sequence[np.ndarray], name: str, style: dict[str, Any]) -> None:
    """Mean and range over runs of curves like those of `held_out_losses`, as far as the shortest of them."""
    shortest = min((len(curve) for curve in curves), default=0)
    step, losses = (
        (curves[0][:shortest, 0], np.stack([curve[:shortest, 1] for curve in curves])) if shortest else ([], None)
    )
    axis.plot(step, [] if losses is None else losses.mean(0), label=name, linewidth=1.6, **style)
    if losses is not None:
        axis.fill_between(step, losses.min(0), losses.max(0), alpha=0.18, linewidth=0, color=style["color"])


def print_study(study: Mapping[str, Any], console: Console) -> None:
    """The arms with their final metrics, then each claim with its verdict."""
    early = [
        end
        for end in ("diverged", "rolled_back", "stopped", "unfinished")
        if any(map(_count(end), study["arms"].values()))
    ]
    if study["arms"]:
        _print_arms(study, early, console)
    for claim in study["claims"]:
        console.print(f"[bold]{'HELD' if claim['holds'] else 'NOT HELD HERE'}[/]  {claim['text']}")
        console.print(f"      {_interval(claim)}", highlight=False)
        if claim.get("paper"):
            console.print(f"      the paper: {claim['paper']}", highlight=False)
    if "unfinished" in early:
        console.print("No verdict yet: runs that are unfinished count with what they measured last.")
    elif not study["claims"]:
        console.print("No verdict: it needs every arm and at least 3 seeds.")


def _print_arms(study: Mapping[str, Any], early: Sequence[str], console: Console) -> None:
    metrics = list(dict.fromkeys(name for run in study["arms"].values() for name in run["final"]))
    title = f"{study['experiment']} · preset {study['preset']} · mean ± sd over {_seeds(study)} seeds"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("arm", no_wrap=True)
    for name in metrics:
        table.add_column(name, justify="right", no_wrap=True)
    for end in early:
        table.add_column(end.replace("_", " "), justify="right", no_wrap=True)
    for arm, run in study["arms"].items():
        ends = [f"{count} of {len(run['seeds'])}" if (count := _count(end)(run)) else "" for end in early]
        table.add_row(arm, *(_mean(run["final"].get(name, [])) for name in metrics), *ends)
    console.print(table)


def read_study(folder: Path) -> dict[str, Any]:
    """The verdict that `lrlab run` wrote into a folder, or what an unfinished study has come to so far."""
    if (folder / "verdict.json").exists():
        study = read_json(folder / "verdict.json")
        for run in study["arms"].values():  # where they lie now
            run["folders"] = [str(folder.joinpath(*Path(path).parts[-3:])) for path in run["folders"]]
        return study
    if (folder / "experiment.json").exists():
        return so_far(folder)
    raise Refused(f"{folder} holds no study; write `lrlab run EXPERIMENT --out {folder}` first")


def _records(folder: Path, arm: str, seeds: Sequence[int]) -> list[list[dict[str, Any]]]:
    """The rows of each seed."""
    records = []
    for path in sorted(folder.glob("runs/*/seed-*")):
        about = read_json(path / "experiment.json")
        if about["arm"] == arm and about["seed"] in seeds:
            records.append(list(rows(path)))
    return records


def _held_out(record: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Held-out loss, [evaluations, 2] of step and loss."""
    curve = [(row["step"], row["held_out"]["loss"]) for row in record if "held_out" in row]
    return np.array(curve, float).reshape(-1, 2)


def _used(planned: Sampled, records: Sequence[Sequence[Mapping[str, Any]]]) -> Sampled:
    """The schedule, or the rates of the first record where they are others: with a feedback, or found by the method."""
    rates = [
        (row["step"], row["learning_rate"]) for row in (records or [[]])[0] if row.get("learning_rate") is not None
    ]
    t, rate = np.array(rates, float).reshape(-1, 2).T
    if np.allclose(rate, np.interp(t, planned.t, planned.rate), rtol=1e-4, atol=1e-6 * planned.peak):
        return planned
    return planned._replace(t=t, rate=rate)


def _count(end: str) -> Callable[[Mapping[str, Any]], int]:
    """How many runs of an arm ended so."""
    return lambda run: sum(step is not None for step in run.get(end, []))


def _last_step(curves: Sequence[np.ndarray]) -> int:
    return int(max((curve[-1, 0] for curve in curves if len(curve)), default=1))


def _draw_basin(axis: "Axes", runs: Sequence[Mapping[str, Any]], name: str, style: dict[str, Any]) -> None:
    """Final loss against the peak; runs that diverged are left out of it."""
    schedules = [parse(run["schedule"]) for run in runs]
    peaks = np.array([schedule(range(max(schedule.length, 1))).max() for schedule in schedules])
    losses = np.array([[np.nan if loss is None else loss for loss in run["final"]["loss"]] for run in runs], float)
    known = np.isfinite(losses).any(1)
    axis.plot(peaks[known], np.nanmean(losses[known], 1), marker="o", markersize=4, linewidth=1.6, **style)
    for column in losses.T:
        axis.plot(peaks, column, ".", markersize=4, alpha=0.5, color=style["color"])


def _tick_peaks(axis: "Axes") -> None:
    """A logarithmic axis that names just the peaks that were run."""
    peaks = np.unique(np.concatenate([line.get_xdata() for line in axis.lines]).astype(np.float32))
    axis.set_xscale("log", base=2)
    axis.set_xticks(peaks, [f"{peak:g}" for peak in peaks])
    axis.minorticks_off()


def _layout(study: Mapping[str, Any]) -> tuple[dict[str, dict[str, list[str]]], list[str]]:
    """Group to name to the arms that differ in their peak alone; and the names in order."""
    columns: dict[str, dict[str, list[str]]] = {}
    for arm in study["arms"]:
        group, _, rest = arm.rpartition(" / ")
        columns.setdefault(group, {}).setdefault(rest.partition(" @ ")[0], []).append(arm)
    return columns, list(dict.fromkeys(name for arms in columns.values() for name in arms))


def _title(group: str, arms: Mapping[str, Sequence[str]]) -> str:
    shown = {peaks[-1].partition(" @ ")[2] for peaks in arms.values()}
    peak = "" if "" in shown else f"peak {shown.pop()}" if len(shown) == 1 else "curves at the last peak of each"
    return ", ".join(filter(None, (group, peak)))


def _mean(values: Sequence[float | None]) -> str:
    known = np.array([value for value in values if value is not None and np.isfinite(value)])
    spread = f" ± {known.std(ddof=1):.3f}" if len(known) > 1 else ""
    return f"{known.mean():.4f}{spread}" if len(known) else "—"


def _interval(claim: Mapping[str, Any]) -> str:
    because = f" ({claim['because']})" if claim["because"] else ""
    if claim["measured"] is None or not np.isfinite(claim["measured"]):
        return f"no number{because}"
    if claim["low"] == claim["high"]:
        return f"{claim['measured']:.4f} {claim['unit']}{because}"
    return (
        f"{claim['measured']:+.4f} {claim['unit']}, 95 % interval [{claim['low']:+.4f}, {claim['high']:+.4f}]{because}"
    )


def _seeds(study: Mapping[str, Any]) -> int:
    return max(len(run["seeds"]) for run in study["arms"].values())
