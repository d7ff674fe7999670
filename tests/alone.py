"""A run alone, as a population of one whose axis is left out."""

import jax
import numpy as np

from lrlab import loop, parallel, record, train
from lrlab.population import stack


def begin(task, member):
    """The state of one member before its first update."""
    members = stack([member])
    return first(train.first_states(members, train.first_params(task, members)))


def compiled(strategy, task, batch, accumulate, length):
    """`chunk(state, member, train) -> (state, metrics)` for one member."""
    program = parallel.compiled(strategy, task, batch, accumulate, length, 1)

    def chunk(state, member, train):
        state = strategy.deal(jax.tree.map(lambda x: x[None], state))
        return first(program(state, strategy.deal(stack([member])), np.ones(1, bool), train, np.int32(length)))

    return chunk


def run(experiment, folder, devices=1, watch=lambda *now: None):
    """How one run of an experiment ended, its last state and the rows of its record."""
    experiment = experiment.resolve()
    chosen = parallel.strategy(None, experiment.batch, experiment.accumulate, jax.devices()[:devices])
    data = experiment.task.load()
    data = data._replace(train=chosen.put(data.train), valid=chosen.put(data.valid))
    with record.Record(folder) as kept:
        ended = loop.run(experiment.task, [experiment.member(0)], experiment.plan, data, chosen, [kept], watch)
    return ended.outcomes[0], first(ended.states), list(record.rows(folder))


def first(tree, place=0):
    """The first member of a population, or that at a place."""
    return jax.tree.map(lambda x: x[place], tree)
