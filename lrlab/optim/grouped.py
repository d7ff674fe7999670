"""One optimizer for many groups: its state is one, its clock is one, and each group has its own rate and decay.

An update of most optimizers is linear in the rate and in the decay. With d what the optimizer makes of the gradient,
group g moves its parameters w by

    -(r_g d + c_g w),   r_g = rate_g s_g(t),   c_g = r_g decay_g   (or, independent of the rate, s_g(t) / peak_g decay_g)

so groups need no optimizers of their own, and schedules of one form are evaluated together.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lrlab.optim.coupled import Independent
from lrlab.optim.groups import Group, assigned
from lrlab.optim.scheduled import ByGroup, ScheduledState, evaluable, like
from lrlab.refusal import Refused
from lrlab.schedule import Schedule
from lrlab.schedule.time import LAST_STEP


class Direction(NamedTuple):
    """What an optimizer makes of a gradient before rate and decay, and where it adds its decay."""

    of: Callable[..., optax.GradientTransformation]  # of the hyperparameters but rate and decay
    into_gradient: bool = False  # the decay goes through the preconditioner too
    matrices_only: bool = False  # the optimizer's own decay is that of matrices

    def decays(self, one: Group, parameter: Any) -> bool:
        """Whether a parameter of a group takes the group's decay, which is its own or the optimizer's."""
        return not self.matrices_only or one.weight_decay is not None or np.ndim(parameter) == 2


def grouped(
    direction: Direction,
    groups: Sequence[Group],
    learning_rate: Any,
    weight_decay: Any = None,
    restarts: Sequence[Any] = (),
    **hyperparameters: Any,
) -> optax.GradientTransformationExtraArgs:
    """The optax transformation of an optimizer with groups.

    Args:
        direction: the optimizer.
        groups: those of the parameters; none are the same as one of them all.
        learning_rate: of groups without a schedule: a schedule in steps, or a number.
        weight_decay: of groups without one: a number, a schedule, `independent(...)`, or None for an optimizer without.
        restarts: updates before which the optimizer's state begins anew, while the clock goes on.
        **hyperparameters: what else the optimizer takes, each a number or a schedule.
    """
    parts = tuple(groups) or (Group(),)
    rates = [learning_rate if one.schedule is None else one.schedule for one in parts]
    given = [weight_decay if one.weight_decay is None else one.weight_decay for one in parts]
    is_free = np.array([isinstance(w, Independent) for w in given])
    peaks = [_peak(w, one, rate) if isinstance(w, Independent) else 1.0 for w, one, rate in zip(given, parts, rates)]
    numbers, decays = [_number(w) for w in given], any(w is not None for w in given)
    if direction.into_gradient and is_free.any():
        raise Refused("this optimizer adds its decay to the gradient, where it cannot be independent of the rate")
    for name, values in {"learning_rate": rates, "weight_decay": numbers, **hyperparameters}.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, Schedule):
                evaluable(name, value)
    begins, ends = zip(*(one.span(LAST_STEP + 1) for one in parts))

    def decaying(index, params):
        """Whether any parameter of a group takes its decay, [groups]."""
        taking = zip(index, jax.tree.leaves(params))
        return np.isin(np.arange(len(parts)), [i for i, w in taking if direction.decays(parts[i], w)])

    def at(t, decaying):
        """Of update t the groups' rates, decays and shares that decay takes, [groups]; and what is reported."""
        trains = (_stacked(begins) <= t) & (t <= _stacked([end - 1 for end in ends]))
        level = together([learning_rate, *rates], t)
        shape = level[1:] * trains
        rate = shape * _stacked([one.rate for one in parts], jnp.float32)
        decay = together(numbers, t) * _stacked([one.decay for one in parts], jnp.float32) * decaying
        peak = _stacked(peaks, jnp.float32)
        taken = decay * jnp.where(is_free, shape / jnp.where(peak > 0, peak, 1.0), rate)
        values = {name: together([value], t)[0] for name, value in hyperparameters.items()}
        values["learning_rate"] = _reported(groups, level[0], rate)
        if decays:
            values["weight_decay"] = _reported(groups, together([_number(weight_decay)], t)[0], decay)
        return rate, decay, taken, values

    def optimizer(values):
        return optax.with_extra_args_support(direction.of(**{name: values[name] for name in hyperparameters}))

    def init(params):
        start = jnp.zeros((), jnp.int32)
        values = at(start, decaying(assigned(parts, params), params))[-1]
        return ScheduledState(start, values, optimizer(values).init(params))

    def update(updates, state, params=None, **extra):
        index = assigned(parts, updates)
        rate, decay, taken, values = at(state.count, decaying(index, updates))
        tx, inner = optimizer(values), state.inner
        if decays and params is None:
            raise Refused("weight decay needs the parameters: write optimizer.update(gradient, state, params)")
        if len(restarts):
            again = (_stacked(restarts) == state.count).any()
            fresh = tx.init(updates if params is None else params)
            inner = jax.tree.map(lambda new, old: jnp.where(again, new, old), like(fresh, inner), inner)
        if decays and direction.into_gradient:
            updates = _each(lambda i, g, w: g + decay[i] * w, index, updates, params)
        steps, new = tx.update(updates, inner, params, **extra)

        def moved(i, d, w):
            if given[i] is None or direction.into_gradient or not direction.decays(parts[i], w):
                return -rate[i] * d
            return -(rate[i] * d + taken[i] * w)

        steps = _each(moved, index, steps, updates if params is None else params)
        return steps, ScheduledState(jnp.asarray(optax.safe_increment(state.count)), values, like(new, state.inner))

    return optax.GradientTransformationExtraArgs(init, update)


def together(values: Sequence[Any], t: jax.Array) -> jax.Array:
    """[n] float32: n numbers and schedules at update t. Schedules of one form are evaluated together, as one with arrays
    for numbers; one that stands in several places is evaluated once.
    """
    forms: dict[Any, dict[int, Any]] = {}
    for value in values:
        forms.setdefault(_form(value), {})[id(value)] = value
    levels = [_levels(list(alike.values()), t) for alike in forms.values()]
    order = [key for alike in forms.values() for key in alike]
    index = [order.index(id(value)) for value in values]
    level = jnp.concatenate(levels)
    return level if index == list(range(len(order))) else level[np.array(index)]


def _form(value: Any) -> Any:
    """What schedules that can be evaluated together have in common; None for numbers."""
    if not isinstance(value, Schedule):
        return None
    leaves, structure = jax.tree.flatten(value)
    if any(jnp.ndim(leaf) for leaf in leaves):
        return id(value)  # a table: stacking would copy it at every update
    return structure, tuple(jnp.result_type(leaf) for leaf in leaves)


def _levels(alike: list[Any], t: jax.Array) -> jax.Array:
    if not isinstance(alike[0], Schedule):
        return _stacked(alike, jnp.float32)
    if len(alike) == 1:
        return alike[0](t)[None]
    return jax.vmap(lambda schedule: schedule(t))(jax.tree.map(lambda *leaves: _stacked(leaves), *alike))


def _peak(weight_decay: Independent, one: Group, rate: Any) -> Any:
    """That of the group's schedule, which need not be the one that the decay was bound to."""
    if one.peak is not None:
        return one.peak
    return (weight_decay if one.schedule is None else weight_decay.replace(peak=None)).bound(rate).peak


def _number(weight_decay: Any) -> Any:
    """A decay without what it is multiplied by."""
    if isinstance(weight_decay, Independent):
        return weight_decay.weight_decay
    return 0.0 if weight_decay is None else weight_decay


def _stacked(numbers: Sequence[Any], dtype: Any = None) -> jax.Array:
    """[n]: a constant of the program where all are known, not n of them."""
    if not any(isinstance(x, jax.Array) for x in numbers):
        return jnp.asarray(np.asarray(numbers), dtype or (jnp.int32 if isinstance(numbers[0], int) else jnp.float32))
    return jnp.stack([jnp.asarray(x, dtype) for x in numbers])


def _reported(groups: Sequence[Group], whole: jax.Array, each: jax.Array) -> Any:
    return ByGroup(tuple(one.name for one in groups), whole, each) if groups else each[0]


def _each(function: Callable[..., Any], index: Sequence[int], updates: Any, params: Any) -> Any:
    """`function(group, update, parameter)` of every parameter."""
    leaves, structure = jax.tree.flatten(updates)
    return structure.unflatten(map(function, index, leaves, structure.flatten_up_to(params)))
