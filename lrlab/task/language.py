"""Language modelling: predict the next byte or token of a text with a transformer."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule import Horizon
from lrlab.task import Cut, Data, Params, Work, check, fused, module, text, tokens
from lrlab.task.sample import bits, epoch_length, visit
from lrlab.task.transformer import Decoder

_OFFSET = 97  # which of an epoch's random numbers moves its windows; the first ones order them
_LOGITS = 2**26  # how many are held at a time


@dataclass(frozen=True)
class Language:
    """Prediction of the next byte or token; the default is 42 thousand parameters on Python's documentation.

    An example is a window of `sequence` + 1 of them. Each epoch's windows begin at another random offset. The corpus lies
    on every device whole, in 1 byte a byte and 2 a token.

    Args:
        text: a file or a folder of texts, as bytes; a .bin file, a pattern of them ("tokens/train_*.bin") or a folder that
            holds some, as tokens, in the format of llm.c and modded-nanogpt; None for Python's documentation.
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
        attention: "cudnn" (flash attention on an NVIDIA GPU, in 16 bits), "xla" (our own, which keeps the scores), or "auto",
            cudnn where the device and `compute` allow it. A run refuses "cudnn" where there is none.
        vocabulary: how many bytes or tokens the model knows; None for 256, or 50304 where the text is tokens (GPT-2's 50257,
            filled up to a multiple of 128).
        head: "whole" keeps the logits of all tokens for the backward pass, in the compute dtype; "blocks" computes them
            twice, for some tokens at a time, and never holds all; "auto" is blocks above 2^26 logits a microbatch.
        remat: recompute each block in the backward pass instead of keeping its activations.
        scan: compile one layer and scan it over all, rather than each in turn. Compiles faster from two dozen layers on;
            runs slower on a CPU. The parameters and the numbers are the same.
        initializer: "fan_in" draws every matrix with variance 1 / fan-in; "gpt2" with standard deviation 0.02, residual
            projections less. The second needs hundreds of steps to leave the bigram plateau below a width of 128.
        mup_base: the width whose best rates are to be the best at any (muP, Yang et al. 2022, table 8), of a model with as
            many heads: embeddings and head are drawn as there, the output is multiplied by mup_base / width, and attention is
            scaled by 1 / head size. `groups=mup(width, mup_base, matrices=r"layers.*kernel")` does the optimizer's part.
            None is the standard parametrization, which the base itself has either way.
        validation: share of the text, at its end, that is held out; or a path to another text of the same kind.
        held_out: at most so many examples of it, its first; None for all.

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
    attention: Literal["auto", "xla", "cudnn"] = "auto"
    vocabulary: int | None = None
    head: Literal["auto", "whole", "blocks"] = "auto"
    remat: bool = False
    scan: bool = False
    initializer: Literal["fan_in", "gpt2"] = "fan_in"
    mup_base: int | None = None
    validation: float | str = 0.1
    held_out: int | None = None

    def __post_init__(self) -> None:
        check.choices(self)
        optional = [name for name in ("vocabulary", "held_out", "mup_base") if getattr(self, name) is not None]
        check.positive(self, "sequence", "width", "layers", "heads", "expansion", *optional)
        if not isinstance(self.validation, str):
            check.between(self, "validation", 0.0, 1.0)
        given, size = f"Language(width={self.width}, heads={self.heads})", self.width // self.heads
        if self.width % self.heads:
            raise Refused(
                f"{given}: {self.heads} heads cannot share a width of {self.width}; write a multiple of {self.heads}"
            )
        if self.mup_base and self.initializer != "fan_in":
            raise Refused(
                f"Language(mup_base={self.mup_base}, initializer='{self.initializer}'): its standard deviation is the same at "
                "every width; write initializer='fan_in'"
            )
        if self.attention == "cudnn" and self.compute == "float32":
            raise Refused("Language(attention='cudnn'): cuDNN attends in 16 bits; write compute='bfloat16' with it")
        if self.positions == "rope" and size % 2:
            even = 2 * self.width
            raise Refused(f"{given}: rope turns pairs and the head size {size} is odd; write a width of {even}")

    def model(self, draw: module.Draw) -> Decoder:
        """The transformer, with parameters from `draw`."""
        return Decoder(self, draw)

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """What devices may share: heads, hidden units and symbols, so that a block needs two sums over the devices.

        Reference: Shoeybi et al. 2019, Megatron-LM, arXiv:1909.08053.
        """
        hidden = self.expansion * self.width
        return (
            Cut(r"attention\.qkv", 1, self.heads),
            Cut(r"attention\.out", 0, self.heads),
            Cut(r"mlp\.up", 1, hidden),
            Cut(r"mlp\.down", 0, hidden),
            Cut("^embedding", 0, self.symbols),
            Cut("^head", 1, self.symbols),
        )

    @property
    def symbols(self) -> int:
        """How many different bytes or tokens the model knows."""
        return self.vocabulary or (tokens.GPT2 if tokens.named(self.text) else 256)

    @property
    def base_width(self) -> int:
        """The width at which both parametrizations are the same."""
        return self.mup_base or self.width

    def load(self) -> Data:
        """The corpus in rows of `sequence`, uint8 or uint16. Raises `Refused` if there is none or too little."""
        train, valid, largest, digest = text.corpus(self.text, self.sequence, self.validation)
        if largest >= self.symbols:
            raise Refused(
                f"{self.text or 'the text'} holds a {largest}, and vocabulary={self.symbols} ends at {self.symbols - 1}; "
                f"write vocabulary={largest + 1} or more"
            )
        held_out = min((valid.size - 1) // self.sequence, self.held_out or valid.size)
        return Data(self._rows(train), self._rows(valid, fill=True), self._windows(train.size), held_out, digest)

    def horizon(self, steps: int, batch: int) -> Horizon:
        """How long a run is; an epoch is the examples that fill whole batches, unknown while token files are not there."""
        examples = self._examples()
        whole = None if examples is None else epoch_length(batch, examples) * batch
        return Horizon(steps, batch=batch, sequence=self.sequence, epoch=whole)

    def init(self, seed: int) -> Params:
        """Float32 parameters drawn on the host."""
        return module.parameters(self, seed)

    def batch(self, train: jax.Array, seed: jax.Array, step: jax.Array, rows: jax.Array, size: int) -> jax.Array:
        """[b, sequence + 1] bytes or tokens: inputs and, one later, targets."""
        window, epoch = visit(seed, step, rows, size, train.shape[0] - 1)
        offset = bits(seed, epoch, _OFFSET + 1)[_OFFSET] % jnp.uint32(self.sequence)
        return self._slices(train, window, offset.astype(jnp.int32))

    def loss(self, params: Params, batch: jax.Array, key: jax.Array, rows: jax.Array) -> jax.Array:
        """Mean cross-entropy of each example's tokens in nats, [b]."""
        return self._loss(params, batch, self.head == "blocks" or (self.head == "auto" and self._large(batch)))

    def logits(self, params: Params, tokens: jax.Array) -> jax.Array:
        """What the model expects after each of the tokens, [b, t] -> [b, t, vocabulary] in the compute dtype."""
        logits = module.merge(self, params)(jnp.asarray(tokens).astype(jnp.int32))
        return logits.reshape(*tokens.shape, self.symbols)

    def activations(self, params: Params, batch: jax.Array) -> dict[str, jax.Array]:
        """What the layers give for the inputs of a batch, by name in the order of the model; [b t, d], logits at the end."""
        return module.merge(self, params).activations(jnp.asarray(batch[:, :-1]).astype(jnp.int32))

    def held(self, valid: jax.Array, rows: jax.Array) -> jax.Array:
        """Consecutive windows that do not overlap, [b, sequence + 1] bytes or tokens."""
        return self._slices(valid, rows, 0)

    def metrics(self, params: Params, batch: jax.Array) -> dict[str, jax.Array]:
        """{"loss": [b]}, the cross-entropy in nats."""
        return {"loss": self._loss(params, batch, self._large(batch))}  # no backward pass that blocks would slow down

    def _loss(self, params, batch, blocks):
        targets = batch[:, 1:].reshape(-1).astype(jnp.int32)
        model = module.merge(self, params)
        x = model.stream(jnp.asarray(batch[:, :-1]).astype(jnp.int32))
        losses: Any
        if blocks:
            losses = fused.head_cross_entropy(x, model.unembedding, targets, self._block)
        else:
            losses = fused.cross_entropy(fused.matmul(x, model.unembedding), targets)
        return losses.reshape(-1, self.sequence).mean(1)

    def _large(self, batch):
        return batch.shape[0] * self.sequence * self.symbols > _LOGITS

    @property
    def _block(self) -> int:
        """Tokens whose logits are held at a time, a power of two."""
        return 1 << max(0, (_LOGITS // self.symbols).bit_length() - 1)

    @property
    def unigram_loss(self) -> float:
        """The held-out loss, in nats, of a model that knows how often each byte or token is and nothing of what came before.

        A transformer whose training collapsed ends there. Bytes or tokens that the training text lacks count as seen once.
        """
        data = self.load()
        seen = np.maximum(np.bincount(data.train.ravel(), minlength=self.symbols), 1)
        held = data.valid.ravel()[: data.held_out * self.sequence + 1]
        return float(-np.log(seen / seen.sum())[held].mean())

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return module.count(self)

    @property
    def work(self) -> Work:
        """What an example costs: `flops_per_token` for each of its tokens."""
        return Work(self.sequence * self.flops_per_token, self.compute)

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations of one training step per token: 6 N + 12 L T d, N the weights of the matmuls.

        Reference: Chowdhery et al. 2022, PaLM, arXiv:2204.02311, appendix B.
        """
        matmuls = self.layers * (4 + 2 * self.expansion) * self.width**2 + self.symbols * self.width
        return 6 * matmuls + 12 * self.layers * self.sequence * self.width

    def _examples(self) -> int | None:
        if tokens.named(self.text):
            size = text.length(str(self.text), self.validation)
            return None if size is None else self._windows(size)
        return self.load().examples

    def _windows(self, size: int) -> int:
        return size // self.sequence - 1  # one less, for the offset

    def _rows(self, part: np.ndarray, fill: bool = False) -> np.ndarray:
        """[rows, sequence], the rest left out or filled up: rows, unlike tokens, are never more than int32 counts."""
        whole = part.size // self.sequence * self.sequence
        if fill and whole < part.size:
            return np.pad(part, (0, whole + self.sequence - part.size)).reshape(-1, self.sequence)
        return part[:whole].reshape(-1, self.sequence)

    def _slices(self, text, window, offset):
        """[b, sequence + 1] from `offset` of each window on: of two rows that follow each other."""
        pairs = jnp.concatenate([text[window], text[window + 1]], 1)
        return jax.lax.dynamic_slice_in_dim(pairs, offset, self.sequence + 1, 1)
