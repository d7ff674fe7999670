"""A few parameters, and what an optimizer makes of them, for tests that need no task."""

import jax
import numpy as np
import optax

import lrlab as lr

RATE = (1e-2 * lr.warmup(4) >> lr.decay(16, to=0.1)).resolve(lr.Horizon(steps=20))
PARAMS = {
    "embedding": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "layers": {"0": {"kernel": np.linspace(1, 2, 8, dtype=np.float32).reshape(4, 2), "bias": np.ones(2, np.float32)}},
    "head": np.linspace(2, 0, 6, dtype=np.float32).reshape(2, 3),
}


def trained(tx, params=PARAMS, updates=20):
    """Parameters and states after each of some updates on a fixed quadratic, [updates, ...]."""

    def step(carry, _):
        params, state = carry
        grads = jax.tree.map(lambda p: 0.5 * p + 0.1, params)
        moves, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, moves)
        return (params, state), (params, state)

    return jax.device_get(jax.jit(lambda: jax.lax.scan(step, (params, tx.init(params)), length=updates)[1])())
