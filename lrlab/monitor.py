"""What a researcher watches beside the loss: how large updates are, whether the loss spikes, how sharp the valley is.

Pure functions of arrays, for inside a step (`update_ratio`, `spiked`) or at marks (`sharpness`); none changes a run.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax
from jax import lax

from lrlab.optim import Group, assigned, by_name, values_held
from lrlab.optim.method import part
from lrlab.optim.scheduled import ByGroup
from lrlab.refusal import Refused
from lrlab.task import Params, Task


def update_ratio(before: Params, after: Params, groups: Sequence[Group] = ()) -> ByGroup | jax.Array:
    """|after - before| / |before|, euclidean: the size of an update beside the weights it moves.

    One float32, or with groups one for all and one for each, to be named by `optim.by_name`. Weights at zero that are
    moved give inf. About 1e-3 is usual for matrices in the middle of a run.

    >>> float(update_ratio({"w": jnp.array([3.0, 4.0])}, {"w": jnp.array([3.0, 4.5])}))
    0.10000000149011612
    """
    moved, held = (_squares(tree) for tree in (jax.tree.map(jnp.subtract, after, before), before))
    if not groups:
        return _root(moved.sum(), held.sum())
    membership = jnp.eye(len(groups))[jnp.array(assigned(groups, before))]  # [parameters, groups]
    each = _root(moved @ membership, held @ membership)
    return ByGroup(names=tuple(one.name for one in groups), whole=_root(moved.sum(), held.sum()), each=each)


class Spikes(NamedTuple):
    """The losses that a spike is told by, and how many there were."""

    losses: jax.Array  # float32 [window], the last ones in a ring
    seen: jax.Array  # int32: finite losses up to now
    count: jax.Array  # type: ignore[assignment]  # int32: spikes up to now


def spikes(window: int = 128) -> Spikes:
    """The state of `spiked` before the first loss. Raises `Refused` for a window of fewer than 2."""
    if window < 2:
        raise Refused(f"window={window}: a spread takes two losses at least; write window=128")
    return Spikes(jnp.zeros(window), jnp.int32(0), jnp.int32(0))


def spiked(state: Spikes, loss: Any, deviations: float = 7.0) -> tuple[Spikes, jax.Array]:
    """Whether a loss lies `deviations` standard deviations above the mean of the last `window`, and the state after it.

    Nothing does until the window is full, but a loss that is not finite, which always does and is not counted to it.

    Reference: the spike score of OLMo 2 (2025), arXiv:2501.00656, which looks to both sides of 1000 losses.

    >>> state = spikes(window=4)
    >>> for loss in (2.0, 2.1, 1.9, 2.0, 2.1, 9.0):
    ...     state, spike = spiked(state, loss)
    >>> bool(spike), int(state.count)
    (True, 1)
    """
    loss, window = jnp.float32(loss), state.losses.size
    high = loss > state.losses.mean() + deviations * state.losses.std()
    spike = ~jnp.isfinite(loss) | (state.seen >= window) & high
    finite = jnp.isfinite(loss)
    losses = jnp.where(finite, state.losses.at[state.seen % window].set(loss), state.losses)
    return Spikes(losses, state.seen + finite, state.count + spike), spike


class Sharpness(NamedTuple):
    """The top eigenvalue of a Hessian, and how far at most an eigenvalue lies from it; both float32."""

    value: jax.Array
    within: jax.Array


def sharpness(
    loss: Callable[[Params], jax.Array],
    params: Params,
    key: jax.Array,
    iterations: int = 20,
    preconditioner: Params | None = None,
) -> Sharpness:
    """The largest eigenvalue of the Hessian of `loss` at `params`, by Lanczos, on the devices where they lie.

    Takes `iterations` Hessian-vector products, each about two gradients, and the memory of four copies of `params`. The
    value is never above the true one but for rounding; `within` shrinks as the iteration converges.

    Args:
        loss: a scalar function of parameters, such as `loss_on` gives.
        params: a pytree of floats.
        key: draws the first direction.
        iterations: Hessian-vector products.
        preconditioner: a positive diagonal P, shaped as `params`: the eigenvalue is that of P^(-1/2) H P^(-1/2). Of an
            optimizer that divides its updates by P (Adam: sqrt(nu_hat) + eps) this one meets the edge of stability.

    Reference: Lanczos 1950; the bound is Paige's 1980; Cohen et al. 2021, arXiv:2103.00065, and 2022, arXiv:2207.14484.

    >>> quadratic = lambda w: jnp.sum(jnp.array([1.0, 2.0, 5.0]) * w**2) / 2
    >>> round(float(sharpness(quadratic, jnp.ones(3), jax.random.key(0), iterations=3).value), 4)
    5.0
    """
    flat, unflatten = jax.flatten_util.ravel_pytree(params)
    scale = 1.0 if preconditioner is None else jax.flatten_util.ravel_pytree(preconditioner)[0] ** -0.5
    slope = jax.grad(lambda flat: loss(unflatten(flat)))

    def times(v: jax.Array) -> jax.Array:
        # reverse over reverse: the fused operations of `task` have no forward mode
        return scale * jax.grad(lambda at: jnp.vdot(slope(at), scale * v))(flat)

    return _top(times, jax.random.normal(key, flat.shape), iterations)


def edge(rate: Any, momentum: Any = 0.0, nesterov: bool = False) -> Any:
    """2 (1 + momentum) / rate, the sharpness from which on gradient descent overshoots; float as `rate`.

    Nesterov's momentum, which looks ahead, lowers it by 1 + 2 momentum. For Adam, whose momentum is an average, divide it by
    1 - b1 and compare it with the preconditioned sharpness.

    Reference: Cohen et al. 2021, equations 1 and 2, arXiv:2103.00065.

    >>> edge(0.5), edge(0.5, momentum=0.75), edge(0.5, momentum=0.75, nesterov=True)
    (4.0, 7.0, 2.8)
    """
    return 2 * (1 + momentum) / rate / (1 + 2 * momentum if nesterov else 1)


def curvature(
    loss: Callable[[Params], jax.Array], params: Params, optimizer: str, opt_state: Any, key: jax.Array
) -> dict[str, jax.Array]:
    """{"sharpness", "edge"}: of a loss under one of lrlab's optimizers, and how far it is on the way to the edge.

    For adam and adamw the sharpness is the preconditioned one. At an "edge" of 1 the optimizer at the rate that the last
    update used would overshoot; the rates of early training pass it for a while, and steady ones hover there. It is left out
    for optimizers of which no such edge is known: beside Adam's those of gradient descent, sgd, momentum and nesterov.

    Reference: Cohen et al. 2021 and 2022.
    """
    held = {name: value for name, value in by_name(values_held(opt_state)).items() if "[" not in name}
    adam = part(opt_state, optax.ScaleByAdamState) if optimizer in ("adam", "adamw") else None
    diagonal, limit = None, None
    if adam is not None:
        bias = 1 - held["b2"] ** jnp.maximum(adam.count, 1)
        diagonal = jax.tree.map(lambda nu: jnp.sqrt(nu / bias) + held["eps"], adam.nu)
        limit = edge(held["learning_rate"], held["b1"]) / (1 - held["b1"])
    elif optimizer in ("sgd", "momentum", "nesterov"):
        limit = edge(held["learning_rate"], held.get("momentum", 0.0), optimizer == "nesterov")
    top = sharpness(loss, params, key, preconditioner=diagonal).value
    return {"sharpness": top} | ({} if limit is None else {"edge": top / limit})


def loss_on(
    task: Task, train: Any, seed: Any, step: Any, examples: int, blocks: int = 1, batch: int | None = None
) -> Callable[[Params], jax.Array]:
    """The training loss as a function of parameters, over the first `examples` rows of batch number `step`, a mean.

    They are all of it, unless `batch` says of how many. `blocks` of them are taken one after another, so that a Hessian of
    many examples needs the memory of few.
    """
    key = jax.random.fold_in(jax.random.key(seed), step)
    rows = jnp.arange(examples, dtype=jnp.int32).reshape(blocks, -1)

    def loss(params: Params) -> jax.Array:
        @jax.checkpoint
        def total(rows: jax.Array) -> jax.Array:
            return task.loss(params, task.batch(train, seed, step, rows, batch or examples), key, rows).sum()

        return lax.scan(lambda sum_, rows: (sum_ + total(rows), None), jnp.float32(0), rows)[0] / examples

    return loss


def _top(times: Callable[[jax.Array], jax.Array], v: jax.Array, iterations: int) -> Sharpness:
    """The top eigenvalue of a symmetric operator by Lanczos, which without reorthogonalisation still finds that one."""

    def extend(carry, _):
        before, v, beta = carry
        w = times(v) - beta * before
        alpha = jnp.vdot(w, v)
        w -= alpha * v
        beta = jnp.linalg.norm(w)
        return (v, w / jnp.where(beta > 0, beta, 1), beta), (alpha, beta)

    _, (alpha, beta) = lax.scan(extend, (jnp.zeros_like(v), v / jnp.linalg.norm(v), 0.0), length=iterations)
    # from where the space is exhausted on, rows that stand alone and repeat a value that is not above the top
    ended = jnp.cumsum(jnp.append(0.0, beta[:-1] <= 1e-6 * jnp.abs(alpha).max())) > 0
    alpha, beta = jnp.where(ended, alpha[0], alpha), jnp.where(ended | jnp.append(ended[1:], False), 0.0, beta)
    tridiagonal = jnp.diag(alpha) + jnp.diag(beta[:-1], 1) + jnp.diag(beta[:-1], -1)
    values, vectors = jnp.linalg.eigh(tridiagonal)
    return Sharpness(values[-1], beta[-1] * jnp.abs(vectors[-1, -1]))


def _squares(tree: Params) -> jax.Array:
    """The sum of squares of every leaf, [leaves] float32."""
    return jnp.stack([jnp.sum(jnp.square(x.astype(jnp.float32))) for x in jax.tree.leaves(tree)])


def _root(moved: jax.Array, held: jax.Array) -> jax.Array:
    return jnp.where(moved > 0, jnp.sqrt(moved / held), 0.0)
