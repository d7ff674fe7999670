from .refusal import Failed, Refused
from .schedule import Horizon, Schedule
from .schedule import warmup, stable, decay, ramp, rsqrt, repeat, table, minimum, maximum
from .schedule import linear, cosine, sqrt, power, geometric
from .schedule import parse, from_json
from . import optim, task
from .optim import scheduled, values_used
