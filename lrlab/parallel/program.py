"""The programs of a population: the chunk that trains it, and the look at held-out data, compiled once for each kind."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np

from lrlab.parallel.strategy import Strategy
from lrlab.task import Task
from lrlab.train import make_chunk, make_look, make_step, over_members, while_alive

_MAPPED = "data"  # pmap's axis
_EVALUATE = 64  # held-out examples at a time


@dataclass(eq=False)
class Program:
    """A compiled function that knows how often it was compiled."""

    call: Callable[..., Any]
    compilations: int = 0

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)


@cache
def compiled(strategy: Strategy, task: Task, batch: int, accumulate: int, length: int, block: int) -> Program:
    """`chunk(states, members, alive, train, count) -> (states, metrics)`, `count` steps of at most `length`.

    Arrays of `states`, `members`, `alive` and `metrics` are [members, ...]; `states` is donated. One program serves all
    members of one kind, for as long as the process lives.
    """
    mapped = strategy.name == "pmap"
    step = make_step(task, batch, accumulate, _MAPPED if mapped else None, strategy.gathering(task))
    rows = np.arange(batch, dtype=np.int32)

    def population(*arguments):
        program.compilations += 1  # runs while it is traced, which is once for each compilation
        return over_members(make_chunk(while_alive(step), length), block)(*arguments)

    if mapped:
        axes = (None, None, None, None, 0, None)
        run = jax.pmap(population, _MAPPED, in_axes=axes, out_axes=None, donate_argnums=0, devices=strategy.devices)
        rows = rows.reshape(len(strategy.devices), -1)
    else:
        run = strategy.spread(population, task, shared=3)
    rows = strategy.rows(rows)
    program = Program(lambda states, members, alive, train, count: run(states, members, alive, train, rows, count))
    return program


@cache
def looking(strategy: Strategy, task: Task, held_out: int, batch: int, block: int) -> Callable[..., Any]:
    """`look(states, members, alive, valid, train) -> (states, metrics)`: metrics [members], and watchers told of them."""
    look = while_alive(make_look(task, held_out, min(_EVALUATE, held_out), batch, strategy.gathering(task)))
    return strategy.spread(over_members(look, block), task, shared=2)
