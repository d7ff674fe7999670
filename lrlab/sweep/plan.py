"""A sweep as a study whose arms are trials: planned from axes, trained as populations, read as basins."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from lrlab import study
from lrlab.experiment import Experiment
from lrlab.loop import Halving
from lrlab.override import override
from lrlab.parallel import Strategy, strategy
from lrlab.population import kind
from lrlab.record import rows, write_json
from lrlab.refusal import Refused, unknown
from lrlab.saving import Saves
from lrlab.schedule import Schedule, parse
from lrlab.schedule.combine import Scale
from lrlab.sweep.basin import Basin, basin, sensitivity
from lrlab.sweep.space import Axis, Range, draws, grid, told
from lrlab.verdict import CONFIDENCE

Search = Literal["grid", "random"]
PEAK = "schedule.peak"


@dataclass(frozen=True)
class Sweep:
    """Trials of one experiment, each an arm of a study."""

    study: study.Study
    axes: tuple[Axis, ...]
    trials: dict[str, dict[str, Any]]  # arm -> path -> value


def plan(
    bases: Experiment | Mapping[str, Experiment],
    vary: Mapping[str, Sequence[Any] | Range] | None = None,
    shapes: Sequence[str | Schedule] = (),
    seeds: int = study.SEEDS,
    search: Search = "grid",
    trials: int = 32,
    halve: int = 0,
    metric: str = "loss",
    name: str = "sweep",
    preset: str = "",
) -> Sweep:
    """The trials of a sweep.

    Args:
        bases: the experiment, or several by the names of their arms, an axis of their own.
        vary: path to the values, or the `Range`, that it takes; a word of the schedule stands for how long it lasts.
        shapes: schedules without their peak, another axis.
        seeds: runs of each trial.
        search: "grid" takes every combination, "random" draws `trials` of them.
        halve: rungs, spread evenly over the run, at which the half with the higher `metric` is stopped.
        name, preset: of the experiment, for the record.

    Raises `Refused` if nothing varies, or where a path varies what the program is made of rather than a number in it.

    >>> from lrlab import decay, optim
    >>> from lrlab.task.quadratic import Quadratic
    >>> base = Experiment(Quadratic(), 0.1 * decay(), optim.sgd(), steps=100, batch=2)
    >>> list(plan(base, {"schedule.peak": (0.1, 0.2)}, shapes=["stable()", "decay()"]).study.arms)
    ['000 shape=stable() schedule.peak=0.1', '001 shape=stable() schedule.peak=0.2', '002 shape=decay() schedule.peak=0.1', '003 shape=decay() schedule.peak=0.2']
    """
    bases = {"": bases} if isinstance(bases, Experiment) else bases
    axes = [Axis(path, takes if isinstance(takes, Range) else tuple(takes)) for path, takes in (vary or {}).items()]
    if not axes and len(shapes) < 2:
        raise Refused(
            "a sweep varies something; write --vary schedule.peak=geomspace(1e-4, 1e-1, 16), or --shapes with two or more"
        )
    combinations = list(grid(axes) if search == "grid" else draws(axes, trials))
    planned: dict[str, tuple[dict[str, Any], Experiment]] = {}
    for arm, base in bases.items():
        for shape in shapes or [None]:
            shaped = base if shape is None else _shaped(base, shape)
            about = ({"arm": arm} if len(bases) > 1 else {}) | ({} if shape is None else {"shape": str(shape)})
            for axis in axes:
                _check_leaf(shaped, axis.path, [combination[axis.path] for combination in combinations])
            for combination in combinations:
                differs = about | {path: _plain(value) for path, value in combination.items()}
                planned[f"{len(planned):03d} {told(differs)}"] = (differs, override(shaped, combination).resolve())
    arms = {label: experiment for label, (_, experiment) in planned.items()}
    return Sweep(
        study.Study(name, preset, None, arms, seeds, _halving(arms, halve, metric)),
        tuple(axes),
        {label: differs for label, (differs, _) in planned.items()},
    )


def run(
    sweep: Sweep,
    out: Path,
    strategy_of: Callable[[Experiment], Strategy] | None = None,
    watch: study.Watcher | None = None,
    block: int | None = None,
    metric: str = "loss",
    saves: Saves | None = None,
) -> dict[str, Any]:
    """Train what the folder does not hold yet and return what came out as JSON, which `sweep.json` keeps.

    By default one device trains them all, and each of several has its share of them.

    Raises `Refused` if the folder holds something else.
    """
    begun = time.perf_counter()
    compilations = study.train(sweep.study, out, strategy_of or _shared, watch or study.Watcher(), block, saves)
    about = {
        "experiment": sweep.study.name,
        "digest": sweep.study.digest,
        "preset": sweep.study.preset,
        "out": str(out),
        "metric": metric,
        "wall_s": time.perf_counter() - begun,
        "compilations": compilations,
    }
    result = about | _found(sweep, out, metric)
    write_json(out / "sweep.json", result)
    return result


def _shared(experiment: Experiment) -> Strategy:
    return strategy("members" if len(jax.devices()) > 1 else None, experiment.batch, experiment.accumulate)


def _halving(experiments: Mapping[str, Experiment], rungs: int, metric: str) -> Halving | None:
    """Rungs at the evaluations nearest to an even spread over the run."""
    if rungs == 0:
        return None
    run = next(iter(experiments.values())).plan
    looks = range(run.evaluate_every, run.steps, run.evaluate_every)
    if not 0 < rungs <= len(looks):
        raise Refused(
            f"--halve {rungs}: a run is evaluated {len(looks)} times before its end; write at most that, or evaluate more "
            "often with --set evaluate_every=..."
        )
    even = [(i + 1) * run.steps / (rungs + 1) for i in range(rungs)]
    return Halving(tuple(sorted({min(looks, key=lambda step: abs(step - at)) for at in even})), metric=metric)


def _found(sweep: Sweep, out: Path, metric: str) -> dict[str, Any]:
    ran = study.read_runs(sweep.study, out)
    some = next(iter(ran.values()))
    if metric not in some.final:
        raise unknown("metric", metric, some.final)
    members = [
        {
            "schedule": arm.schedule,
            "vary": sweep.trials[label],
            "seed": seed,
            "final": {name: values[i] for name, values in arm.final.items()},
            "diverged": arm.diverged[i],
            "stopped": arm.stopped[i],
        }
        for label, arm in ran.items()
        for i, seed in enumerate(arm.seeds)
    ]
    losses = {label: np.array(arm.final[metric]) for label, arm in ran.items()}
    lines = _lines(sweep, losses, {label: _initial(out, label, sweep.study.seeds) for label in ran})
    return {"members": members, "best": _best(sweep, losses, lines), "basins": lines}


def _best(sweep: Sweep, losses: Mapping[str, np.ndarray], lines: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The trial of lowest mean, with its bootstrap interval over seeds and the axes at whose edge it lies."""
    means = {label: values.mean() for label, values in losses.items() if np.isfinite(values).all()}
    if not means:
        return None
    label = min(means, key=means.__getitem__)
    vary, values = sweep.trials[label], losses[label]
    interval = basin([1.0], values[None])
    edges = [
        path
        for path, value in vary.items()
        if isinstance(value, int | float) and len(taken := _taken(sweep, path)) > 1 and value in (taken[0], taken[-1])
    ]
    line = next((one for one in lines if one["others"].items() <= vary.items()), None)
    return {
        "vary": vary,
        "metric": float(means[label]),
        "low": float(interval.low[0]),
        "high": float(interval.high[0]),
        "at_edge": bool(edges),
        "edges": edges,
        "optimum": None if line is None else {"path": line["path"], **line["optimum"]},
    }


def _lines(sweep: Sweep, losses: Mapping[str, np.ndarray], initial: Mapping[str, float]) -> list[dict[str, Any]]:
    """Basins along the axis of the peak, or else the first of numbers: one for each combination of all the others."""
    path = next((path for path in (PEAK, *next(iter(sweep.trials.values()))) if len(_taken(sweep, path)) > 1), None)
    if path is None:
        return []
    drawn = {axis.path for axis in sweep.axes if isinstance(axis.takes, Range)}  # never the same twice
    grouped: dict[tuple[Any, ...], list[str]] = {}
    for label, vary in sweep.trials.items():
        others = tuple(item for item in vary.items() if item[0] not in {path, *drawn})
        grouped.setdefault(others, []).append(label)
    lines = []
    for others, labels in grouped.items():
        labels = sorted(labels, key=lambda label: sweep.trials[label][path])
        values = [float(sweep.trials[label][path]) for label in labels]
        table = np.stack([losses[label] for label in labels])
        found: Basin = basin(values, table)
        lines.append({
            "path": path,
            "others": dict(others),
            "values": values,
            "mean": found.mean.tolist(),
            "low": found.low.tolist(),
            "high": found.high.tolist(),
            "best": found.best,
            "optimum": found.optimum._asdict(),
            "sensitivity": sensitivity(values, table.mean(1), float(np.nanmean([initial[label] for label in labels])))
            if len(values) > 1 and min(values) > 0
            else None,
            "confidence": CONFIDENCE,
        })  # fmt: skip
    return lines


def _taken(sweep: Sweep, path: str) -> list[float]:
    """The numbers that a path took, ascending."""
    taken = {vary.get(path) for vary in sweep.trials.values()}
    numbers = [value for value in taken if isinstance(value, int | float) and not isinstance(value, bool)]
    return sorted(numbers) if len(numbers) == len(taken) else []


def _initial(out: Path, label: str, seeds: int) -> float:
    """The training loss before the first update, mean over seeds."""
    first = [next(rows(study.folder(out, label, seed))) for seed in range(seeds)]
    return float(np.mean([np.nan if row["loss"] is None else row["loss"] for row in first]))


def _shaped(base: Experiment, shape: str | Schedule) -> Experiment:
    """The experiment with a schedule of another shape, and its own peak unless the shape brings one."""
    schedule = parse(shape) if isinstance(shape, str) else shape
    if not isinstance(schedule, Scale) and isinstance(base.schedule, Scale):
        schedule = base.schedule.peak * schedule
    return override(base, {"schedule": schedule})


def _check_leaf(base: Experiment, path: str, values: Sequence[Any]) -> None:
    """Refuse a path that changes the program."""
    experiments = [override(base, {path: value}).resolve() for value in dict.fromkeys(map(_hashable, values))]
    same = {(one.task, one.plan, kind(one.member(0))) for one in experiments}
    if len(same) > 1:
        raise Refused(
            f"--vary {path}: it changes the program and not a number in it, so its runs cannot share one; give each value "
            f"an arm of the experiment, or a sweep of its own with --set {path}=..."
        )


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """A value as JSON."""
    return value if isinstance(value, int | float | str | bool | None) else repr(value)
