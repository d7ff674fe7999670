"""A sweep as a study whose arms are trials: planned from axes, trained as populations, read as basins."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import jax

from lrlab import study
from lrlab.experiment import Experiment
from lrlab.loop import Halving
from lrlab.override import override
from lrlab.parallel import Strategy, strategy
from lrlab.population import kind
from lrlab.record import write_json
from lrlab.refusal import Refused, unknown
from lrlab.saving import Saves
from lrlab.schedule import Schedule, parse
from lrlab.schedule.combine import Scale
from lrlab.sweep.outcome import Trial, came_to, outcome
from lrlab.sweep.space import Axis, Range, draws, grid, told
from lrlab.task import parameters
from lrlab.train import first_state, make_look

Search = Literal["grid", "random", "tpe"]
SEARCHES: tuple[Search, ...] = get_args(Search)
PRUNERS = ("median", "hyperband")


@dataclass(frozen=True)
class Space:
    """Where trials come from: an arm, a shape and a value on each axis make one."""

    bases: Mapping[str, Experiment]
    shapes: tuple[str | Schedule, ...]
    axes: tuple[Axis, ...]

    @property
    def choices(self) -> dict[str, tuple[Any, ...] | Range]:
        """What a trial chooses from, by name, as JSON has it."""
        arms = {"arm": tuple(self.bases)} if len(self.bases) > 1 else {}
        shapes = {"shape": tuple(map(str, self.shapes))} if self.shapes else {}
        values = {path: takes if isinstance(takes, Range) else tuple(map(_plain, takes)) for path, takes in self.axes}
        return arms | shapes | values

    @property
    def drawn(self) -> dict[str, Range]:
        """The paths whose values come from ranges."""
        return {path: takes for path, takes in self.axes if isinstance(takes, Range)}

    @property
    def settings(self) -> list[dict[str, Any]]:
        """Every arm with every shape."""
        choices = self.choices
        return list(grid([Axis(name, choices[name]) for name in ("arm", "shape") if name in choices]))

    def experiment(self, trial: Mapping[str, Any]) -> Experiment:
        """The experiment of a trial, resolved; what it does not name is as in the base."""
        base = self.bases[trial.get("arm", next(iter(self.bases)))]
        shaped = _shaped(base, trial["shape"]) if "shape" in trial else base
        return override(shaped, {axis.path: trial[axis.path] for axis in self.axes if axis.path in trial}).resolve()


@dataclass(frozen=True)
class Sweep:
    """Trials of one experiment, each an arm of a study."""

    study: study.Study  # with an arm for each trial; for an adaptive search, for each setting that it begins from
    space: Space
    trials: dict[str, dict[str, Any]]  # arm -> name -> value; none where a search asks for them as it goes
    total: int


def plan(
    bases: Experiment | Mapping[str, Experiment],
    vary: Mapping[str, Sequence[Any] | Range] | None = None,
    shapes: Sequence[str | Schedule] = (),
    seeds: int | range = study.SEEDS,
    search: Search = "grid",
    trials: int = 32,
    halve: int = 0,
    metric: str = "loss",
    name: str = "sweep",
    preset: str = "",
    prune: str = "",
) -> Sweep:
    """The trials of a sweep.

    Args:
        bases: the experiment, or several by the names of their arms, an axis of their own.
        vary: path to the values, or the `Range`, that it takes; a word of the schedule stands for how long it lasts.
        shapes: schedules without their peak, another axis.
        seeds: runs of each trial: how many, or which.
        search: "grid" takes every combination, "random" draws `trials` of them, "tpe" asks for as many as it learns.
        halve: rungs, spread evenly over the run, at which the half with the higher `metric` is stopped.
        name, preset: of the experiment, for the record.
        prune: the pruner of a shared search, "median" or "hyperband"; with it, it is another sweep.

    Raises `Refused` if nothing varies, or where a path varies what the program is made of rather than a number in it.

    >>> from lrlab import decay, optim
    >>> from lrlab.task.quadratic import Quadratic
    >>> base = Experiment(Quadratic(), 0.1 * decay(), optim.sgd(), steps=100, batch=2)
    >>> list(plan(base, {"schedule.peak": (0.1, 0.2)}, shapes=["stable()", "decay()"]).study.arms)
    ['000 shape=stable() schedule.peak=0.1', '001 shape=stable() schedule.peak=0.2', '002 shape=decay() schedule.peak=0.1', '003 shape=decay() schedule.peak=0.2']
    """
    if search not in SEARCHES:
        raise unknown("search", search, SEARCHES)
    axes = tuple(
        Axis(path, takes if isinstance(takes, Range) else tuple(takes)) for path, takes in (vary or {}).items()
    )
    space = Space({"": bases} if isinstance(bases, Experiment) else bases, tuple(shapes), axes)
    if not axes and len(shapes) < 2:
        raise Refused(
            "a sweep varies something; write --vary schedule.peak=geomspace(1e-4, 1e-1, 16), or --shapes with two or more"
        )
    settings, varied = space.settings, [axis._replace(takes=space.choices[axis.path]) for axis in axes]
    if search == "tpe":
        combinations = [{}]
    else:
        combinations = list(grid(varied) if search == "grid" else draws(varied, trials))
    for setting in settings:
        for axis in varied:
            _check_leaf(space, setting, axis)
    listed = [setting | combination for setting in settings for combination in combinations]
    named = {f"{i:03d} {told(trial)}".strip(): trial for i, trial in enumerate(listed)}
    arms = {label: space.experiment(trial) for label, trial in named.items()}
    beside = f"{search} {varied} {metric}" * (search == "tpe") + f" {prune} {metric}" * bool(prune)
    planned = study.Study(name, preset, None, arms, study.which(seeds), _halving(arms, halve, metric), beside=beside)
    return Sweep(planned, space, *(({}, trials) if search == "tpe" else (named, len(named))))


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

    Raises `Refused` if the folder holds something else, or the runs do not measure `metric`.
    """
    begun = time.perf_counter()
    check_metric(sweep, metric, sweep.study.halving is not None)
    compilations = study.train(sweep.study, out, strategy_of or shared, watch or study.Watcher(), block, saves)
    ran = study.read_runs(sweep.study, out)
    trials = {label: came_to(sweep.trials[label], runs) for label, runs in ran.items()}
    return conclude(sweep, out, trials, metric, time.perf_counter() - begun, compilations)


def conclude(
    sweep: Sweep, out: Path, trials: Mapping[str, Trial], metric: str, wall_s: float, compilations: int
) -> dict[str, Any]:
    """What came out of its trials, as JSON, which `sweep.json` keeps."""
    about = {
        "experiment": sweep.study.name,
        "digest": sweep.study.digest,
        "preset": sweep.study.preset,
        "out": str(out),
        "metric": metric,
        "wall_s": wall_s,
        "compilations": compilations,
    }
    result = about | outcome(trials, sweep.space.drawn, metric)
    write_json(out / "sweep.json", result)
    return result


def check_metric(sweep: Sweep, metric: str, stops: bool) -> None:
    """Refuse a metric that the runs of a sweep do not measure, or not before their end where it `stops` trials."""
    if metric == "loss":  # which every task has
        return
    experiment = next(iter(sweep.study.arms.values()))
    task, member = experiment.task, experiment.member(0)
    data, state = task.load(), jax.eval_shape(first_state, member, parameters(task))
    look = make_look(task, data.held_out, 1, experiment.batch)
    measured = jax.eval_shape(look, state, member, data.valid, data.train)[1]
    if metric not in (known := [*measured, *([] if stops else ["train_loss"])]):
        raise unknown("metric", metric, known)


def shared(experiment: Experiment) -> Strategy:
    """On one device it trains all, and each of several has its share."""
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


def _shaped(base: Experiment, shape: str | Schedule) -> Experiment:
    """The experiment with a schedule of another shape, and its own peak unless the shape brings one."""
    schedule = parse(shape) if isinstance(shape, str) else shape
    if not isinstance(schedule, Scale) and isinstance(base.schedule, Scale):
        schedule = base.schedule.peak * schedule
    return override(base, {"schedule": schedule})


def _check_leaf(space: Space, setting: Mapping[str, Any], axis: Axis) -> None:
    """Refuse a path that changes the program."""
    values = (axis.takes.low, axis.takes.high) if isinstance(axis.takes, Range) else axis.takes
    experiments = [space.experiment({**setting, axis.path: value}) for value in dict.fromkeys(values)]
    same = {(one.task, one.plan, kind(one.member(0))) for one in experiments}
    if len(same) > 1:
        raise Refused(
            f"--vary {axis.path}: it changes the program and not a number in it, so its runs cannot share one; give each "
            f"value an arm of the experiment, or a sweep of its own with --set {axis.path}=..."
        )


def _plain(value: Any) -> Any:
    """A value as JSON."""
    return value if isinstance(value, int | float | str | bool | None) else repr(value)
