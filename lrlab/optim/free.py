"""Methods that find their rate, or need no decay: those of optax.contrib as small values, with the rate really used.

The schedule multiplies what the method finds: `1.0 * warmup("5%") >> decay()`. Schedule-Free takes a rate as others do.
Their state is float32 whatever the dtype of the parameters, and every array in it has a buffer of its own.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from optax import contrib

from lrlab.optim.groups import Group
from lrlab.optim.method import METHODS, mechanic_rate, mechanize, part, reporting
from lrlab.optim.optimizers import Optimizer, in_range
from lrlab.optim.scheduled import scheduled
from lrlab.refusal import Refused
from lrlab.schedule import Horizon, Schedule
from lrlab.schedule.number import number
from lrlab.schedule.write import written


class RateFree(Optimizer):
    """An optimizer of this module; built by the function of its name."""

    def build(
        self, learning_rate: Schedule | float, groups: Sequence[Any] = (), restarts: Sequence[Any] = ()
    ) -> optax.GradientTransformationExtraArgs:
        """The optax transformation; `values_used` of its state gives the rate that the last update really used.

        Before the first update a method that estimates its rate has none: nan.
        """
        self.suit(groups=groups, restarts=restarts)
        method = METHODS[self.name]
        return reporting(
            scheduled(method.factory, learning_rate=learning_rate, **self.hyperparameters), self.name, method.rate
        )

    def suit(self, clip: Any = None, feedback: Any = None, groups: Any = (), restarts: Any = ()) -> None:
        """Raise `Refused` where a run would ask for what the method cannot give."""
        if groups or restarts:
            raise Refused(f"{self} has one state for all parameters and the whole run; leave out groups and restart")
        if clip is not None and self.name in ("momo", "momo_adam"):
            raise Refused(
                f"{self} with clip={written(clip)}: its step divides by the gradient's squared norm, so that clipping "
                "would lengthen it; write clip=None"
            )
        if feedback is not None and self.name == "cocob":
            raise Refused(f"{self} has no rate for {feedback} to change; leave out the feedback")

    @property
    def _word(self) -> Callable[..., Any]:
        return RATE_FREE[self.name]


def schedule_free_sgd(b1: Any = 0.9, weight_decay: Any = 0.0, weight_power: Any = 2.0) -> RateFree:
    """Schedule-Free SGD (Defazio et al. 2024, equation 5): an average takes the place of a decaying rate.

        y = (1 - b1) z + b1 x,   z <- z - rate * gradient(y),   x <- x + c (z - x)

    with c the share of this update in the sum of the highest rate so far to the power `weight_power`. It trains at y
    and is evaluated at x, which `evaluation_params` gives. The rate is that of the update in both places, where optax
    0.2.8 shifts the one in c by a step. The reference's warm-up over n is `warmup(n - 1, start=1/n)`.
    """
    return _free("schedule_free_sgd", b1=_between(b1), weight_decay=weight_decay, weight_power=weight_power)


def schedule_free_adamw(
    b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8, weight_decay: Any = 0.0, weight_power: Any = 2.0
) -> RateFree:
    """Schedule-Free AdamW: `schedule_free_sgd` with Adam's second moment (Defazio et al. 2024, algorithm 1)."""
    return _free(
        "schedule_free_adamw", b1=_between(b1), b2=b2, eps=eps, weight_decay=weight_decay, weight_power=weight_power
    )


def prodigy(
    b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8, d0: Any = 1e-6, d_coef: Any = 1.0, weight_decay: Any = 0.0
) -> RateFree:
    """Prodigy, Adam times an estimate d of the distance to the solution (Mishchenko & Defazio 2023, algorithm 4).

    With Adam's bias correction, which the reference leaves out unless asked. A rate of zero moves nothing and leaves
    d as it is; optax 0.2.8 divides zero by zero where a warm-up begins at zero.
    """
    return _free("prodigy", b1=b1, b2=b2, eps=eps, d0=d0, d_coef=d_coef, weight_decay=weight_decay)


def dadapt_adamw(b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8, d0: Any = 1e-6, weight_decay: Any = 0.0) -> RateFree:
    """AdamW by D-Adaptation (Defazio & Mishchenko 2023, algorithm 5); bias correction and zero rates as in `prodigy`."""
    return _free("dadapt_adamw", b1=b1, b2=b2, eps=eps, d0=d0, weight_decay=weight_decay)


def dog(r0: Any = 1e-6, eps: Any = 1e-8, weight_decay: Any = 0.0) -> RateFree:
    """SGD at the distance gone over the root of the summed squared gradients (Ivgi et al. 2023, equation DoG).

    r0 times (1 + the norm of the first parameters) is the first distance.
    """
    return _free("dog", r0=r0, eps=eps, weight_decay=weight_decay)


def dowg(eps: Any = 1e-4, weight_decay: Any = 0.0) -> RateFree:
    """DoG with the gradients weighted by the distance (Khaled et al. 2023, algorithm 1); eps is the first, squared."""
    return _free("dowg", eps=eps, weight_decay=weight_decay)


def momo(beta: Any = 0.9, lower_bound: Any = 0.0, weight_decay: Any = 0.0) -> RateFree:
    """SGD with momentum whose rate is the schedule's or Polyak's, the smaller (Schaipp et al. 2023, algorithm 1).

    It needs the loss, `value=` at every update, and a bound that the loss does not go below.
    """
    return _free("momo", beta=beta, lower_bound=_finite("momo", lower_bound), weight_decay=weight_decay)


def momo_adam(
    b1: Any = 0.9, b2: Any = 0.999, eps: Any = 1e-8, lower_bound: Any = 0.0, weight_decay: Any = 0.0
) -> RateFree:
    """Adam with the rate of `momo` (Schaipp et al. 2023, algorithm 3)."""
    bound = _finite("momo_adam", lower_bound)
    return _free("momo_adam", b1=b1, b2=b2, eps=eps, lower_bound=bound, weight_decay=weight_decay)


def cocob(alpha: Any = 100.0, eps: Any = 1e-8, weight_decay: Any = 0.0) -> RateFree:
    """Coin betting for each parameter (Orabona & Tommasi 2017, algorithm 2).

    It does not feel the scale of the gradient: a constant schedule does nothing, any other weighs the gradients.
    """
    return _free("cocob", alpha=alpha, eps=eps, weight_decay=weight_decay)


class Mechanic(RateFree):
    """Built by `mechanic`."""

    base: Optimizer

    def build(
        self, learning_rate: Schedule | float, groups: Sequence[Any] = (), restarts: Sequence[Any] = ()
    ) -> optax.GradientTransformationExtraArgs:
        self.suit(groups=groups, restarts=restarts)
        tx = scheduled(partial(mechanize, self.base.build(learning_rate)), **self.hyperparameters)
        return reporting(tx, self.name, mechanic_rate)

    def bound(self, learning_rate: Any) -> Self:
        return self.replace(base=self.base.bound(learning_rate))

    def unbound(self) -> Self:
        return self.replace(base=self.base.unbound())

    def resolve(self, horizon: Horizon) -> Self:
        return super().resolve(horizon).replace(base=self.base.resolve(horizon))

    def decay_of(self, one: Group, params: Sequence[Any]) -> Any:
        return self.base.decay_of(one, params)  # Mechanic's own is no decay of the parameters

    def spelled(self) -> str:
        return self._around(self.base.spelled())

    def __repr__(self) -> str:
        defaults = inspect.signature(mechanic).parameters
        changed = {k: v for k, v in self.hyperparameters.items() if written(v) != written(defaults[k].default)}
        return self.replace(hyperparameters=changed)._around(repr(self.base))

    def _around(self, base: str) -> str:
        return f"mechanic({', '.join([base, *(f'{k}={written(v)}' for k, v in self.hyperparameters.items())])})"


def mechanic(base: Optimizer, weight_decay: Any = 1e-2, s0: Any = 1e-6) -> Mechanic:
    """Any optimizer times a scale that is learned (Cutkosky et al. 2023, algorithm 1): `mechanic(adamw(b2=0.95))`."""
    if not isinstance(base, Optimizer) or isinstance(base, RateFree):
        raise Refused(f"mechanic({base}): it scales an optimizer that takes a rate; write mechanic(adamw())")
    return Mechanic("mechanic", _checked("mechanic", weight_decay=weight_decay, s0=s0), base)


def evaluation_params(opt_state: Any, params: Any) -> Any:
    """The parameters to evaluate: the average x where the optimizer is Schedule-Free, else `params` themselves.

    >>> import lrlab as lr
    >>> tx = lr.optim.schedule_free_sgd().build(0.5)
    >>> params = {"w": jnp.ones(2)}
    >>> state = tx.init(params)
    >>> for _ in range(2):
    ...     updates, state = tx.update({"w": jnp.ones(2)}, state, params)
    ...     params = optax.apply_updates(params, updates)
    >>> print(evaluation_params(state, params)["w"])  # the mean of 1/2 and 0
    [0.25 0.25]
    """
    state = part(opt_state, contrib.ScheduleFreeState)
    return params if state is None else _averaged(state.b1, state.z, params)


@jax.jit
def _averaged(b1: jax.Array, z: Any, y: Any) -> Any:
    return jax.tree.map(lambda z, y: ((y.astype(jnp.float32) - (1 - b1) * z) / b1).astype(y.dtype), z, y)


RATE_FREE = {
    word.__name__: word
    for word in (
        schedule_free_sgd, schedule_free_adamw, prodigy, dadapt_adamw, dog, dowg, momo, momo_adam, cocob, mechanic,
    )
}  # fmt: skip


def _free(name: str, **hyperparameters: Any) -> RateFree:
    return RateFree(name, _checked(name, **hyperparameters))


def _checked(name: str, **hyperparameters: Any) -> dict[str, Any]:
    """Numbers; only a weight decay may be a schedule, since the others are in sums that began with them."""
    for key, value in hyperparameters.items():
        if isinstance(value, Schedule) and key != "weight_decay":
            raise Refused(f"{name}({key}={value}): {key} is a number; only weight_decay may be a schedule here")
        if not isinstance(value, Schedule) and key != "lower_bound":
            in_range(name, key, value)
    return {k: float(v) if isinstance(v, int) else v for k, v in hyperparameters.items()}


def _between(b1: Any) -> Any:
    below = float(np.nextafter(np.float32(1), np.float32(0)))
    refusal = f"b1={written(b1)}: Schedule-Free's b1 is a number between 0 and 1, such as b1=0.9"
    if isinstance(b1, Schedule):
        raise Refused(refusal)
    return number(b1, refusal, positive=True, most=below)


def _finite(name: str, bound: Any) -> Any:
    if isinstance(bound, Schedule):
        raise Refused(f"{name}(lower_bound={bound}): the bound on the loss is a number")
    number(np.abs(bound), f"{name}(lower_bound={written(bound)}): the bound on the loss is a finite number")
    return bound
