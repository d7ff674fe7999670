"""A study runs every arm of an experiment module over seeds into one folder, and asks the module for its verdict."""

import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from lrlab import loop
from lrlab.device import least_seconds
from lrlab.experiment import Experiment
from lrlab.loop import Halving
from lrlab.override import override
from lrlab.parallel import Strategy, compiled
from lrlab.population import kind, size
from lrlab.record import Record, provenance, read_json, rows, write_json
from lrlab.refusal import Refused, unknown
from lrlab.task import Data
from lrlab.train import Member
from lrlab.verdict import Claim, as_json

SEEDS = 3


@dataclass(frozen=True)
class Runs:
    """What the runs of one arm came to, one entry per seed."""

    schedule: str
    seeds: list[int]
    final: dict[str, list[float]]  # metric -> value after the last update; nan where the run diverged
    diverged: list[int | None]  # the update at which the loss stopped being finite
    stopped: list[int | None]  # updates done when early stopping ended the run


@dataclass(frozen=True)
class Study:
    """An experiment module with its preset and the user's changes applied: resolved experiments by arm."""

    name: str
    preset: str
    module: ModuleType | None  # None where there is no claim to judge
    arms: dict[str, Experiment]
    seeds: int
    halving: Halving | None = None

    @property
    def digest(self) -> str:
        """The identity of the study: that of its arms."""
        text = "\n".join(f"{arm} {experiment.digest}" for arm, experiment in sorted(self.arms.items()))
        text += f"\n{self.halving}" if self.halving else ""
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def total(self) -> int:
        return len(self.arms) * self.seeds


def prepare(
    module: ModuleType,
    name: str,
    preset: str = "cpu",
    arms: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
    seeds: int | None = None,
) -> Study:
    """The study that a command line asks for: base, then preset, then arm, then `changes`.

    Raises `Refused` for an unknown preset, arm or path, and where a schedule does not fit its run.
    """
    seeds = usual_seeds(module, preset, seeds)
    experiments = {
        arm: experiment.resolve() for arm, experiment in bases(module, preset, arms or module.ARMS, changes).items()
    }
    for arm, experiment in experiments.items():
        if np.shape(experiment.schedule(0)):
            raise Refused(f"{arm}: {experiment.schedule} is several schedules in one; give each an arm of its own")
    return Study(name, preset, module, experiments, seeds)


def bases(
    module: ModuleType, preset: str, arms: Iterable[str] = (), changes: Mapping[str, Any] | None = None
) -> dict[str, Experiment]:
    """The module's arms named, or where none is its base as "", at a preset and with `changes`; not resolved yet."""
    if preset not in module.PRESETS:
        raise unknown("preset", preset, module.PRESETS)
    base = override(module.BASE, {path: value for path, value in module.PRESETS[preset].items() if path != "seeds"})
    named = {"": {}} if not arms else {}
    for arm in arms:
        if arm not in module.ARMS:
            raise unknown("arm", arm, module.ARMS)
        named[arm] = module.ARMS[arm]
    return {arm: override(override(base, own), changes or {}) for arm, own in named.items()}


def usual_seeds(module: ModuleType, preset: str, seeds: int | None) -> int:
    """How many seeds, by default the preset's."""
    count: int = module.PRESETS.get(preset, {}).get("seeds", SEEDS) if seeds is None else seeds
    if count < 1:
        raise Refused(f"--seeds {count}: the number of seeds is at least 1")
    return count


def run(
    study: Study,
    out: Path,
    strategy_of: Callable[[Experiment], Strategy],
    watch: "Watcher",
    block: int | None = None,
) -> dict[str, Any]:
    """Train what the folder does not hold yet, write the verdict, and return it all as JSON.

    Raises `Refused` if the folder holds something else. Nothing in it is overwritten.
    """
    begun = time.perf_counter()
    train(study, out, strategy_of, watch, block)
    return conclude(study, out, time.perf_counter() - begun)


def train(
    study: Study,
    out: Path,
    strategy_of: Callable[[Experiment], Strategy],
    watch: "Watcher",
    block: int | None = None,
) -> int:
    """Train the runs that the folder does not hold yet, alike ones together; the number of compilations it took."""
    for experiment in study.arms.values():
        experiment.task.load()  # what cannot be read is refused before there is a folder
    _claim_folder(study, out)
    kinds = defaultdict(list)
    for arm, experiment in study.arms.items():
        strategy = strategy_of(experiment)
        for seed in range(study.seeds):
            one = _Run(experiment, arm, seed, folder(out, arm, seed), experiment.member(seed))
            if _finished(one.folder, experiment):
                watch.ended(arm, seed, _end(one.folder))
            else:
                kinds[experiment.task, experiment.plan, strategy, kind(one.member)].append(one)
    return sum(_train(alike, strategy, watch, block, study.halving) for (_, _, strategy, _), alike in kinds.items())


def conclude(study: Study, out: Path, wall_s: float) -> dict[str, Any]:
    """Read the folder's runs, ask the module for its verdict and write it beside them."""
    assert study.module is not None
    runs = read_runs(study, out)
    complete = set(runs) == set(study.module.ARMS) and study.seeds >= SEEDS
    claims: Sequence[Claim] = study.module.verdict(runs) if complete else ()
    speeds = [read_json(path)["tokens_per_s"] for path in sorted(out.glob("runs/*/*/provenance.json"))]
    result = {
        "experiment": study.name,
        "digest": study.digest,
        "preset": study.preset,
        "out": str(out),
        "wall_s": wall_s,
        "tokens_per_s": float(np.median([speed for speed in speeds if speed is not None] or [np.nan])),
        "arms": {arm: vars(run) for arm, run in runs.items()},
        "claims": as_json(claims),
    }
    write_json(out / "verdict.json", result)
    return result


def read_runs(study: Study, out: Path) -> dict[str, Runs]:
    """What the folder holds of each arm. Every run has come to its end."""
    return {arm: _read(out, arm, experiment, study.seeds) for arm, experiment in study.arms.items()}


def folder(out: Path, arm: str, seed: int) -> Path:
    """Where the records of a run lie."""
    return out / "runs" / _slug(arm) / f"seed-{seed}"


class Watcher:
    """Is told what a study does; does nothing about it."""

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


class _Run(NamedTuple):
    experiment: Experiment
    arm: str
    seed: int
    folder: Path
    member: Member


def _train(runs: list[_Run], strategy: Strategy, watch: Watcher, block: int | None, halving: Halving | None) -> int:
    """Train runs of one kind, as many at a time as fit; the number of compilations it took."""
    experiment = runs[0].experiment
    task, plan, horizon = experiment.task, experiment.plan, experiment.horizon
    unit, per_step = ("tok" if horizon.sequence else "ex", round(experiment.mean_batch * (horizon.sequence or 1)))
    data = _placed(experiment, strategy)
    fit = size(task, runs[0].member, len(runs), plan.batch, plan.accumulate, strategy, block)
    program = compiled(strategy, task, plan.batch, plan.accumulate, plan.chunk, fit.block)
    before = program.compilations
    work, least_s = task.work, least_seconds(task.work, experiment.mean_batch, strategy.devices)
    flops = None if work is None else work.flops * experiment.mean_batch
    origin = provenance(
        data=data.digest, strategy=f"{strategy.name} on {len(strategy.devices)}", block=fit.block, flops_per_step=flops
    )
    for first in range(0, len(runs), fit.members):
        together = runs[first : first + fit.members]
        for run in together:
            about = {"arm": run.arm, "seed": run.seed, "digest": run.experiment.digest, **run.experiment.values()}
            write_json(run.folder / "experiment.json", about)
            write_json(
                run.folder / "provenance.json", {**origin, "seed": run.seed, "wall_s": None, "tokens_per_s": None}
            )
        watch.began([(run.arm, run.seed) for run in together], plan.steps, unit, per_step, least_s)
        with ExitStack() as stack:
            records = [stack.enter_context(Record(run.folder)) for run in together]
            members = [run.member for run in together]
            ended = loop.run(task, members, plan, data, strategy, records, watch.step, fit.block, halving)
        speed = {"wall_s": ended.wall_s, "tokens_per_s": ended.per_s * per_step, "together": len(together)}
        speed["mfu"] = None if least_s is None else ended.per_s * least_s
        for run in together:
            write_json(run.folder / "provenance.json", {**origin, "seed": run.seed, **speed})
            watch.ended(run.arm, run.seed, _end(run.folder))
    return program.compilations - before


_on_device: dict[tuple[Any, Strategy], Data] = {}


def _placed(experiment: Experiment, strategy: Strategy) -> Data:
    """The task's data, read once and put on the devices once for all runs of a session."""
    key = (experiment.task, strategy)
    if key not in _on_device:
        data = experiment.task.load()
        _on_device[key] = data._replace(train=strategy.put(data.train), valid=strategy.put(data.valid))
    return _on_device[key]


def _claim_folder(study: Study, out: Path) -> None:
    """Make the folder this study's own, or find that it already is."""
    about = {"experiment": study.name, "preset": study.preset, "digest": study.digest}
    path = out / "experiment.json"
    if path.exists():
        held = read_json(path)
        if held.get("digest") != study.digest:
            raise Refused(
                f"{out} holds another experiment ({held.get('experiment')}, preset {held.get('preset')}, "
                f"{held.get('digest')}); choose another folder with --out"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Refused(f"{out} holds files that are not of an experiment; choose another folder with --out")
    write_json(path, {**about, "arms": {arm: experiment.values() for arm, experiment in study.arms.items()}})


def _finished(folder: Path, experiment: Experiment) -> bool:
    """Whether the folder holds this very run to its end, on the same data."""
    if not _end(folder):
        return False
    data = read_json(folder / "provenance.json")["data"]
    if data != experiment.task.load().digest:
        raise Refused(f"{folder} was run on other data than there is now; choose another folder with --out")
    return True


def _end(folder: Path) -> dict[str, Any]:
    """The last row of a run's record if the run came to its end, else nothing."""
    last = ([{}, *rows(folder)])[-1]
    return last if "end" in last else {}


def _read(out: Path, arm: str, experiment: Experiment, seeds: int) -> Runs:
    ends = [_end(folder(out, arm, seed)) for seed in range(seeds)]
    metrics = ends[0]["final"]
    return Runs(
        repr(experiment.schedule),
        list(range(seeds)),
        {
            name: [float("nan") if end["final"][name] is None else end["final"][name] for end in ends]
            for name in metrics
        },
        [end["step"] - 1 if end["end"] == "diverged" else None for end in ends],
        [end["step"] if end["end"] == "stopped" else None for end in ends],
    )


def _slug(arm: str) -> str:
    """An arm's name as that of a folder."""
    return re.sub(r"[^a-z0-9.]+", "-", arm.lower()).strip("-.")[:80]
