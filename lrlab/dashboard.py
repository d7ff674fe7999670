"""A record may be shown on a dashboard as it grows: TensorBoard, or Weights & Biases.

with Record(folder, dashboards=[TensorBoard(folder), WandB(folder, project="lrlab", mode="offline")]) as record:
    record.write(rows)
"""

import hashlib
import math
import os
import time
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

from lrlab.record import rows, updates
from lrlab.refusal import Failed, Refused

PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}  # what each needs; its own name is that of the extra


class Dashboard(Protocol):
    """What is told the rows of a record."""

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Show rows, of which each has a step."""
        ...

    def close(self) -> None:
        """There are no more."""
        ...


class TensorBoard:
    """Event files in the folder `tensorboard` of a run, for `tensorboard --logdir`; needs `pip install 'lrlab[tensorboard]'`.

    Args:
        folder: the run's.
        step: updates done; what an earlier session showed beyond is hidden, and what was recorded before there was any is shown.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        begun = (folder / "tensorboard").is_dir()
        writer = needs("tensorboard").SummaryWriter
        # with a suffix: two sessions that begin in one second would else share a file, which the later empties
        suffix = f".{time.time_ns()}"
        self._writer = writer(str(folder / "tensorboard"), purge_step=step if begun else None, filename_suffix=suffix)
        past = [row for row in rows(folder) if updates(row) <= step]
        self.write(row for row in past if not begun or row["step"] == step)  # those are hidden, and do not come again

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            for name, value in scalars(row).items():
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run of Weights & Biases, one for each folder however often it goes on; needs `pip install 'lrlab[wandb]'`.

    What was shown cannot be taken back there: so what an earlier session has told is not told again, and a run that goes
    back to a checkpoint at another rate is another run of theirs.

    Args:
        folder: the run's, where its files go too.
        project: the project's name; by default WANDB_PROJECT, else "lrlab".
        name: what the run is called; by default by its folder.
        about: its configuration, such as `Experiment.values()`.
        mode: "online", or "offline", whose files `wandb sync` sends later; by default what WANDB_MODE says, else "online".
        told: rows that an earlier session has shown and this one will write once more.
        attempt: how often the run went back.
    """

    def __init__(
        self,
        folder: Path,
        project: str | None = None,
        name: str | None = None,
        about: Mapping[str, Any] | None = None,
        mode: Literal["online", "offline"] | None = None,
        told: int = 0,
        attempt: int = 0,
    ) -> None:
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        wandb, self._told = needs("wandb"), told
        again = f" {attempt}" if attempt else ""
        try:
            self._run = wandb.init(
                project=project or os.environ.get("WANDB_PROJECT", "lrlab"),
                name=(name or folder.name) + again,
                id=hashlib.sha256(f"{folder}{again}".encode()).hexdigest()[:12],
                resume="allow",
                config=dict(about or {}),
                dir=str(folder),
                mode=mode,
                reinit="create_new",  # members of a population are told beside each other
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise Failed(
                f"Weights & Biases began no run: {reason}; write `wandb login` first, or WANDB_MODE=offline before the command"
            ) from None
        self._run.define_metric("*", step_metric="step")  # their own step may not go back, which ours does on resuming

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            if self._told > 0:
                self._told -= 1
            else:
                self._run.log({"step": row["step"], **scalars(row)})

    def close(self) -> None:
        self._run.finish()


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a row by the names that dashboards group them by.

    >>> scalars({"step": 4, "loss": 2.3, "learning_rate": 0.1})
    {'train/loss': 2.3, 'train/learning_rate': 0.1}
    >>> scalars({"step": 5, "held_out": {"loss": 2.4}}), scalars({"step": 5, "end": "finished", "final": {"loss": 2.4}})
    ({'held_out/loss': 2.4}, {'final/loss': 2.4})
    """
    kind = next((kind for kind in ("held_out", "final", "rollback") if kind in row), "train")
    numbers = row.get(kind, row)
    told = {name: value for name, value in numbers.items() if name != "step" and isinstance(value, int | float)}
    return {f"{kind}/{name}": value for name, value in told.items() if math.isfinite(value)}


def opened(name: str, folder: Path, step: int, about: Mapping[str, Any], title: str, attempt: int) -> Dashboard:
    """The dashboard of a run that goes on after `step` updates, before its record does.

    Args:
        name: one of `PACKAGES`.
        folder: the run's.
        step: updates done.
        about: its configuration.
        title: what it is called.
        attempt: how often it went back to a checkpoint.
    """
    if name == "tensorboard":
        return TensorBoard(folder, step)
    begun, past = (folder / "wandb").is_dir(), [row for row in rows(folder) if updates(row) <= step]
    told = sum(updates(row) > step for row in rows(folder)) if begun else 0
    dashboard = WandB(folder, name=title, about=about, told=told, attempt=attempt)
    if not begun:
        dashboard.write(past)
    return dashboard


def needs(name: str) -> Any:
    """The package of a dashboard, loaded. Raises `Refused` where it is not installed."""
    try:
        return import_module(PACKAGES[name])
    except ImportError:
        raise Refused(
            f"{PACKAGES[name]} is not installed, which this dashboard needs; write pip install 'lrlab[{name}]'"
        ) from None
