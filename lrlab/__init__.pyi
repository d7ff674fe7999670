__version__: str

from . import optim, task
from .optim import scheduled, values_used
from .refusal import Failed, Refused
from .schedule import Horizon, Schedule
from .schedule import warmup, stable, decay, ramp, rsqrt, repeat, table, minimum, maximum
from .schedule import linear, cosine, sqrt, power, geometric
from .schedule import parse, from_json

__all__ = [
    "warmup",
    "stable",
    "decay",
    "ramp",
    "rsqrt",
    "repeat",
    "table",
    "minimum",
    "maximum",
    "linear",
    "cosine",
    "sqrt",
    "power",
    "geometric",
    "Schedule",
    "Horizon",
    "parse",
    "from_json",
    "optim",
    "scheduled",
    "values_used",
    "task",
    "Refused",
    "Failed",
]
