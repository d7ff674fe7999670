"""Durations are whole steps or strings with a unit; a `Horizon` turns them into steps, late and once."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import Any

import jax
import numpy as np

from lrlab.refusal import Refused
from lrlab.schedule.write import written

Duration = int | str | None
LAST_STEP = 2**31 - 1  # the largest count that int32 holds, on every device
_WRITTEN = re.compile(r"\s*(\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,2})?|\.\d{1,30})\s*(%|ep|ex|tok)\s*")
_HOW = "write whole steps as an int, or a unit: '20%', '5ep' (epochs), '3e6ex' (examples), '1e9tok' (tokens)"


def duration(over: Any, where: str) -> Any:
    """`over` checked: a count of steps, a string with a unit, or None for the rest of the run.

    Raises `Refused` for floats (is 1.0 one step or all of it?), negative counts, unknown units and NumPy's arrays. Integer
    arrays of JAX and tracers pass, so that durations can be swept inside a compiled program.
    """
    if over is None or isinstance(over, jax.Array) and jax.numpy.issubdtype(over.dtype, jax.numpy.integer):
        return over
    if isinstance(over, int | np.integer) and not isinstance(over, bool):
        if not 0 <= over <= LAST_STEP:
            raise Refused(f"{where} cannot last {written(over)} steps; a duration is between 0 and 2**31 - 1 steps")
        return int(over)
    if isinstance(over, str):
        match = _WRITTEN.fullmatch(over)
        if not match:
            raise Refused(f"{where} cannot last '{over}'; {_HOW}")
        return "".join(match.groups())
    if isinstance(over, float):
        raise Refused(f"{where} cannot last {over}: a bare float could be steps or a share of the run; {_HOW}")
    raise Refused(f"{where} cannot last {over!r}; {_HOW}")


def whole(exact: Fraction) -> int:
    """The nearest whole step, halves upwards."""
    return int(exact + Fraction(1, 2))


def longest(*lengths: Any) -> Any:
    """The longest of some lengths in steps, which may be arrays."""
    if any(isinstance(length, jax.Array) for length in lengths):
        return reduce(jax.numpy.maximum, lengths)
    return reduce(np.maximum, lengths) if any(isinstance(length, np.ndarray) for length in lengths) else max(lengths)


@dataclass(frozen=True)
class Horizon:
    """How long a run is, so that durations in any unit become steps.

    Args:
        steps: optimizer updates in the run.
        batch: examples per update, for durations in examples and epochs.
        sequence: tokens per example, for durations in tokens.
        epoch: examples per epoch, for durations in epochs.

    >>> Horizon(steps=1000, batch=32, sequence=128).exact("1e6tok")
    Fraction(15625, 64)
    """

    steps: int
    batch: int | None = None
    sequence: int | None = None
    epoch: int | None = None

    def __post_init__(self) -> None:
        for name, value in list(vars(self).items()):
            if value is None and name != "steps":
                continue
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
                raise Refused(f"Horizon({name}={value!r}): {name} is a positive whole number")
            object.__setattr__(self, name, int(value))  # a numpy integer would overflow in a product
        if self.steps > LAST_STEP:
            raise Refused(f"Horizon(steps={self.steps}) is longer than 2**31 - 1 steps, which int32 can count")

    def exact(self, over: int | str) -> Fraction:
        """The duration in steps, as an exact fraction (integer arithmetic: tokens beyond 2**31 are safe)."""
        if isinstance(over, int | np.integer):
            return Fraction(int(over))
        if not isinstance(over, str):
            raise Refused(
                "a schedule with arrays as durations cannot be resolved; resolve first, then stack the schedules"
            )
        number, unit = _WRITTEN.fullmatch(over).groups()  # type: ignore[union-attr]
        amount = Fraction(number)
        if unit == "%":
            return amount * self.steps / 100
        per_step = self._known("batch", over)
        if unit == "tok":
            per_step *= self._known("sequence", over)
        if unit == "ep":
            amount *= self._known("epoch", over)
        return amount / per_step

    def _known(self, name: str, over: str) -> int:
        value = getattr(self, name)
        if value is None:
            raise Refused(f"'{over}' cannot become steps without {name}; write Horizon(steps={self.steps}, {name}=...)")
        return value
