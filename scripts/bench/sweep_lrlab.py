"""A sweep of lrlab: one program for all runs, with evaluations and a record of each."""

import itertools
import os
import tempfile
from pathlib import Path

from sweep_setting import COOLDOWN, TIMESCALE, WARMUP, WEIGHT_DECAY, Model, Trial

import lrlab as lr
from lrlab.cli import cache, cores
from lrlab.experiment import Experiment
from lrlab.sweep import plan, run

SHAPES = {
    "cosine": f"warmup('{WARMUP:.0%}') >> decay(curve=cosine)",
    "stable": f"warmup('{WARMUP:.0%}') >> stable() >> decay('{COOLDOWN:.0%}')",
    "rsqrt": f"warmup('{WARMUP:.0%}') >> rsqrt('{TIMESCALE:.0%}')",
    "decay": "decay()",
}


def _task(model: Model):
    if model.hidden:
        from lrlab.task.vision import Digits

        return Digits(hidden=model.hidden)
    from lrlab.task.language import Language

    its = model.transformer
    return Language(
        sequence=its.sequence, width=its.width, layers=its.layers, heads=its.heads, norm="layer", initializer="gpt2"
    )


def sweeper(model: Model):
    cores.split(runs=16)  # as the command does
    if os.environ["JAX_ENABLE_COMPILATION_CACHE"] == "1":
        cache.keep()
    task, places = _task(model), itertools.count()
    folder = tempfile.TemporaryDirectory()

    def sweep(trials: list[Trial]) -> list[float]:
        base = Experiment(task, 1.0 * lr.stable(), lr.optim.adamw(weight_decay=WEIGHT_DECAY), model.steps, model.batch)
        peaks = list(dict.fromkeys(trial.peak for trial in trials))
        shapes = [SHAPES[kind] for kind in dict.fromkeys(trial.kind for trial in trials)]
        result = run(plan(base, {"schedule.peak": peaks}, shapes, seeds=1), Path(folder.name) / str(next(places)))
        found = {(one["vary"]["shape"], one["vary"]["schedule.peak"]): one for one in result["members"]}
        return [found[SHAPES[trial.kind], trial.peak]["final"]["train_loss"] for trial in trials]

    return sweep
