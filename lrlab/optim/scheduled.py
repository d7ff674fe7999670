"""Any optax optimizer with any of its hyperparameters on a schedule."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lrlab.refusal import Refused
from lrlab.schedule import Schedule


class ScheduledState(NamedTuple):
    """State of `scheduled`: the clock, the values that the last update used, and the optimizer's own state."""

    count: jax.Array  # type: ignore[assignment]  # int32: updates done; stops at 2**31 - 1 instead of overflowing
    values: dict[str, jax.Array]  # float32
    inner: Any


def scheduled(factory: Callable[..., Any], **hyperparameters: Any) -> optax.GradientTransformationExtraArgs:
    """`factory(**hyperparameters)`, where any hyperparameter may be a schedule.

    Schedules are evaluated at the number of updates done, in the compiled step. Floats and schedules reach the
    factory as float32 whatever the dtype of the parameters: in bfloat16, Adam's b2 = 0.999 would be 1 and its bias
    correction would divide by zero. Integers, flags, functions and None pass as they are.

    Args:
        factory: an optax optimizer or transformation: `optax.adamw`, `optax.clip_by_global_norm`, your own.
        **hyperparameters: its arguments, each a number, a schedule in steps, or what else the factory takes.

    Raises `Refused` if a schedule is not in steps.

    >>> import lrlab as lr, optax
    >>> tx = lr.scheduled(optax.adamw, learning_rate=3e-4 * lr.warmup(100) >> lr.decay(900), weight_decay=0.1)
    >>> state = tx.init({"w": jax.numpy.ones(3)})
    >>> float(lr.values_used(state)["weight_decay"]).__round__(3)
    0.1
    """
    numbers = {name: value for name, value in hyperparameters.items() if _is_number(value)}
    others = {name: value for name, value in hyperparameters.items() if name not in numbers}
    for name, value in numbers.items():
        if isinstance(value, Schedule):
            _evaluable(name, value)

    def values_at(count):
        return {
            name: jnp.asarray(value(count) if isinstance(value, Schedule) else value, jnp.float32)
            for name, value in numbers.items()
        }

    def optimizer(values):
        return optax.with_extra_args_support(factory(**values, **others))

    def init(params):
        values = values_at(jnp.zeros((), jnp.int32))
        return ScheduledState(jnp.zeros((), jnp.int32), values, optimizer(values).init(params))

    def update(updates, state, params=None, **extra):
        values = values_at(state.count)
        updates, inner = optimizer(values).update(updates, state.inner, params, **extra)
        # float32 hyperparameters promote: keep the dtypes that the optimizer chose, so that states can be scanned over
        inner = jax.tree.map(lambda new, old: jnp.asarray(new, jnp.asarray(old).dtype), inner, state.inner)
        return updates, ScheduledState(jnp.asarray(optax.safe_increment(state.count)), values, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def values_used(opt_state: Any) -> dict[str, jax.Array]:
    """The hyperparameters that the last update used (before the first: those it will use), float32 by name.

    Where an optimizer holds several scheduled parts with the same hyperparameter, its names carry their places.

    Raises `Refused` if there is nothing scheduled in the state.
    """
    is_scheduled = lambda node: isinstance(node, ScheduledState)
    states = [
        (path, state)
        for path, state in jax.tree_util.tree_flatten_with_path(opt_state, is_leaf=is_scheduled)[0]
        if is_scheduled(state)
    ]
    if not states:
        raise Refused("this optimizer state holds no schedule; build the optimizer with lr.scheduled(optax.adamw, ...)")
    names = [name for _, state in states for name in state.values]
    return {
        name if names.count(name) == 1 else f"{jax.tree_util.keystr(path, simple=True, separator='.')}.{name}": value
        for path, state in states
        for name, value in state.values.items()
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, float | Schedule) or hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)


def _evaluable(name: str, schedule: Schedule) -> None:
    try:
        jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
    except Refused as refused:
        raise Refused(f"{name}={schedule}: {refused}") from None
