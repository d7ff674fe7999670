"""What came out of a sweep: its members, the best trial, and the basins along the axis of the peak."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lrlab.notes import PRUNED
from lrlab.record import last, rows
from lrlab.refusal import unknown
from lrlab.study import Runs
from lrlab.sweep.basin import basin, sensitivity
from lrlab.sweep.space import Range
from lrlab.verdict import CONFIDENCE

PEAK = "schedule.peak"


class Trial(NamedTuple):
    """What became of one trial."""

    vary: dict[str, Any]  # its values, as JSON
    runs: Runs
    initial: float  # the training loss before the first update, mean over seeds
    pruned: bool = False  # whether a run of it was stopped since others did better, so that its losses are not final


def came_to(vary: Mapping[str, Any], ran: Runs) -> Trial:
    """What became of a trial, by the records of its runs."""
    folders = list(map(Path, ran.folders))
    first = [next(rows(folder))["loss"] for folder in folders]
    pruned = any(last(folder).get("because") == PRUNED for folder in folders)
    return Trial(dict(vary), ran, float(np.mean([np.nan if loss is None else loss for loss in first])), pruned)


Trials = Mapping[str, Trial]  # by the names of their arms


def outcome(trials: Trials, drawn: Mapping[str, Range], metric: str) -> dict[str, Any]:
    """What came out, as JSON; the paths `drawn` from ranges never take a value twice."""
    some = next(iter(trials.values())).runs
    if metric not in some.final:
        raise unknown("metric", metric, some.final)
    members = [
        {
            "schedule": trial.runs.schedule,
            "vary": trial.vary,
            "seed": seed,
            "final": {name: values[i] for name, values in trial.runs.final.items()},
            "diverged": trial.runs.diverged[i],
            "stopped": trial.runs.stopped[i],
        }
        for trial in trials.values()
        for i, seed in enumerate(trial.runs.seeds)
    ]
    losses = {label: np.array(trial.runs.final[metric]) for label, trial in trials.items()}
    lines = _lines(trials, losses, drawn)
    return {"members": members, "best": _best(trials, losses, lines, drawn), "basins": lines}


def _best(
    trials: Trials, losses: Mapping[str, np.ndarray], lines: Sequence[Mapping[str, Any]], drawn: Mapping[str, Range]
) -> dict[str, Any] | None:
    """The trial of lowest mean, with its bootstrap interval over seeds and the axes at whose edge it lies.

    One that was stopped for others is best only where all that went on diverged.
    """
    means = {label: values.mean() for label, values in losses.items() if np.isfinite(values).all()}
    if not means:
        return None
    label = min(means, key=lambda label: (trials[label].pruned, means[label]))
    vary, values = trials[label].vary, losses[label]
    interval = basin([1.0], values[None])

    def at_edge(path: str, value: Any) -> bool:
        if path in drawn:
            return drawn[path].at_edge(value)
        taken = _taken(trials, path)
        return len(taken) > 1 and value in (taken[0], taken[-1])

    edges = [path for path, value in vary.items() if isinstance(value, int | float) and at_edge(path, value)]
    line = next((one for one in lines if one["others"].items() <= vary.items()), None)
    return {
        "vary": vary,
        "metric": float(means[label]),
        "low": float(interval.low[0]),
        "high": float(interval.high[0]),
        "at_edge": bool(edges),
        "edges": edges,
        "optimum": None if line is None else {"path": line["path"], **line["optimum"]},
    }


def _lines(trials: Trials, losses: Mapping[str, np.ndarray], drawn: Mapping[str, Range]) -> list[dict[str, Any]]:
    """Basins along the axis of the peak, or else the first of numbers: one for each combination of all the others.

    Where trials were stopped for others, the best and the optimum are those of the rest, and there is no sensitivity and no
    interval of the optimum: what was stopped is not there to be resampled.
    """
    path = next((path for path in (PEAK, *next(iter(trials.values())).vary) if len(_taken(trials, path)) > 1), None)
    if path is None:
        return []
    grouped: dict[tuple[Any, ...], list[str]] = {}
    for label, trial in trials.items():
        others = tuple(item for item in trial.vary.items() if item[0] not in {path, *drawn})
        grouped.setdefault(others, []).append(label)
    lines = []
    for others, labels in grouped.items():
        labels = sorted(labels, key=lambda label: trials[label].vary[path])
        values = [float(trials[label].vary[path]) for label in labels]
        table, pruned = np.stack([losses[label] for label in labels]), [trials[label].pruned for label in labels]
        shown, found = basin(values, table), basin(values, np.where(np.array(pruned)[:, None], np.nan, table))
        optimum = found.optimum._replace(low=np.nan, high=np.nan) if any(pruned) else found.optimum
        lines.append({
            "path": path,
            "others": dict(others),
            "values": values,
            "mean": shown.mean.tolist(),
            "low": shown.low.tolist(),
            "high": shown.high.tolist(),
            "pruned": pruned,
            "best": found.best,
            "optimum": optimum._asdict(),
            "sensitivity": sensitivity(values, table.mean(1), float(np.nanmean([trials[label].initial for label in labels])))
            if len(values) > 1 and min(values) > 0 and not any(pruned)
            else None,
            "confidence": CONFIDENCE,
        })  # fmt: skip
    return lines


def _taken(trials: Trials, path: str) -> list[float]:
    """The numbers that a path took, ascending."""
    taken = {trial.vary.get(path) for trial in trials.values()}
    numbers = [value for value in taken if isinstance(value, int | float) and not isinstance(value, bool)]
    return sorted(numbers) if len(numbers) == len(taken) else []
