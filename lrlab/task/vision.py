"""Handwritten digits: scikit-learn's 1797 images of 8 by 8 pixels, a perceptron or a small convolutional network."""

import functools
import hashlib
import importlib.metadata
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lrlab.refusal import Refused
from lrlab.schedule import Horizon
from lrlab.task import Data, Params, Work, check, fused, module
from lrlab.task.sample import epoch_length, visit

_CLASSES, _SIDE, _HELD_PER_CLASS = 10, 8, 36
_EXAMPLES = 1797 - _CLASSES * _HELD_PER_CLASS


class Images(NamedTuple):
    """Standardised images and what they show."""

    image: Any  # [b, 8, 8] float32, mean 0 and variance 1 over the training images
    label: Any  # [b] int32, 0 to 9


@dataclass(frozen=True)
class Digits:
    """Classify digits; 1437 images to learn from, 36 of each class held out, the same ones always.

    Args:
        network: "mlp" (ReLU layers) or "cnn" (3 by 3 convolutions, ReLU, 2 by 2 mean pooling).
        hidden: widths of the hidden layers, or channels of the convolutions (at most three).
        dropout: share of the hidden activations that training sets to zero; drawn for each example by its row.
        l2: adds l2/2 times the squared norm of the kernels to each example's training loss.
    """

    network: Literal["mlp", "cnn"] = "mlp"
    hidden: tuple[int, ...] = (32, 32)
    dropout: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        check.choices(self)
        check.between(self, "dropout", 0.0, 1.0)
        check.between(self, "l2", 0.0, float("inf"))
        if not isinstance(self.hidden, list | tuple) or not all(
            isinstance(width, int) and width > 0 for width in self.hidden
        ):
            raise Refused(f"Digits(hidden={self.hidden!r}): write positive whole numbers, such as (32, 32)")
        object.__setattr__(self, "hidden", tuple(self.hidden))  # a list would not hash
        if self.network == "cnn" and not 1 <= len(self.hidden) <= 3:
            raise Refused(f"Digits(network='cnn', hidden={self.hidden}): pooling halves 8 pixels; write 1 to 3 widths")

    def model(self, draw: module.Draw) -> "Network":
        """The network, with parameters from `draw`."""
        return Network(self, draw)

    def load(self) -> Data:
        """The bundled images, [1437, 8, 8] and [360, 8, 8]."""
        return _digits()

    def horizon(self, steps: int, batch: int) -> Horizon:
        """How long a run is; an epoch is the examples that fill whole batches."""
        return Horizon(steps, batch=batch, epoch=epoch_length(batch, _EXAMPLES) * batch)

    def init(self, seed: int) -> Params:
        """Float32 parameters drawn on the host."""
        return module.parameters(self, seed)

    def batch(self, train: Images, seed: jax.Array, step: jax.Array, rows: jax.Array, size: int) -> Images:
        """Images [b, 8, 8] and labels [b]."""
        indices, _ = visit(seed, step, rows, size, train.label.shape[0])
        return self.held(train, indices)

    def loss(self, params: Params, batch: Images, key: jax.Array, rows: jax.Array) -> jax.Array:
        """Cross-entropy of each example plus the l2 penalty, [b]."""
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, rows) if self.dropout else None
        loss = fused.cross_entropy(module.merge(self, params)(batch.image, keys), batch.label)
        if self.l2:
            loss = loss + self.l2 / 2 * sum((w * w).sum() for w in jax.tree.leaves(params) if w.ndim > 1)
        return loss

    def held(self, valid: Images, rows: jax.Array) -> Images:
        """Images [b, 8, 8] and labels [b]."""
        return Images(jnp.asarray(valid.image)[rows], jnp.asarray(valid.label)[rows])

    def metrics(self, params: Params, batch: Images) -> dict[str, jax.Array]:
        """{"loss": [b], "accuracy": [b], 1 where the likeliest class is right}."""
        logits = module.merge(self, params)(batch.image, None)
        right = logits.argmax(-1) == batch.label
        return {"loss": fused.cross_entropy(logits, batch.label), "accuracy": right.astype(jnp.float32)}

    @property
    def work(self) -> Work:
        """6 times each kernel's weights times the places where it is applied, as is the custom."""
        total, wide, side = 0, 1 if self.network == "cnn" else _SIDE**2, _SIDE
        for wider in self.hidden:
            total += wide * wider * (9 * side**2 if self.network == "cnn" else 1)
            wide, side = wider, side // 2
        pixels = side**2 if self.network == "cnn" else 1
        return Work(6 * (total + wide * pixels * _CLASSES), "float32")

    @property
    def parameters(self) -> int:
        """How many numbers the network learns."""
        return module.count(self)


class Network(nnx.Module):
    """Hidden layers with ReLU and dropout, then a linear one; kernels have variance 2 / fan-in (He et al. 2015)."""

    def __init__(self, spec: Digits, draw: module.Draw):
        self.spec = spec
        self.convolve = spec.network == "cnn"
        layer, width = (Convolution, 1) if self.convolve else (Dense, _SIDE**2)
        self.hidden = nnx.Dict()
        for i, wider in enumerate(spec.hidden):
            self.hidden[str(i)] = layer(draw, width, wider)
            width = wider
        pixels = (_SIDE >> len(spec.hidden)) ** 2 if self.convolve else 1
        self.head = Dense(draw, width * pixels, _CLASSES)

    def __call__(self, images: jax.Array, keys: jax.Array | None) -> jax.Array:
        """[b, 8, 8] -> logits [b, 10]; without keys nothing is dropped."""
        x = images[..., None] if self.convolve else images.reshape(len(images), -1)
        for i in range(len(self.spec.hidden)):
            x = jax.nn.relu(self.hidden[str(i)](x))
            if self.convolve:
                x = _pool(x)
            if keys is not None:
                x = _drop(x, jax.vmap(jax.random.fold_in, (0, None))(keys, i), self.spec.dropout)
        return self.head(x.reshape(len(x), -1))


class Dense(nnx.Module):
    """A matmul and a bias."""

    def __init__(self, draw: module.Draw, inputs: int, outputs: int):
        self.kernel = nnx.Param(draw((inputs, outputs), (2 / inputs) ** 0.5))
        self.bias = module.constant(0, outputs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, inputs] -> [b, outputs]."""
        return fused.matmul(x, self.kernel[...]) + self.bias[...][None]


class Convolution(nnx.Module):
    """3 by 3 pixels with zero padding, and a bias."""

    def __init__(self, draw: module.Draw, inputs: int, outputs: int):
        self.kernel = nnx.Param(draw((3, 3, inputs, outputs), (2 / (9 * inputs)) ** 0.5))
        self.bias = module.constant(0, outputs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, s, s, inputs] -> [b, s, s, outputs]."""
        layout = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, self.kernel[...], (1, 1), "SAME", dimension_numbers=layout)
        return x + self.bias[...][None, None, None]


def _pool(x):
    b, s, _, c = x.shape
    return x.reshape(b, s // 2, 2, s // 2, 2, c).mean((2, 4))


def _drop(x, keys, rate):
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(keep, x / (1 - rate), 0.0)


@functools.cache
def _digits() -> Data:
    # scikit-learn's own file, and not its `load_digits`, whose import takes three times as long as reading it
    file = importlib.metadata.distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(file), np.int32, delimiter=",")
    image, label = table[:, :-1].reshape(-1, _SIDE, _SIDE).astype(np.float32), np.ascontiguousarray(table[:, -1])
    shuffled = np.random.Generator(np.random.Philox(0)).permutation(label.size)
    held = np.sort([shuffled[label[shuffled] == c][:_HELD_PER_CLASS] for c in range(_CLASSES)], axis=None)
    learnt = np.setdiff1d(shuffled, held)
    mean, std = image[learnt].mean(), image[learnt].std()
    train, valid = (Images((image[rows] - mean) / std, label[rows]) for rows in (learnt, held))
    return Data(train, valid, learnt.size, held.size, hashlib.sha256(image.tobytes() + label.tobytes()).hexdigest())
