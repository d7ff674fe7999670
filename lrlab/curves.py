"""Loss curves from files: `step,lr,loss` in CSV, or the folders that a run leaves."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lrlab.record import last, read_json, rows
from lrlab.refusal import Refused
from lrlab.schedule import parse
from lrlab.theory import Observed

_WINDOWS = 100  # means of the training loss over a run, where it has too few held-out losses
_ENOUGH = 8  # held-out losses
_LEVEL = 0.01  # of a change of the rate: neighbours that change by less make it a jump


class Curve(NamedTuple):
    """A curve by name: the rates of all updates, [T]; the steps that its file names, [n]; the losses there, [n], if it has them."""

    name: str
    rates: np.ndarray
    at: np.ndarray
    loss: np.ndarray | None

    def observed(self) -> Observed:
        """The curve, for a fit; refused without losses."""
        if self.loss is None:
            raise Refused(
                f"{self.name} has no column 'loss'; a law is fitted to measured losses, so give it to --predict"
            )
        return Observed(self.rates, self.at, self.loss)


def read_curves(path: Path, warmup: int | None = None) -> list[Curve]:
    """The curve in a CSV file, or those of all runs in a folder.

    Args:
        path: a file with columns step, lr and, if measured, loss (after `step` updates); or a folder of `lrlab run`, whose
            runs that diverged are left out.
        warmup: steps over which a file's rates rose from zero before its first row (by default all of them).

    Raises `Refused` with the name of the file for whatever cannot be read as curves.
    """
    if warmup is not None and warmup < 0:
        raise Refused(f"--warmup {warmup}: write how many steps the rate rose, 0 or more")
    if path.is_dir():
        folders = sorted(file.parent for file in path.rglob("metrics.jsonl"))
        if not folders:
            raise Refused(
                f"{path} holds no metrics.jsonl; give it a folder of `lrlab run`, or CSV files of step,lr,loss"
            )
        lost = set(diverged(path))
        kept = [folder for folder in folders if folder not in lost]
        if not kept:
            raise Refused(f"every run of {path} diverged; a law is fitted to runs that trained")
        return [_of_run(folder, path) for folder in kept]
    return [_of_file(path, warmup)]


def diverged(path: Path) -> list[Path]:
    """The runs of a folder whose losses stopped being finite."""
    return [file.parent for file in sorted(path.rglob("metrics.jsonl")) if last(file.parent).get("end") == "diverged"]


def _of_run(folder: Path, within: Path) -> Curve:
    """Rates of every update; held-out losses, or else means of the training loss.

    Of a run that goes on from another, the losses since then, and the rates of both.
    """
    name = str(Path(within.name, folder.relative_to(within)) if folder != within else Path(*folder.parts[-2:]))
    updates, looks = {}, {}
    for row in rows(folder):
        if row.get("learning_rate") is not None and row.get("loss") is not None:
            updates[row["step"]] = (row["learning_rate"], row["loss"])
        if row.get("held_out") and row["step"] > 0:
            looks[row["step"]] = row["held_out"]["loss"]
    if len(updates) < _ENOUGH:
        raise Refused(
            f"{name} records {len(updates)} updates with rate and loss; a run that is to be fitted has at least {_ENOUGH}"
        )
    t, values = np.array(list(updates)), np.array(list(updates.values()))
    rates = np.interp(np.arange(t[-1] + 1), t, values[:, 0])
    if t[0] > 0:  # it goes on from another run
        rates[: t[0]] = parse(read_json(folder / "experiment.json")["schedule"])(np.arange(t[0]))
    looks = {step: loss for step, loss in looks.items() if loss is not None and step <= len(rates)}
    if len(looks) >= _ENOUGH:
        return Curve(name, rates, np.array(list(looks)), np.array(list(looks.values())))
    windows = np.array_split(np.arange(len(t)), min(_WINDOWS, len(t)))
    at = np.array([round(t[window].mean()) for window in windows])
    return Curve(name, rates, np.maximum(at, 1), np.array([values[window, 1].mean() for window in windows]))


def _of_file(path: Path, warmup: int | None) -> Curve:
    columns = _columns(path)
    step, lr = columns["step"], columns["lr"]
    if len(step) < 2:
        raise Refused(f"{path} has {len(step)} rows; a curve has at least two")
    if np.any(np.diff(step) <= 0) or step[0] < 0:
        at = int(np.argmax(np.diff(step) <= 0)) + 1
        raise Refused(
            f"{path}: steps grow from row to row, and {step[at]:g} follows {step[at - 1]:g}; sort the file by step"
        )
    if np.any(step != step.round()) or np.any(lr < 0):
        raise Refused(f"{path}: a step is a whole number and a rate is not negative")
    rates = _every_step(step.astype(int), lr, warmup)
    keep = step >= 1
    return Curve(path.name, rates, step.astype(int)[keep], columns["loss"][keep] if "loss" in columns else None)


def _columns(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Refused(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    present = list(table[0]) if table else []
    lacking = [name for name in ("step", "lr") if name not in present]
    if lacking:
        raise Refused(
            f"{path} has no column {' and no '.join(map(repr, lacking))}; its first line should be step,lr,loss"
        )
    columns = {}
    for name in ("step", "lr", *(["loss"] if "loss" in present else [])):
        try:
            columns[name] = np.array([float(row[name]) for row in table])
        except (TypeError, ValueError):
            raise Refused(f"{path}: the column '{name}' holds something that is not a number") from None
        if not np.isfinite(columns[name]).all():
            raise Refused(f"{path}: the column '{name}' holds a number that is not finite; cut the curve before it")
    return columns


def _every_step(step: np.ndarray, lr: np.ndarray, warmup: int | None) -> np.ndarray:
    """The rate of each update before the last row: a line between rows, but held up to a row where it jumps alone."""
    rates = np.interp(np.arange(step[-1]), step, lr)
    change = np.abs(np.diff(lr, prepend=lr[0], append=lr[-1]))
    for i in range(1, len(lr)):
        if change[i] and max(change[i - 1], change[i + 1]) < _LEVEL * change[i]:
            rates[step[i - 1] : step[i]] = lr[i - 1]
    over = step[0] if warmup is None else min(warmup, step[0])
    rates[:over] = lr[0] * np.arange(over) / max(over, 1)
    return rates


def read_all(paths: Sequence[Path], warmup: int | None = None) -> list[Curve]:
    """The curves of several files and folders."""
    return [curve for path in paths for curve in read_curves(path, warmup)]
