"""The matmuls of lrlab's step and nothing between them: what the step would cost if all else were free.

Their operands are random and nothing is trained. Backward passes count too; `fused.py` lays the products out.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from setting import Setting

from lrlab.task import fused

CHUNK = 16


def dense(x, w):
    """Forward, and backward as if the result were its own gradient."""
    y, backward = jax.vjp(fused.matmul, x, w)
    return y, backward(y)


def attention(q, k, v):
    """The six products of a block of queries, without the softmax between them."""
    scores = fused._dot(q, k, 2, 2)
    out = fused._dot(scores, v, 2, 1)
    ds = fused._dot(out, v, 2, 2)
    return fused._dot(ds, k, 2, 1), fused._dot(q, ds, 1, 1), fused._dot(out, scores, 1, 1)


def make(setting: Setting):
    setting = setting._replace(batch=setting.batch // setting.accumulate)
    d, groups = setting.width, setting.batch * setting.heads
    draw = np.random.default_rng(0)

    def array(*shape, dtype=setting.dtype):
        return jnp.asarray(draw.standard_normal(shape), dtype)

    layer = [(d, 3 * d), (d, d), (d, 4 * d), (4 * d, d)]
    products = [
        (dense, (array(setting.tokens, i), array(i, o, dtype="float32")))
        for i, o in [*layer * setting.layers, (d, setting.vocabulary)]
    ]
    products += [
        (attention, tuple(array(groups, rows, d // setting.heads) for rows in (end - begin, end, end)))
        for begin, end in fused._blocks(setting.sequence) * setting.layers
    ]

    def step(total, operands):
        operands, total = lax.optimization_barrier((operands, total))  # or the products would leave the loop
        results = [f(*given) for (f, _), given in zip(products, operands)]
        results = lax.optimization_barrier(results)  # or only the numbers summed below would be computed
        return total + sum(x.ravel()[0].astype(jnp.float32) for x in jax.tree.leaves(results))

    @jax.jit
    def chunk(operands):
        return lax.fori_loop(0, CHUNK * setting.accumulate, lambda _, total: step(total, operands), jnp.float32(0))

    operands = [given for _, given in products]

    def run(steps: int) -> None:
        for _ in range(steps // CHUNK):
            total = chunk(operands)
        total.block_until_ready()

    return run
