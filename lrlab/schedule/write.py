"""How values are written: the shortest text that reads back as the same value."""

import dataclasses
from typing import Any

import jax
import numpy as np
from jax.core import Tracer


def written(value: Any) -> str:
    """A number, array, duration, curve or schedule in the notation.

    >>> written(0.0003), written(1.0), written(np.float32(0.1)), written([1, 0.001]), written("20%")
    ('3e-4', '1', '0.1', '[1, 1e-3]', "'20%'")
    """
    if isinstance(value, Tracer):
        return str(value)
    if isinstance(value, np.ndarray | jax.Array):
        value = np.asarray(value)[()]
    if isinstance(value, list | tuple | np.ndarray):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, float | np.floating):
        return _float(value)
    return str(int(value)) if isinstance(value, np.integer) else repr(value)


def _float(x: Any) -> str:
    if x == 0 or 1e-2 <= abs(x) < 1e6 or not np.isfinite(x):
        return np.format_float_positional(x, trim="-")
    return np.format_float_scientific(x, trim="-", exp_digits=1).replace("e+", "e")


def call(word: str, node: Any) -> str:
    """`word(...)` with the node's fields as arguments, those at their default left out.

    Fields that are keyword-only in the dataclass are written as keywords.
    """
    arguments = []
    for field in dataclasses.fields(node):
        text = written(getattr(node, field.name))
        if field.default is not dataclasses.MISSING and text == written(field.default):
            continue
        arguments.append(f"{field.name}={text}" if field.kw_only else text)
    return f"{word}({', '.join(arguments)})"
