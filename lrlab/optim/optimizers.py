"""Optimizers as small values: a name and its hyperparameters, each a number or a schedule, built of optax's parts."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import contrib

from lrlab.node import Node
from lrlab.optim.coupled import Independent, Opposed
from lrlab.optim.grouped import Direction, grouped
from lrlab.optim.groups import Group, checked
from lrlab.refusal import Refused
from lrlab.schedule import Horizon, Schedule
from lrlab.schedule.number import number
from lrlab.schedule.write import written


class Optimizer(Node):
    """An optimizer without its learning rate; `build` adds the rate and gives the optax transformation."""

    name: str
    hyperparameters: dict[str, Any]

    def build(
        self, learning_rate: Schedule | float, groups: Sequence[Group] = (), restarts: Sequence[Any] = ()
    ) -> optax.GradientTransformationExtraArgs:
        """The optax transformation; its state counts updates and holds the values used.

        Args:
            learning_rate: a schedule in steps, or a number.
            groups: rules for parameters by their paths, `group(...)` and `rest(...)`; by default all are one group.
            restarts: updates before which the optimizer's moments begin anew (and with them the count of Adam's bias
                correction), while the schedules go on.

        Raises `Refused` at `init` if a parameter is in no group or in two.
        """
        bound = self.bound(learning_rate).hyperparameters
        return grouped(_DIRECTIONS[self.name], checked(groups), learning_rate, restarts=restarts, **bound)

    def bound(self, learning_rate: Any) -> Self:
        """The same optimizer with what is coupled to the rate, `independent` and `opposed`, beside that rate."""
        coupled = {k: v for k, v in self.hyperparameters.items() if isinstance(v, Independent | Opposed)}
        bound = {name: value.bound(learning_rate) for name, value in coupled.items()}
        return self.replace(hyperparameters={**self.hyperparameters, **bound})

    def unbound(self) -> Self:
        """The same optimizer, to be bound to another rate."""
        free = {k: v.replace(peak=None) for k, v in self.hyperparameters.items() if isinstance(v, Independent)}
        return self.replace(hyperparameters={**self.hyperparameters, **free})

    def resolve(self, horizon: Horizon) -> Self:
        """The same optimizer with the durations of its schedules in steps."""
        return self.replace(
            hyperparameters={
                name: value.resolve(horizon) if isinstance(value, Schedule | Independent) else value
                for name, value in self.hyperparameters.items()
            }
        )

    def decay_of(self, one: Group, params: Sequence[Any]) -> Any:
        """The weight decay of a group's parameters, its own or the optimizer's; None where none of them takes it."""
        decay = self.hyperparameters.get("weight_decay") if one.weight_decay is None else one.weight_decay
        direction = _DIRECTIONS.get(self.name)
        return decay if direction is None or any(direction.decays(one, w) for w in params) else None

    def spelled(self) -> str:
        """The optimizer with every hyperparameter written out, defaults too."""
        return f"{self.name}({', '.join(f'{name}={written(value)}' for name, value in self.hyperparameters.items())})"

    def __repr__(self) -> str:
        defaults = inspect.signature(self._word).parameters
        changed = {k: v for k, v in self.hyperparameters.items() if written(v) != written(defaults[k].default)}
        return self.replace(hyperparameters=changed).spelled()

    @property
    def _word(self) -> Callable[..., Any]:
        """The function that builds it."""
        return OPTIMIZERS[self.name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optimizer) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


def sgd() -> Optimizer:
    """Stochastic gradient descent (Robbins & Monro 1951)."""
    return Optimizer("sgd", {})


def momentum(momentum: Any = 0.9) -> Optimizer:
    """Heavy-ball momentum (Polyak 1964)."""
    return _optimizer("momentum", momentum=momentum)


def nesterov(momentum: Any = 0.9) -> Optimizer:
    """Nesterov's accelerated gradient, as in Sutskever et al. 2013."""
    return _optimizer("nesterov", momentum=momentum)


def adam(b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8) -> Optimizer:
    """Adam (Kingma & Ba 2014)."""
    return _optimizer("adam", b1=b1, b2=b2, eps=eps)


def adamw(b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8, weight_decay: Any = 1e-2) -> Optimizer:
    """Adam with decoupled weight decay, multiplied by the rate, or `independent(...)` (Loshchilov & Hutter 2017)."""
    return _optimizer("adamw", b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)


def rmsprop(decay: Any = 0.9, eps: Any = 1e-8) -> Optimizer:
    """RMSProp (Tieleman & Hinton 2012)."""
    return _optimizer("rmsprop", decay=decay, eps=eps)


def adagrad(initial_accumulator_value: Any = 0.1, eps: Any = 1e-7) -> Optimizer:
    """AdaGrad (Duchi et al. 2011)."""
    return _optimizer("adagrad", initial_accumulator_value=initial_accumulator_value, eps=eps)


def adadelta(rho: Any = 0.9, eps: Any = 1e-6, weight_decay: Any = 0.0) -> Optimizer:
    """AdaDelta (Zeiler 2012)."""
    return _optimizer("adadelta", rho=rho, eps=eps, weight_decay=weight_decay)


def lion(b1: Any = 0.9, b2: Any = 0.99, weight_decay: Any = 1e-3) -> Optimizer:
    """Lion, sign of an interpolated momentum (Chen et al. 2023)."""
    return _optimizer("lion", b1=b1, b2=b2, weight_decay=weight_decay)


def muon(beta: Any = 0.95, weight_decay: Any = 0.0, adam_b1: Any = 0.9, adam_b2: Any = 0.999) -> Optimizer:
    """Muon for the hidden matrices, Adam for the rest (Jordan et al. 2024).

    The rest are the parameters that are no matrices, and those of the input and the output, in whose paths a name is
    `embedding`, `positions` or `head`. The decay is that of all matrices.
    """
    return _optimizer("muon", beta=beta, weight_decay=weight_decay, adam_b1=adam_b1, adam_b2=adam_b2)


OPTIMIZERS = {
    factory.__name__: factory
    for factory in (sgd, momentum, nesterov, adam, adamw, rmsprop, adagrad, adadelta, lion, muon)
}
_BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))
_SHARES = ("b1", "b2", "adam_b1", "adam_b2", "beta", "momentum", "decay", "rho")  # of an average that is kept
_ADAMS = {"embedding", "positions", "head"}


def _muon(beta: Any, adam_b1: Any, adam_b2: Any) -> optax.GradientTransformation:
    """`optax.contrib.muon`, whose Adam (optax 0.2.8) is Nesterov's and leaves input and output to Muon."""

    def label(path, w):
        names = jax.tree_util.keystr(path, simple=True, separator=".").split(".")
        return "adam" if w.ndim != 2 or _ADAMS.intersection(names) else "muon"

    def widened(u: Any, _: Any) -> Any:
        return jnp.sqrt(max(1, u.shape[1] / u.shape[0])) * u

    matrix = partial(jax.tree.map, lambda _: contrib.MuonDimensionNumbers())
    return optax.partition(
        {
            "muon": optax.chain(
                contrib.scale_by_muon(beta=beta, weight_dimension_numbers=matrix),
                optax.stateless_with_tree_map(widened),
            ),
            "adam": optax.scale_by_adam(adam_b1, adam_b2),
        },
        partial(jax.tree_util.tree_map_with_path, label),
    )


_DIRECTIONS = {
    "sgd": Direction(optax.identity),
    "momentum": Direction(lambda momentum: optax.trace(momentum)),
    "nesterov": Direction(lambda momentum: optax.trace(momentum, nesterov=True)),
    "adam": Direction(optax.scale_by_adam),
    "adamw": Direction(optax.scale_by_adam),
    "rmsprop": Direction(optax.scale_by_rms),
    "adagrad": Direction(optax.scale_by_rss),
    "adadelta": Direction(optax.scale_by_adadelta, into_gradient=True),
    "lion": Direction(optax.scale_by_lion),
    "muon": Direction(_muon, matrices_only=True),
}


def _optimizer(name: str, **hyperparameters: Any) -> Optimizer:
    for key, value in hyperparameters.items():
        kinds = int | float | Schedule | (Independent if key == "weight_decay" else Opposed)
        if isinstance(value, bool | str) or not isinstance(value, kinds) and not hasattr(value, "dtype"):
            raise Refused(f"{name}({key}={value!r}): {key} is a number or a schedule")
        if not isinstance(value, Node):
            in_range(name, key, value)
    return Optimizer(name, {k: float(v) if isinstance(v, int) else v for k, v in hyperparameters.items()})


def in_range(name: str, key: str, value: Any) -> None:
    """Refuse a hyperparameter that no update can use: what is kept of an average is less than one, nothing below zero."""
    told = f"{name}({key}={written(value)})"
    if key in _SHARES:
        number(value, f"{told}: {key} is a number from 0 on and below 1, such as 0.9", most=_BELOW_ONE)
    else:
        number(value, f"{told}: {key} is a number, zero or more")
