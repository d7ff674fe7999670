"""The training loop as a tutorial writes it: autodiff through plain jnp, optax, one dispatch a step, a host batch."""

import jax
import jax.numpy as jnp
import optax
import setting as peers
from setting import Setting


def loss_of(setting: Setting):
    H, d, T = setting.heads, setting.width, setting.sequence
    dtype = jnp.dtype(setting.dtype)

    def norm(x, gain):
        x = x.astype(jnp.float32)
        x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return (x * gain).astype(dtype)

    def loss(params, x, y):
        p = jax.tree.map(lambda a: a.astype(dtype), params)
        h = p["tokens"][x] + p["positions"]
        for l in p["layers"]:
            q, k, v = jnp.split(norm(h, l["norm1"]) @ l["qkv"], 3, axis=-1)
            q, k, v = (a.reshape(*a.shape[:2], H, d // H) for a in (q, k, v))
            scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / (d // H) ** 0.5
            scores = jnp.where(jnp.tril(jnp.ones((T, T), bool)), scores, -1e9)
            a = jax.nn.softmax(scores.astype(jnp.float32)).astype(dtype)
            h = h + jnp.einsum("bhqk,bkhd->bqhd", a, v).reshape(h.shape) @ l["out"]
            h = h + jax.nn.gelu(norm(h, l["norm2"]) @ l["up"]) @ l["down"]
        logits = (norm(h, p["norm"]) @ p["head"]).astype(jnp.float32)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    return loss


def make(setting: Setting):
    text, T, loss = peers.text(setting), setting.sequence, loss_of(setting)

    def rate(count):
        cosine = 0.5 * (1 + jnp.cos(jnp.pi * (count - peers.WARMUP) / (peers.STEPS - peers.WARMUP)))
        return peers.PEAK * jnp.where(count < peers.WARMUP, (count + 1) / peers.WARMUP, cosine)

    params = jax.tree.map(jnp.asarray, peers.initial(setting))
    matrices = jax.tree.map(lambda a: a.ndim > 1, params)
    tx = optax.chain(
        optax.clip_by_global_norm(peers.CLIP),
        optax.adamw(rate, peers.B1, peers.B2, peers.EPS, weight_decay=peers.WEIGHT_DECAY, mask=matrices),
    )

    @jax.jit
    def step(params, state, x, y):
        value, grads = jax.value_and_grad(loss)(params, x, y)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    def batch(t):
        begin = peers.starts(t, setting.batch, text.size, T)
        window = text[begin[:, None] + range(T + 1)].astype("int32")
        return window[:, :-1], window[:, 1:]

    state, done = tx.init(params), 0

    def run(steps: int) -> float:
        nonlocal params, state, done
        for _ in range(steps):
            params, state, value = step(params, state, *batch(done))
            done += 1
        return float(value)

    return run
