"""A run folder is written by one process at a time; the lock of a process that died is free."""

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lrlab.distributed import first
from lrlab.refusal import Failed, Refused

_NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder, made where it is not there, against every other process that asks.

    The kernel holds the lock for as long as the process lives, so none is ever stale; the file `lock`, which stays, says
    who. Of several processes of one run the first holds it for all. File systems that know no locks are not guarded.
    Raises `Refused` where another process holds the folder, `Failed` where it cannot be written.
    """
    if not first():
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise Failed(f"cannot write to {folder}: {error.strerror}; choose another folder with --out") from None
    try:
        _take(file, folder)
        yield
    finally:
        os.close(file)  # and with it the lock


def _take(file: int, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused(
            f"{folder} is being written by {_holder(file)}; wait for it to end, or choose another folder with --out"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise Failed(f"cannot lock {folder}: {error.strerror}; choose another folder with --out") from None
    os.truncate(file, 0)
    os.pwrite(file, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)


def _holder(file: int) -> str:
    try:
        holder = json.loads(os.pread(file, 1000, 0))
        return f"process {holder['pid']} on {holder['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
