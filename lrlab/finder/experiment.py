"""A range test of an experiment, of all its parameters or of one group of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import numpy as np

from lrlab.experiment import Experiment
from lrlab.finder.result import Measure, RangeTest, found, spaced
from lrlab.finder.scan import Curves, of_task
from lrlab.optim import Group, Independent, Optimizer, RateFree, group, rest
from lrlab.parallel import strategy
from lrlab.population import size, stack
from lrlab.refusal import Failed, Refused, unknown
from lrlab.schedule import Schedule, table
from lrlab.schedule.time import LAST_STEP
from lrlab.study import which
from lrlab.train import Member

_TAKE_A_RATE = ("schedule_free_sgd", "schedule_free_adamw")  # of those that are otherwise free of it


def find(
    experiment: Experiment,
    seeds: int | range = 3,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    *,
    group: str | None = None,
    validate: bool = True,
) -> RangeTest:
    """The peak that a range test finds for an experiment, or for one group of its parameters.

    `range_test` says how. While the rate rises, every other schedule (of momentum, clipping, other groups) stands at what it
    is where the tested one peaks. The short runs play all schedules of the experiment, squeezed into `steps`
    updates, the tested one at another peak. Both take full batches and neither feedback nor early stopping.

    The losses of a group's test are the first one and by how much the others differ from those of a control, in which the
    group is frozen: the other groups bring the loss down by themselves.

    Args:
        experiment: with durations in any unit.
        seeds: how many or which, each with its own initial values and batches.
        low: the first rate.
        high: the last rate.
        steps: how many rates, one for each update.
        group: the pattern of the group whose rate is tested; one of the experiment's, or a new one where it has none.
        validate: whether there are short runs.

    Raises `Refused` for what does not fit together and for methods that find their rate themselves, and `Failed` if the
    loss never falls.
    """
    rates = spaced(low, high, steps)
    chosen = which(seeds)
    if isinstance(experiment.optimizer, RateFree) and experiment.optimizer.name not in _TAKE_A_RATE:
        raise Refused(
            f"{experiment.optimizer} finds its rate itself and the schedule only multiplies it; leave its peak at 1, or "
            "find a rate for an optimizer that takes one, --set 'optimizer=adamw()'"
        )
    experiment, tested = _with_group(experiment, group)
    clock = np.arange(steps) * experiment.length // steps
    task, batches = experiment.task, (experiment.batch, experiment.accumulate)
    level = _tested_schedule(experiment, tested)(clock)
    if not level.max() > 0:
        raise Refused(f"{experiment.schedule} is 0 all the time; a range test needs a schedule to scale")
    at_peak = np.full(steps, clock[np.argmax(level)])
    params = jax.tree.map(lambda *drawn: np.stack(drawn), *map(task.init, chosen))
    train = jax.device_put(task.load().train)
    like = _member(experiment, rates, tested, False, clock)
    block = size(task, like, len(chosen), *batches, strategy(None, *batches, jax.devices()[:1])).block
    curves = of_task(task, *batches, steps, block)

    def played(rates: np.ndarray, trial: bool, frozen: bool = False) -> Curves:
        member = _member(experiment, rates, tested, frozen, clock if trial else at_peak)
        members = stack([member.replace(seed=seed) for seed in chosen])
        return Curves(*map(np.asarray, curves(params, members, train)))

    measure = played if tested is None else _against_frozen(played, experiment.groups[tested], steps)
    return found(measure, rates, level / level.max() if validate else None)


def _against_frozen(played: Callable[..., Curves], tested: Group, steps: int) -> Measure:
    """Curves as they differ from those of the same run with the group frozen, which the others bring down by themselves."""

    @cache
    def control(trial: bool) -> Curves:
        curves = played(np.ones(steps), trial, frozen=True)
        if not np.isfinite(curves.losses).all():
            raise Failed(f"the others diverge by themselves while {tested} is frozen; lower schedule.peak")
        return curves

    def measure(rates: np.ndarray, trial: bool) -> Curves:
        frozen = control(trial)
        return Curves(*(curve - own + frozen.losses[:, :1] for curve, own in zip(played(rates, trial), frozen)))

    return measure


def _with_group(experiment: Experiment, pattern: str | None) -> tuple[Experiment, int | None]:
    """The resolved experiment, and the number of the group that is tested."""
    if pattern is None:
        return experiment.resolve(), None
    if not experiment.groups:
        experiment = replace(experiment, groups=(group(pattern), rest()))
    names = [one.name for one in experiment.groups]
    known = [i for i, one in enumerate(experiment.groups) if pattern in (one.pattern, one.name)]
    if not known:
        raise unknown("group", pattern, names)
    return experiment.resolve(), known[0]


def _tested_schedule(experiment: Experiment, tested: int | None) -> Schedule:
    own = None if tested is None else experiment.groups[tested].schedule
    return experiment.schedule if own is None else own


def _member(experiment: Experiment, rates: np.ndarray, tested: int | None, frozen: bool, at: np.ndarray) -> Member:
    """What the program is given: the tested rates, and all else as it is in the experiment at updates `at`, [steps]."""
    groups = [_at(one, at) for one in experiment.groups]
    schedule, optimizer = _at(experiment.schedule, at), _at(experiment.optimizer, at)
    if tested is None:
        schedule, optimizer = table(rates), _beside(optimizer, rates)
    else:
        groups[tested] = groups[tested].replace(schedule=table(rates), rate=1.0, **({"end": 0} if frozen else {}))
    return Member(
        schedule,
        optimizer,
        clip=_at(experiment.clip, at),
        groups=tuple(_spanned(one, at) for one in groups),
        restarts=tuple(np.searchsorted(at, experiment.restart)),
    )


def _at(tree: Any, at: np.ndarray) -> Any:
    """Every schedule in a tree as the table of its values at updates `at`."""
    is_schedule = lambda node: isinstance(node, Schedule)
    return jax.tree.map(lambda node: table(node(at)) if is_schedule(node) else node, tree, is_leaf=is_schedule)


def _beside(optimizer: Optimizer, rates: np.ndarray) -> Optimizer:
    """The optimizer, with an independent weight decay bound to the rates that are played."""
    bound = {
        name: value.replace(peak=float(rates.max())) if isinstance(value, Independent) else value
        for name, value in optimizer.hyperparameters.items()
    }
    return optimizer.replace(hyperparameters=bound)


def _spanned(one: Group, at: np.ndarray) -> Group:
    """The updates that move a group, of those at `at`."""
    begin, end = one.span(LAST_STEP)
    return one.replace(begin=int(np.searchsorted(at, begin)), end=int(np.searchsorted(at, end)))
