"""Which numbers a schedule may hold: finite in float32 and of the right sign; traced ones are taken at their word."""

from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from lrlab.refusal import Refused

_FLOAT32 = np.finfo(np.float32)


def number(
    value: Any, refusal: str, *, positive: bool = False, least: float = 0.0, most: float = float(_FLOAT32.max)
) -> Any:
    """`value` as a float, or as an array of floats where it holds several.

    Args:
        value: a number, an array or list of numbers, or a tracer.
        refusal: the sentence to refuse with if it is anything else, not finite, below `least` or above `most`.
        positive: whether zero, and what float32 rounds to it, is refused too.
    """
    if isinstance(value, Tracer):
        return value
    try:
        checked = np.asarray(value)
        numeric = checked.dtype.kind in "iuf" or isinstance(value, int) and not isinstance(value, bool)
        checked = checked.astype(np.float64) if numeric and checked.dtype.kind != "f" else checked
    except (ValueError, TypeError, OverflowError):
        raise Refused(refusal) from None
    least = float(_FLOAT32.tiny) if positive else least
    if not numeric or not checked.size or not np.all((checked >= least) & (checked <= most)):
        raise Refused(refusal)
    if isinstance(value, jax.Array):
        return value
    return checked + 0.0 if checked.ndim else float(checked) + 0.0  # + 0.0: zero has no sign here
