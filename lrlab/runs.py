"""Runs of one kind are trained together, each with a folder of its own, and go on from where they were saved."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lrlab import loop
from lrlab.checkpoint import steps
from lrlab.dashboard import Dashboard
from lrlab.device import least_seconds
from lrlab.distributed import first
from lrlab.experiment import Experiment
from lrlab.loop import Pruner
from lrlab.origin import Origin
from lrlab.parallel import Program, Strategy, compiled
from lrlab.population import kind, narrowed, size
from lrlab.record import Record, last, provenance, read_json, write_json
from lrlab.refusal import Refused
from lrlab.saving import Saver, Saves, Source, asked_to_stop
from lrlab.task import Data


class Run(NamedTuple):
    """One run to be: an arm of a study, with a seed."""

    experiment: Experiment
    arm: str
    seed: int
    folder: Path
    origin: Origin | None = None
    attempt: int = 0  # how often it went back to a checkpoint, at another rate

    @property
    def name(self) -> list[Any]:
        """What names it within a study."""
        return [self.arm, self.seed, *([self.attempt] if self.attempt else [])]


class Watcher:
    """Is told what runs do; does nothing about it."""

    def began(
        self, runs: Sequence[tuple[str, int]], steps: int, unit: str, per_step: int, least_s: float | None
    ) -> None:
        """Runs, each an arm and a seed, begin together; one update consumes `per_step` of `unit` ("tok" or "ex").

        `least_s` is the time that it would take at the devices' peak, None where that is not known.
        """

    def step(self, step: int, losses: np.ndarray, rates: np.ndarray, per_s: float) -> None:
        """`step` updates of them are done; losses and rates are [runs], and `per_s` counts the updates of all."""

    def ended(self, arm: str, seed: int, end: dict[str, Any]) -> None:
        """A run ended, now or in an earlier session; `end` is the last row of its record."""

    def went_back(self, arm: str, seed: int, told: str) -> None:
        """A run that ended goes back to a checkpoint and will end again."""

    def dashboards(self, run: Run, step: int) -> Sequence[Dashboard]:
        """Where the rows of a run that goes on after `step` updates are shown; asked for before its record is opened."""
        return ()

    def remark(self, text: str) -> None:
        """Something else that a reader should know, such as where runs go on."""


def train(
    runs: Iterable[Run],
    checkpoints: Path,
    strategy_of: Callable[[Experiment], Strategy],
    watch: Watcher,
    block: int | None = None,
    pruner: Pruner | None = None,
    saves: Saves | None = None,
    alone: bool = False,
) -> int:
    """Train the runs whose folders do not hold them to their end, alike ones together.

    Args:
        runs: what is wanted.
        checkpoints: the folder of their checkpoints; a population that was saved there goes on.
        strategy_of: how the devices are shared.
        watch: is told of progress.
        block: members vmapped together; None leaves it to the device.
        pruner: decides which of them go on.
        saves: when to save.
        alone: whether each that was not saved with others is a population of its own.

    Returns how many compilations it took. Raises `Interrupted` if the process was asked to stop, `Refused` if a folder
    holds a run on other data.
    """
    pending = []
    for run in runs:
        if finished(run):
            watch.ended(run.arm, run.seed, end(run.folder))
        else:
            pending.append(run)
    kinds = defaultdict(list)
    for run in pending:
        experiment, origin = run.experiment, run.origin and run.origin[:4]
        kinds[origin, experiment.task, experiment.plan, strategy_of(experiment), kind(experiment.member(0))].append(run)
    programs: dict[Program, int] = {}
    with asked_to_stop() as asked:
        for (*_, strategy, _), alike in kinds.items():
            strategy = narrowed(strategy, alike[0].experiment.task, alike[0].experiment.member(0), len(alike))
            for together, fit in _populations(alike, checkpoints, strategy, block, alone, watch):
                population = _Population(together, strategy, fit, checkpoints)
                programs.setdefault(population.program, population.program.compilations)
                population.train(watch, pruner, saves or Saves(), asked)
    return sum(program.compilations - before for program, before in programs.items())


def finished(run: Run) -> bool:
    """Whether the folder holds this very run to its end, on the same data."""
    if not end(run.folder):
        return False
    data = read_json(run.folder / "provenance.json")["data"]
    if data != run.experiment.task.load().digest:
        raise Refused(f"{run.folder} was run on other data than there is now; choose another folder with --out")
    return True


def end(folder: Path) -> dict[str, Any]:
    """The last row of a run's record if the run came to its end, else nothing."""
    row = last(folder)
    return row if "end" in row else {}


def saved(checkpoints: Path) -> Iterator[tuple[Path, list[Any]]]:
    """The populations that a folder of checkpoints holds, each with the names of its runs."""
    for path in sorted(checkpoints.glob("*/population.json")):
        yield path.parent, read_json(path)["runs"]


def _populations(
    alike: list[Run], checkpoints: Path, strategy: Strategy, block: int | None, alone: bool, watch: Watcher
) -> Iterator[tuple[list[Run], int]]:
    """Populations of runs of one kind, and how many members at a time: those that were saved first, as they were."""
    left = {json.dumps(run.name): run for run in alike}
    one = alike[0].experiment
    fit = lambda count: size(one.task, one.member(0), count, one.batch, one.accumulate, strategy, block)
    for folder, runs in saved(checkpoints):
        names = [json.dumps(name) for name in runs]
        if all(name in left for name in names):
            yield [left.pop(name) for name in names], fit(len(names)).block
        elif steps(folder) and (some := sum(name in left for name in names)):
            watch.remark(
                f"{folder} holds checkpoints of {len(names)} runs together, of which {some} are to go on: they begin anew, "
                "as the others are not asked for"
            )
    rest = list(left.values())
    if rest:
        members, vmapped = fit(1 if alone else len(rest))
        for begin in range(0, len(rest), members):
            yield rest[begin : begin + members], vmapped


class _Population:
    """Runs that are trained together."""

    def __init__(self, runs: list[Run], strategy: Strategy, block: int, checkpoints: Path) -> None:
        self.runs, self.strategy, self.block = runs, strategy, block
        self.experiment = runs[0].experiment
        self.task, self.plan = self.experiment.task, self.experiment.plan
        names = json.dumps([run.name for run in runs])
        self.folder = checkpoints / hashlib.sha256(names.encode()).hexdigest()[:12]
        plan = self.plan
        self.program = compiled(strategy, self.task, plan.batch, plan.accumulate, plan.chunk, block)
        self.data = _placed(self.experiment, strategy)
        self.least_s = least_seconds(self.task.work, self.experiment.mean_batch, strategy.devices)

    def train(self, watch: Watcher, pruner: Pruner | None, saves: Saves, asked: Any) -> None:
        horizon, members = self.experiment.horizon, [run.experiment.member(run.seed) for run in self.runs]
        unit, per_step = (
            "tok" if horizon.sequence else "ex",
            round(self.experiment.mean_batch * (horizon.sequence or 1)),
        )
        about = {
            "runs": [run.name for run in self.runs],
            "digests": [run.experiment.digest for run in self.runs],
            "schedules": [repr(run.experiment.schedule) for run in self.runs],
            "data": self.data.digest,
        }
        if not (self.folder / "population.json").exists():
            write_json(self.folder / "population.json", about)
        with ExitStack() as stack:
            saver = stack.enter_context(Saver(self.folder, saves, about, asked))
            begun = loop.start(
                self.task, members, self.plan, self.data, self.strategy, self.block, saver, self._source()
            )
            for remark in [*saver.remarks, f"goes on after {begun.step} updates"] if begun.step else ():
                watch.remark(f"{self.runs[0].folder}: {remark}")
            self._write(begun.step)
            watch.began([(run.arm, run.seed) for run in self.runs], self.plan.steps, unit, per_step, self.least_s)
            records = [
                stack.enter_context(Record(run.folder, begun.step, watch.dashboards(run, begun.step)))
                for run in self.runs
            ]
            self._note_rollbacks(begun.step, records)
            ended = loop.run(
                self.task, members, self.plan, self.data, self.strategy, records, watch.step, self.block, pruner and pruner.among([run.arm for run in self.runs]), saver, begun
            )  # fmt: skip
        mfu = None if self.least_s is None else ended.per_s * self.least_s
        self._write(begun.step, wall_s=ended.wall_s, tokens_per_s=ended.per_s * per_step, mfu=mfu)
        for run in self.runs if first() else ():  # another process may look before the first has written
            watch.ended(run.arm, run.seed, end(run.folder))

    def _note_rollbacks(self, step: int, records: Sequence[Record]) -> None:
        """The row that precedes the first update after a run went back."""
        for run, record in zip(self.runs, records):
            if run.attempt and run.origin and run.origin.step == step:
                told = {name: run.origin.how[name] for name in ("diverged", "rate_before", "rate_after")}
                record.write([{"step": step, "rollback": told}])

    def _source(self) -> Source | None:
        origins = [run.origin for run in self.runs if run.origin is not None]
        return Source(*origins[0][:4], tuple(origin.place for origin in origins)) if origins else None

    def _write(self, resumed: int, **speed: float | None) -> None:
        """What each run is and where it comes from; the speed is known at its end."""
        origin = provenance(
            data=self.data.digest,
            strategy=str(self.strategy),
            together=len(self.runs),
            block=self.block,
            flops_per_step=self.experiment.flops_per_step,
        )
        for run in self.runs:
            if not speed:
                about = {"arm": run.arm, "seed": run.seed, "digest": run.experiment.digest, **run.experiment.values()}
                write_json(run.folder / "experiment.json", about)
            path = run.folder / "provenance.json"
            before = read_json(path) if path.exists() else {}
            begins = 0 if run.origin is None else run.origin.step
            seams = before.get("resumed", []) + [resumed] * (resumed > begins and not speed)
            kept = {name: before[name] for name in ("origin", "rollbacks") if name in before}
            own = {} if run.origin is None or run.attempt else {"origin": run.origin.how}
            about = {**origin, **kept, **own, "seed": run.seed, "resumed": seams}
            write_json(path, {**about, "wall_s": None, "tokens_per_s": None, **speed})


_on_device: dict[tuple[Any, Strategy], Data] = {}


def _placed(experiment: Experiment, strategy: Strategy) -> Data:
    """The task's data, read once and put on the devices once for all runs of a session."""
    key = (experiment.task, strategy)
    if key not in _on_device:
        data = experiment.task.load()
        _on_device[key] = data._replace(train=strategy.put(data.train), valid=strategy.put(data.valid))
    return _on_device[key]
