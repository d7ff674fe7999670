"""How fast a device can multiply at best, as its maker publishes it, the share of that a run makes use of; and the host as one."""

from collections.abc import Sequence
from typing import Any

import jax

from lrlab.task import Work

# Dense operations a second on the matrix units, by `device_kind`. What is not here is not known, and then nothing is said:
# float32 runs as TF32, as three bfloat16 passes or as itself, and no maker publishes a peak for a CPU.
# Sources: NVIDIA's data sheets (without sparsity), Google Cloud's pages of TPU versions.
PEAKS = {
    "bfloat16": {
        "NVIDIA A100-SXM4-40GB": 312e12,
        "NVIDIA A100-SXM4-80GB": 312e12,
        "NVIDIA A100-PCIE-40GB": 312e12,
        "NVIDIA A100 80GB PCIe": 312e12,
        "NVIDIA H100 80GB HBM3": 989.4e12,
        "NVIDIA H100 PCIe": 756e12,
        "NVIDIA H200": 989.4e12,
        "NVIDIA L4": 121e12,
        "NVIDIA L40S": 362e12,
        "TPU v4": 275e12,
        "TPU v5 lite": 197e12,
        "TPU v5": 459e12,
        "TPU v6 lite": 918e12,
    }
}


def host() -> Any:
    """The device for what no accelerator need hold: the CPU where JAX has it, else the first that there is."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return jax.local_devices()[0]


def least_seconds(work: Work | None, examples: float, devices: Sequence[Any]) -> float | None:
    """The least time in which the devices can do the work of some examples, or None where their peak is not known.

    >>> from types import SimpleNamespace
    >>> least_seconds(Work(989.4e9, "bfloat16"), 1000, [SimpleNamespace(device_kind="NVIDIA H200")])
    1.0

    The model-FLOPs utilisation is this over the time it took (Chowdhery et al. 2022, PaLM, arXiv:2204.02311, appendix B).
    """
    if work is None:
        return None
    peaks = [PEAKS.get(work.dtype, {}).get(device.device_kind, 0.0) for device in devices]
    return work.flops * examples / sum(peaks) if all(peaks) else None
