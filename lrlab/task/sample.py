"""Which examples batch number t holds: a pseudo-random order of each epoch, computed pointwise, without a table.

An epoch's order is a permutation of (seed, epoch), so a run that resumes at step t, or that is spread over devices,
reads what it would have read otherwise.
"""

import math

import jax
import jax.numpy as jnp

from lrlab.refusal import Refused

_ROUNDS = 10


def epoch_length(size: int, examples: int) -> int:
    """Whole batches of `size` in an epoch of `examples`; the rest of the epoch is dropped.

    >>> epoch_length(32, 100)
    3

    Raises:
        Refused: there are fewer examples than one batch holds.
    """
    if not 1 <= size <= examples:
        raise Refused(f"a batch of {size} cannot be drawn from {examples} examples; write a batch of 1 to {examples}")
    return examples // size


def visit(seed: jax.Array, step: jax.Array, rows: jax.Array, size: int, examples: int) -> tuple[jax.Array, jax.Array]:
    """Examples in positions `rows` of batch number `step`, and the epoch that batch belongs to.

    Every example is visited at most once per epoch. Exact for every step up to 2^31 - 1.

    Args:
        seed: int32, the seed of the whole run.
        step: int32 number of the batch, from 0.
        rows: [b] int32 positions in the batch, in [0, size).
        size: examples in the whole batch, over all devices.
        examples: examples to draw from, less than 2^31.

    Returns:
        indices [b] int32 in [0, examples), and the epoch, int32.
    """
    batches = epoch_length(size, examples)
    step = jnp.asarray(step, jnp.int32)
    epoch = step // batches
    return permute((step % batches) * size + rows, bits(seed, epoch, _ROUNDS), examples), epoch


def bits(seed: jax.Array, epoch: jax.Array, count: int) -> jax.Array:
    """[count] uint32 that depend on every bit of (seed, epoch); compiled in a tenth of the time of `jax.random.bits`."""
    seed, epoch = (jnp.asarray(number).astype(jnp.uint32) for number in (seed, epoch))
    return _hash(_hash(_hash(seed + jnp.uint32(0x9E3779B9)) ^ epoch) + jnp.arange(count, dtype=jnp.uint32))


def permute(i: jax.Array, order: jax.Array, n: int) -> jax.Array:
    """Where the pseudo-random permutation numbered `order` sends each i of {0, ..., n - 1}.

    A generalized Feistel network on a grid of at least n cells, walked until it lands below n: the grid exceeds n by
    less than its side, so one round of the walk is nearly always enough.

    Args:
        i: [b] int32 in [0, n).
        order: [rounds] uint32, the keys of the rounds.
        n: number of items, less than 2^31.

    Reference: Black and Rogaway, Ciphers with arbitrary finite domains, CT-RSA 2002.
    """
    side = math.isqrt(n - 1) + 1
    network = lambda i: _feistel(i, order, side, -(-n // side))

    def walk(carry):
        i, outside = carry
        i = jnp.where(outside, network(i), i)
        return i, i >= n

    outside = jnp.ones(i.shape, bool)  # the network stands in the loop alone: its code is half of a small program
    return jax.lax.while_loop(lambda carry: carry[1].any(), walk, (i.astype(jnp.uint32), outside))[0].astype(jnp.int32)


def _feistel(i, order, rows, columns):
    """A bijection of {0, ..., rows * columns - 1}: each half in turn is shifted by a hash of the other."""
    left, right = i % rows, i // rows
    for r in range(0, _ROUNDS, 2):
        left = (left + _hash(right ^ order[r]) % rows) % rows
        right = (right + _hash(left ^ order[r + 1]) % columns) % columns
    return right * jnp.uint32(rows) + left


def _hash(x):
    """The finalizer of MurmurHash3, a bijection of uint32 in which every bit depends on every other."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
