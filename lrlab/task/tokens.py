"""Token files of llm.c and modded-nanogpt: a header of 256 int32, then uint16 tokens, read through a memory map."""

import glob
from pathlib import Path

import numpy as np

from lrlab.refusal import Refused

GPT2 = 50304  # the 50257 tokens of GPT-2, filled up to a multiple of 128
_MAGIC, _VERSION, _HEADER = 20240520, 1, 1024  # the header in bytes: magic, version, number of tokens, zeros


def named(path: str | None) -> bool:
    """Whether a corpus is tokens: a .bin file, a pattern of such names, or a folder that holds them.

    >>> named("tokens/train_*.bin"), named("shakespeare.txt"), named(None)
    (True, False, False)
    """
    return path is not None and (path.endswith(".bin") or (Path(path).is_dir() and any(Path(path).glob("*.bin"))))


def files(path: str) -> list[Path]:
    """The files that `path` names, in the order of their names; none where there are none."""
    if Path(path).is_dir():
        return sorted(Path(path).glob("*.bin"))
    return [Path(path)] if Path(path).is_file() else sorted(map(Path, glob.glob(path)))


def read(path: str) -> np.ndarray:
    """The tokens of one file (a memory map, nothing is read yet) or of several, joined in memory: [n] uint16.

    Raises:
        Refused: there is no such file, or one of them is not what its header says.
    """
    if not (found := files(path)):
        raise Refused(f"there is no token file {path}; give a .bin file, a folder or a pattern: 'tokens/train_*.bin'")
    shards = [np.memmap(file, "<u2", "r", _HEADER, (count(file),)) for file in found]
    return shards[0] if len(shards) == 1 else np.concatenate(shards)


def count(file: Path) -> int:
    """The number of tokens that a file's header promises, held against its length. Raises `Refused`."""
    size = file.stat().st_size
    if size < _HEADER:
        raise Refused(f"{file} holds {size} bytes, and the header of a token file alone has {_HEADER}; copy it again")
    magic, version, tokens = (int(number) for number in np.fromfile(file, "<i4", 3))
    if (magic, version) != (_MAGIC, _VERSION):
        raise Refused(
            f"{file} begins with {magic}, version {version}, and a file of uint16 tokens with {_MAGIC}, version "
            f"{_VERSION}; write it with lrlab.task.tokens.write"
        )
    if size != _HEADER + 2 * tokens:
        held = (size - _HEADER) / 2
        raise Refused(f"{file} promises {tokens} tokens and holds {held:g}; copy it again")
    return tokens


def write(path: str | Path, tokens: np.ndarray) -> None:
    """Write [n] tokens, whole numbers below 65536, as such a file.

    Raises:
        Refused: a token does not fit, or there are more than the header's int32 can count.
    """
    tokens = np.asarray(tokens)
    if tokens.ndim != 1 or not tokens.size or tokens.dtype.kind not in "iu":
        raise Refused(f"tokens of shape {tokens.shape} and type {tokens.dtype}; give one list of whole numbers")
    if tokens.min() < 0 or tokens.max() > 65535:
        raise Refused(f"tokens from {tokens.min()} to {tokens.max()}; a token file holds 0 to 65535")
    if tokens.size >= 2**31:
        raise Refused(f"{tokens.size} tokens are more than one file counts; write several of at most {2**31 - 1}")
    header = np.zeros(_HEADER // 4, "<i4")
    header[:3] = _MAGIC, _VERSION, tokens.size
    with open(path, "wb") as file:
        file.write(header.tobytes())
        file.write(tokens.astype("<u2").tobytes())
