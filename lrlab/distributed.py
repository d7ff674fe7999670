"""Several processes, on one machine or many, are one run: each is started by the same command, and the first alone writes.

Each works at its own rows of every batch. Where their machines could make them do different things, and so wait for each
other for ever, they agree.
"""

import atexit
import ctypes
import functools
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from lrlab.refusal import Everywhere, Failed, Refused

HEARTBEAT = 30
_AGAIN = "the same command in each process goes on from the last checkpoint"

_place: int | None = None  # of this process among those of a run, while it is one of them
_writes = True


class Processes(NamedTuple):
    """Where a process finds the others of its run; what is None, Slurm, Kubernetes, Open MPI or a TPU's cloud knows."""

    coordinator: str | None = None  # HOST:PORT of the first process
    number: int | None = None  # of processes
    place: int | None = None  # of this one, from 0
    heartbeat: int = HEARTBEAT  # seconds without a sign of life after which a process counts as dead

    def check(self) -> None:
        """Raise `Refused` where they are told in part, or are none."""
        if self.heartbeat < 1:
            raise Refused(f"--heartbeat {self.heartbeat}: write at least 1 second")
        if all(told is None for told in self[:3]):
            return
        if self.coordinator is None or self.number is None or self.place is None:
            raise Refused(
                "processes are told by --coordinator HOST:PORT, --processes N and --process I together; where Slurm or a "
                "cloud knows them, write --distributed alone"
            )
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal():
            raise Refused(f"--coordinator {self.coordinator}: write HOST:PORT of the first process, such as node1:9876")
        if not 0 <= self.place < self.number:
            raise Refused(f"--process {self.place} --processes {self.number}: processes are numbered from 0 to N - 1")


def first() -> bool:
    """Whether this process is the one of its run that writes; so is one alone."""
    return _writes


@contextmanager
def joined(processes: Processes | None) -> Iterator[None]:
    """Meanwhile this process is one of a run; None is alone.

    Raises `Refused` where the processes are not known, and `Failed` where what joins them gave way. A process whose peer
    died is ended by JAX's coordination service: it says so, and its exit code is 3.
    """
    if processes is None:
        yield
        return
    processes.check()
    _join(processes)
    import jax

    try:
        yield
    except Everywhere:
        _leave()
        raise
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise
        told = str(error).partition("\n")[0][:200]
        raise Failed(f"lost the other processes of this run ({told}); {_AGAIN}") from error
    _leave()


def end(code: int) -> None:
    """End at once, without waiting for the others, where this process is still one of a run."""
    if _place is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def gathered(values: Any) -> Any:
    """What every process says, in all of them: a NumPy array [processes, ...]."""
    import numpy as np
    from jax.experimental import multihost_utils

    return np.asarray(values)[None] if _place is None else multihost_utils.process_allgather(np.asarray(values))


def alike(what: str, text: str) -> None:
    """Wait for all processes. Raises `Refused`, in all of them, if they do not say the same."""
    said = gathered([*hashlib.sha256(text.encode()).digest()])
    if others := [place for place, one in enumerate(said.tolist()) if one != said[0].tolist()]:
        raise Apart(
            f"process {others[0]} has another {what} than process 0; start all by the same command on the same data"
        )


class Apart(Refused, Everywhere):
    """Processes do not agree."""


class Vote:
    """The greatest numbers that any process says, which all hear one call later: so none waits for them."""

    def __init__(self) -> None:
        self._said: Any = None

    def __call__(self, *said: int) -> list[int]:
        """What was said by all at the call before; by this process now, where it is alone."""
        if _place is None:
            return [*said]
        before, self._said = self._said, _greatest(said)
        return [0] * len(said) if before is None else [int(x) for x in before]


def _greatest(said: tuple[int, ...]) -> Any:
    """Dispatched, and not waited for."""
    import jax
    import numpy as np

    each, greatest = _vote()
    own = lambda index: np.array([said], np.int32)
    return greatest(jax.make_array_from_callback((jax.device_count(), len(said)), each, own))


@functools.cache
def _vote() -> tuple[Any, Any]:
    """How numbers lie that each device has its own of, and the program of their greatest; compiled once."""
    import jax
    import numpy as np
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    mesh = Mesh(np.array(jax.devices()), ("all",))
    greatest = jax.jit(lambda x: x.max(0), out_shardings=NamedSharding(mesh, PartitionSpec()))
    return NamedSharding(mesh, PartitionSpec("all")), greatest


def _join(processes: Processes) -> None:
    global _place, _writes
    import jax

    _keep_standard_output()
    coordinator, count, place, heartbeat = processes
    _say_when_aborted(
        f"no answer from the processes of this run at {coordinator or 'their coordinator'}; start them all"
    )
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM, which stops a run here
    try:
        jax.distributed.initialize(coordinator, count, place, heartbeat_timeout_seconds=heartbeat)
    except ValueError as error:
        if coordinator is not None:
            raise Failed(f"cannot join the processes of this run at {coordinator}: {error}") from None
        raise Refused(
            "--distributed: neither Slurm nor a cloud that JAX knows says where the other processes are; write "
            "--coordinator HOST:PORT --processes N --process I"
        ) from None
    except (RuntimeError, OSError) as error:
        raise Failed(f"cannot join the processes of this run: {str(error).partition(chr(10))[0]}") from None
    _place = jax.process_index()
    _writes = _place == 0
    _say_when_aborted(f"another process of this run died or is out of reach, and this one ends with it; {_AGAIN}")
    atexit.register(end, 1)  # after an error that nothing foresaw


def _leave() -> None:
    global _place
    import jax

    jax.distributed.shutdown()  # waits for the others
    _place = None


def _keep_standard_output() -> None:
    """Gloo tells standard output whom it met; there may be a JSON document wanted there and nothing else."""
    sys.stdout.flush()
    own = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(own, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)


_kept: list[Any] = []  # what C calls must live


def _say_when_aborted(sentence: str) -> None:
    """JAX's coordination service ends a process by abort(), which nothing in Python can catch; then say why, and exit with 3."""
    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)

    def say(signum: int) -> None:
        os.write(2, f"lrlab: {sentence}\n".encode())
        os._exit(Failed.code)

    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, handler), ctypes.c_void_p
    _kept.append(handler(say))
    libc.signal(signal.SIGABRT, _kept[-1])
