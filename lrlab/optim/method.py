"""How rate-free methods are built of optax.contrib: its flaws worked around, and the rate of each read from its state."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from lrlab.refusal import Refused


def _schedule_free_sgd(learning_rate, b1, weight_decay, weight_power):
    base = optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate))
    return contrib.schedule_free(base, learning_rate, b1, weight_power)


def _schedule_free_adamw(learning_rate, b1, b2, eps, weight_decay, weight_power):
    base = optax.chain(
        optax.scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )
    return contrib.schedule_free(base, learning_rate, b1, weight_power)


def _prodigy(learning_rate, b1, b2, eps, d0, d_coef, weight_decay):
    return _estimating(contrib.prodigy(learning_rate, (b1, b2), None, eps, d0, d_coef, weight_decay))


def _dadapt_adamw(learning_rate, b1, b2, eps, d0, weight_decay):
    return _estimating(contrib.dadapt_adamw(learning_rate, (b1, b2), eps, d0, weight_decay))


def _dog(learning_rate, r0, eps, weight_decay):
    return contrib.dog(learning_rate, ("heuristic", r0), eps, weight_decay)


def _dowg(learning_rate, eps, weight_decay):
    return contrib.dowg(learning_rate, None, eps, weight_decay)


def mechanize(base: Any, weight_decay: Any, s0: Any) -> optax.GradientTransformationExtraArgs:
    """A transformation under Mechanic."""
    return contrib.mechanize(base, weight_decay, s_init=s0)


def _estimating(tx: optax.GradientTransformationExtraArgs) -> optax.GradientTransformationExtraArgs:
    """As long as every gradient came with a rate of zero, the estimate is 0/0: nothing moves, and the old one stays."""

    def update(updates, state: Any, params=None, **extra):
        updates, new = tx.update(updates, state, params, **extra)
        return _unless_undefined(updates, new, state)

    return optax.GradientTransformationExtraArgs(tx.init, update)


def _unless_undefined(updates: Any, new: Any, old: Any) -> Any:
    undefined = jnp.isnan(new.estim_lr)
    updates = jax.tree.map(lambda u: jnp.where(undefined, 0.0, u), updates)
    return updates, new._replace(estim_lr=jnp.where(undefined, old.estim_lr, new.estim_lr))


class _Moved(NamedTuple):
    """One update, for those who ask how large its rate was."""

    values: dict[str, Any]
    before: Any  # state of the method
    after: Any
    updates: Any
    params: Any


def _estimate_rate(moved: _Moved) -> Any:
    return moved.before.estim_lr * moved.values["learning_rate"]


def _dog_rate(moved: _Moved) -> Any:
    state = part(moved.after, contrib.DoGState)
    return moved.values["learning_rate"] * state.max_dist / jnp.sqrt(state.sum_sq_norm_grads + moved.values["eps"])


def _dowg_rate(moved: _Moved) -> Any:
    state = part(moved.after, contrib.DoWGState)
    found = state.estim_sq_dist / (jnp.sqrt(state.weighted_sq_norm_grads) + moved.values["eps"])
    return moved.values["learning_rate"] * found


def _momo_rate(moved: _Moved) -> Any:
    """How far the update went along the momentum, without the part that decays the weights."""
    decay = moved.values["learning_rate"] * moved.values["weight_decay"]
    along = moved.after.exp_avg
    if "b2" in moved.values:
        root = jnp.sqrt(1 - moved.values["b2"] ** moved.after.count)
        along = jax.tree.map(lambda m, v: m / (moved.values["eps"] + jnp.sqrt(v) / root), along, moved.after.exp_avg_sq)
    step = jax.tree.map(lambda u, p: u + decay / (1 + decay) * p, moved.updates, moved.params)
    norm = optax.tree.norm(along, squared=True)
    return 0.0 - optax.tree.vdot(step, along) / jnp.where(norm > 0, norm, 1.0)  # 0.0, where nothing moved


def mechanic_rate(moved: _Moved) -> Any:
    """Mechanic's scale times the rate of what it scales."""
    return jnp.sum(moved.after.s) * moved.after.base_optimizer_state.values["learning_rate"]


class _Method(NamedTuple):
    factory: Callable[..., Any]
    rate: Callable[[_Moved], Any] | None = None  # None: the schedule's


METHODS = {
    "schedule_free_sgd": _Method(_schedule_free_sgd),
    "schedule_free_adamw": _Method(_schedule_free_adamw),
    "prodigy": _Method(_prodigy, _estimate_rate),
    "dadapt_adamw": _Method(_dadapt_adamw, _estimate_rate),
    "dog": _Method(_dog, _dog_rate),
    "dowg": _Method(_dowg, _dowg_rate),
    "momo": _Method(contrib.momo, _momo_rate),
    "momo_adam": _Method(contrib.momo_adam, _momo_rate),
    "cocob": _Method(contrib.cocob),
}


def reporting(tx: Any, name: str, rate: Callable[[_Moved], Any] | None) -> optax.GradientTransformationExtraArgs:
    """`tx` in float32, with the rate that it really used among the values in its state."""
    in_float32 = partial(jax.tree.map, lambda x: jnp.array(x, jnp.float32))  # copies: states may be donated

    def reported(state, learning_rate):
        return state._replace(values={**state.values, "learning_rate": learning_rate})

    def init(params):
        state = jax.tree.map(jnp.array, tx.init(in_float32(params)))
        return state if rate is None else reported(state, jnp.float32(jnp.nan))

    def update(updates, state, params=None, **extra):
        if params is None:
            raise Refused(f"{name} needs the parameters; write tx.update(gradient, state, params)")
        if name in ("momo", "momo_adam") and extra.get("value") is None:
            raise Refused(f"{name} needs the loss; write tx.update(gradient, state, params, value=loss)")
        updates, params = in_float32(updates), in_float32(params)
        updates, new = tx.update(updates, state, params, **extra)
        if rate is not None:
            new = reported(new, rate(_Moved(new.values, state.inner, new.inner, updates, params)))
        return updates, new

    return optax.GradientTransformationExtraArgs(init, update)


def part(state: Any, kind: type) -> Any:
    """The first state of a kind in a state, or None."""
    is_kind = lambda node: isinstance(node, kind)
    return next(filter(is_kind, jax.tree.leaves(state, is_leaf=is_kind)), None)
