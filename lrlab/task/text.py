"""A corpus: a text as bytes (a file, a folder, or the English of Python's own documentation), or files of tokens."""

import functools
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lrlab.refusal import Lacking, Refused
from lrlab.task import tokens

SUFFIXES = (".txt", ".md", ".rst", ".py")
_DEFAULT = "Python's documentation"


class Corpus(NamedTuple):
    """Bytes or tokens to learn from, others to be judged on, and the sha256 of both."""

    train: np.ndarray  # [n] uint8 or uint16
    valid: np.ndarray  # [m] of the same kind: the end of the text, or a text of its own
    largest: int  # the highest byte or token of both
    digest: str


def corpus(path: str | None, sequence: int, validation: float | str) -> Corpus:
    """The text at `path` and what is held out: its last `validation` share, or the text at `validation`.

    Args:
        path: a file, or a folder whose .txt, .md, .rst and .py files are joined in the order of their paths; a .bin file,
            pattern or folder of tokens; None for Python's documentation. Read once per process.
        sequence: tokens per example; either part must hold two examples.
        validation: share of the text that is held out, or another text of the same kind.

    Raises:
        Refused: there is no such path, no text in it, too little, or the two parts do not suit each other.
    """
    train, largest, digest = _read(path)
    if isinstance(validation, str):
        _distinct(path, validation)
        valid, largest_held, of_valid = _read(validation)
        largest = max(largest, largest_held)
        digest = hashlib.sha256(f"{digest} {of_valid}".encode()).hexdigest()
    else:
        cut = train.size - int(train.size * validation)
        train, valid = train[:cut], train[cut:]
    unit = "tokens" if tokens.named(path) else "bytes"
    for name, part, least in (("training", train, 3 * sequence), ("validation", valid, 2 * sequence + 1)):
        if part.size < least:
            raise Refused(
                f"{path or _DEFAULT} leaves {part.size} {unit} for {name}, and sequence={sequence} needs {least}; "
                f"give a longer text or a sequence of at most {max(1, (part.size - 1) // 3)}"
            )
    return Corpus(train, valid, largest, digest)


def length(path: str, validation: float | str) -> int | None:
    """How many tokens there are to learn from, by the headers of their files; None where there is no file yet."""
    if not (files := tokens.files(path)):
        return None
    total = sum(map(tokens.count, files))
    return total if isinstance(validation, str) else total - int(total * validation)


def _distinct(path: str | None, validation: str) -> None:
    if tokens.named(path) != tokens.named(validation):
        raise Refused(
            f"{path or _DEFAULT} and validation={validation}: one is bytes and one tokens; give two of a kind"
        )
    if path and (both := _sources(path) & _sources(validation)):
        raise Refused(f"{min(both)} is in {path} and in validation={validation}: held out is what is not learned from")


def _sources(path: str) -> set[Path]:
    """The files that are read for `path`, each by its one real name."""
    files = tokens.files(path) if tokens.named(path) or not Path(path).is_dir() else _files(Path(path))
    return {file.resolve() for file in files}


@functools.cache
def _read(path: str | None) -> tuple[np.ndarray, int, str]:
    if tokens.named(path):
        data = tokens.read(str(path))
    else:
        data = np.frombuffer(_documentation() if path is None else _text(Path(path)), np.uint8)
    return data, int(data.max(initial=0)), hashlib.sha256(data.data).hexdigest()


def _documentation() -> bytes:
    from pydoc_data.topics import topics

    return "".join(topics[name] for name in sorted(topics)).encode()


def _text(path: Path) -> bytes:
    if path.is_file():
        return path.read_bytes()
    if not path.is_dir():
        raise Lacking(f"there is no text at {path}; give a file, a folder, or None for {_DEFAULT}")
    if not (files := _files(path)):
        raise Refused(f"the folder {path} has no {', '.join(SUFFIXES)} file; give a folder that has, or a file")
    return b"".join(file.read_bytes() for file in files)


def _files(folder: Path) -> list[Path]:
    """Texts of a folder and those below it, hidden ones left out, in the same order on every machine."""
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.suffix in SUFFIXES)
    visible = (name for name in names if not any(part.startswith(".") for part in name.split("/")))
    return [folder / name for name in visible if (folder / name).is_file()]
