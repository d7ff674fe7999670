"""Matmul, attention and cross-entropy whose backward passes are written by hand, in fewer passes over memory.

Activations are [n, width], one row a token; their dtype is the compute dtype, reductions and parameters are float32.
"""

import jax
import jax.numpy as jnp
import numpy as np

F32 = jnp.float32


@jax.custom_vjp
def matmul(x: jax.Array, w: jax.Array) -> jax.Array:
    """`x @ w`: [n, i] in the compute dtype by float32 [i, o] -> [n, o] in the compute dtype."""
    return _matmul_forward(x, w)[0]


def _matmul_forward(x, w):
    return x @ w.astype(x.dtype), (x, w)


def _matmul_backward(saved, g):
    x, w = saved
    dx = jax.lax.dot_general(g, w.astype(g.dtype), (((1,), (1,)), ((), ())))
    return dx, _outer(x, g)


def _outer(x, g):
    # XLA:CPU contracts the rows twice as fast when the narrower operand is on the left; the barrier keeps it there.
    rows = lambda a, b: jax.lax.dot_general(a, b, (((0,), (0,)), ((), ())), preferred_element_type=F32)
    return rows(x, g) if x.shape[1] <= g.shape[1] else jax.lax.optimization_barrier(rows(g, x)).T


matmul.defvjp(_matmul_forward, _matmul_backward)


@jax.custom_vjp
def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Causal softmax attention of [b, t, h, d] -> [b, t, h, d], scores scaled by 1/sqrt(d)."""
    return _attention_forward(q, k, v)[0]


def _attention_forward(q, k, v):
    q = q * q.shape[-1] ** -0.5
    s = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=F32)
    s = jnp.where(np.tri(*s.shape[2:], dtype=bool)[None, None], s, -jnp.inf)
    e = jnp.exp(s - s.max(-1, keepdims=True))
    total = e.sum(-1).transpose(0, 2, 1)[..., None]
    e = e.astype(v.dtype)
    out = (jnp.einsum("bhqk,bkhd->bqhd", e, v, preferred_element_type=F32) / total).astype(v.dtype)
    return out, (q, k, v, e, total, out)


def _attention_backward(saved, g):
    q, k, v, e, total, out = saved
    g = (g / total).astype(v.dtype)
    inner = (g.astype(F32) * out).sum(-1).transpose(0, 2, 1)[..., None]
    dv = jnp.einsum("bhqk,bqhd->bkhd", e, g)
    de = jnp.einsum("bqhd,bkhd->bhqk", g, v, preferred_element_type=F32)
    ds = (e * (de - inner)).astype(v.dtype)
    dq = jnp.einsum("bhqk,bkhd->bqhd", ds, k) * q.shape[-1] ** -0.5
    dk = jnp.einsum("bhqk,bqhd->bkhd", ds, q)
    return dq.astype(q.dtype), dk, dv


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
