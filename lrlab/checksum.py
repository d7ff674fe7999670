"""A checksum of an array is taken where it lies, on its devices, and does not depend on how it is spread over them."""

import math

import jax
import jax.numpy as jnp
from jax import lax

_GOLDEN = 0x9E3779B9  # 2^32 over the golden ratio: places that are near become numbers that are far apart


@jax.jit
def checksum(x: jax.Array) -> jax.Array:
    """32 bits of the bytes of `x` and of their places, a uint32 scalar on its devices.

    Each word, with its place, is mixed by the finaliser of MurmurHash3, which can be undone, and the results are added
    modulo 2^32. So a change of a single word is always seen, any other but once in 2^32, and devices may add their
    shares in any order. It guards against faults, not against forgery. Compiled once for each shape.

    >>> int(checksum(jnp.arange(3.0))), int(checksum(jnp.arange(3.0)[::-1]))
    (4013119933, 1959398855)
    """
    words = _words(x)
    place = jnp.zeros_like(words)
    for axis in range(words.ndim):
        stride = math.prod(words.shape[axis + 1 :]) * _GOLDEN % 2**32
        place += jnp.uint32(stride) * lax.broadcasted_iota(jnp.uint32, words.shape, axis)
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
