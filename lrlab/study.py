"""A study runs every arm of an experiment module over seeds into one folder, and asks the module for its verdict."""

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lrlab import distributed, runs
from lrlab.experiment import Experiment
from lrlab.lock import locked
from lrlab.loop import Halving
from lrlab.origin import Origin
from lrlab.override import override
from lrlab.parallel import Strategy
from lrlab.record import read_json, write_json
from lrlab.refusal import Refused, unknown
from lrlab.rollback import Rollback, decided, rollbacks
from lrlab.runs import Run, Watcher, end
from lrlab.saving import Saves
from lrlab.verdict import Claim, as_json, corrected

SEEDS = 3


@dataclass(frozen=True)
class Runs:
    """What the runs of one arm came to, one entry per seed."""

    schedule: str
    seeds: list[int]
    final: dict[str, list[float]]  # metric -> value after the last update; nan where the run diverged
    diverged: list[int | None]  # the update at which the loss stopped being finite
    stopped: list[int | None]  # updates done when early stopping ended the run
    folders: list[str]  # where their records lie
    # the update at which it diverged before it went back to a checkpoint
    rolled_back: list[int | None] = field(default_factory=list)


@dataclass(frozen=True)
class Study:
    """An experiment module with its preset and the user's changes applied: resolved experiments by arm."""

    name: str
    preset: str
    module: ModuleType | None  # None where there is no claim to judge
    arms: dict[str, Experiment]
    seeds: range
    halving: Halving | None = None
    origins: Mapping[tuple[str, int], Origin] = field(default_factory=dict)  # of the runs that do not begin at 0
    beside: str = ""  # what else makes it what it is, such as what chooses further arms

    def __post_init__(self) -> None:
        places: dict[str, str] = {}
        for arm in self.arms:
            if (other := places.setdefault(_slug(arm), arm)) != arm:
                raise Refused(
                    f"the arms '{other}' and '{arm}' would have one folder, {_slug(arm)}; name one of them otherwise"
                )

    @property
    def digest(self) -> str:
        """The identity of the study: that of its arms, or its name where it trains none, and what is beside them."""
        text = "\n".join(f"{arm} {experiment.digest}" for arm, experiment in sorted(self.arms.items())) or self.name
        text += "".join(f"\n{more}" for more in (self.halving, self.beside) if more)
        text += "".join(f"\n{run} {origin.step} {origin.how['how']}" for run, origin in sorted(self.origins.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def total(self) -> int:
        return len(self.arms) * len(self.seeds)


def prepare(
    module: ModuleType,
    name: str,
    preset: str = "cpu",
    arms: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
    seeds: int | range | None = None,
) -> Study:
    """The study that a command line asks for: base, then preset, then arm, then `changes`.

    Raises `Refused` for an unknown preset, arm or path, and where a schedule does not fit its run.
    """
    _known(module, preset)
    if module.BASE is None:
        if arms or changes or seeds is not None:
            raise Refused(f"{name} trains nothing: it has no arms, seeds or values to set; write lrlab run {name}")
        return Study(name, preset, module, {}, range(0))
    seeds = usual_seeds(module, preset, seeds)
    experiments = {
        arm: experiment.resolve()
        for arm, experiment in bases(module, preset, arms or arms_of(module, preset), changes).items()
    }
    for arm, experiment in experiments.items():
        if np.shape(experiment.schedule(0)):
            raise Refused(f"{arm}: {experiment.schedule} is several schedules in one; give each an arm of its own")
    return Study(name, preset, module, experiments, seeds)


def bases(
    module: ModuleType, preset: str, arms: Iterable[str] = (), changes: Mapping[str, Any] | None = None
) -> dict[str, Experiment]:
    """The module's arms named, or where none is its base as "", at a preset and with `changes`; not resolved yet."""
    if module.BASE is None:
        raise Refused("this experiment trains nothing: its verdict is computed; write lrlab run with its name")
    _known(module, preset)
    told = {path: value for path, value in module.PRESETS[preset].items() if path not in ("seeds", "arms")}
    base, there = override(module.BASE, told), arms_of(module, preset)
    named: dict[str, Mapping[str, Any]] = {"": {}} if not arms else {}
    for arm in arms:
        if arm not in there:
            raise unknown("arm", arm, there)
        named[arm] = there[arm]
    return {arm: override(override(base, own), changes or {}) for arm, own in named.items()}


def _known(module: ModuleType, preset: str) -> None:
    if preset not in module.PRESETS:
        raise unknown("preset", preset, module.PRESETS)


def arms_of(module: ModuleType, preset: str) -> Mapping[str, Mapping[str, Any]]:
    """The module's arms, by name: what they change at a preset that has its own is another.

    Raises `Refused` where these are not called the same, since the verdict knows the arms by name.
    """
    own = module.PRESETS.get(preset, {}).get("arms", module.ARMS)
    if own.keys() != module.ARMS.keys():
        raise Refused(
            f"the arms of preset {preset} are not called as the experiment's are: {', '.join(own)}; "
            f"name them {', '.join(module.ARMS)}"
        )
    return own


def usual_seeds(module: ModuleType, preset: str, seeds: int | range | None) -> range:
    """Which seeds, by default as many as the preset has; a number of them begins at 0."""
    return which(module.PRESETS.get(preset, {}).get("seeds", SEEDS) if seeds is None else seeds)


def which(seeds: int | range) -> range:
    """The seeds from 0 on, where only their number is given."""
    wanted = range(seeds) if isinstance(seeds, int) else seeds
    if not wanted or wanted[0] < 0:
        raise Refused(f"seeds {wanted.start}:{wanted.stop} are none; write how many, at least 1, or FIRST:END")
    return wanted


def run(
    study: Study,
    out: Path,
    strategy_of: Callable[[Experiment], Strategy],
    watch: Watcher,
    block: int | None = None,
    saves: Saves | None = None,
    rollback: Rollback | None = None,
) -> dict[str, Any]:
    """Train what the folder does not hold yet, write the verdict, and return it all as JSON; of several processes, the first.

    Runs that diverge are ended, or with `rollback` go back to a checkpoint at a lower rate.

    Raises `Refused` if the folder holds something else. Nothing in it is overwritten.
    """
    begun = time.perf_counter()
    train(study, out, strategy_of, watch, block, saves, rollback)
    if not distributed.first():
        return {}
    return conclude(study, out, begun)


def train(
    study: Study,
    out: Path,
    strategy_of: Callable[[Experiment], Strategy],
    watch: Watcher,
    block: int | None = None,
    saves: Saves | None = None,
    rollback: Rollback | None = None,
) -> int:
    """Train the runs that the folder does not hold yet; the number of compilations it took.

    Raises `Refused` if the folder holds something else, or another process works in it.
    """
    for experiment in study.arms.values():
        experiment.task.load()  # what cannot be read is refused before there is a folder
    longest = max((experiment.length for experiment in study.arms.values()), default=0)
    for at in () if saves is None else saves.at:
        if not 0 < at <= longest:
            raise Refused(f"--save-at {at}: there is no such update; the longest of these runs has {longest}")
    distributed.alike("experiment", study.digest)
    distributed.alike("corpus", " ".join(experiment.task.load().digest for experiment in study.arms.values()))
    if distributed.first():
        _check_folder(study, out)
    with locked(out):
        _claim_folder(study, out)
        distributed.alike("folder", str(out))
        every, checkpoints = wanted(study, out), out / "checkpoints"
        if rollback is not None:
            return rollback.train(every, checkpoints, strategy_of, watch, block, saves)
        going = [decided(run, checkpoints) for run in every]
        return runs.train(going, checkpoints, strategy_of, watch, block, study.halving, saves)


def wanted(study: Study, out: Path) -> list[Run]:
    """The runs of a study: every arm with every seed."""
    return [
        Run(experiment, arm, seed, folder(out, arm, seed), study.origins.get((arm, seed)))
        for arm, experiment in study.arms.items()
        for seed in study.seeds
    ]


def claim(study: Study, out: Path) -> None:
    """Make a folder this study's own, for several processes to train in. Raises `Refused` if it holds something else."""
    _check_folder(study, out)
    _claim_folder(study, out)


def conclude(study: Study, out: Path, begun: float) -> dict[str, Any]:
    """Read the folder's runs, ask the module for its verdict and write it beside them; `begun` is of `time.perf_counter`."""
    assert study.module is not None
    ran = read_runs(study, out)
    complete = set(ran) == set(study.module.ARMS) and (len(study.seeds) >= SEEDS or not ran)
    claims: Sequence[Claim] = corrected(study.module.verdict(ran)) if complete else ()
    speeds = [read_json(path)["tokens_per_s"] for path in sorted(out.glob("runs/*/*/provenance.json"))]
    result = {
        "experiment": study.name,
        "digest": study.digest,
        "preset": study.preset,
        "out": str(out),
        "wall_s": time.perf_counter() - begun,
        "tokens_per_s": float(np.median([speed for speed in speeds if speed is not None] or [np.nan])),
        "arms": {arm: vars(run) for arm, run in ran.items()},
        "claims": as_json(claims),
    }
    write_json(out / "verdict.json", result)
    return result


def read_runs(study: Study, out: Path) -> dict[str, Runs]:
    """What the folder holds of each arm. Every run has come to its end."""
    return {arm: _read(out, arm, experiment, study.seeds) for arm, experiment in study.arms.items()}


def told(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Runs]:
    """The runs of a verdict that was written as JSON."""
    numbers = lambda values: [float("nan") if value is None else value for value in values]
    return {
        arm: Runs(**{**run, "final": {name: numbers(values) for name, values in run["final"].items()}})
        for arm, run in arms.items()
    }


def folder(out: Path, arm: str, seed: int) -> Path:
    """Where the records of a run lie."""
    return out / "runs" / _slug(arm) / f"seed-{seed}"


def _check_folder(study: Study, out: Path) -> None:
    """Refuse a folder that is another's."""
    path = out / "experiment.json"
    if path.exists():
        held = read_json(path)
        if held.get("digest") != study.digest:
            raise Refused(
                f"{out} holds another experiment ({held.get('experiment')}, preset {held.get('preset')}, "
                f"{held.get('digest')}); choose another folder with --out"
            )
    elif out.exists() and (not out.is_dir() or any(held.name != "lock" for held in out.iterdir())):
        raise Refused(f"{out} holds files that are not of an experiment; choose another folder with --out")


def _claim_folder(study: Study, out: Path) -> None:
    """Make the folder this study's own."""
    path = out / "experiment.json"
    if not path.exists():
        file = getattr(study.module, "__file__", None)
        about = {"experiment": study.name, "preset": study.preset, "digest": study.digest, "file": file}
        write_json(path, {**about, "arms": {arm: experiment.values() for arm, experiment in study.arms.items()}})


def _read(out: Path, arm: str, experiment: Experiment, seeds: range) -> Runs:
    folders = [folder(out, arm, seed) for seed in seeds]
    ends = list(map(end, folders))
    metrics = ends[0]["final"]
    return Runs(
        repr(experiment.schedule),
        list(seeds),
        {
            name: [float("nan") if end["final"][name] is None else end["final"][name] for end in ends]
            for name in metrics
        },
        [end["step"] - 1 if end["end"] == "diverged" else None for end in ends],
        [end["step"] if end["end"] == "stopped" else None for end in ends],
        list(map(str, folders)),
        [back[-1]["diverged"] if (back := rollbacks(path)) else None for path in folders],
    )


def _slug(arm: str) -> str:
    """An arm's name as that of a folder; a share is not the number that it is written with."""
    return re.sub(r"[^a-z0-9.]+", "-", arm.lower().replace("%", "pct")).strip("-.")[:80]
