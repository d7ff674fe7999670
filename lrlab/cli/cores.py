"""A CPU's cores as devices, so that every core trains runs of its own."""

import os


def count() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def many_threads() -> None:
    """Let a CPU that is several devices have threads to spare; called before JAX has its devices.

    jaxlib up to 0.11 has one for each core, and deadlocks where one device waits in a sum over all for another that finds none.
    Devices that have runs of their own never wait for one another, and would be half as fast with so many.
    """
    os.environ.setdefault("NPROC", "64")


def environment(processes: int) -> dict[str, str]:
    """That of each of so many processes that share the cores, unless it says already how many devices a CPU is."""
    return {"JAX_NUM_CPU_DEVICES": str(max(1, count() // processes)), **os.environ}


def split(runs: int, processes: int = 1) -> bool:
    """Make a device of each core, for up to so many runs, in each of so many processes; whether there are such devices now.

    Called by commands only; `import lrlab` sets nothing. JAX's own settings go before ours: where JAX_NUM_CPU_DEVICES or
    XLA_FLAGS say how many devices a CPU is, and where there is an accelerator, nothing changes.
    """
    import jax

    devices, settings = min(runs, count() // processes), jax.config
    told = settings.jax_num_cpu_devices != -1 or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")  # type: ignore[attr-defined]
    if devices < 2 or told:
        return False
    try:
        settings.update("jax_num_cpu_devices", devices)
    except RuntimeError:  # JAX has its devices already
        return False
    return jax.default_backend() == "cpu"
