"""A run that diverged goes back to its last good checkpoint and goes on from there at a lower rate, a few times at most."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from lrlab import checkpoint, runs
from lrlab.distributed import gathered
from lrlab.experiment import Experiment
from lrlab.optim import updates_done
from lrlab.origin import Origin, seam
from lrlab.parallel import Strategy
from lrlab.record import Record, read_json, write_json
from lrlab.refusal import Failed, Refused
from lrlab.runs import Run, Watcher
from lrlab.saving import Saves, Source
from lrlab.schedule import join, stable
from lrlab.task import parameters
from lrlab.train import first_state


@dataclass(frozen=True)
class Rollback:
    """What is done about a run that diverges.

    Args:
        factor: by which the rate of the rest of its schedule is multiplied, each time.
        times: how often a run goes back before it counts as diverged.
    """

    factor: float
    times: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise Refused(
                f"--rollback {self.factor:g}: the rate is multiplied by it, so write a share of one, such as 0.5"
            )

    def train(
        self,
        wanted: Sequence[Run],
        checkpoints: Path,
        strategy_of: Callable[[Experiment], Strategy],
        watch: Watcher,
        block: int | None = None,
        saves: Saves | None = None,
    ) -> int:
        """Train runs as `runs.train` does, each alone, and those that diverge again from their last good checkpoints.

        Alone, because a run that diverged ends its population, and nothing is saved over its checkpoints. Returns how many
        compilations it took.
        """
        compilations, left = 0, list(wanted)
        while left:
            going = [decided(run, checkpoints) for run in left]
            compilations += runs.train(going, checkpoints, strategy_of, watch, block, saves=saves, alone=True)
            gathered(0)  # the first process has written what all now read, and again below
            left = [run for run in left if _goes_back(run, checkpoints, strategy_of, watch, self)]
            gathered(0)
        return compilations


def lowered(experiment: Experiment, factor: float, update: int) -> Experiment:
    """The resolved experiment with its rates, those of groups too, multiplied by `factor` from an update on.

    >>> from lrlab import decay, optim, warmup
    >>> from lrlab.task.quadratic import Quadratic
    >>> base = Experiment(Quadratic(), 0.1 * warmup(10) >> decay(), optim.sgd(), steps=100, batch=2).resolve()
    >>> lowered(base, 0.5, 40).schedule
    (0.1 * warmup(10) >> decay(90)) * join(stable(40), 0.5 * stable(60))
    """
    gain = join(stable(update), factor * stable()) if update else factor * stable()
    groups = tuple(
        one if one.schedule is None else one.replace(schedule=one.schedule * gain) for one in experiment.groups
    )
    optimizer = experiment.optimizer.unbound()  # as it is read from its record: beside the rate that it now has
    return dataclasses.replace(
        experiment, schedule=experiment.schedule * gain, optimizer=optimizer, groups=groups
    ).resolve()


def rollbacks(folder: Path) -> list[dict[str, Any]]:
    """How the run of a folder went back, each time."""
    path = folder / "provenance.json"
    return read_json(path).get("rollbacks", []) if path.exists() else []


def decided(run: Run, checkpoints: Path) -> Run:
    """The run as its record has it: from the checkpoint that it last went back to, at the rates that were decided then."""
    return _attempts(run, checkpoints)[-1]


def _attempts(run: Run, checkpoints: Path) -> list[Run]:
    """The run as it was at first, and each time after it went back."""
    attempts = [run]
    for how in rollbacks(run.folder):
        before = attempts[how["attempt"]]
        folder = Path(how.get("trunk") or checkpoints / how["population"])
        steps = how.get("steps", run.experiment.length)
        origin = Origin(folder, how["step"], how["members"], steps, how["place"], how)
        experiment = lowered(before.experiment, how["factor"], how["update"])
        attempts.append(run._replace(experiment=experiment, origin=origin, attempt=len(attempts)))
    return attempts


def _goes_back(
    run: Run, checkpoints: Path, strategy_of: Callable[[Experiment], Strategy], watch: Watcher, rollback: Rollback
) -> bool:
    """Whether a run diverged and goes on from its last good checkpoint; that is then decided."""
    end, attempts = runs.end(run.folder), _attempts(run, checkpoints)
    told, went = f"{run.arm}, seed {run.seed}", len(attempts) - 1
    if end["end"] != "diverged":
        return False
    if went >= rollback.times:
        watch.remark(f"{told}: went back {went} times and does so no more; lower schedule.peak")
        return False
    how = _decision(attempts, checkpoints, strategy_of(run.experiment), end["step"] - 1, rollback.factor)
    if how is None:
        watch.remark(f"{told}: there is no good checkpoint to go back to; save more often with --save-every N")
        return False
    with Record(run.folder, how["step"]):
        pass  # what follows is set aside; after a crash here it comes again, and this decision with it
    path = run.folder / "provenance.json"
    write_json(path, {**read_json(path), "rollbacks": [*rollbacks(run.folder), how]})
    watch.went_back(run.arm, run.seed, seam(how))
    return True


def _decision(
    attempts: list[Run], checkpoints: Path, strategy: Strategy, diverged: int, factor: float
) -> dict[str, Any] | None:
    """What the provenance says of it, all that it takes to do it again; None where no good checkpoint is left."""
    for run, source in _lineage(attempts, checkpoints):
        update = _clock(run, source, strategy)
        if update is not None:
            rate = float(run.experiment.schedule(update))
            return {
                "how": f"--rollback {factor:g}",
                "diverged": diverged,
                "step": source.step,
                "rate_before": rate,
                "rate_after": factor * rate,
                "factor": factor,
                "update": update,  # the schedules' clock there, which skipped updates did not move
                "attempt": run.attempt,
                "population": source.folder.name,
                "members": source.members,
                "place": source.places[0],
                # the run went on from another's checkpoint, and goes back to that
                **({} if source.folder.parent == checkpoints else {"trunk": str(source.folder), "steps": source.steps}),
            }
    return None


def _lineage(attempts: list[Run], checkpoints: Path) -> list[tuple[Run, Source]]:
    """The checkpoints on the way to where a run is, with the run as it was there, the likeliest to be good first.

    Those of this attempt, the newest first; then, since none saved or none is good, those before it began; and at last the
    one at which it began, once more.
    """
    last = run = attempts[-1]
    held = [(run, source) for source in _held(run, checkpoints)]
    while run.attempt and run.origin:
        until = run.origin.step - (run is last)
        run = attempts[run.origin.how["attempt"]]
        held += [(run, source) for source in _held(run, checkpoints) if source.step <= until]
    if last.origin:
        held.append((last, Source(*last.origin[:4], (last.origin.place,))))
    return held


def _held(run: Run, checkpoints: Path) -> list[Source]:
    """The checkpoints of one attempt, the newest first."""
    held = [
        Source(folder, step, len(names), run.experiment.length, (names.index(run.name),))
        for folder, names in runs.saved(checkpoints)
        if run.name in names
        for step in checkpoint.steps(folder)
    ]
    return sorted(held, key=lambda source: -source.step)


def _clock(run: Run, source: Source, strategy: Strategy) -> int | None:
    """The updates that a checkpoint's schedules counted; None unless the run was going there and every number is finite."""
    one = jax.eval_shape(first_state, run.experiment.member(run.seed), parameters(run.experiment.task))
    tail = dataclasses.replace(run.experiment.plan, steps=source.steps).tail
    try:
        states, alive, _ = source.read(one, tail, run.experiment.task, strategy)
    except Failed:  # it is damaged
        return None
    numbers = [x for x in jax.tree.leaves((states.params, states.opt_state)) if jnp.issubdtype(x.dtype, jnp.inexact)]
    finite = all(bool(jnp.isfinite(x).all()) for x in numbers)
    return int(updates_done(states.opt_state)[0]) if finite and alive[0] else None
