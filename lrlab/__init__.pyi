__version__: str

from . import finder, optim, task, theory
from .optim import scheduled, values_used
from .refusal import Failed, Refused
from .schedule import Horizon, Schedule
from .schedule import warmup, stable, decay, ramp, rsqrt, inverse_time, off, table
from .schedule import join, repeat, shift, stairs, minimum, maximum
from .schedule import linear, cosine, sqrt, geometric, power, polynomial, exponential, rex, tanh, logarithmic, span
from .schedule import named, compat, parse, from_json, lint

__all__ = [
    "warmup",
    "stable",
    "decay",
    "ramp",
    "rsqrt",
    "inverse_time",
    "off",
    "table",
    "join",
    "repeat",
    "shift",
    "stairs",
    "minimum",
    "maximum",
    "linear",
    "cosine",
    "sqrt",
    "geometric",
    "power",
    "polynomial",
    "exponential",
    "rex",
    "tanh",
    "logarithmic",
    "span",
    "Schedule",
    "Horizon",
    "named",
    "compat",
    "parse",
    "from_json",
    "lint",
    "optim",
    "scheduled",
    "values_used",
    "task",
    "theory",
    "finder",
    "Refused",
    "Failed",
]
