"""A range test of your own step: a pure function of state, batch and rate."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.finder.result import RangeTest, found, spaced
from lrlab.finder.scan import Curves, of_step
from lrlab.refusal import Refused
from lrlab.schedule import Horizon, Schedule, decay, warmup


def range_test(
    step: Callable[..., Any],
    state: Any,
    batches: Iterable[Any],
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    *,
    seeds: int | None = None,
    schedule: Schedule | None = None,
    validate: bool = True,
) -> RangeTest:
    """The learning rate that a range test finds for a step of your own (Smith 2015), with short runs that say whether it is one.

    Update i of `steps` uses the rate low (high / low)^(i / (steps - 1)); a test ends when its smoothed loss exceeds what it
    began with and four times its best. All seeds are one program, and the short runs at the suggested rate and its
    neighbours are the same program again. `state` stays as it is, to the bit: keep it, and train from it.

    Args:
        step: `step(state, batch, rate) -> (state, loss)`, pure; the loss is the scalar before the update. The same
            function is compiled once.
        state: any pytree: parameters, optimizer state, batch statistics, random keys.
        batches: an iterable of pytrees of arrays of one shape. `steps` of them are taken for each seed, again from the
            first when they run out.
        low: the first rate.
        high: the last rate.
        steps: how many rates.
        seeds: how many tests side by side; every leaf of `state` then has a leading axis of that length, such as
            `jax.vmap(init)(keys)` gives. None is one test, without such an axis.
        schedule: of the short runs, in `steps` updates, at whatever peak; by default `warmup("10%") >> decay()`.
        validate: whether there are short runs.

    Raises `Refused` where these do not fit together or the first loss is not finite, and `Failed` if the loss never falls.

    >>> def step(w, target, rate):
    ...     return w - rate * 2 * (w - target), (w - target) ** 2
    >>> test = range_test(step, jnp.float32(5), [np.float32(1)], low=1e-5, high=10)
    >>> test.losses.shape, 0.01 < test.chosen.rate < 1
    ((1, 100), True)
    """
    rates = spaced(low, high, steps)
    states = _stacked(state, seeds)
    taken = _taken(batches, steps * (seeds or 1))
    order = (np.arange(steps * (seeds or 1), dtype=np.int32) % _count(taken)).reshape(-1, steps)
    _check(step, states, taken)

    block = 1 if jax.default_backend() == "cpu" else len(order)

    def measure(rates: np.ndarray, trial: bool) -> Curves:
        return of_step(step, states, taken, order, rates.astype(np.float32), block)

    played = warmup("10%") >> decay() if schedule is None else schedule
    values = played.resolve(Horizon(steps))(np.arange(steps))
    if not values.max() > 0:
        raise Refused(f"schedule={played} is 0 in all of {steps} updates; the short runs need one that is not")
    return found(measure, rates, values / values.max() if validate else None)


def _stacked(state: Any, seeds: int | None) -> Any:
    """Every leaf [seeds, ...]."""
    arrays = jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf), state)
    if seeds is None:
        return jax.tree.map(lambda leaf: leaf[None], arrays)
    odd = next((leaf for leaf in jax.tree.leaves(arrays) if leaf.shape[:1] != (seeds,)), None)
    if odd is not None or seeds < 1:
        raise Refused(
            f"seeds={seeds}: the state holds an array of shape {None if odd is None else odd.shape}; with seeds every one "
            f"has a leading axis of that length, as jax.vmap(init)(keys) gives"
        )
    return arrays


def _taken(batches: Iterable[Any], most: int) -> Any:
    """Up to `most` batches, every leaf [batches, ...]."""
    taken = list(islice(batches, most))
    if not taken:
        raise Refused("there are no batches; give an iterable of them, such as zip(images, labels) or a list")
    forms = [(jax.tree.structure(batch), [np.shape(leaf) for leaf in jax.tree.leaves(batch)]) for batch in taken]
    odd = next((i for i, form in enumerate(forms) if form != forms[0]), None)
    if odd is not None:
        raise Refused(f"batch {odd} has other shapes than batch 0, {forms[odd][1]} and {forms[0][1]}; leave it out")
    return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *taken)


def _count(taken: Any) -> int:
    return len(jax.tree.leaves(taken)[0])


def _check(step: Callable[..., Any], states: Any, taken: Any) -> None:
    """Refuse a step that gives back something else than such a state and a scalar."""
    one = lambda tree: jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), tree)
    before = one(states)
    given = jax.eval_shape(step, before, one(taken), jax.ShapeDtypeStruct((), jnp.float32))
    if not isinstance(given, tuple) or len(given) != 2:
        raise Refused("step(state, batch, rate) gives back a state and a loss: write return state, loss")
    after, loss = given
    if getattr(loss, "shape", None) != ():
        raise Refused(f"step's loss is {loss}; it is one number: write return state, loss.mean()")
    if jax.tree.structure(after) != jax.tree.structure(before):
        raise Refused("step gives back a state of another structure than it was given")
    for (path, old), new in zip(jax.tree_util.tree_flatten_with_path(before)[0], jax.tree.leaves(after)):
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise Refused(
                f"step turns the state's {jax.tree_util.keystr(path) or 'array'} from {old.dtype}{list(old.shape)} into "
                f"{new.dtype}{list(new.shape)}; a state keeps its shapes and dtypes"
            )
