"""What a study has come to so far: its runs are read as a crash, or a process still running, left them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrlab.record import read_json, rows, updates

Rows = Sequence[Mapping[str, Any]]


def so_far(folder: Path) -> dict[str, Any]:
    """An unfinished study in the form of a verdict, without claims; `unfinished` says for each run how far it came.

    A run that has not ended shows its last held-out metrics. Raises `Refused` if the folder cannot be read.
    """
    about = read_json(folder / "experiment.json")
    runs: dict[tuple[str, int], Rows] = {}
    folders: dict[tuple[str, int], str] = {}
    for path in sorted(folder.glob("runs/*/seed-*/experiment.json")):
        run = read_json(path)
        runs[run["arm"], run["seed"]] = list(rows(path.parent))
        folders[run["arm"], run["seed"]] = str(path.parent)
    seeds = sorted({seed for _, seed in runs})
    names = dict.fromkeys(["loss", *(name for run in runs.values() for name in _final(run))])
    arms = {
        arm: {"schedule": values["schedule"], "seeds": seeds, "folders": [folders.get((arm, seed)) for seed in seeds]}
        | _came_to([runs.get((arm, seed), []) for seed in seeds], list(names))
        for arm, values in about["arms"].items()
    }
    unknown = {"wall_s": None, "tokens_per_s": None}
    named = {name: about[name] for name in ("experiment", "digest", "preset")}
    return {**named, "out": str(folder), **unknown, "arms": arms, "claims": []}


def _came_to(runs: Sequence[Rows], names: Sequence[str]) -> dict[str, Any]:
    """What a verdict says of an arm, from the rows of each seed."""
    at = lambda end, how: end["step"] if end.get("end") == how else None
    ends = [_end(run) for run in runs]
    return {
        "final": {name: [_final(run).get(name) for run in runs] for name in names},
        "diverged": [end["step"] - 1 if at(end, "diverged") else None for end in ends],
        "stopped": [at(end, "stopped") for end in ends],
        "rolled_back": [_rolled_back(run) for run in runs],
        "unfinished": [None if end else max(map(updates, run), default=0) for end, run in zip(ends, runs)],
    }


def _final(run: Rows) -> Mapping[str, float | None]:
    """The metrics that a run ended with, or measured last."""
    return _end(run).get("final") or next((row["held_out"] for row in reversed(run) if "held_out" in row), {})


def _end(run: Rows) -> Mapping[str, Any]:
    return run[-1] if run and "end" in run[-1] else {}


def _rolled_back(run: Rows) -> int | None:
    """The update at which it diverged before it last went back to a checkpoint."""
    return next((row["rollback"]["diverged"] for row in reversed(run) if "rollback" in row), None)
