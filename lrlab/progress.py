"""The progress of a study on a terminal: one bar for all of its runs, with the numbers of the one that runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from lrlab.dashboard import Dashboard, opened
from lrlab.origin import seam
from lrlab.refusal import Refused
from lrlab.runs import Run, Watcher
from lrlab.schedule import Finding
from lrlab.study import Study


class Progress(Watcher):
    """A bar with step, loss, learning rate, tokens per second and time left; lines where there is no terminal."""

    def __init__(
        self, study: Study, console: Console, total: int | None = None, dashboards: Sequence[str] = ()
    ) -> None:
        """`total` runs where they are not all arms of the study yet; `dashboards` by name show them as well."""
        self.study, self.console, self.total = study, console, study.total if total is None else total
        self.done, self.shown = 0, dashboards
        self.remarks: set[tuple[str, str]] = set()
        self.bar = Bar(
            TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TextColumn("{task.fields[now]}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self.all = self.bar.add_task("runs", total=self.total * 1.0, now="")
        self.one = self.bar.add_task("", total=None, now="")

    def __enter__(self) -> "Progress":
        self.bar.start()
        for arm in self.study.arms:  # all its seeds go on from one step
            if origin := next((origin for (own, _), origin in self.study.origins.items() if own == arm), None):
                self._print(f"{arm}: {seam(origin.how)}")
        return self

    def __exit__(self, *_: Any) -> None:
        self.bar.stop()

    def began(
        self, runs: Sequence[tuple[str, int]], steps: int, unit: str, per_step: int, least_s: float | None
    ) -> None:
        self.steps, self.unit, self.per_step, self.least_s, self.together = steps, unit, per_step, least_s, len(runs)
        told = f"{runs[0][0]}, seed {runs[0][1]}" if len(runs) == 1 else f"{len(runs)} together"
        self.bar.reset(self.one, total=steps, description=told)
        for arm in dict.fromkeys(arm for arm, _ in runs):
            for finding in self._lint(arm):
                if (finding.rule, finding.part) not in self.remarks:  # of several arms alike, the first
                    self.remarks.add((finding.rule, finding.part))
                    self._print(f"{arm}: {finding}")

    def step(self, step: int, losses: np.ndarray, rates: np.ndarray, per_s: float) -> None:
        best = int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))
        told = "loss" if len(losses) == 1 else "best loss"
        speed = f"{per_s * self.per_step:,.0f} {self.unit}/s" if per_s == per_s else "compiling"
        if per_s == per_s and self.least_s is not None:
            speed += f"  {100 * per_s * self.least_s:.1f} % MFU"
        self.bar.update(self.one, completed=step, now=f"{told} {losses[best]:.3f}  rate {rates[best]:.2e}  {speed}")
        self.bar.update(self.all, completed=self.done + self.together * step / self.steps)

    def ended(self, arm: str, seed: int, end: dict[str, Any]) -> None:
        self.done += 1
        self.bar.update(self.all, completed=self.done)
        if end["end"] == "diverged":
            why = "too many updates in a row were skipped" if "skipped" in end else "the loss is not finite"
            told = f"diverged at step {end['step'] - 1}: {why}; its records are kept"
        else:
            number = lambda value: "not finite" if value is None else f"{value:.4f}"
            told = "  ".join(f"{name} {number(value)}" for name, value in end["final"].items())
        if end["end"] == "stopped":
            told += f"  stopped after {end['step']} updates: {end['because']}"
        self._print(f"[{self.done}/{self.total}] {arm}, seed {seed}: {told}")

    def went_back(self, arm: str, seed: int, told: str) -> None:
        self.done -= 1
        self._print(f"{arm}, seed {seed}: {told}")

    def dashboards(self, run: Run, step: int) -> Sequence[Dashboard]:
        title, about = (
            f"{run.arm} seed {run.seed}".strip(),
            {"arm": run.arm, "seed": run.seed, **run.experiment.values()},
        )
        return [opened(name, run.folder, step, about, title, run.attempt) for name in self.shown]

    def remark(self, text: str) -> None:
        self._print(text)

    def _lint(self, arm: str) -> list[Finding]:
        if arm not in self.study.arms:
            return []
        try:
            return self.study.arms[arm].lint()
        except Refused:  # no reason not to run
            return []

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
