"""The programs of a population: the chunk that trains it, and the look at held-out data, compiled once for each kind."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import numpy as np

from lrlab.parallel.strategy import Strategy
from lrlab.task import Task
from lrlab.train import Member, TrainState, if_alive, living_chunk, make_look, make_step, over_members

_MAPPED = "data"  # pmap's axis
_EVALUATE = 64  # held-out examples at a time
_compilers = ThreadPoolExecutor(2, "compile")


class Program:
    """A function of a population that is compiled once for each kind of it, beside other work where that can be foreseen."""

    def __init__(self, run: Any, *rows: Any) -> None:
        """`run` is jitted or pmapped, and takes `rows`, where there are any, after the data."""
        self.run, self.rows = run, rows
        self.compilations = 0
        self._compiling: Future[Any] | None = None

    def __call__(self, states: TrainState, members: Member, alive: Any, data: Any, *more: Any) -> Any:
        """What the function makes of its arguments; it is compiled first, where it was not."""
        if self._compiling is not None:
            self._compiling, compiling = None, self._compiling
            compiling.result()
        return self.run(states, members, alive, data, *self.rows, *more)

    def foresee(self, states: TrainState, members: Member, alive: Any, data: Any, *more: Any) -> Any:
        """Compile for these arguments in a thread, which the next call waits for; the shapes of what it will return.

        Several processes leave it to the call: pmap cannot tell there where a shape would lie.
        """
        if jax.process_count() > 1:
            return jax.eval_shape(self.run, states, members, alive, data, *self.rows, *more)
        traced = self.run.lower(states, members, alive, data, *self.rows, *more)
        self._compiling = _compilers.submit(traced.compile)  # JAX keeps what it makes, and finds it at the call
        return traced.out_info


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
        return over_members(living_chunk(step, length, block), block)(*arguments)

    if mapped:
        axes = (None, None, None, None, 0, None)
        run = jax.pmap(population, _MAPPED, in_axes=axes, out_axes=None, donate_argnums=0, devices=strategy.devices)
        rows = rows.reshape(len(strategy.devices), -1)
    else:
        run = strategy.spread(population, task, shared=3)
    program = Program(run, strategy.rows(rows))
    return program


@cache
def looking(strategy: Strategy, task: Task, held_out: int, batch: int, block: int) -> Program:
    """`look(states, members, alive, valid, train) -> (states, metrics)`: metrics [members], and watchers told of them."""
    parts = strategy.parts
    at_once = -(-min(_EVALUATE, held_out) // parts) * parts
    look = if_alive(make_look(task, held_out, at_once, batch, strategy.gathering(task), strategy.share))
    return Program(strategy.spread(over_members(look, block), task, shared=2))
