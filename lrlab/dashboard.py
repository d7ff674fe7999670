"""A record may be shown on a dashboard as it grows: TensorBoard, or Weights & Biases.

with Record(folder, dashboards=[TensorBoard(folder), WandB(folder, project="lrlab", mode="offline")]) as record:
    record.write(rows)
"""

import hashlib
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol

from lrlab.refusal import Refused


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
        step: updates done; what an earlier session showed beyond is hidden.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        writer = _needs("tensorboardX", "tensorboard").SummaryWriter
        # with a suffix: two sessions that begin in one second would else share a file, which the later empties
        self._writer = writer(str(folder / "tensorboard"), purge_step=step or None, filename_suffix=f".{step}")

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            for name, value in scalars(row).items():
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run of Weights & Biases, one for each folder however often it goes on; needs `pip install 'lrlab[wandb]'`.

    Args:
        folder: the run's, where its files go too.
        project: the project's name.
        name: what the run is called; by default by its folder.
        about: its configuration, such as `Experiment.values()`.
        mode: "online", or "offline", whose files `wandb sync` sends later; by default what WANDB_MODE says, else "online".
    """

    def __init__(
        self,
        folder: Path,
        project: str = "lrlab",
        name: str | None = None,
        about: Mapping[str, Any] | None = None,
        mode: Literal["online", "offline"] | None = None,
    ) -> None:
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        wandb = _needs("wandb", "wandb")
        self._run = wandb.init(
            project=project,
            name=name or folder.name,
            id=hashlib.sha256(str(folder).encode()).hexdigest()[:12],
            resume="allow",
            config=dict(about or {}),
            dir=str(folder),
            mode=mode,
            reinit="create_new",  # members of a population are told beside each other
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._run.define_metric("*", step_metric="step")  # their own step may not go back, which ours does on resuming

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self._run.log({"step": row["step"], **scalars(row)})

    def close(self) -> None:
        self._run.finish()


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row by the names that dashboards group them by.

    >>> scalars({"step": 4, "loss": 2.3, "learning_rate": 0.1})
    {'train/loss': 2.3, 'train/learning_rate': 0.1}
    >>> scalars({"step": 5, "held_out": {"loss": 2.4}}), scalars({"step": 5, "end": "finished", "final": {"loss": 2.4}})
    ({'held_out/loss': 2.4}, {'final/loss': 2.4})
    """
    kind = next((kind for kind in ("held_out", "final") if kind in row), "train")
    numbers = row.get(kind, row)
    return {f"{kind}/{name}": value for name, value in numbers.items() if name != "step" and value is not None}


def _needs(package: str, extra: str) -> Any:
    try:
        return import_module(package)
    except ImportError:
        raise Refused(
            f"{package} is not installed, which this dashboard needs; write pip install 'lrlab[{extra}]'"
        ) from None
