"""Checkpoints are written while training goes on, whole or not at all, and checked leaf by leaf when they are read.

    found = restore(folder, like=state)                  # the newest that is good; None where there are none
    with Checkpoints(folder, keep=3, best="loss") as checkpoints:
        checkpoints.save(step, state, about={"schedule": repr(schedule)}, metrics={"loss": 2.1})
        checkpoints.wait()                               # until it is on disk; leaving the block waits too

Orbax writes and reads them. It restores flipped bytes as wrong numbers and tells of a full disk one save late; so every
leaf has a checksum here, and every save hears first how the one before it ended.
"""

import json
import os
import re
import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal, NamedTuple, Self

import jax

from lrlab.checksum import checksums
from lrlab.distributed import gathered
from lrlab.lock import locked
from lrlab.record import finite
from lrlab.refusal import Failed, Refused

_STATE, _NOTE = "state", "note"  # the two folders of a checkpoint: what Orbax keeps, what we say about it


class Restored(NamedTuple):
    """A checkpoint that was read and found good."""

    step: int
    state: Any
    about: dict[str, Any]  # what `save` was told
    remarks: tuple[str, ...]  # which newer checkpoints were passed over, and why


class Checkpoints:
    """The checkpoints of one run, in a folder that no other process may write meanwhile.

    Kept are the newest `keep`, the one with the best of a metric, and those that were pinned. What a crash left half
    written is cleared away at the start.

    Args:
        folder: where they lie, each in a folder named by its step.
        keep: how many of the newest are kept.
        best: the metric whose best checkpoint is kept as well; None for none.
        mode: whether its "min" or its "max" is best; nan never is.

    Raises `Refused` where another process holds the folder, and `Failed` where it cannot be written.
    """

    def __init__(
        self, folder: Path, keep: int = 3, best: str | None = "loss", mode: Literal["min", "max"] = "min"
    ) -> None:
        if keep < 1:
            raise Refused(f"keep={keep}: at least one checkpoint is kept; write keep=1 or more")
        self.folder = Path(folder).absolute()
        self._choice = (keep, best, mode)
        self._saving = 0
        self._kept = _Kept()
        with ExitStack() as stack:
            stack.enter_context(locked(self.folder))
            stack.enter_context(_silent())
            self._manager = _manager(self.folder, self._kept)
            stack.callback(self._manager.close)
            self._open = stack.pop_all()

    def save(
        self,
        step: int,
        state: Any,
        *,
        about: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        pin: bool = False,
    ) -> None:
        """Copy the state and write it in the background; when this returns, the state may be donated.

        What the folder holds at or after `step` belongs to a future that was given up, and goes first.

        Args:
            step: updates done.
            state: a pytree of arrays.
            about: what belongs to it, as JSON: the schedule's text, the horizon, digests.
            metrics: by which the best is known.
            pin: whether it is kept for good.

        Raises `Failed` if this save or the one before could not be written; older checkpoints are left as they are.
        """
        if step < 0:
            raise Refused(f"a checkpoint at step {step}: steps are counted from 0")
        self.wait()
        note = {"step": step, "pin": pin, "metrics": dict(metrics or {}), "about": dict(about or {})}
        note = finite(note) | {"leaves": _leaves(state)}
        with self._failing(step):
            TemporaryFile(dir=self.folder).close()  # where nothing can be made, Orbax's threads would wait for minutes
            notes = {held: _note_or_none(self.folder, held) for held in steps(self.folder)}
            gathered(step)  # before any of them is deleted, every process has seen the same
            for late in [held for held in notes if held >= step]:
                self._manager.delete(late)
                del notes[late]
            self._kept.steps = kept({**notes, step: note}, *self._choice)
            self._manager.save(step, args=_to_write(state, note), force=True)

    def wait(self) -> None:
        """Wait until the last save is on disk. Raises `Failed` if it could not be written."""
        with self._failing(self._saving):
            self._manager.wait_until_finished()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        with self._open:
            try:
                self.wait()
            except Failed:
                if error is None:  # else that is what is told
                    raise

    @contextmanager
    def _failing(self, step: int) -> Iterator[None]:
        self._saving = step
        try:
            yield
        except Exception as error:
            self._manager.reload()  # it believes that what the save was to replace is gone
            good = max((held for held in steps(self.folder) if held < step), default=None)
            resume = "begins anew" if good is None else f"goes on from step {good}"
            raise Failed(
                f"cannot save step {step} to {self.folder}: {_why(error)}; "
                f"when that is mended, run the same command again: it {resume}"
            ) from error


def steps(folder: Path) -> list[int]:
    """The steps that a folder holds checkpoints of, good or not, in order."""
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal() and path.is_dir())


def about(folder: Path, step: int) -> dict[str, Any]:
    """What `save` was told about the checkpoint of `step`. Raises `Failed` where that cannot be read."""
    try:
        return _note(folder, step)["about"]
    except _Damaged as damage:
        raise Failed(f"the checkpoint of step {step} in {folder} is damaged: {damage}; choose another") from None


def restore(folder: Path, like: Any, step: int | None = None) -> Restored | None:
    """The newest good checkpoint of a folder, or that of `step`; None where the folder has none.

    Args:
        folder: where `Checkpoints` wrote; it is only read.
        like: a pytree of the state's structure; its arrays, or `jax.ShapeDtypeStruct`s, say shapes, dtypes and by their
            shardings where the state is to lie, which need not be where it lay.
        step: which checkpoint; by default the newest that is good.

    A checkpoint that cannot be read, or whose bytes are not those that were saved, is passed over with a remark. Raises
    `Failed` if none is left, and `Refused` if there is none of that step or it is of another structure.
    """
    folder = Path(folder).absolute()
    held, damaged = steps(folder), []
    if step is not None and step not in held:
        there = ", ".join(map(str, held)) or "none"
        raise Refused(f"{folder} holds no checkpoint of step {step}; there are: {there}")
    for candidate in held[::-1] if step is None else [step]:
        try:
            note = _note(folder, candidate)
            return Restored(candidate, _state(folder, note, like), note["about"], tuple(damaged))
        except _Damaged as damage:
            damaged.append(f"the checkpoint of step {candidate} is damaged and was passed over: {damage}")
    if damaged:
        raise Failed(f"{folder} holds no good checkpoint: {'; '.join(damaged)}; remove the folder to begin anew")
    return None


def kept(notes: Mapping[int, Any], keep: int, best: str | None, mode: str) -> set[int]:
    """The steps of the newest `keep` checkpoints, of the best and of those that were pinned.

    >>> losses = {10: 2.0, 20: 1.0, 30: 3.0, 40: 4.0}
    >>> notes = {step: {"metrics": {"loss": loss}, "pin": step == 10} for step, loss in losses.items()}
    >>> sorted(kept(notes, keep=1, best="loss", mode="min"))
    [10, 20, 40]
    """
    known = {step: note for step, note in notes.items() if note}
    values = {step: note["metrics"].get(best) for step, note in known.items()}
    values = {step: value for step, value in values.items() if value is not None}
    chosen = {(min if mode == "min" else max)(values, key=lambda step: values[step])} if values else set()
    return {*sorted(notes)[-keep:], *chosen, *(step for step, note in known.items() if note["pin"])}


class _Damaged(Exception):
    """Says what is wrong with a checkpoint."""


class _Kept:
    """Orbax's form of a preservation policy, told before each save what to keep after it."""

    steps: Container[int] = ()

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        return [checkpoint.step in self.steps for checkpoint in checkpoints]


def _manager(folder: Path, policy: _Kept) -> Any:
    """Orbax's manager, which opens no file of a checkpoint until it is asked to."""
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(
        preservation_policy=policy,
        cleanup_tmp_directories=True,
        lightweight_initialize=True,
        save_root_metadata=False,
    )
    try:
        return ocp.CheckpointManager(folder, options=options)
    except OSError as error:
        raise Failed(f"cannot write checkpoints to {folder}: {_why(error)}; choose another folder with --out") from None


def _to_write(state: Any, note: dict[str, Any]) -> Any:
    import orbax.checkpoint as ocp

    leaves = jax.tree.leaves(state)  # Orbax takes dataclasses that are pytrees for leaves; the note has their names
    return ocp.args.Composite(
        **{_STATE: ocp.args.StandardSave(leaves), _NOTE: ocp.args.JsonSave({"crc32": _crc32(note), "note": note})}
    )


def _note(folder: Path, step: int) -> dict[str, Any]:
    """What was noted beside a checkpoint's arrays."""
    try:
        held = json.loads((folder / str(step) / _NOTE / "metadata").read_bytes())
        note = held["note"]
        if held["crc32"] == _crc32(note) and note["step"] == step:
            return note
    except (OSError, ValueError, KeyError, TypeError):
        raise _Damaged("its note cannot be read") from None
    raise _Damaged("its note is not the one that was written")


def _note_or_none(folder: Path, step: int) -> dict[str, Any] | None:
    try:
        return _note(folder, step)
    except _Damaged:
        return None


def _state(folder: Path, note: Mapping[str, Any], like: Any) -> Any:
    """The arrays of a checkpoint, where `like` has them, each with the bytes that were saved."""
    import orbax.checkpoint as ocp

    _same_structure(folder, note, like)
    target = [jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding) for x in jax.tree.leaves(like)]
    leaves: Any = None
    damage = None
    try:
        with _silent(), ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
            leaves = reader.restore(folder / str(note["step"]) / _STATE, args=ocp.args.StandardRestore(target))
    except (MemoryError, jax.errors.JaxRuntimeError):  # of the device, not of the checkpoint
        raise
    except Exception as error:  # a file cut short raises a bare Exception in Orbax 0.12
        damage = _why(error, "its files are missing or cut short")
    if gathered(damage is not None).any():  # each process reads its own part
        raise _Damaged(damage or "another process cannot read its part")
    state = jax.tree.unflatten(jax.tree.structure(like), leaves)
    changed = [name for (name, *_, was), (*_, is_) in zip(note["leaves"], _leaves(state)) if was != is_]
    if changed:
        raise _Damaged(f"the bytes of {', '.join(changed[:3])}{' and others' * (len(changed) > 3)} have changed")
    return state


def _same_structure(folder: Path, note: Mapping[str, Any], like: Any) -> None:
    held = {name: (tuple(shape), dtype) for name, shape, dtype, _ in note["leaves"]}
    asked = {name: (x.shape, str(x.dtype)) for name, x in _named(like)}
    for name in [*held, *asked]:
        if held.get(name) != asked.get(name):
            raise Refused(
                f"the checkpoint of step {note['step']} in {folder} is of another run: {name} is "
                f"{_described(held.get(name))} there and {_described(asked.get(name))} here; "
                "choose another folder with --out"
            )


def _described(leaf: tuple[Any, str] | None) -> str:
    return "missing" if leaf is None else f"{leaf[1]}{list(leaf[0])}"


def _named(tree: Any) -> list[tuple[str, Any]]:
    leaves, _ = jax.tree.flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), x) for path, x in leaves]


def _leaves(state: Any) -> list[list[Any]]:
    """Name, shape, dtype and checksum of every leaf."""
    sums = checksums(jax.tree.leaves(state))
    return [[name, list(x.shape), str(x.dtype), sum_] for (name, x), sum_ in zip(_named(state), sums)]


def _crc32(note: Any) -> int:
    return zlib.crc32(json.dumps(note, sort_keys=True).encode())


def _why(error: BaseException, otherwise: str | None = None) -> str:
    """What the operating system said, which TensorStore hides in a long text."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    code = re.search(r"os_error_code='(\d+)'", str(error))
    return os.strerror(int(code[1])) if code else otherwise or str(error).partition("\n")[0][:200]


@contextmanager
def _silent() -> Iterator[None]:
    """Orbax logs the traces of errors that are told in a sentence here."""
    from absl import logging

    from_others = lambda entry: "orbax" not in entry.pathname
    logger = logging.get_absl_logger()
    logger.addFilter(from_others)
    try:
        yield
    finally:
        logger.removeFilter(from_others)
