"""A checksum of an array is taken where it lies, on its devices, and does not depend on how it is spread over them."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

_GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio: places that are near become numbers that are far apart


def checksums(arrays: Sequence[jax.Array]) -> list[int]:
    """Of each array 32 bits of its bytes and of their places; all are dispatched and then waited for.

    Each word, with its place, is mixed by the finaliser of MurmurHash3, which can be undone, and the results are added
    modulo 2^32. So a change of a single word is always seen, any other but once in 2^32, and devices may add their
    shares in any order. It guards against faults, not against forgery. Compiled once for each shape.

    Every device adds up what it holds, and the host adds that, so that devices do not wait for one another; of several
    processes, the devices do.

    >>> checksums([jnp.arange(3.0), jnp.arange(3.0)[::-1]])
    [4013119933, 1959398855]
    """
    sums = jax.device_get([_shares(x) for x in arrays])
    return [sum(map(int, shares)) % 2**32 for shares in sums]


def _shares(x: jax.Array) -> list[jax.Array]:
    if not isinstance(x, jax.Array) or not x.is_fully_addressable:
        return [_share(x, np.zeros(np.ndim(x), np.uint32), x.shape)]
    begins = lambda shard: np.array([part.start or 0 for part in shard.index], np.uint32)
    return [_share(one.data, begins(one), x.shape) for one in x.addressable_shards if one.replica_id == 0]


@partial(jax.jit, static_argnums=2)
def _share(x: jax.Array, begins: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """What the part `x` of an array of such a shape, that begins at such indices, adds to its checksum."""
    words = _words(x)
    shape, begins = (*shape, *words.shape[x.ndim :]), jnp.pad(begins, (0, words.ndim - x.ndim))
    place = jnp.zeros_like(words)
    for axis in range(words.ndim):
        stride = math.prod(shape[axis + 1 :]) * _GOLDEN % 2**32
        place += jnp.uint32(stride) * (lax.broadcasted_iota(jnp.uint32, words.shape, axis) + begins[axis])
    return jnp.sum(_mixed(words ^ place), dtype=jnp.uint32)


def _words(x: jax.Array) -> jax.Array:
    """The bits of `x` as uint32: one word for each element, two for each of 64 bits."""
    if x.dtype == bool:
        return x.astype(jnp.uint32)
    bits = 8 * x.dtype.itemsize
    return lax.bitcast_convert_type(x, jnp.uint32 if bits >= 32 else f"uint{bits}").astype(jnp.uint32)


def _mixed(h: jax.Array) -> jax.Array:
    h = (h ^ (h >> 16)) * jnp.uint32(0x85EBCA6B)
    h = (h ^ (h >> 13)) * jnp.uint32(0xC2B2AE35)
    return h ^ (h >> 16)
