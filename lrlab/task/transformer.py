"""A decoder-only transformer over bytes or tokens, its published variants behind switches.

Shapes: b examples of t tokens; activations are [n, d] with n = b t, one row a token, in the compute dtype.

References: Vaswani et al. 2017 (post-norm), arXiv:1706.03762; Radford et al. 2019 (pre-norm, GPT-2); Zhang and Sennrich
2019 (RMS norm), arXiv:1910.07467; Su et al. 2021 (rotary positions), arXiv:2104.09864; Henry et al. 2020 (query-key
norm), arXiv:2010.04245; Press and Wolf 2017 (tied embeddings), arXiv:1608.05859.
"""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from lrlab.task import attention, fused
from lrlab.task.module import Draw, constant

if TYPE_CHECKING:
    from lrlab.task.language import Language


class Decoder(nnx.Module):
    """Bytes or tokens in, logits of the next one out."""

    def __init__(self, spec: "Language", draw: Draw):
        self.spec = spec
        std = _std(spec, spec.base_width)  # of what does not map width to width
        self.embedding = nnx.Param(draw((spec.symbols, spec.width), std))
        if spec.positions == "learned":
            self.positions = nnx.Param(draw((spec.sequence, spec.width), std))
        self.layers = nnx.Dict({str(i): Block(spec, draw) for i in range(spec.layers)})
        if spec.norm_position == "pre":
            self.norm = Norm(spec.norm, spec.width)
        if not spec.tied:
            self.head = Linear(draw, spec.width, spec.symbols, std)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """[b, t] integers -> [b t, vocabulary] logits in the compute dtype."""
        return fused.matmul(self.stream(tokens), self.unembedding)

    def stream(self, tokens: jax.Array) -> jax.Array:
        """What the head is given: [b, t] integers -> [b t, d]."""
        return self._finished(self._through_layers(self._embedded(tokens), tokens.shape[1]))

    def activations(self, tokens: jax.Array) -> dict[str, jax.Array]:
        """The stream after the embedding and after each layer, [b t, d], and the logits, [b t, vocabulary], by name."""
        x = self._embedded(tokens)
        seen = {"embedding": x}
        for i in range(self.spec.layers):
            x = seen[f"layers.{i}"] = self.layers[str(i)](x, tokens.shape[1])
        return {**seen, "logits": fused.matmul(self._finished(x), self.unembedding)}

    @property
    def unembedding(self) -> jax.Array:
        """The head's matrix, [d, vocabulary]."""
        return self.embedding[...].T if self.spec.tied else self.head.kernel[...]

    def _embedded(self, tokens):
        b, t = tokens.shape
        x = self.embedding[...][tokens]  # cast after the gather: its gradient is a sum over all places of a token
        if self.spec.positions == "learned":
            x = x + self.positions[...][None, :t]
        return x.astype(self.spec.compute).reshape(b * t, -1)

    def _finished(self, x):
        x = self.norm(x) if self.spec.norm_position == "pre" else x
        return x * (self.spec.base_width / self.spec.width)

    def _through_layers(self, x, t):
        layers = [self.layers[str(i)] for i in range(self.spec.layers)]
        kept = jax.checkpoint if self.spec.remat else lambda f: f
        if not self.spec.scan:
            for layer in layers:
                x = kept(lambda x, layer=layer: layer(x, t))(x)
            return x
        forms, parameters = zip(*map(nnx.split, layers))
        stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *parameters)
        return jax.lax.scan(kept(lambda x, one: (nnx.merge(forms[0], one)(x, t), None)), x, stacked)[0]


class Block(nnx.Module):
    """Attention, then a two-layer perceptron, each added to the stream; normalised before (pre) or after (post)."""

    def __init__(self, spec: "Language", draw: Draw):
        self.pre = spec.norm_position == "pre"
        self.attention_norm, self.mlp_norm = Norm(spec.norm, spec.width), Norm(spec.norm, spec.width)
        self.attention, self.mlp = Attention(spec, draw), Perceptron(spec, draw)

    def __call__(self, x: jax.Array, t: int) -> jax.Array:
        """[n, d] -> [n, d]."""
        x = self._add(x, lambda x: self.attention(x, t), self.attention_norm)
        return self._add(x, self.mlp, self.mlp_norm)

    def _add(self, x, f, norm):
        return x + f(norm(x)) if self.pre else norm(x + f(x))


class Attention(nnx.Module):
    """Causal self-attention with several heads; queries, keys and values come out of one matmul."""

    def __init__(self, spec: "Language", draw: Draw):
        self.heads, self.rotary, self.normed = spec.heads, spec.positions == "rope", spec.qk_norm
        self.wanted, self.compute = spec.attention, spec.compute
        self.scale = (spec.base_width / spec.width) ** 0.5
        self.qkv = Linear(_by_head(draw, spec.heads), spec.width, 3 * spec.width, _std(spec, spec.width))
        if spec.qk_norm:
            self.query_norm, self.key_norm = (Norm(spec.norm, spec.width // spec.heads) for _ in "qk")
        self.out = Linear(draw, spec.width, spec.width, _std(spec, spec.width, residual=True))

    def __call__(self, x: jax.Array, t: int) -> jax.Array:
        """[n, d] -> [n, d], with t tokens to an example."""
        n, d = x.shape
        q, k, v = jnp.moveaxis(self.qkv(x).reshape(n // t, t, self.heads, 3, -1), 3, 0)
        if self.normed:
            q, k = self.query_norm(q), self.key_norm(k)
        if self.rotary:
            q, k = rotate(q), rotate(k)
        q = q * self.scale  # beside the root of the head size, by which scores are divided
        name = attention.kernel(self.wanted, self.compute, d // self.heads)
        return self.out(attention.attend(name, q, k, v).reshape(n, d))


class Perceptron(nnx.Module):
    """Widen, GELU (tanh form), narrow."""

    def __init__(self, spec: "Language", draw: Draw):
        wide = spec.expansion * spec.width
        self.up = Linear(draw, spec.width, wide, _std(spec, spec.width))
        self.down = Linear(draw, wide, spec.width, _std(spec, wide, residual=True))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, d] -> [n, d]."""
        return self.down(fused.gelu(self.up(x)))


class Linear(nnx.Module):
    """A matmul without bias."""

    def __init__(self, draw: Draw, inputs: int, outputs: int, std: float):
        self.kernel = nnx.Param(draw((inputs, outputs), std))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[n, inputs] -> [n, outputs]."""
        return fused.matmul(x, self.kernel[...])


class Norm(nnx.Module):
    """RMS or layer norm over the last axis, in float32, with a scale and no bias."""

    def __init__(self, kind: str, width: int):
        self.centred = kind == "layer"
        self.scale = constant(1, width)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., width] -> [..., width]."""
        return fused.norm(x, self.scale[...], self.centred)


def rotate(x: jax.Array) -> jax.Array:
    """Rotary positions: the pair (x[j], x[j + d/2]) at position t turns by the angle t / 10000^(2j/d).

    Shapes: [b, t, h, d] -> [b, t, h, d].
    """
    t, half = x.shape[1], x.shape[3] // 2
    angle = np.outer(np.arange(t), 10000.0 ** (-np.arange(half) / half))[None, :, None]
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1).astype(x.dtype)


def _by_head(draw, heads):
    """Draws queries, keys and values of all heads, and puts the columns of a head side by side: so heads may be shared."""

    def drawn(shape, std):
        return draw(shape, std).reshape(shape[0], 3, heads, -1).swapaxes(1, 2).reshape(shape)

    return drawn


def _std(spec, fan_in, residual=False):
    if spec.initializer == "fan_in":
        return fan_in**-0.5
    return 0.02 / (2 * spec.layers) ** 0.5 if residual else 0.02
