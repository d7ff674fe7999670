"""A coordinate check tells a right parametrization: how far activations move in a few updates does not depend on the width."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.experiment import Experiment
from lrlab.refusal import Refused
from lrlab.task import Params, Task
from lrlab.train import first_state, make_step


class Layered(Task, Protocol):
    """A task whose model can be looked into."""

    def activations(self, params: Params, batch: Any) -> dict[str, jax.Array]:
        """What the layers give for a batch, by name; their last axis is the width, or the outputs."""
        ...


class Coordinates(NamedTuple):
    """How far the coordinates of activations have moved from where they were at the start."""

    widths: np.ndarray  # [widths], ascending
    moved: dict[str, np.ndarray]  # of each layer: root mean square, [updates, widths]

    @property
    def slopes(self) -> dict[str, float]:
        """Of each layer, the power of the width that the last update's movement follows: near 0, or the layer blows up
        (above) or stands still (below) as the width grows.
        """
        x = np.log(self.widths)
        return {name: float(np.polynomial.polynomial.polyfit(x, np.log(y[-1]), 1)[1]) for name, y in self.moved.items()}


def coordinate_check(widths: Mapping[int, Experiment], updates: int = 4, seed: int = 0) -> Coordinates:
    """The movement of activations on a held-out batch over the first `updates`, by width.

    Args:
        widths: the same experiment at each width, two or more, its rate not zero; its task has `activations`.
        updates: how many; the paper takes four.
        seed: of parameters and batches.

    Reference: Yang et al. 2022, Tensor Programs V, arXiv:2203.03466, section 8 and appendix D.1.

    >>> from lrlab import optim, stable
    >>> from lrlab.task.language import Language
    >>> at = lambda width: Experiment(
    ...     Language(width=width, layers=1, mup_base=16), 8e-3 * stable(), optim.adam(), steps=4, batch=8,
    ...     groups=optim.mup(width, 16, matrices="layers.*kernel"),
    ... )
    >>> check = coordinate_check({width: at(width) for width in (16, 64)})
    >>> sorted(check.slopes), abs(check.slopes["layers.0"]) < 0.2
    (['embedding', 'layers.0', 'logits'], True)
    """
    if len(widths) < 2:
        raise Refused(f"a coordinate check of {len(widths)} widths shows no trend; give the experiment at two or more")
    ascending = sorted(widths)
    each = [_movement(widths[width], updates, seed) for width in ascending]
    return Coordinates(np.array(ascending), {name: np.stack([one[name] for one in each], -1) for name in each[0]})


def _movement(experiment: Experiment, updates: int, seed: int) -> dict[str, np.ndarray]:
    """Of each layer the root mean square of its activations after each update less those before the first, [updates]."""
    experiment = experiment.resolve()
    task: Any = experiment.task
    if not hasattr(task, "activations"):
        raise Refused(f"{type(task).__name__} has no activations to look at; give it activations(params, batch)")
    data, member, rows = task.load(), experiment.member(seed), jnp.arange(experiment.batch)
    step = make_step(task, experiment.batch, experiment.accumulate)

    @jax.jit
    def played(state, train, valid):
        held = task.held(valid, rows)
        before = task.activations(state.params, held)

        def advance(state, _):
            state, _ = step(state, member, train, rows)
            after = task.activations(state.params, held)
            return state, jax.tree.map(lambda a, b: jnp.sqrt(jnp.mean(jnp.square(a - b))), after, before)

        return jax.lax.scan(advance, state, length=updates)[1]

    return jax.tree.map(np.asarray, played(first_state(member, task.init(seed)), data.train, data.valid))
