"""When a population is saved, what of it, and how it goes on from there: after a fault, or because it was asked to stop."""

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from lrlab.checkpoint import Checkpoints, restore
from lrlab.device import host
from lrlab.distributed import Vote
from lrlab.parallel import Strategy
from lrlab.refusal import Everywhere, Failed, Refused
from lrlab.task import Task
from lrlab.train import TrainState


class Interrupted(Failed, Everywhere):
    """A run was asked to stop; it saved first."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.code = 128 + signum  # as shells say it


@dataclass(frozen=True)
class Saves:
    """When to save.

    Args:
        every: updates between saves; None leaves it to `seconds`.
        seconds: of training between saves.
        at: updates after which a checkpoint is kept for good, such as where a decay begins.
        keep: how many of the newest are kept.
    """

    every: int | None = None
    seconds: float = 60.0
    at: tuple[int, ...] = ()
    keep: int = 3

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise Refused(f"--save-every {self.every}: updates between saves, at least 1")

    def planned(self, steps: int) -> list[int]:
        """The updates of a run of `steps` after which it is sure to be saved, so that a chunk must end there."""
        return [*self.at, *(range(self.every, steps, self.every) if self.every else ())]


class Kept(NamedTuple):
    """What of a population is saved: everything else is a function of the step."""

    states: TrainState  # [members, ...]
    alive: jax.Array  # [members]
    tail: jax.Array  # [members, n] float32, the last training losses


class Source(NamedTuple):
    """A checkpoint of another population, some of whose members others begin from."""

    folder: Path
    step: int
    members: int  # of that population
    steps: int  # of its runs
    places: tuple[int, ...]  # of the members to take

    def read(self, one: TrainState, tail: int, task: Task, strategy: Strategy) -> Kept:
        """What was kept of the members at `places`; `one` is a member's state, in shape.

        No device holds more of it than its share on a mesh, and elsewhere the host reads it.
        """
        shape = lambda x: jax.ShapeDtypeStruct((self.members, *x.shape), x.dtype)
        like = jax.tree.map(shape, Kept(one, np.zeros((), bool), np.zeros(tail, np.float32)))  # type: ignore[arg-type]
        small = strategy.put(np.zeros(())).sharding
        lies = Kept(strategy.resting(task, like.states), small, small)
        like = strategy.kept(jax.tree.map(lambda x, lies: x.update(sharding=lies), like, lies))
        found = restore(self.folder, like, self.step)
        assert found is not None  # for a step that is named, `restore` refuses where there is none
        return jax.tree.map(lambda x: x[np.array(self.places)], found.state)


class Saver:
    """Saves a population when it is due, and finds what was saved.

    Args:
        folder: of the checkpoints.
        saves: when.
        about: what must be the same where it goes on, as JSON: digests and schedules.
        asked: whether the process was asked to stop.
    """

    def __init__(self, folder: Path, saves: Saves, about: Mapping[str, Any], asked: "Asked") -> None:
        self.folder, self.saves, self.about, self.asked = folder, saves, dict(about), asked
        self._checkpoints: Checkpoints | None = None
        self._before = False  # whether the run was saved, now or before it went on
        self._last = time.monotonic()
        self._vote = Vote()
        self._stop = 0  # the signal by which any process was asked to stop
        self.remarks: tuple[str, ...] = ()

    def found(self, like: Kept) -> tuple[int, Kept, list[dict[str, Any]]] | None:
        """Updates done, state and notes of the newest good checkpoint. Raises `Refused` if it is of another run."""
        found = restore(self.folder, like)
        if found is None:
            return None
        for name, here in self.about.items():
            if found.about.get(name) != here:
                raise Refused(
                    f"{self.folder} was saved with another {name}: {found.about.get(name)} there, {here} here; "
                    "choose another folder with --out"
                )
        self.remarks, self._before = found.remarks, True
        return found.step, found.state, found.about["notes"]

    def due(self, step: int, steps: int) -> bool:
        """Whether to save after `step` updates of `steps`; after the last if there was any save before, or one was asked for."""
        saves = self.saves
        if step == steps:
            return self._before or saves.every is not None or step in saves.at
        late = saves.every is None and time.monotonic() - self._last >= saves.seconds
        timed, self._stop = self._vote(late, self.asked.signum or 0)
        counted = saves.every is not None and step % saves.every == 0
        return bool(timed or counted or step in saves.at or self._stop)

    def save(self, step: int, kept: Kept, notes: Sequence[Mapping[str, Any]], metrics: Mapping[str, float]) -> None:
        """Save in the background. Raises `Interrupted`, once it is on disk, if the process was asked to stop."""
        if self._checkpoints is None:
            self._checkpoints = Checkpoints(self.folder, self.saves.keep).__enter__()
        self._checkpoints.save(
            step, kept, about=self.about | {"notes": list(notes)}, metrics=metrics, pin=step in self.saves.at
        )
        self._last, self._vote, self._before = time.monotonic(), Vote(), True
        if self._stop:
            self._checkpoints.wait()
            name = signal.Signals(self._stop).name
            raise Interrupted(
                f"stopped by {name} after {step} updates, which are saved; the same command goes on", self._stop
            )

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, *error: Any) -> None:
        if self._checkpoints is not None:
            self._checkpoints.__exit__(*error)


@dataclass
class Asked:
    """Whether the process was asked to stop, by which signal."""

    signum: int | None = field(default=None)


@contextmanager
def asked_to_stop() -> Iterator[Asked]:
    """Meanwhile SIGINT and SIGTERM ask for a stop after the current chunk; a second one stops at once."""
    asked = Asked()

    def note(signum: int, frame: Any) -> None:
        if asked.signum is not None:
            raise KeyboardInterrupt
        asked.signum = signum

    if threading.current_thread() is not threading.main_thread():  # where Python lets no one handle signals
        yield asked
        return
    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def first_members(tree: Any, count: int) -> Any:
    """The first `count` members of a population, without those that fill it up.

    Where it is dealt to several devices that cannot share these evenly, they come to lie on the host.
    """
    if jax.tree.leaves(tree)[0].shape[0] == count:
        return tree
    return jax.tree.map(lambda x: (jax.device_put(x, host()) if _dealt(x) else x)[:count], tree)


def first_shapes(tree: Any, count: int) -> Any:
    """What `first_members` gives, in shape and place."""
    even = jax.tree.leaves(tree)[0].shape[0] == count
    lies = lambda x: x.sharding if even or not _dealt(x) else SingleDeviceSharding(host())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape[1:]), x.dtype, sharding=lies(x)), tree)


def _dealt(x: jax.Array) -> bool:
    """Whether each device holds some of the members."""
    return x.sharding.shard_shape(x.shape)[0] < len(x)


def filled(tree: Any, count: int) -> Any:
    """The population filled up to `count` members by its last."""
    more = count - jax.tree.leaves(tree)[0].shape[0]
    return jax.tree.map(lambda x: jnp.concatenate([x, jnp.repeat(x[-1:], more, 0)]), tree) if more else tree
