"""Language modelling: predict the next byte of a text with a small transformer."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp

from lrlab.refusal import Refused
from lrlab.schedule import Horizon
from lrlab.task import Data, Params, check, fused, module
from lrlab.task.sample import bits, epoch_length, visit
from lrlab.task.text import corpus
from lrlab.task.transformer import VOCABULARY, Decoder

_OFFSET = 97  # which of an epoch's random numbers moves its windows; the first ones order them


@dataclass(frozen=True)
class Language:
    """Next-byte prediction; the default is a model of 42 thousand parameters on Python's documentation.

    An example is a window of `sequence` + 1 bytes. Each epoch's windows begin at another random offset.

    Args:
        text: a file or a folder of texts; None for Python's documentation.
        sequence: tokens per example.
        width: size of the residual stream.
        layers: transformer blocks.
        heads: attention heads; `width / heads` is the head size.
        norm_position: "pre" (GPT-2, with a final norm) or "post" (the original transformer, without).
        norm: "rms" or "layer", without bias.
        positions: "learned" embeddings, or "rope".
        tied: whether the head is the transposed embedding.
        qk_norm: whether queries and keys are normalised per head.
        expansion: hidden size of the perceptron over `width`.
        compute: dtype of activations and matmul operands; parameters and reductions stay float32.
        remat: recompute each block in the backward pass instead of keeping its activations.
        initializer: "fan_in" draws every matrix with variance 1 / fan-in; "gpt2" with standard deviation 0.02, residual
            projections less. The second needs hundreds of steps to leave the bigram plateau below a width of 128.
        validation: share of the text, at its end, that is held out.

    >>> Language(width=30, heads=4)
    Traceback (most recent call last):
    lrlab.refusal.Refused: Language(width=30, heads=4): 4 heads cannot share a width of 30; write a multiple of 4
    """

    text: str | None = None
    sequence: int = 32
    width: int = 32
    layers: int = 2
    heads: int = 2
    norm_position: Literal["pre", "post"] = "pre"
    norm: Literal["rms", "layer"] = "rms"
    positions: Literal["learned", "rope"] = "learned"
    tied: bool = False
    qk_norm: bool = False
    expansion: int = 4
    compute: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    initializer: Literal["fan_in", "gpt2"] = "fan_in"
    validation: float = 0.1

    def __post_init__(self) -> None:
        check.choices(self)
        check.positive(self, "sequence", "width", "layers", "heads", "expansion")
        check.between(self, "validation", 0.0, 1.0)
        given, size = f"Language(width={self.width}, heads={self.heads})", self.width // self.heads
        if self.width % self.heads:
            raise Refused(
                f"{given}: {self.heads} heads cannot share a width of {self.width}; write a multiple of {self.heads}"
            )
        if self.positions == "rope" and size % 2:
            even = 2 * self.width
            raise Refused(f"{given}: rope turns pairs and the head size {size} is odd; write a width of {even}")

    def model(self, draw: module.Draw) -> Decoder:
        """The transformer, with parameters from `draw`."""
        return Decoder(self, draw)

    def load(self) -> Data:
        """The text as bytes, [n] and [m] uint8. Raises `Refused` if there is none or too little."""
        train, valid, digest = corpus(self.text, self.sequence, self.validation)
        return Data(train, valid, self._windows(train), (valid.size - 1) // self.sequence, digest)

    def horizon(self, steps: int, batch: int) -> Horizon:
        """How long a run is; an epoch is the examples that fill whole batches."""
        whole = epoch_length(batch, self.load().examples) * batch
        return Horizon(steps, batch=batch, sequence=self.sequence, epoch=whole)

    def init(self, seed: int) -> Params:
        """Float32 parameters drawn on the host."""
        return module.parameters(self, seed)

    def batch(self, train: jax.Array, seed: jax.Array, step: jax.Array, rows: jax.Array, size: int) -> jax.Array:
        """[b, sequence + 1] uint8: inputs and, one byte later, targets."""
        window, epoch = visit(seed, step, rows, size, self._windows(train))
        offset = bits(seed, epoch, _OFFSET + 1)[_OFFSET] % jnp.uint32(self.sequence)
        return self._slices(train, window * self.sequence + offset.astype(jnp.int32))

    def loss(self, params: Params, batch: jax.Array, key: jax.Array, rows: jax.Array) -> jax.Array:
        """Mean cross-entropy of each example's tokens in nats, [b]."""
        targets = batch[:, 1:].reshape(-1).astype(jnp.int32)
        logits = self.logits(params, batch[:, :-1]).reshape(targets.size, VOCABULARY)
        return fused.cross_entropy(logits, targets).reshape(-1, self.sequence).mean(1)

    def logits(self, params: Params, tokens: jax.Array) -> jax.Array:
        """What the model expects after each of the tokens, [b, t] -> [b, t, 256] in the compute dtype."""
        logits = module.merge(self, params)(jnp.asarray(tokens).astype(jnp.int32))
        return logits.reshape(*tokens.shape, VOCABULARY)

    def held(self, valid: jax.Array, rows: jax.Array) -> jax.Array:
        """Consecutive windows that do not overlap, [b, sequence + 1] uint8."""
        return self._slices(valid, rows * self.sequence)

    def metrics(self, params: Params, batch: jax.Array) -> dict[str, jax.Array]:
        """{"loss": [b]}, the cross-entropy in nats."""
        return {"loss": self.loss(params, batch, None, None)}  # type: ignore[arg-type]

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return module.count(self)

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations of one training step per token: 6 N + 12 L T d, N the weights of the matmuls.

        Reference: Chowdhery et al. 2022, PaLM, arXiv:2204.02311, appendix B.
        """
        matmuls = self.layers * (4 + 2 * self.expansion) * self.width**2 + VOCABULARY * self.width
        return 6 * matmuls + 12 * self.layers * self.sequence * self.width

    def _windows(self, train: Any) -> int:
        return train.shape[0] // self.sequence - 1  # one less, for the offset

    def _slices(self, text, begin):
        return jax.vmap(lambda i: jax.lax.dynamic_slice(text, (i,), (self.sequence + 1,)))(begin)
