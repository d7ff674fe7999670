"""Causal attention by the fastest kernel that the device has: cuDNN's on an NVIDIA GPU in 16 bits, else our own."""

from typing import Any

import jax

from lrlab.refusal import Refused
from lrlab.task import fused


def kernel(wanted: str, compute: str, size: int) -> str:
    """ "cudnn" or "xla", for heads of `size` on the devices that programs run on.

    Raises:
        Refused: "cudnn" is wanted and these devices do not have it: nothing else is put in its place.
    """
    device = jax.devices()[0]
    if wanted == "cudnn" and (lack := _lack(device, size)):
        raise Refused(f"attention='cudnn' {lack}; write attention='auto' for the fastest that the device has")
    flash = wanted == "cudnn" or (wanted == "auto" and compute == "bfloat16" and not _lack(device, size))
    return "cudnn" if flash else "xla"


def attend(name: str, q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    """Softmax attention in which no place sees a later one; [b, t, h, d] each -> [b, t, h, d]."""
    if name == "cudnn":
        return jax.nn.dot_product_attention(q, k, v, is_causal=True, implementation="cudnn")
    return fused.attention(*(x.swapaxes(1, 2) for x in (q, k, v))).swapaxes(1, 2)


def _lack(device: Any, size: int) -> str:
    """Why cuDNN's attention cannot run there, or nothing."""
    cuda = device.platform == "gpu" and "cuda" in device.client.platform_version
    capability = tuple(map(int, device.compute_capability.split("."))) if cuda else (0,)
    if capability < (8, 0):
        return f"needs an NVIDIA GPU of compute capability 8.0 or more, and this run is on {device.device_kind}"
    most = 256 if capability >= (9, 0) else 128
    if size % 8 or size > most:
        return f"on {device.device_kind} takes head sizes that are a multiple of 8 up to {most}, and not {size}"
    return ""
