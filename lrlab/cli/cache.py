"""Compiled programs are kept on disk, so that the same command compiles nothing the second time."""

import hashlib
import os
import platform
from pathlib import Path
from typing import Any


def keep() -> None:
    """Keep the programs that this process compiles in `folder()`. Called by commands only; `import lrlab` sets nothing.

    JAX's own settings go before ours: JAX_COMPILATION_CACHE_DIR names another folder, and JAX_ENABLE_COMPILATION_CACHE=0
    keeps nothing. Nothing is kept either where the folder cannot be written. It may be deleted at any time.
    """
    import jax

    settings: Any = jax.config  # its attributes are made while it runs
    if settings.jax_compilation_cache_dir is not None or not settings.jax_enable_compilation_cache:
        return
    try:
        folder().mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the user, as in some containers, has no home
        return
    if os.access(folder(), os.W_OK):
        settings.update("jax_compilation_cache_dir", str(folder()))
        settings.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # most of our programs take less than 1 s
        settings.update("jax_persistent_cache_min_entry_size_bytes", -1)


def folder() -> Path:
    """One for each kind of CPU: a home that machines share must not hand one the instructions of another."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "lrlab" / "programs" / hashlib.sha256(_cpu().encode()).hexdigest()[:12]


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"
