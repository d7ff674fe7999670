"""Any optax optimizer with any of its hyperparameters on a schedule."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lrlab.node import Node, structural
from lrlab.refusal import Refused
from lrlab.schedule import Schedule


class ByGroup(Node):
    """A value that each group of parameters has its own of."""

    names: tuple[str, ...] = structural()
    whole: Any  # what the groups without their own start from, float32
    each: Any  # [groups] float32


class ScheduledState(NamedTuple):
    """State of `scheduled`: the clock, the values that the last update used, and the optimizer's own state."""

    count: jax.Array  # type: ignore[assignment]  # int32: updates done; stops at 2**31 - 1 instead of overflowing
    values: dict[str, Any]  # float32, or ByGroup
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
            evaluable(name, value)

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
        return updates, ScheduledState(jnp.asarray(optax.safe_increment(state.count)), values, like(inner, state.inner))

    return optax.GradientTransformationExtraArgs(init, update)


def values_used(opt_state: Any) -> dict[str, jax.Array]:
    """The hyperparameters that the last update used (before the first: those it will use), float32 by name.

    Where an optimizer holds several scheduled parts with the same hyperparameter, its names carry their places; what
    a group of parameters has its own of carries its name: `learning_rate[head]`.

    Raises `Refused` if there is nothing scheduled in the state.
    """
    return by_name(values_held(opt_state))


def values_held(opt_state: Any) -> dict[str, Any]:
    """`values_used`, but what groups have their own of is still one array."""
    states = _states(opt_state)
    names = [name for _, state in states for name in state.values]
    return {
        name if names.count(name) == 1 else f"{jax.tree_util.keystr(path, simple=True, separator='.')}.{name}": value
        for path, state in states
        for name, value in state.values.items()
    }


def by_name(values: dict[str, Any]) -> dict[str, Any]:
    """Values in which each group's own has a name: {"learning_rate": ..., "learning_rate[head]": ...}."""
    named = {}
    for name, value in values.items():
        named[name] = value.whole if isinstance(value, ByGroup) else value
        if isinstance(value, ByGroup):
            named |= {f"{name}[{group}]": value.each[..., i] for i, group in enumerate(value.names)}
    return named


def updates_done(opt_state: Any) -> jax.Array:
    """The clock of an optimizer's schedules: updates done, without those that were skipped."""
    return _states(opt_state)[0][1].count


def like(new: Any, old: Any) -> Any:
    """A new state in the dtypes of the old: float32 hyperparameters promote, and a state is scanned over."""
    return jax.tree.map(lambda new, old: jnp.asarray(new, jnp.asarray(old).dtype), new, old)


def _states(opt_state: Any) -> list[tuple[Any, ScheduledState]]:
    is_scheduled = lambda node: isinstance(node, ScheduledState)
    leaves = jax.tree_util.tree_flatten_with_path(opt_state, is_leaf=is_scheduled)[0]
    states = [(path, state) for path, state in leaves if is_scheduled(state)]
    if not states:
        raise Refused("this optimizer state holds no schedule; build the optimizer with lr.scheduled(optax.adamw, ...)")
    return states


def _is_number(value: Any) -> bool:
    return isinstance(value, float | Schedule) or hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jnp.floating)


def evaluable(name: str, schedule: Schedule) -> None:
    """Refuse a schedule that is not in steps."""
    try:
        jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
    except Refused as refused:
        raise Refused(f"{name}={schedule}: {refused}") from None
