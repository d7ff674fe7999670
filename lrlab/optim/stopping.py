"""Early stopping: a run ends when a metric has stopped improving."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lrlab.optim.watch import Mode, ThresholdMode, Watcher, checked, count, windowed


class EarlyStoppingState(NamedTuple):
    """State of `early_stopping`."""

    stop: jax.Array  # bool: true from the decision on
    best: jax.Array  # float32
    bad: jax.Array  # int32
    total: jax.Array  # float32
    waiting: jax.Array  # int32


class EarlyStopping(Watcher):
    """Built by `early_stopping`."""

    word = "early_stopping"
    window: int

    def init(self) -> EarlyStoppingState:
        return EarlyStoppingState(jnp.array(False), self._worst(), jnp.int32(0), jnp.float32(0), jnp.int32(0))

    def update(self, state: EarlyStoppingState, value: Any) -> EarlyStoppingState:
        return windowed(self._observed, self.window, state, value)

    def _observed(self, state: EarlyStoppingState, value: jax.Array) -> EarlyStoppingState:
        better = self._improves(value, state.best)
        bad = jnp.where(better, 0, state.bad + 1)
        return state._replace(
            stop=state.stop | (bad >= self.patience), best=jnp.where(better, value, state.best), bad=bad
        )

    def because(self, state: EarlyStoppingState) -> str:
        """Why it stopped, in words."""
        times = "observation" if int(state.bad) == 1 else "observations"
        return f"{self.metric} has not improved on {float(state.best):.6g} for {int(state.bad)} {times}"


def early_stopping(
    patience: int = 10,
    mode: Mode = "min",
    threshold: Any = 0.0,
    threshold_mode: ThresholdMode = "rel",
    metric: str = "loss",
    window: int = 1,
) -> EarlyStopping:
    """Stop a run when `patience` observations in a row were no improvement, as Keras and Lightning count them.

    Args: as those of `plateau`; in a run the decision is taken at evaluations.

    >>> watcher = early_stopping(patience=2)
    >>> state = watcher.init()
    >>> for loss in (3.0, 2.0, 2.5, 2.0):
    ...     state = watcher.update(state, loss)
    >>> bool(state.stop), watcher.because(state)
    (True, 'loss has not improved on 2 for 2 observations')
    """
    common = checked("early_stopping", metric, mode, patience, threshold, threshold_mode, least=1)
    return EarlyStopping(**common, window=count("early_stopping", "window", window, least=1))
