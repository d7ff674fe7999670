"""Matmul, norm, GELU, attention and cross-entropy whose backward passes are written by hand, in fewer passes over memory.

Activations are [n, width], one row a token; their dtype is the compute dtype, reductions and parameters are float32.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

F32 = jnp.float32


def _stay(x):
    """Keeps XLA:CPU from folding the transpose behind it back into the matmul; GPUs read either order at one speed."""
    return jax.lax.optimization_barrier(x) if jax.default_backend() == "cpu" else x


def _dot(a, b, i, j, dtype=None):
    """Contract axis i of a with axis j of b; both matrices, or stacks of them."""
    stack = tuple(range(a.ndim - 2))
    return jax.lax.dot_general(a, b, (((i % a.ndim,), (j % b.ndim,)), (stack, stack)), preferred_element_type=dtype)


@jax.custom_vjp
def matmul(x: jax.Array, w: jax.Array) -> jax.Array:
    """`x @ w`: [n, i] in the compute dtype by float32 [i, o] -> [n, o] in the compute dtype."""
    return _matmul_forward(x, w)[0]


def _matmul_forward(x, w):
    return x @ w.astype(x.dtype), (x, w)


def _matmul_backward(saved, g):
    x, w = saved
    # XLA:CPU contracts the rows twice as fast when the narrower operand is on the left
    wide = x.shape[1] > g.shape[1]
    dw = _stay(_dot(g, x, 0, 0, F32)).T if wide else _dot(x, g, 0, 0, F32)
    return _dot(g, w.astype(g.dtype), 1, 1), dw


matmul.defvjp(_matmul_forward, _matmul_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def norm(x: jax.Array, scale: jax.Array, centred: bool) -> jax.Array:
    """Layer norm (centred) or RMS norm of the last axis, times `scale` [width]: [..., width] in the compute dtype."""
    return _norm_forward(x, scale, centred)[0]


def _norm_forward(x, scale, centred):
    wide = x.astype(F32)
    mean = wide.mean(-1, keepdims=True) if centred else jnp.zeros((*x.shape[:-1], 1), F32)
    inverse = jax.lax.rsqrt(jnp.square(wide - mean).mean(-1, keepdims=True) + 1e-6)
    return ((wide - mean) * inverse * _last(scale, x)).astype(x.dtype), (x, mean, inverse, scale)


def _norm_backward(centred, saved, g):
    x, mean, inverse, scale = saved
    unit, g = (x.astype(F32) - mean) * inverse, g.astype(F32)
    d = g * _last(scale, x)
    dx = d - unit * (d * unit).mean(-1, keepdims=True)
    dx = inverse * (dx - d.mean(-1, keepdims=True) if centred else dx)
    return dx.astype(x.dtype), (g * unit).sum(tuple(range(x.ndim - 1)))


def _last(scale, x):
    return scale.reshape((1,) * (x.ndim - 1) + scale.shape)


norm.defvjp(_norm_forward, _norm_backward)


@jax.custom_vjp
def gelu(x: jax.Array) -> jax.Array:
    """The tanh form of GELU (Hendrycks & Gimpel 2016); only x is kept for the backward pass."""
    return jax.nn.gelu(x, approximate=True)


def _gelu_backward(x, g):
    c, a = (2 / np.pi) ** 0.5, 0.044715
    tanh = jnp.tanh(c * (x + a * x**3))
    return ((g * (0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * c * (1 + 3 * a * x * x))).astype(x.dtype),)


gelu.defvjp(lambda x: (jax.nn.gelu(x, approximate=True), x), _gelu_backward)


@jax.custom_vjp
def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Causal softmax attention of [..., t, d] -> [..., t, d] for each example and head, scores scaled by 1/sqrt(d).

    Long sequences go in two blocks of queries: the first never meets the second half of the keys.
    """
    return _attention_forward(q, k, v)[0]


def _attention_forward(q, k, v):
    q = q * q.shape[-1] ** -0.5
    outs, kept = [], []
    for i, j in _blocks(q.shape[-2]):
        s = _dot(q[..., i:j, :], _stay(k[..., :j, :].swapaxes(-1, -2)), -1, -2, F32)
        s = jnp.where(jnp.broadcast_to(np.tri(j, dtype=bool)[i:], s.shape), s, -jnp.inf)
        e = jnp.exp(s - s.max(-1, keepdims=True))
        inverse, e = (1 / e.sum(-1, keepdims=True)).astype(v.dtype), e.astype(v.dtype)
        outs.append(_dot(e, v[..., :j, :], -1, -2) * inverse)
        kept.append((e, inverse))
    out = jnp.concatenate(outs, -2)
    return out, (q, k, v, kept, out)


def _attention_backward(saved, g):
    q, k, v, kept, out = saved
    blocks = _blocks(q.shape[-2])
    dq, dk, dv = [], [], []
    for (i, j), (e, inverse) in zip(blocks, kept, strict=True):
        gi = g[..., i:j, :] * inverse
        inner = (gi.astype(F32) * out[..., i:j, :]).sum(-1, keepdims=True)
        ds = (e * (_dot(gi, v[..., :j, :], -1, -1, F32) - inner)).astype(v.dtype)
        dq.append(_dot(ds, k[..., :j, :], -1, -2) * q.shape[-1] ** -0.5)
        dk.append(_stay(_dot(q[..., i:j, :], ds, -2, -2)).swapaxes(-1, -2))
        dv.append(_stay(_dot(gi, e, -2, -2)).swapaxes(-1, -2))

    def joined(parts):
        """Keys met by several blocks of queries gather the gradients of all of them."""
        return jnp.concatenate([sum(part[..., i:j, :] for part in parts[n:]) for n, (i, j) in enumerate(blocks)], -2)

    return jnp.concatenate(dq, -2), joined(dk), joined(dv)


def _blocks(t):
    half = t // 2 if t >= 64 else t
    return [(0, half), (half, t)] if half < t else [(0, t)]


attention.defvjp(_attention_forward, _attention_backward)


@jax.custom_vjp
def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Cross-entropy in nats of [n, v] logits against [n] classes -> [n] float32."""
    return _cross_entropy_forward(logits, targets)[0]


def _cross_entropy_forward(logits, targets):
    wide = logits.astype(F32)
    top = wide.max(-1)
    norm = top + jnp.log(jnp.exp(wide - top[:, None]).sum(-1))
    picked = jnp.take_along_axis(logits, targets[:, None], 1)[:, 0].astype(F32)
    return norm - picked, (logits, targets, norm)


def _cross_entropy_backward(saved, g):
    logits, targets, norm = saved
    hot = jax.lax.broadcasted_iota(targets.dtype, logits.shape, 1) == targets[:, None]
    d = (jnp.exp(logits.astype(F32) - norm[:, None]) - hot) * g[:, None]
    return d.astype(logits.dtype), None


cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def head_cross_entropy(x: jax.Array, w: jax.Array, targets: jax.Array, block: int) -> jax.Array:
    """`cross_entropy(matmul(x, w), targets)` with the logits of `block` tokens in memory at a time.

    [n, d] in the compute dtype, float32 [d, v], [n] classes -> [n] float32. The backward pass computes the logits once
    more: a third more operations in the head.

    Reference: Wijmans et al. 2024, Cut your losses in large-vocabulary language models, arXiv:2411.09009.
    """
    return _head_cross_entropy_forward(x, w, targets, block)[0]


def _head_cross_entropy_forward(x, w, targets, block):
    narrow = w.astype(x.dtype)

    def some(x, targets):
        loss, (_, _, norm) = _cross_entropy_forward(x @ narrow, targets)
        return loss, norm

    loss, norm = _by_blocks(lambda _, rows: (None, some(*rows)), None, (x, targets), block)[1]
    return loss, (x, w, targets, norm)


def _head_cross_entropy_backward(block, saved, g):
    x, w, targets, norm = saved
    narrow = w.astype(x.dtype)

    def some(dw, rows):
        x, targets, norm, g = rows
        d, _ = _cross_entropy_backward((x @ narrow, targets, norm), g)
        return dw + _dot(x, d, 0, 0, F32), _dot(d, narrow, 1, 1)

    dw, dx = _by_blocks(some, jnp.zeros(w.shape, F32), (x, targets, norm, g), block)
    return dx, dw, None


def _by_blocks(f, carry, rows, block):
    """`lax.scan` of f over blocks of rows, the last one shorter; what it returns, joined."""
    n = rows[0].shape[0]
    whole = n // block * block
    blocks = jax.tree.map(lambda x: x[:whole].reshape(-1, block, *x.shape[1:]), rows)
    carry, out = jax.lax.scan(f, carry, blocks)
    out = jax.tree.map(lambda x: x.reshape(whole, *x.shape[2:]), out)
    if whole == n:
        return carry, out
    carry, last = f(carry, jax.tree.map(lambda x: x[whole:], rows))
    return carry, jax.tree.map(lambda *parts: jnp.concatenate(parts), out, last)


head_cross_entropy.defvjp(_head_cross_entropy_forward, _head_cross_entropy_backward)
