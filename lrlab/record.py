"""Records of a run: one folder of plain JSON, appended to and never overwritten."""

import functools
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lrlab.distributed import first
from lrlab.refusal import Failed, Refused

if TYPE_CHECKING:
    from lrlab.dashboard import Dashboard

_PACKAGES = ("lrlab", "jax", "jaxlib", "optax", "flax", "numpy")


class Record:
    """The growing `metrics.jsonl` of one run: rows in the order of steps, then one row that says how it ended.

    Of several processes of a run, only the first writes it.
    """

    def __init__(self, folder: Path, step: int = 0, dashboards: Sequence["Dashboard"] = ()) -> None:
        """Go on with a folder's record where `step` updates were done; with 0, begin it.

        Rows that a run left beyond are set aside under a number, metrics.1.jsonl, and not overwritten. `dashboards` are
        told every row too, and closed with the record.
        """
        self._dashboards = dashboards
        self.path = folder / "metrics.jsonl" if first() else Path(os.devnull)
        try:
            if first():
                folder.mkdir(parents=True, exist_ok=True)
                self.path.touch()
                _set_aside(self.path, _end_of(self.path, step))
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise Failed(
                f"cannot write records to {folder}: {error.strerror}; choose another folder with --out"
            ) from None

    def write(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows and hand them to the operating system: a crash of the program loses none of them."""
        rows = list(rows)
        try:
            self._file.writelines(as_text(row) + "\n" for row in rows)
            self._file.flush()
        except OSError as error:
            raise Failed(f"cannot write to {self.path}: {error.strerror}; what was written before is kept") from None
        for dashboard in self._dashboards:
            dashboard.write(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        with suppress(OSError):  # of rows that could not be written, which `write` has told
            self._file.close()
        for dashboard in self._dashboards:
            dashboard.close()


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a run's record, finished or not; from a line cut short by a crash on, they are left out."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


def last(folder: Path) -> dict[str, Any]:
    """The last row of a run's record; empty where there is none, or where a crash cut it short."""
    path = folder / "metrics.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    try:
        return json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}


def updates(row: Mapping[str, Any]) -> int:
    """How many updates were done when a row was written.

    >>> updates({"step": 4, "loss": 2.3}), updates({"step": 5, "held_out": {"loss": 2.4}}), updates({"step": 5, "end": "stopped"})
    (5, 5, 5)
    """
    return row["step"] + (not row.keys() & {"held_out", "end"})


def _end_of(path: Path, step: int) -> int:
    """How many bytes the whole rows of the first `step` updates take."""
    end = 0
    for line in path.read_bytes().splitlines(keepends=True):
        try:
            if not line.endswith(b"\n") or updates(json.loads(line)) > step:
                break
        except ValueError:
            break
        end += len(line)
    return end


def _set_aside(path: Path, end: int) -> None:
    """Move what follows the first `end` bytes of a file into one of its own."""
    if rest := path.read_bytes()[end:]:
        _free(path).write_bytes(rest)
        os.truncate(path, end)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document whole or not at all; of several processes, the first does."""
    if not first():
        return
    temporary = path.with_suffix(f".{os.getpid()}.tmp")  # of two processes at once, each has its own
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(as_text(value, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise Failed(f"cannot write {path}: {error.strerror}; choose another folder with --out") from None


def read_json(path: Path) -> Any:
    """A JSON document, or a refusal that names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise Refused(f"{path} is not JSON; if a crash cut it short, delete it and run again") from None


def as_text(value: Any, indent: int | None = None) -> str:
    """The value as JSON, with numbers that JSON cannot hold as null."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(finite(value), indent=indent)


def finite(value: Any) -> Any:
    """The value with numbers that JSON cannot hold (nan, inf) as null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def provenance(**more: Any) -> dict[str, Any]:
    """Where a run came from: versions, devices, commit, command."""
    import jax

    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "devices": [f"{device.platform}:{device.device_kind}" for device in jax.devices()],
        "commit": _commit(),
        **more,
    }


@functools.cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@functools.cache
def _commit() -> str | None:
    """The commit of the code that ran, with '+' if it was changed since; None outside a git checkout."""

    def git(*words: str) -> str | None:
        here = Path(__file__).parent
        try:
            return subprocess.run(
                ["git", *words], cwd=here, capture_output=True, text=True, check=True, timeout=10
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return None

    commit = git("rev-parse", "HEAD")
    return commit and commit.strip() + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def _free(path: Path) -> Path:
    """The first name of the form metrics.1.jsonl that is not taken."""
    number = 1
    while (taken := path.with_suffix(f".{number}.jsonl")).exists():
        number += 1
    return taken
