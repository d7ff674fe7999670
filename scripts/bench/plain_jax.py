"""The fastest loop for this model we could write by hand in JAX, on a CPU: what lrlab is held against.

Against naive_jax.py: sixteen steps a dispatch, batches gathered on the device, and backward passes written by hand so
that no large array is transposed, kept twice or read once more than needed. README.md says what each is worth.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import setting as peers
from jax import lax
from setting import Setting

CHUNK = 16
barrier = lax.optimization_barrier  # XLA would fold the transpose behind it back into the matmul


def dot(a, b, i, j):
    """Contract axis `i` of a with axis `j` of b; both matrices, or stacks of them."""
    stack = tuple(range(a.ndim - 2))
    return lax.dot_general(a, b, (((i,), (j,)), (stack, stack)))


@jax.custom_vjp
def matmul(x, w):
    return x @ w


def _matmul_backward(saved, g):
    x, w = saved
    wide = x.shape[1] > g.shape[1]  # contracting rows is twice as fast with the narrower operand first
    return dot(g, w, 1, 1), barrier(dot(g, x, 0, 0)).T if wide else dot(x, g, 0, 0)


matmul.defvjp(lambda x, w: (x @ w, (x, w)), _matmul_backward)


@jax.custom_vjp
def norm(x, gain):
    return _norm_forward(x, gain)[0]


def _norm_forward(x, gain):
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True)
    scale = lax.rsqrt(jnp.square(wide - mean).mean(-1, keepdims=True) + 1e-5)
    return ((wide - mean) * scale * gain).astype(x.dtype), (x, mean, scale, gain)


def _norm_backward(saved, g):
    x, mean, scale, gain = saved
    unit, g = (x.astype(jnp.float32) - mean) * scale, g.astype(jnp.float32)
    d = g * gain
    dx = scale * (d - d.mean(-1, keepdims=True) - unit * (d * unit).mean(-1, keepdims=True))
    return dx.astype(x.dtype), (g * unit).sum(0)


norm.defvjp(_norm_forward, _norm_backward)


@jax.custom_vjp
def gelu(x):
    return jax.nn.gelu(x, approximate=True)


def _gelu_backward(x, g):
    c, a = math.sqrt(2 / math.pi), 0.044715
    t = jnp.tanh(c * (x + a * x**3))
    return (g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * a * x * x)),)


gelu.defvjp(lambda x: (gelu(x), x), _gelu_backward)


@jax.custom_vjp
def attention(q, k, v):
    """Causal attention of [g, t, d], in two blocks of queries: the first never meets the second half of the keys."""
    return _attention_forward(q, k, v)[0]


def _blocks(T):
    half = T // 2 if T >= 64 else T
    return [(i, i + half) for i in range(0, T, half)]


def _attention_forward(q, k, v):
    q = q * q.shape[-1] ** -0.5
    outs, kept = [], []
    for i, j in _blocks(q.shape[1]):
        s = dot(q[:, i:j], barrier(k[:, :j].transpose(0, 2, 1)), 2, 1).astype(jnp.float32)
        s = jnp.where(np.arange(i, j)[:, None] >= np.arange(j), s, -1e30)
        e = jnp.exp(s - s.max(-1, keepdims=True))
        inverse, e = (1 / e.sum(-1, keepdims=True)).astype(v.dtype), e.astype(v.dtype)
        outs.append(dot(e, v[:, :j], 2, 1) * inverse)
        kept.append((e, inverse))
    out = jnp.concatenate(outs, 1)
    return out, (q, k, v, kept, out)


def _attention_backward(saved, g):
    q, k, v, kept, out = saved
    blocks = _blocks(q.shape[1])
    dqs, dks, dvs = [], [], []
    for (i, j), (e, inverse) in zip(blocks, kept):
        gi = g[:, i:j] * inverse
        inner = (gi * out[:, i:j]).sum(-1, keepdims=True)
        ds = e * (dot(gi, v[:, :j], 2, 2) - inner)
        dqs.append(dot(ds, k[:, :j], 2, 1) * q.shape[-1] ** -0.5)
        dks.append(barrier(dot(q[:, i:j], ds, 1, 1)).transpose(0, 2, 1))  # narrower operand first, as in matmul
        dvs.append(barrier(dot(gi, e, 1, 1)).transpose(0, 2, 1))

    def joined(parts):
        return jnp.concatenate([sum(p[:, i:j] for p in parts[n:]) for n, (i, j) in enumerate(blocks)], 1)

    return jnp.concatenate(dqs, 1), joined(dks), joined(dvs)


attention.defvjp(_attention_forward, _attention_backward)


@jax.custom_vjp
def cross_entropy(logits, y):
    """Mean over [n, v] logits and [n] classes."""
    return _cross_entropy_forward(logits, y)[0]


def _cross_entropy_forward(logits, y):
    logits = logits.astype(jnp.float32)
    top = logits.max(-1, keepdims=True)
    e = jnp.exp(logits - top)
    total = e.sum(-1, keepdims=True)
    picked = jnp.where(y[:, None] == np.arange(logits.shape[1]), logits - top, 0).sum(-1)
    return (jnp.log(total[:, 0]) - picked).mean(), (e, total, y)


def _cross_entropy_backward(saved, g):
    e, total, y = saved
    g = g / y.size
    return e * (g / total) - jnp.where(y[:, None] == np.arange(e.shape[1]), g, 0), None


cross_entropy.defvjp(_cross_entropy_forward, _cross_entropy_backward)


def loss(params, x, y, *, setting: Setting):
    B, T, H = setting.batch, setting.sequence, setting.heads
    p = jax.tree.map(lambda a: a.astype(setting.dtype), params)
    h = (p["tokens"][x] + p["positions"]).reshape(B * T, -1)
    for l in p["layers"]:
        qkv = matmul(norm(h, l["norm1"]), l["qkv"]).reshape(B, T, 3, H, -1).transpose(2, 0, 3, 1, 4)
        mixed = attention(*qkv.reshape(3, B * H, T, -1)).reshape(B, H, T, -1).transpose(0, 2, 1, 3)
        h = h + matmul(mixed.reshape(h.shape), l["out"])
        h = h + matmul(gelu(matmul(norm(h, l["norm2"]), l["up"])), l["down"])
    logits = matmul(norm(h, p["norm"]), p["head"])
    return cross_entropy(logits.astype(jnp.float32), y.reshape(-1))


def rate(t):
    cosine = 0.5 * (1 + jnp.cos(jnp.pi * (t - peers.WARMUP) / (peers.STEPS - peers.WARMUP)))
    return peers.PEAK * jnp.where(t < peers.WARMUP, (t + 1) / peers.WARMUP, cosine)


def adamw(params, m, v, grads, t):
    """One clipped step on every leaf; matrices decay."""
    n = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads)))
    clip, lr, count = jnp.minimum(1.0, peers.CLIP / jnp.maximum(n, 1e-12)), rate(t), (t + 1).astype(jnp.float32)
    c1, c2 = 1 / (1 - peers.B1**count), 1 / (1 - peers.B2**count)
    m = jax.tree.map(lambda m, g: peers.B1 * m + (1 - peers.B1) * clip * g, m, grads)
    v = jax.tree.map(lambda v, g: peers.B2 * v + (1 - peers.B2) * jnp.square(clip * g), v, grads)

    def moved(p, m, v):
        return p - lr * (m * c1 / (jnp.sqrt(v * c2) + peers.EPS) + peers.WEIGHT_DECAY * p * (p.ndim > 1))

    return jax.tree.map(moved, params, m, v), m, v


def make(setting: Setting):
    text, T = jnp.asarray(peers.text(setting)), setting.sequence
    value_and_grad = jax.value_and_grad(functools.partial(loss, setting=setting))

    def batch(t):
        rows = t.astype(jnp.uint32) * setting.batch + jnp.arange(setting.batch, dtype=jnp.uint32)
        begin = rows * np.uint32(2654435761) % jnp.uint32(text.size - T)
        window = jax.vmap(lambda i: lax.dynamic_slice(text, (i,), (T + 1,)))(begin).astype(jnp.int32)
        return window[:, :-1], window[:, 1:]

    def step(state, t):
        value, grads = value_and_grad(state[0], *batch(t))
        return adamw(*state, grads, t), value

    @functools.partial(jax.jit, donate_argnums=0, static_argnums=2)
    def chunk(state, t, steps):
        return lax.scan(step, state, t + jnp.arange(steps))

    params = jax.tree.map(jnp.asarray, peers.initial(setting))
    state, done = (params, jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)), 0

    def run(steps: int) -> float:
        nonlocal state, done
        end = done + steps
        while done < end:
            size = min(CHUNK, end - done)
            state, values = chunk(state, np.int32(done), size)
            done += size
        return float(values[-1])

    return run
