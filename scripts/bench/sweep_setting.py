"""What every contender of sweep.py is given: models, data, and the trials of a sweep, each a kind of schedule and its peak."""

import itertools
import math
from importlib.metadata import distribution
from typing import NamedTuple

import numpy as np
from setting import Setting

KINDS = ("cosine", "stable", "rsqrt", "decay")
WARMUP, COOLDOWN, TIMESCALE = 0.1, 0.2, 0.1  # shares of the run
WEIGHT_DECAY = 1e-2


class Model(NamedTuple):
    hidden: tuple[int, ...] | None  # of a perceptron on scikit-learn's digits
    transformer: Setting | None
    batch: int
    steps: int


MODELS = {
    "mlp-32": Model((32, 32), None, 128, 300),
    "mlp-128": Model((128, 128), None, 128, 300),
    "transformer": Model(None, Setting(layers=2, width=64, heads=4, sequence=64, batch=8), 8, 100),
}


class Trial(NamedTuple):
    kind: str
    peak: float


def trials(members: int) -> list[Trial]:
    """`members` trials: every kind at a quarter of as many peaks, 1e-4 to 3e-2."""
    return [Trial(kind, peak) for peak in np.geomspace(1e-4, 3e-2, members // len(KINDS)).tolist() for kind in KINDS]


def gain(kind: str, t: int, steps: int) -> float:
    """The rate of update t over the peak, t from 0."""
    if kind == "decay":
        return 1 - t / steps
    warmup = round(WARMUP * steps)
    if t < warmup:
        return t / warmup
    if kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (t - warmup) / (steps - warmup)))
    if kind == "rsqrt":
        return (1 + (t - warmup) / (TIMESCALE * steps)) ** -0.5
    return min(1.0, (steps - t) / (COOLDOWN * steps))


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images [1437, 64] float32 of mean 0 and variance 1, and labels [1437] int32: the same share of them as lrlab learns from."""
    file = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), np.int32, delimiter=",")[:1437]
    image = table[:, :-1].astype(np.float32)
    return (image - image.mean()) / image.std(), table[:, -1].copy()


def initial(hidden: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels [in, out] of variance 2 / in, and biases, of each layer."""
    draw, sizes = np.random.default_rng(0), (64, *hidden, 10)
    return [
        (draw.standard_normal((a, b), np.float32) * np.float32((2 / a) ** 0.5), np.zeros(b, np.float32))
        for a, b in itertools.pairwise(sizes)
    ]


def order(steps: int, batch: int, examples: int) -> np.ndarray:
    """Which examples each batch holds, [steps, batch]: every one at most once an epoch."""
    draw, each = np.random.default_rng(0), examples // batch
    epochs = [draw.permutation(examples)[: each * batch].reshape(each, batch) for _ in range(-(-steps // each))]
    return np.concatenate(epochs)[:steps]


def ending(losses: list[float]) -> float:
    """What a run came to: its training loss over the last twentieth."""
    return float(np.mean(losses[-(len(losses) // 20) :]))
