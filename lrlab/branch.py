"""A run may go on under another schedule: extended, changed from now on, or cooled down in many ways from one trunk."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lrlab import checkpoint, runs, study
from lrlab.experiment import Experiment
from lrlab.origin import Origin
from lrlab.override import from_values, override
from lrlab.parallel import Strategy
from lrlab.record import read_json, write_json
from lrlab.refusal import Refused
from lrlab.rollback import rollbacks
from lrlab.runs import Watcher
from lrlab.saving import Saves
from lrlab.schedule import Horizon, Schedule, parse
from lrlab.schedule.compat.piece import first


def branches(trunk: Path, at: Sequence[int], cooldowns: Sequence[str | Schedule]) -> study.Study:
    """A study whose arms cool a trunk down: from each checkpoint `at`, with each of the cooldowns.

    Args:
        trunk: a folder of `lrlab run`; its runs are continued, each seed from its own state.
        at: updates after which the trunk has checkpoints; the newest if empty.
        cooldowns: schedules that go on from the trunk's rate. A share, "20%", is of the branch's whole run.

    Raises `Refused` where there is no such checkpoint.
    """
    if not is_study(trunk):
        raise Refused(f"{trunk} is no folder of `lrlab run`; name the one that holds its experiment.json and runs")
    held = read_json(trunk / "experiment.json")
    if not cooldowns:
        raise Refused("a branch needs a cooldown; write --cooldown \"decay('20%', curve=sqrt)\"")
    arms: dict[str, Experiment] = {}
    origins: dict[tuple[str, int], Origin] = {}
    for arm, values in held["arms"].items():
        base, states = from_values(values), saved(trunk, arm)
        if not states:
            raise Refused(
                f"{trunk} has no checkpoints of {arm or 'its runs'}; run it with --save-at STEP, or --save-every N"
            )
        _of_one_schedule(trunk, arm, states)
        for step in at or [_newest(trunk, arm, states)]:
            for cooldown in cooldowns:
                label = " / ".join(filter(None, [arm if len(held["arms"]) > 1 else "", f"{step} + {cooldown}"]))
                arms[label] = cooled(base, step, cooldown)
                for seed in states:
                    origins[label, seed] = origin(trunk, arm, seed, step, base, arms[label], f"--branch {cooldown}")
    seeds = _seeds(trunk, origins)
    return study.Study(f"{held['experiment']}", held["preset"], None, arms, seeds, origins=origins)


def run(
    planned: study.Study,
    trunk: Path,
    out: Path,
    strategy_of: Callable[[Experiment], Strategy],
    watch: Watcher,
    block: int | None = None,
    saves: Saves | None = None,
) -> dict[str, Any]:
    """Train the branches and return how they ended, with what they cost, as JSON, which `branch.json` keeps."""
    study.train(planned, out, strategy_of, watch, block, saves)
    ran = study.read_runs(planned, out)
    members = [
        {
            "branch": label,
            "arm": planned.origins[label, seed].how["arm"],
            "at": planned.origins[label, seed].step,
            "steps": planned.arms[label].length,
            "cooldown": planned.origins[label, seed].how["how"].removeprefix("--branch "),
            "seed": seed,
            "schedule": arm.schedule,
            "final": {name: values[i] for name, values in arm.final.items()},
            "diverged": arm.diverged[i],
        }
        for label, arm in ran.items()
        for i, seed in enumerate(arm.seeds)
    ]
    result = {"trunk": str(trunk), "out": str(out), "members": members, "cost": _cost(members)}
    write_json(out / "branch.json", result)
    return result


def _newest(trunk: Path, arm: str, states: Mapping[int, Mapping[int, Any]]) -> int:
    """The newest step of which every seed of an arm has a checkpoint."""
    common = set.intersection(*map(set, states.values()))
    if not common:
        raise Refused(
            f"{trunk}: the seeds of {arm or 'its runs'} have no checkpoint of one step; run it with --save-at"
        )
    return max(common)


def _of_one_schedule(trunk: Path, arm: str, seeds: Iterable[int]) -> None:
    """Refuse runs that went back to a checkpoint at another rate."""
    for seed in seeds:
        if rollbacks(study.folder(trunk, arm, seed)):
            raise Refused(
                f"{trunk}: {arm}, seed {seed} went back to a checkpoint at a rate of its own, so nothing goes on from it; "
                "run its schedule, which its experiment.json holds, as an experiment"
            )


def _seeds(trunk: Path, origins: Mapping[tuple[str, int], Origin]) -> range:
    """The seeds that go on, the same of every arm."""
    seeds = [seed for _, seed in origins]
    every = range(min(seeds), max(seeds) + 1)
    for arm, seed in itertools.product(dict.fromkeys(arm for arm, _ in origins), every):
        if (arm, seed) not in origins:
            raise Refused(f"{trunk} has no checkpoint of {arm}, seed {seed}, and every arm goes on with the same seeds")
    return every


def _cost(members: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Updates of the trunk and its branches, for each cooldown, and of runs of their own for each length."""
    costs = []
    for cooldown in dict.fromkeys(member["cooldown"] for member in members):
        lengths = {member["at"]: member["steps"] for member in members if member["cooldown"] == cooldown}
        branched = max(lengths) + sum(steps - at for at, steps in lengths.items())
        separate = sum(lengths.values())
        costs.append(
            {"cooldown": cooldown, "branched": branched, "separate": separate, "saved": 1 - branched / separate}
        )
    return costs


def cooled(base: Experiment, step: int, cooldown: str | Schedule) -> Experiment:
    """The experiment, of `step` updates of its schedule and then the cooldown from there.

    >>> from lrlab import optim, stable, warmup
    >>> from lrlab.task.quadratic import Quadratic
    >>> base = Experiment(Quadratic(), 0.1 * warmup(10) >> stable(), optim.sgd(), steps=100, batch=2).resolve()
    >>> branch = cooled(base, 80, "decay('20%')")
    >>> branch.steps, branch.schedule
    (100, 0.1 * warmup(10) >> stable(70) >> decay(20))
    """
    schedule = parse(cooldown) if isinstance(cooldown, str) else cooldown
    steps = step + 1
    for _ in range(64):  # a share of the whole run, which the share makes longer
        lasts = schedule.resolve(Horizon(steps)).length if not schedule._claims() else None
        if lasts is None or lasts < 1:
            raise Refused(
                f"'{cooldown}' does not say how long it lasts; write decay('20%'), a share of the branch's run"
            )
        if step + lasts == steps:
            break
        steps = step + lasts
    whole = first(base.schedule, step) >> schedule.resolve(Horizon(steps))
    return override(base, {"schedule": whole, "steps": steps}).resolve()


def continued(
    old: study.Study, new: study.Study, out: Path, how: str, change: Callable[[Experiment, Experiment, int], Experiment]
) -> study.Study:
    """The runs of a folder, going on from their newest checkpoints as another study.

    Args:
        old: what the folder holds.
        new: arms of the same names.
        out: the folder.
        how: the decision, for the record.
        change: the experiment from the old one, the new one and the updates done.

    Raises `Refused` where there is nothing to go on from.
    """
    arms, origins = {}, {}
    for arm, experiment in new.arms.items():
        states = saved(out, arm)
        if arm not in old.arms or not states:
            raise Refused(f"{out} has no checkpoints of {arm}; there is nothing to go on from, so run it without {how}")
        _of_one_schedule(out, arm, states)
        step = _newest(out, arm, states)
        arms[arm] = change(old.arms[arm], experiment, step)
        for seed in states:
            origins[arm, seed] = origin(out, arm, seed, step, old.arms[arm], arms[arm], how)
    return study.Study(new.name, new.preset, new.module, arms, _seeds(out, origins), origins=origins)


def followed(old: Experiment, new: Experiment, step: int, schedule: str) -> Experiment:
    """The new experiment, whose schedule is the old one up to now and then another, from the rate where it is."""
    return override(new, {"schedule": first(old.schedule, step) >> parse(schedule)}).resolve()


def origin(trunk: Path, arm: str, seed: int, step: int, old: Experiment, new: Experiment, how: str) -> Origin:
    """Where a run begins that goes on from a run of `trunk`. Raises `Refused` if that has no checkpoint of `step`."""
    there = saved(trunk, arm).get(seed, {})
    if step not in there:
        kept = ", ".join(map(str, sorted(there))) or "none"
        raise Refused(f"{trunk} holds no checkpoint of {arm}, seed {seed}, after {step} updates; there are: {kept}")
    if step >= new.length:
        raise Refused(
            f"{arm}, seed {seed} has done {step} updates, and was to end after {new.length}; write more steps"
        )
    folder, place, members = there[step]
    if ended := checkpoint.about(folder, step)["notes"][place]["end"]:
        raise Refused(
            f"{trunk}: {arm}, seed {seed} had {ended} before update {step}, so nothing goes on from there; "
            "branch from an earlier checkpoint, with lrlab branch --at STEP"
        )
    told = {
        "folder": str(trunk),
        "arm": arm,
        "seed": seed,
        "step": step,
        "how": how,
        "rate_before": _rate(old, step),
        "rate_after": _rate(new, step),
    }
    return Origin(folder, step, members, old.length, place, told)


def saved(out: Path, arm: str) -> dict[int, dict[int, tuple[Path, int, int]]]:
    """Seed -> step -> the population's checkpoints, its place there and the number of members, of an arm of a folder."""
    found: dict[int, dict[int, tuple[Path, int, int]]] = {}
    for folder, names in runs.saved(out / "checkpoints"):
        for place, (name, seed, *_) in enumerate(names):
            if name == arm:
                for step in checkpoint.steps(folder):
                    found.setdefault(seed, {})[step] = (folder, place, len(names))
    return found


def differs(new: study.Study, out: Path) -> str | None:
    """What a folder holds beside what is asked for: the rates of both around the step of its newest checkpoint.

    None where it holds the same, or an experiment of another name or with a task that is not one of lrlab's.
    """
    if not is_study(out):
        return None
    about = read_json(out / "experiment.json")
    if about["digest"] == new.digest or about["experiment"] != new.name:
        return None
    try:
        old = held(out)
    except Refused:
        return None
    lines = [f"{out} holds another experiment ({old.name}, preset {old.preset}, {about['digest']})."]
    for arm in [arm for arm in new.arms if arm in old.arms and new.arms[arm].digest != old.arms[arm].digest][:1]:
        there, here = old.arms[arm], new.arms[arm]
        step = max((step for steps in saved(out, arm).values() for step in steps), default=0)
        far = there.length // 10
        steps = sorted(
            {t for t in (step - far, step - 1, step, step + 1, step + far) if 0 <= t < max(there.length, here.length)}
        )
        lines += [f"{'update':>10}  {'there':>12}  {'here':>12}   ({arm}; {there.schedule} | {here.schedule})"]
        lines += [f"{t:>10}  {_rate(there, t):>12.5g}  {_rate(here, t):>12.5g}" for t in steps]
    lines += [
        "Say how to go on: --extend steps=N (resolved again), --schedule S --from now (from the rate where it is),",
        "--branch C (cooled down); or choose another folder with --out.",
    ]
    return "\n".join(lines)


def held(out: Path, module: ModuleType | None = None) -> study.Study:
    """The study that a folder holds, from its own record."""
    about = read_json(out / "experiment.json")
    arms = {arm: from_values(values) for arm, values in about["arms"].items()}
    return study.Study(about["experiment"], about["preset"], module, arms, range(1))


def _rate(experiment: Experiment, step: int) -> float:
    return float(experiment.schedule(step))


def is_study(folder: Path) -> bool:
    """Whether a folder is one of `lrlab run`."""
    try:
        return "arms" in json.loads((folder / "experiment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
