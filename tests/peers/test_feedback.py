"""Rates that follow a metric, beside those of PyTorch, Keras and transformers, over random metrics."""

import types

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrlab.optim import greedy, plateau

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
optimization = pytest.importorskip("transformers.optimization")

LONGEST = 40
# eighths with a threshold of a sixteenth: every comparison is exact in float32 and float64, so peers must agree
EIGHTHS = st.lists(st.integers(-24, 24).map(lambda n: n / 8), min_size=1, max_size=LONGEST)
POSITIVE = st.lists(st.integers(1, 64).map(lambda n: n / 8), min_size=1, max_size=LONGEST)
SIXTEENTH = 1 / 16


@jax.jit
def _gains(watcher, metrics):
    def step(state, value):
        state = watcher.update(state, value)
        return state, state.gain

    return jax.lax.scan(step, watcher.init(), metrics)[1]


def gains(watcher, metrics):
    """The gain after each value; one compilation for each structure of a watcher."""
    padded = np.full(LONGEST, np.nan, np.float32)
    padded[: len(metrics)] = metrics
    return np.asarray(_gains(watcher, padded))[: len(metrics)]


@given(POSITIVE, st.sampled_from(["min", "max"]), st.sampled_from(["rel", "abs"]), st.integers(0, 4), st.integers(0, 3))
def test_a_plateau_of_torch_is_torch(metrics, mode, threshold_mode, patience, cooldown):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, 0.5, patience, SIXTEENTH, threshold_mode, cooldown, eps=0.0
    )
    theirs = []
    for value in metrics:
        peer.step(value)
        theirs.append(optimizer.param_groups[0]["lr"])
    ours = gains(plateau(0.5, patience, "torch", mode, SIXTEENTH, threshold_mode, cooldown), metrics)
    np.testing.assert_array_equal(ours, theirs)


@given(EIGHTHS, st.sampled_from(["min", "max"]), st.integers(0, 4), st.integers(0, 3))
def test_a_plateau_of_keras_is_keras(metrics, mode, patience, cooldown):
    model = types.SimpleNamespace(optimizer=types.SimpleNamespace(learning_rate=np.float32(1)))
    peer = keras.callbacks.ReduceLROnPlateau(
        "loss", 0.5, patience, mode=mode, min_delta=SIXTEENTH, cooldown=cooldown, min_lr=0
    )
    peer.set_model(model)
    peer.on_train_begin()
    theirs = []
    for epoch, value in enumerate(metrics):
        peer.on_epoch_end(epoch, {"loss": value})
        theirs.append(float(np.asarray(model.optimizer.learning_rate)))
    ours = gains(plateau(0.5, patience, "keras", mode, SIXTEENTH, "abs", cooldown), metrics)
    np.testing.assert_array_equal(ours, theirs)


@given(
    POSITIVE,
    st.sampled_from(["min", "max"]),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(1, 3),
)
def test_greedy_is_that_of_transformers(metrics, mode, patience, cooldown, warmup, reset):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    peer = optimization.GreedyLR(
        optimizer, mode, 0.5, patience, SIXTEENTH, "abs", cooldown, warmup, 0.25, 4.0, 0.0, reset_start=reset,
        smooth=True, window_size=4,
    )  # fmt: skip
    theirs = []
    for value in metrics:
        peer.step(value)
        theirs.append(optimizer.param_groups[0]["lr"])
    ours = greedy(0.5, patience, mode, SIXTEENTH, "abs", cooldown, warmup, 0.25, 4.0, reset, smooth=4)
    # means of three are not exact in float32, but no two of these come closer to the threshold than 1/48
    np.testing.assert_array_equal(gains(ours, metrics), theirs)
