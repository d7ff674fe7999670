"""Text as bytes: a file, a folder, or the English of Python's own documentation, which every Python has at hand."""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lrlab.refusal import Refused

SUFFIXES = (".txt", ".md", ".rst", ".py")
_DEFAULT = "Python's documentation"


class Corpus(NamedTuple):
    """Bytes to learn from, bytes to be judged on, and the sha256 of both."""

    train: np.ndarray  # [n] uint8
    valid: np.ndarray  # [m] uint8, the end of the text
    digest: str


def corpus(path: str | None, sequence: int, validation: float) -> Corpus:
    """The text at `path`, its last `validation` share held out.

    Args:
        path: a file, or a folder whose .txt, .md, .rst and .py files are joined in the order of their paths;
            None for Python's documentation. Read once per process.
        sequence: tokens per example; either part must hold two examples.
        validation: share of the bytes that is held out.

    Raises:
        Refused: there is no such path, no text in it, or too little.
    """
    data, digest = _read(path)
    cut = data.size - int(data.size * validation)
    train, valid = data[:cut], data[cut:]
    for name, part, least in (("training", train, 3 * sequence), ("validation", valid, 2 * sequence + 1)):
        if part.size < least:
            raise Refused(
                f"{path or _DEFAULT} leaves {part.size} bytes for {name}, and sequence={sequence} needs {least}; "
                f"give a longer text or a sequence of at most {max(1, (part.size - 1) // 3)}"
            )
    return Corpus(train, valid, digest)


@functools.cache
def _read(path: str | None) -> tuple[np.ndarray, str]:
    data = _documentation() if path is None else _text(Path(path))
    if len(data) >= 2**31:
        raise Refused(f"{path} holds {len(data)} bytes, more than int32 can count; give at most 2147483647 of them")
    return np.frombuffer(data, np.uint8), hashlib.sha256(data).hexdigest()


def _documentation() -> bytes:
    from pydoc_data.topics import topics

    return "".join(topics[name] for name in sorted(topics)).encode()


def _text(path: Path) -> bytes:
    if path.is_file():
        return path.read_bytes()
    if not path.is_dir():
        raise Refused(f"there is no text at {path}; give a file, a folder, or None for {_DEFAULT}")
    if not (files := _files(path)):
        raise Refused(f"the folder {path} has no {', '.join(SUFFIXES)} file; give a folder that has, or a file")
    return b"".join(file.read_bytes() for file in files)


def _files(folder: Path) -> list[Path]:
    """Texts of a folder and those below it, hidden ones left out, in the same order on every machine."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.suffix in SUFFIXES)
    visible = (name for name in names if not any(part.startswith(".") for part in name.split("/")))
    return [folder / name for name in visible if (folder / name).is_file()]
