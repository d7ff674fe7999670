"""A search that workers share: each asks a storage for trials, trains them as one population, and tells what they came to.

All workers run the same loop, so any of them may come late, leave, or be killed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lrlab import runs, study
from lrlab.experiment import Experiment
from lrlab.parallel import Strategy
from lrlab.refusal import Failed, Refused
from lrlab.saving import Saves
from lrlab.sweep.outcome import came_to
from lrlab.sweep.plan import Sweep, check_metric, conclude, shared
from lrlab.sweep.storage import LOST, RETRIES, Search, join, reason

if TYPE_CHECKING:
    import optuna

_WAIT = 1.0  # seconds between looks where all that is left runs elsewhere

Asked = Mapping[str, "optuna.Trial"]  # by the names of their arms


def begin(sweep: Sweep, out: Path, storage: str = "", prune: str = "") -> Search:
    """The search as its storage has it, and a folder for the records of what is trained here.

    Args:
        sweep: the plan, the same for all workers.
        out: the folder, which the workers of a machine share.
        storage: the URL of the database that all of them share; by default a file in the folder.
        prune: "median" or "hyperband" stops trials without promise at evaluations.

    Raises `Refused` where the storage cannot be opened, or the folder holds something else.
    """
    if sweep.study.halving:
        raise Refused("--halve compares the trials of one process; for a shared or adaptive search write --prune")
    study.claim(sweep.study, out)
    return join(sweep, storage or f"sqlite:///{out.resolve() / 'search.db'}", prune)


def run(
    search: Search,
    out: Path,
    strategy_of: Callable[[Experiment], Strategy] | None = None,
    watch: runs.Watcher | None = None,
    block: int | None = None,
    metric: str = "loss",
    saves: Saves | None = None,
    together: int | None = None,
) -> dict[str, Any]:
    """Work at a search until its trials are done, here or by others; what came out, as `sweep.run` has it.

    `together` trials are asked for at a time and trained as one population; by default up to eight, in four rounds or more.
    Raises `Failed` where the storage is lost, or some trial took its worker with it time and again.

    >>> import tempfile
    >>> from lrlab import decay, optim
    >>> from lrlab.sweep import Range, plan
    >>> from lrlab.task.quadratic import Quadratic
    >>> base = Experiment(Quadratic(), 0.1 * decay(), optim.sgd(), steps=100, batch=2)
    >>> peaks = plan(base, {"schedule.peak": Range(1e-3, 1, log=True)}, search="tpe", trials=12, seeds=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = run(begin(peaks, Path(folder)), Path(folder))
    >>> len(result["members"])
    12
    """
    begun, total = time.perf_counter(), search.sweep.total
    check_metric(search.sweep, metric, search.prunes)

    def train(wanted: list[runs.Run], pruning: Pruning | None) -> int:
        return runs.train(
            wanted, out / "checkpoints", strategy_of or shared, watch or runs.Watcher(), block, pruning, saves
        )

    try:
        compilations = _work(search, out, metric, together or min(8, -(-total // 4)), train)
        done = search.done()
    except LOST as error:
        raise Failed(f"the storage was lost ({reason(error)}); the same command goes on with the search") from None
    if len(done) < total:
        raise Failed(
            f"{total - len(done)} of {total} trials took {RETRIES + 1} workers with them, for want of memory perhaps; the "
            f"records of the others are in {out}"
        )
    return conclude(search.sweep, out, done, metric, time.perf_counter() - begun, compilations)


class Pruning:
    """Optuna's pruner, asked at every evaluation which trials of a population go on: by their means over seeds."""

    word = "--prune"

    def __init__(self, search: Search, asked: Asked, metric: str, arms: Sequence[str] = ()) -> None:
        self.search, self.asked, self.metric, self.arms = search, asked, metric, np.array(arms)

    def among(self, arms: Sequence[str]) -> "Pruning":
        """The same for a population whose members are of these arms."""
        return Pruning(self.search, self.asked, self.metric, arms)

    def __call__(self, step: int, alive: Any, losses: Any) -> np.ndarray:
        """Who of the population goes on, [members]."""
        alive, losses = np.array(alive), np.asarray(losses)
        going, losses = alive[: len(self.arms)], losses[: len(self.arms)]  # without those that fill a block
        members = {arm: (self.arms == arm) & going for arm in dict.fromkeys(self.arms[going])}
        for arm, own in members.items():
            self.search.report(self.asked[arm], step, float(losses[own].mean()))
        for arm, own in members.items():
            going[own] = not self.asked[arm].should_prune()
        return alive


def _work(
    search: Search,
    out: Path,
    metric: str,
    most: int,
    train: Callable[[list[runs.Run], Pruning | None], int],
) -> int:
    """Ask, train and tell until nothing is left to do, here or elsewhere; the number of compilations."""
    compilations = 0
    while True:
        asked = search.ask(most)
        if asked:
            with search.heard(asked.values()):
                arms = {arm: search.sweep.space.experiment(trial.params) for arm, trial in asked.items()}
                block = replace(search.sweep.study, arms=arms)
                compilations += train(
                    study.wanted(block, out), Pruning(search, asked, metric) if search.prunes else None
                )
                _tell(search, asked, block, out, metric)
        elif search.busy():
            time.sleep(_WAIT)
        else:
            return compilations


def _tell(search: Search, asked: Asked, block: study.Study, out: Path, metric: str) -> None:
    """Tell what the trials came to: their means over seeds, and of a divergence that its loss is infinite."""
    for arm, came in study.read_runs(block, out).items():
        mean = float(np.mean(came.final[metric]))
        search.tell(asked[arm], came_to({}, came), mean if np.isfinite(mean) else np.inf)
