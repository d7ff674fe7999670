"""Finds experiment modules: those of the working folder, those that come with lrlab, and files by path."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from lrlab.refusal import Refused, unknown

_PACKAGE = Path(__file__).parent


class Entry(NamedTuple):
    """An experiment module, read but not run."""

    name: str
    claim: str  # the first paragraph of its docstring
    cost: str  # the first sentence of the paragraph that begins with "Cost:"
    path: Path


def entries() -> list[Entry]:
    """All experiments by name, without importing any of them."""
    found = {path.stem: path for folder in reversed(_folders()) for path in _modules(folder)}
    return [_entry(path) for _, path in sorted(found.items())]


def names() -> set[str]:
    """The names of all experiments."""
    return {entry.name for entry in entries()}


def load(name: str) -> ModuleType:
    """The experiment module called `name`, or in the file `name`.

    One that trains nothing has None for BASE and no ARMS; its verdict is computed. Raises `Refused` if there is none, or if it
    lacks one of BASE, ARMS, PRESETS and verdict.
    """
    path = Path(name) if name.endswith(".py") else next((e.path for e in entries() if e.name == name), None)
    if path is None:
        raise unknown("experiment", name, [entry.name for entry in entries()])
    if not path.is_file():
        raise Refused(f"there is no file {path}; `lrlab list` names the experiments")
    spec = importlib.util.spec_from_file_location(f"lrlab_experiment_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    missing = [word for word in ("BASE", "ARMS", "PRESETS", "verdict") if not hasattr(module, word)]
    if missing:
        raise Refused(f"{path} is not an experiment: it lacks {' and '.join(missing)}; experiments/ shows the form")
    if module.BASE is None and not hasattr(module, "picture"):
        raise Refused(f"{path} trains nothing and has no picture(runs); an experiment has something to show")
    return module


def _folders() -> list[Path]:
    """Where experiments live, the nearest first: the working folder, a checkout, an installed package."""
    folders = (Path.cwd() / "experiments", _PACKAGE.parent / "experiments", _PACKAGE / "experiments")
    return [folder for folder in folders if folder.is_dir()]


def _modules(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _entry(path: Path) -> Entry:
    try:
        note = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except (SyntaxError, ValueError) as error:
        note = f"cannot be read: {error}"
    claim = " ".join(note.split("\n\n")[0].split())
    told = re.search(r"^Cost:(.*(?:\n\s+.*)*)", note, re.MULTILINE)
    cost = re.split(r"(?<=[\w)]\.) ", " ".join(told[1].split()))[0] if told else ""
    return Entry(path.stem, claim, cost, path)
