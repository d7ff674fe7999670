"""What the functions of every peer check alike."""

from typing import Any, Literal

import numpy as np

from lrlab.refusal import Refused, unknown
from lrlab.schedule.number import number
from lrlab.schedule.time import LAST_STEP
from lrlab.schedule.write import written

After = Literal["peer", "hold"]


def rate(value: Any, where: str, name: str = "base_lr") -> Any:
    """A learning rate: positive and finite."""
    return number(value, f"{where}({name}={written(value)}): a learning rate is positive, such as 3e-4", positive=True)


def share(value: Any, where: str, name: str, *, positive: bool = False, most: float = float("inf")) -> Any:
    """A number from 0 (or above it) to `most`."""
    bound = f"{'above' if positive else 'from'} 0" + (f" to {written(most)}" if np.isfinite(most) else "")
    sentence = f"{where}({name}={written(value)}): {name} is a number {bound}"
    return number(value, sentence, positive=positive, most=min(most, float(np.finfo(np.float32).max)))


def steps(value: Any, where: str, name: str, *, least: int = 0) -> int:
    """A count of steps as an int; peers also take whole floats."""
    whole = isinstance(value, int | np.integer | float | np.floating) and not isinstance(value, bool)
    if not whole or value != value or not least <= value <= LAST_STEP or int(value) != value:
        raise Refused(f"{where}({name}={written(value)}): {name} is a whole number of steps from {least} on")
    return int(value)


def choice(value: Any, where: str, name: str, choices: Any) -> str:
    """One of some names."""
    if value not in choices:
        raise unknown(f"{name} of {where}", str(value), choices)
    return value


def events(decay_events: Any, decay_factors: Any, where: str) -> tuple[list[int], list[float]]:
    """Updates in ascending order, and the shares before, between and after them, of which the first is 1."""
    edges = [steps(event, where, "decay_events", least=1) for event in decay_events]
    shares = [1.0, *(share(factor, where, "decay_factors") for factor in decay_factors)]
    if not edges or len(shares) != len(edges) + 1 or edges != sorted(set(edges)):
        raise Refused(
            f"{where}(decay_events={written(list(decay_events))}, decay_factors={written(list(decay_factors))}): events "
            f"ascend, and each has a factor"
        )
    return edges, shares


def holds(after: Any, where: str) -> bool:
    """Whether `after` asks to hold the last value instead of doing what the peer does."""
    return choice(after, where, "after", ("peer", "hold")) == "hold"
