"""Feedback: a gain on the schedule that follows a metric, down on a plateau, or greedily up and down."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from lrlab.node import structural
from lrlab.optim.watch import Mode, ThresholdMode, Watcher, checked, choice, count, where, windowed
from lrlab.refusal import Refused
from lrlab.schedule.number import number
from lrlab.schedule.write import written

Convention = Literal["torch", "keras", "optax"]


class Feedback(Watcher):
    """A watcher whose state has a gain, by which the schedule is multiplied."""


class PlateauState(NamedTuple):
    """State of `plateau`."""

    gain: jax.Array  # float32: what the schedule is multiplied by
    best: jax.Array  # float32
    bad: jax.Array  # int32: observations in a row without improvement
    cooldown: jax.Array  # int32: observations still to be let pass
    total: jax.Array  # float32: sum of the values that wait for the window to fill
    waiting: jax.Array  # int32: how many they are


class Plateau(Feedback):
    """Built by `plateau`."""

    word = "plateau"
    factor: Any
    cooldown: int
    least: Any
    window: int
    convention: Convention

    def init(self) -> PlateauState:
        return PlateauState(jnp.float32(1), self._worst(), jnp.int32(0), jnp.int32(0), jnp.float32(0), jnp.int32(0))

    def update(self, state: PlateauState, value: Any) -> PlateauState:
        return windowed(self._observed, self.window, state, value)

    def _observed(self, state: PlateauState, value: jax.Array) -> PlateauState:
        # torch waits one observation longer than the others, and Keras' cooldown is one shorter
        patience = self.patience + (self.convention == "torch")
        cooldown = self.cooldown - (self.convention == "keras")
        better = self._improves(value, state.best)
        bad = jnp.where(better | (state.cooldown > 0), 0, state.bad + 1)
        reduced = bad >= jnp.maximum(patience, 1)
        return state._replace(
            gain=jnp.where(reduced, jnp.maximum(state.gain * self.factor, self.least), state.gain),
            best=jnp.where(better, value, state.best),
            bad=jnp.where(reduced, 0, bad),
            cooldown=jnp.maximum(jnp.where(reduced, cooldown, state.cooldown - 1), 0),
        )


def plateau(
    factor: Any = 0.1,
    patience: int = 10,
    convention: Convention = "torch",
    mode: Mode = "min",
    threshold: Any = 1e-4,
    threshold_mode: ThresholdMode = "rel",
    cooldown: int = 0,
    least: Any = 0.0,
    metric: str = "loss",
    window: int = 1,
) -> Plateau:
    """Multiply the rate by `factor` whenever a metric has stopped improving.

    An observation improves on the best so far if it is better by more than `threshold` times |best| ("rel"), or by
    more than `threshold` ("abs"). So a negative metric is watched as a positive one is; torch and optax, which compare
    with (1 - threshold) * best, never reduce on it (pytorch/pytorch#47513, optax PR 1767).

    Args:
        factor: what the gain is multiplied by, between 0 and 1.
        patience: observations without improvement, as the convention counts them.
        convention: "torch" reduces when more than `patience` in a row did not improve, "keras" and "optax" when
            `patience` did not. After a reduction, `cooldown` observations are let pass; with "keras" one fewer.
        mode: whether the metric should become smaller ("min") or larger ("max").
        threshold, threshold_mode: how much better counts as better.
        cooldown: observations to let pass after a reduction.
        least: the gain does not fall below it (a share of the schedule, where torch's `min_lr` is a rate).
        metric: in a run, what is observed: a held-out metric, at every evaluation, or "train_loss", at every update.
        window: values whose mean makes one observation (optax's `accumulation_size`).

    Raises `Refused` for values out of range.

    >>> watcher = plateau(factor=0.5, patience=3)
    >>> state = watcher.init()
    >>> for flat in range(5):
    ...     state = watcher.update(state, 1.0)
    >>> float(state.gain), plateau(factor=0.5, patience=3)
    (0.5, plateau(factor=0.5, patience=3))
    """
    common = checked("plateau", metric, mode, patience, threshold, threshold_mode)
    choice("plateau", "convention", convention, Convention)
    if convention == "optax" and isinstance(patience, int) and patience == 0:
        raise Refused(
            'plateau(patience=0, convention="optax"): optax then reduces at every improvement and never else; '
            "write patience=1 to reduce at the first observation without one"
        )
    return Plateau(
        **common,
        factor=_factor("plateau", factor),
        cooldown=count("plateau", "cooldown", cooldown),
        least=_least("plateau", least),
        window=count("plateau", "window", window, least=1),
        convention=convention,
    )


class GreedyState(NamedTuple):
    """State of `greedy`."""

    gain: jax.Array  # float32
    best: jax.Array  # float32
    good: jax.Array  # int32: observations in a row that improved
    bad: jax.Array  # int32: and that did not
    cooldown: jax.Array  # int32: observations to let pass, after the gain fell
    warmup: jax.Array  # int32: and after it rose
    floored: jax.Array  # int32: times in a row that the gain should have fallen below the least
    recent: jax.Array  # [smooth] float32: the last values, in a ring
    seen: jax.Array  # int32: values so far


class Greedy(Feedback):
    """Built by `greedy`."""

    word = "greedy"
    factor: Any
    cooldown: int
    warmup: int
    least: Any
    most: Any
    reset: int
    smooth: int = structural()  # the length of an array

    def init(self) -> GreedyState:
        # each count a buffer of its own, so that the state can be donated
        good, bad, cooldown, warmup, floored, seen = (jnp.int32(0) for _ in range(6))
        recent = jnp.zeros(self.smooth, jnp.float32)
        return GreedyState(jnp.float32(1), self._worst(), good, bad, cooldown, warmup, floored, recent, seen)

    def update(self, state: GreedyState, value: Any) -> GreedyState:
        recent = state.recent.at[state.seen % self.smooth].set(jnp.asarray(value, jnp.float32))
        value = jnp.sum(recent) / jnp.minimum(state.seen + 1, self.smooth)
        resting = (state.cooldown > 0) | (state.warmup > 0)
        better = self._improves(value, state.best) & ~resting
        good = jnp.where(better, state.good + 1, 0)
        bad = jnp.where(better | resting, 0, state.bad + 1)
        rises, falls = good > self.patience, bad > self.patience
        lower = jnp.where(falls, jnp.maximum(state.gain * self.factor, self.least), state.gain)
        floored = jnp.where(rises, 0, state.floored + (falls & (lower <= self.least)))
        new = GreedyState(
            gain=jnp.where(rises, jnp.minimum(state.gain / self.factor, self.most), lower),
            best=jnp.where(better, value, state.best),
            good=jnp.where(rises, 0, good),
            bad=jnp.where(falls, 0, bad),
            cooldown=jnp.where(falls, self.cooldown, jnp.maximum(state.cooldown - 1, 0)),
            warmup=jnp.where(rises, self.warmup, jnp.maximum(state.warmup - (state.cooldown == 0), 0)),
            floored=floored,
            recent=recent,
            seen=state.seen + 1,
        )
        anew = self.init()._replace(cooldown=new.cooldown)
        return where(floored >= self.reset, anew, new)


def greedy(
    factor: Any = 0.95,
    patience: int = 10,
    mode: Mode = "min",
    threshold: Any = 1e-6,
    threshold_mode: ThresholdMode = "abs",
    cooldown: int = 0,
    warmup: int = 0,
    least: Any = 0.01,
    most: Any = 10.0,
    reset: int = 500,
    metric: str = "train_loss",
    smooth: int = 1,
) -> Greedy:
    """Raise the rate while a metric improves and lower it while it does not (GreedyLR, arXiv 2512.14527).

    More than `patience` improvements in a row divide the gain by `factor`, more than `patience` observations without
    one multiply it. The states and their order are those of transformers 5's `GreedyLR`, whose `min_lr` and `max_lr`
    are rates where `least` and `most` are shares of the schedule; and its `eps`, below which it leaves a rate alone,
    is left out.

    Args:
        factor: between 0 and 1.
        patience: observations in a row, of one kind, that leave the gain as it is.
        mode, threshold, threshold_mode: as in `plateau`.
        cooldown: observations let pass after the gain fell.
        warmup: observations let pass after the gain rose.
        least, most: bounds of the gain.
        reset: after the gain should have fallen below `least` so many times, everything begins again.
        metric: as in `plateau`.
        smooth: values in the running mean that is observed (`window_size` of transformers).

    >>> watcher = greedy(factor=0.5, patience=1)
    >>> state = watcher.init()
    >>> for loss in (3.0, 2.0, 2.0, 2.0, 2.0, 2.0):  # up at the second improvement, down at every second miss
    ...     state = watcher.update(state, loss)
    ...     print(float(state.gain), end=" ")
    1.0 2.0 2.0 1.0 1.0 0.5
    """
    return Greedy(
        **checked("greedy", metric, mode, patience, threshold, threshold_mode),
        factor=_factor("greedy", factor),
        cooldown=count("greedy", "cooldown", cooldown),
        warmup=count("greedy", "warmup", warmup),
        least=_least("greedy", least),
        most=_most(most),
        reset=count("greedy", "reset", reset, least=1),
        smooth=count("greedy", "smooth", smooth, least=1),
    )


class FeedbackState(NamedTuple):
    """State of `with_feedback`: that of the watcher, and that of the optimizer."""

    feedback: Any
    inner: Any


def with_feedback(feedback: Feedback, optimizer: Callable[[Any], Any]) -> optax.GradientTransformationExtraArgs:
    """An optax optimizer whose rate follows the values it is told.

    Args:
        feedback: `plateau(...)` or `greedy(...)`.
        optimizer: gives the transformation for a gain, which is a scalar that multiplies the schedule.

    Each update takes `value=`: it is observed first, and the gain that follows is used. With `value=None` nothing is
    observed. To observe a held-out loss elsewhere write
    `state._replace(feedback=feedback.update(state.feedback, loss))`. `values_used` reports the rate with the gain in it.

    >>> import lrlab as lr
    >>> schedule = 1e-2 * lr.warmup(10)
    >>> tx = with_feedback(
    ...     plateau(factor=0.5, patience=3),
    ...     lambda gain: lr.scheduled(optax.adamw, learning_rate=gain * schedule, weight_decay=0.1),
    ... )
    >>> params = {"w": jnp.ones(3)}
    >>> updates, state = tx.update(params, tx.init(params), params, value=2.0)
    """

    def transformation(state):
        return optax.with_extra_args_support(optimizer(state.gain))

    def init(params):
        state = feedback.init()
        return FeedbackState(state, transformation(state).init(params))

    def update(updates, state, params=None, **extra):
        if "value" not in extra:
            raise Refused(
                "feedback needs a value to observe; write tx.update(gradient, state, params, value=loss), "
                "or value=None where there is nothing to observe"
            )
        seen = state.feedback if extra["value"] is None else feedback.update(state.feedback, extra["value"])
        updates, inner = transformation(seen).update(updates, state.inner, params, **extra)
        return updates, FeedbackState(seen, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def _factor(word: str, factor: Any) -> Any:
    below = float(np.nextafter(np.float32(1), np.float32(0)))
    refusal = f"{word}(factor={written(factor)}): the factor lies between 0 and 1, such as factor=0.5"
    return number(factor, refusal, positive=True, most=below)


def _least(word: str, least: Any) -> Any:
    return number(
        least, f"{word}(least={written(least)}): the lowest gain is a share of the schedule, from 0 to 1", most=1.0
    )


def _most(most: Any) -> Any:
    refusal = f"greedy(most={written(most)}): the highest gain is a share of the schedule, at least 1"
    most = number(most, refusal)
    if not isinstance(most, Tracer) and np.any(np.asarray(most) < 1):
        raise Refused(refusal)
    return most
