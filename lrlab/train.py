"""One pure training step, a chunk of steps that runs without the host, and a population of runs in one program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from lrlab.monitor import curvature, loss_on, spiked, spikes, update_ratio
from lrlab.node import Node, structural
from lrlab.optim import (
    Batches,
    EarlyStopping,
    Feedback,
    Group,
    Optimizer,
    Watcher,
    evaluation_params,
    observe,
    updates_done,
    values_held,
)
from lrlab.schedule import Schedule
from lrlab.task import Params, Task

Metrics = dict[str, jax.Array]
Gather = Callable[[Params], Params]
_CURVED = 64  # examples, at most, whose loss's sharpness is measured


def _same(x: Any) -> Any:
    return x


class TrainState(NamedTuple):
    """What a step changes. Everything else of step t is a function of t, so resuming is exact by construction."""

    step: jax.Array  # int32: batches seen; the schedules' clock, which skipped updates do not move, is in opt_state
    params: Params  # float32
    opt_state: Any
    watched: tuple[Any, ...]  # states of the member's watchers: its feedback, its early stopping; and of its spikes


class Member(Node):
    """What may differ between runs of one compiled program: numbers and the seed, never shapes."""

    schedule: Schedule
    optimizer: Optimizer
    seed: Any = 0
    clip: Any = None  # bound on the gradient's global norm: a number, a schedule, or None
    feedback: Feedback | None = None  # what multiplies the schedule by a gain
    stop: EarlyStopping | None = None
    groups: tuple[Group, ...] = ()
    restarts: Any = ()  # updates before which the optimizer's moments begin anew
    batches: Batches | None = None  # microbatches of each update, where the batch follows a schedule
    skip: bool = structural(default=False)  # whether updates with gradients that are not finite are left out
    monitor: tuple[str, ...] = structural(
        default=()
    )  # what is measured beside the loss: "updates", "spikes", "sharpness"

    @property
    def watchers(self) -> tuple[Watcher | None, ...]:
        """What is told the metrics."""
        return self.feedback, self.stop

    def transformation(self, watched: tuple[Any, ...], scale: Any = None) -> optax.GradientTransformationExtraArgs:
        """The optimizer at the rates that the schedules, the feedback, in its state, and the size of the batch say."""

        def gained(schedule):
            schedule = schedule if self.feedback is None else watched[0].gain * schedule
            return schedule if scale is None else scale * schedule

        groups = [one if one.schedule is None else one.replace(schedule=gained(one.schedule)) for one in self.groups]
        return self.optimizer.build(gained(self.schedule), groups, self.restarts)


def first_params(task: Task, members: Member) -> Params:
    """The parameters of a population before the first update, [members, ...], on the host."""
    seeds, places = np.unique(members.seed, return_inverse=True)
    drawn = [task.init(int(seed)) for seed in seeds]
    return jax.tree.map(lambda *each: np.stack(each)[places], *drawn)


def first_state(member: Member, params: Params) -> TrainState:
    """One member's state before the first update."""
    watched = tuple(None if watcher is None else watcher.init() for watcher in member.watchers)
    watched += (spikes() if "spikes" in member.monitor else None,)
    opt_state = member.transformation(watched).init(params)
    return TrainState(jnp.zeros((), jnp.int32), params, opt_state, watched)  # type: ignore[arg-type]


def make_step(
    task: Task, batch: int, accumulate: int = 1, axis: str | None = None, gather: Gather = _same
) -> Callable[..., Any]:
    """`step(state, member, train, rows) -> (state, metrics)`, pure.

    Args:
        task: model, data and loss.
        batch: examples per update, over all devices.
        accumulate: microbatches per update; the clock counts updates.
        axis: the mapped axis over devices, if any; `rows` are then this device's share of `arange(batch)`.
        gather: brings parameters that devices share to where the loss needs them.

    Metrics are scalars of the global batch before the update: loss, the gradient's norm before clipping, and the
    learning rate (and any other scheduled hyperparameter, and the bound on the norm) that the update used.
    """

    def step(state: TrainState, member: Member, train: Any, rows: jax.Array) -> tuple[TrainState, Metrics]:
        noise = jax.random.fold_in(jax.random.key(member.seed), state.step)

        def loss_of(params, rows):
            examples = task.batch(train, member.seed, state.step, rows, batch)
            return task.loss(gather(params), examples, noise, rows).sum()

        def loss_of_micro(params, rows, places, number):
            examples = task.batch(train, member.seed, number, places, batch // accumulate)
            return task.loss(gather(params), examples, noise, rows).sum()

        size, scale = batch, None
        if member.batches is None:
            loss, gradient = _accumulated(jax.value_and_grad(loss_of), state.params, rows, accumulate)
        else:
            count, before, scale = member.batches.at(state.step)
            size = count * (batch // accumulate)
            loss, gradient = _counted(jax.value_and_grad(loss_of_micro), state.params, rows, accumulate, count, before)
        if axis is not None:
            loss, gradient = lax.psum((loss, gradient), axis)  # sums, so that devices may hold unequal shares
        loss, gradient = jax.tree.map(lambda x: x / size, (loss, gradient))
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(gradient)))
        bound = member.clip(updates_done(state.opt_state)) if isinstance(member.clip, Schedule) else member.clip
        watched = _observed(member, state, {"train_loss": loss})
        updates, opt_state = member.transformation(watched, scale).update(
            _clipped(gradient, norm, bound), state.opt_state, state.params, value=loss
        )
        params = optax.apply_updates(state.params, updates)
        metrics = {"loss": loss, "grad_norm": norm, **_used(member, opt_state)}
        if isinstance(member.clip, Schedule):
            metrics["clip"] = bound
        if member.batches is not None:
            metrics["batch"] = jnp.float32(size)
        if "updates" in member.monitor:
            metrics["update_ratio"] = update_ratio(state.params, params, member.groups)  # type: ignore[arg-type, assignment]
        if "spikes" in member.monitor:
            counted, spike = spiked(watched[2], loss)
            watched, metrics["spike"] = (*watched[:2], counted), spike.astype(jnp.float32)
        new = TrainState(state.step + 1, params, opt_state, watched)  # type: ignore[arg-type]
        if member.skip:
            finite = jnp.isfinite(loss) & jnp.isfinite(norm)
            kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, state)
            new = kept._replace(
                step=state.step + 1, watched=(*kept.watched[:2], watched[2])
            )  # it is a spike all the same
            metrics["skipped"] = (~finite).astype(jnp.float32)
        return new, metrics

    return jax.jit(step)  # so that a program that mentions it several times traces it once; the compiler inlines it


# jitted: several optax optimizers return their parameters' own buffers, which could not be donated twice
first_states = jax.jit(jax.vmap(first_state))


def make_chunk(step: Callable[..., Any], length: int) -> Callable[..., Any]:
    """`chunk(state, member, train, rows, count) -> (state, metrics)`: `count` steps of at most `length`, in one program.

    Metrics are stacked, [length]; those from `count` on are zero.
    """
    step = jax.jit(step, inline=True)  # so that it is traced once, for its shapes and for the loop

    def chunk(state, member, train, rows, count):
        shapes = jax.eval_shape(step, state, member, train, rows)[1]
        metrics = jax.tree.map(lambda x: jnp.zeros((length, *x.shape), x.dtype), shapes)

        def advance(i, carry):
            state, now = step(carry[0], member, train, rows)
            put = lambda all, x: lax.dynamic_update_index_in_dim(all, x, i, 0)  # not .at[i].set, a scatter
            return state, jax.tree.map(put, carry[1], now)

        return lax.fori_loop(0, count, advance, (state, metrics))

    return chunk


def living_chunk(step: Callable[..., Any], length: int, block: int) -> Callable[..., Any]:
    """`chunk(state, (member, alive), train, rows, count)`: that of `make_chunk`; a member that is not alive stays as it is.

    Alone it takes no steps; in a block that is vmapped it takes all of them, and they are dropped.
    """
    if block > 1:
        return make_chunk(if_alive(step), length)
    chunk = make_chunk(step, length)
    return lambda state, living, train, rows, count: chunk(
        state, living[0], train, rows, jnp.where(living[1], count, 0)
    )


def if_alive(advance: Callable[..., Any]) -> Callable[..., Any]:
    """`advance(state, (member, alive), *shared)`: if the member is not alive its state stays and the metrics are nan."""

    def held(state, living, *shared):
        member, alive = living
        shapes = jax.eval_shape(advance, state, member, *shared)[1]
        frozen = lambda state: (state, jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan, x.dtype), shapes))
        return lax.cond(alive, lambda state: advance(state, member, *shared), frozen, state)

    return held


def over_members(advance: Callable[..., Any], block: int) -> Callable[..., Any]:
    """`population(states, members, alive, *shared) -> (states, metrics)`, `block` members at a time.

    Args:
        advance: `advance(state, (member, alive), *shared) -> (state, metrics)` of one member.
        block: a divisor of the number of members.

    The blocks follow one another inside the program. A block of one is to the bit what the member alone would be; a larger
    one is vmapped, and equal to rounding. A member that diverged costs no other anything.
    """
    advance = jax.jit(advance, inline=True)

    def population(states, members, alive, *shared):
        if block == 1:
            return lax.map(lambda one: advance(*one, *shared), (states, (members, alive)))
        blocks = jax.tree.map(lambda x: x.reshape(-1, block, *x.shape[1:]), (states, (members, alive)))
        ahead = lax.map(lambda block: jax.vmap(lambda *one: advance(*one, *shared))(*block), blocks)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), ahead)

    return population


def make_look(
    task: Task,
    held_out: int,
    at_once: int,
    batch: int,
    gather: Gather = _same,
    share: Callable[[jax.Array], jax.Array] = _same,
) -> Callable[..., Any]:
    """`look(state, member, valid, train) -> (state, metrics)`: the held-out metrics, and the watchers told of them.

    Args:
        task: model, data and loss.
        held_out: examples.
        at_once: of them, at most so many at a time.
        batch: examples per update.
        gather: brings parameters that devices share to where the loss needs them.
        share: lays the numbers of examples, [at_once], on the devices that share them.

    With the monitor "sharpness" there are two more: the sharpness of the training loss over the first of the `batch` that
    comes next, preconditioned where the optimizer is Adam, and that over the edge of stability at the rate last used.
    """
    evaluate = make_evaluate(task, held_out, at_once, share)

    def look(state: TrainState, member: Member, valid: Any, train: Any) -> tuple[TrainState, Metrics]:
        metrics = evaluate(gather(evaluation_params(state.opt_state, state.params)), valid)
        if "sharpness" in member.monitor:
            loss = loss_on(task, train, member.seed, state.step, min(batch, _CURVED), batch=batch)
            optimizer, key = member.optimizer.name, jax.random.key(member.seed)
            metrics |= curvature(loss, state.params, optimizer, state.opt_state, key)
        return state._replace(watched=_observed(member, state, metrics)), metrics

    return look


def make_evaluate(
    task: Task, held_out: int, block: int, share: Callable[[jax.Array], jax.Array] = _same
) -> Callable[..., Metrics]:
    """`evaluate(params, valid) -> metrics`, each the mean over all held-out examples, `block` of them at a time."""
    blocks = -(-held_out // block)

    def evaluate(params: Params, valid: Any) -> Metrics:
        def add(total, start):
            rows = share(start + jnp.arange(block))
            metrics = task.metrics(params, task.held(valid, jnp.minimum(rows, held_out - 1)))
            return jax.tree.map(lambda total, x: total + jnp.sum(x * (rows < held_out)), total, metrics), None

        shapes = jax.eval_shape(lambda: task.metrics(params, task.held(valid, jnp.arange(block))))
        zeros = jax.tree.map(lambda x: jnp.zeros((), jnp.float32), shapes)
        total, _ = lax.scan(add, zeros, block * jnp.arange(blocks))
        return jax.tree.map(lambda x: x / held_out, total)

    return evaluate


def _accumulated(value_and_grad: Callable[..., Any], params: Params, rows: jax.Array, accumulate: int) -> Any:
    """Summed loss and gradient over `rows`, `accumulate` microbatches one after another."""
    if accumulate == 1:
        return value_and_grad(params, rows)
    micro = rows.reshape(-1, accumulate).T  # in this order each device of a mesh has its share of each
    first = value_and_grad(params, micro[0])
    return lax.scan(
        lambda sums, rows: (jax.tree.map(jnp.add, sums, value_and_grad(params, rows)), None), first, micro[1:]
    )[0]


def _counted(
    value_and_grad: Callable[..., Any],
    params: Params,
    rows: jax.Array,
    accumulate: int,
    count: jax.Array,
    before: jax.Array,
) -> Any:
    """Summed loss and gradient over the first `count` microbatches of `rows`, which are numbered from `before` on, so that
    an epoch holds every example once however large the batches are.
    """
    micro = rows.reshape(-1, accumulate).T
    places = micro[0] // accumulate  # in a microbatch over all devices
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(value_and_grad, params, micro[0], places, before)
    )
    add = lambda i, sums: jax.tree.map(jnp.add, sums, value_and_grad(params, micro[i], places, before + i))
    return lax.fori_loop(0, count, add, zeros)


def _observed(member: Member, state: TrainState, metrics: Metrics) -> tuple[Any, ...]:
    """What is watched, after the watchers were told of metrics."""
    return (*observe(member.watchers, state.watched[:2], metrics), state.watched[2])


def _clipped(gradient: Params, norm: jax.Array, bound: Any) -> Params:
    if bound is None:
        return gradient
    return jax.tree.map(lambda g: g * jnp.minimum(1.0, bound / norm), gradient)


def _used(member: Member, opt_state: Any) -> Metrics:
    scheduled = {name for name, value in member.optimizer.hyperparameters.items() if isinstance(value, Schedule)}
    return {name: value for name, value in values_held(opt_state).items() if name in scheduled | {"learning_rate"}}
