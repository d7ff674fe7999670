"""What watches a metric: a value whose state is a few scalars, told one observation after another."""

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, TypeVar, get_args

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.node import Node
from lrlab.refusal import Refused, unknown
from lrlab.schedule.number import number
from lrlab.schedule.write import written

Mode = Literal["min", "max"]
ThresholdMode = Literal["rel", "abs"]
_State = TypeVar("_State")


class Watcher(Node, ABC):
    """What watches a metric. Its numbers are leaves; `update` is pure and traceable, and its state is scalars."""

    word: ClassVar[str]
    metric: str
    mode: Mode
    patience: int
    threshold: Any
    threshold_mode: ThresholdMode

    @abstractmethod
    def init(self) -> Any:
        """The state before the first observation."""

    @abstractmethod
    def update(self, state: Any, value: Any) -> Any:
        """The state after one more value of the metric (a scalar); nan is no improvement."""

    def spelled(self) -> str:
        """The value with every argument written out, defaults too."""
        return self._written(self._arguments())

    def __repr__(self) -> str:
        defaults = self._arguments()
        return self._written([n for n in defaults if written(getattr(self, n)) != written(defaults[n].default)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Watcher) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def _arguments(self) -> Mapping[str, inspect.Parameter]:
        """Those of the function that builds it, which stands beside the class."""
        return inspect.signature(getattr(sys.modules[type(self).__module__], self.word)).parameters

    def _written(self, names: Any) -> str:
        return f"{self.word}({', '.join(f'{name}={written(getattr(self, name))}' for name in names)})"

    def _worst(self) -> jax.Array:
        return jnp.float32(jnp.inf if self.mode == "min" else -jnp.inf)

    def _improves(self, value: jax.Array, best: jax.Array) -> jax.Array:
        """Whether `value` is better than `best` by more than the threshold, whatever the sign of `best`."""
        scale = jnp.where(jnp.isfinite(best), jnp.abs(best), 0.0) if self.threshold_mode == "rel" else 1.0
        gained = best - value if self.mode == "min" else value - best
        return gained > self.threshold * scale


def observe(watchers: Any, states: Any, metrics: Mapping[str, Any]) -> Any:
    """The states of `watchers` (a tuple, with None where there is none) after they have seen `metrics`.

    Who watches a metric that is not among them stays as it is.
    """
    return tuple(
        watcher.update(state, metrics[watcher.metric]) if watcher is not None and watcher.metric in metrics else state
        for watcher, state in zip(watchers, states, strict=True)
    )


def windowed(observed: Callable[[Any, Any], Any], window: Any, state: Any, value: Any) -> Any:
    """One more value in a state with `total` and `waiting`; `observed` sees the mean of every `window` of them."""
    total, waiting = state.total + jnp.asarray(value, jnp.float32), state.waiting + 1
    after = observed(state, total / waiting)._replace(total=jnp.float32(0), waiting=jnp.int32(0))
    return where(waiting >= window, after, state._replace(total=total, waiting=waiting))


def where(condition: jax.Array, yes: _State, no: _State) -> _State:
    """One of two states of one shape, each array in its dtype."""
    return jax.tree.map(
        lambda a, b: jnp.where(jnp.expand_dims(condition, range(jnp.ndim(b))), a, b).astype(b.dtype), yes, no
    )


def checked(
    word: str, metric: Any, mode: Any, patience: Any, threshold: Any, threshold_mode: Any, least: int = 0
) -> dict[str, Any]:
    """The fields that every watcher has, checked."""
    if not isinstance(metric, str) or not metric:
        raise Refused(f'{word}(metric={metric!r}): name a held-out metric, such as metric="loss", or "train_loss"')
    return {
        "metric": metric,
        "mode": choice(word, "mode", mode, Mode),
        "patience": count(word, "patience", patience, least),
        "threshold": number(
            threshold, f"{word}(threshold={written(threshold)}): the threshold is a number, zero or more"
        ),
        "threshold_mode": choice(word, "threshold_mode", threshold_mode, ThresholdMode),
    }


def choice(word: str, name: str, value: Any, choices: Any) -> Any:
    """`value`, which is one of the strings of a Literal."""
    if not isinstance(value, str) or value not in get_args(choices):
        raise unknown(f"{name} of {word}", str(value), get_args(choices))
    return value


def count(word: str, name: str, value: Any, least: int = 0) -> Any:
    """`value`, which is a whole number; arrays and tracers pass, so that a population can differ in it."""
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.integer):
        return value
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value < 2**31:
        raise Refused(f"{word}({name}={written(value)}): {name} is a whole number, at least {least}")
    return int(value)
