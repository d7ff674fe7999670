"""PyTorch's schedulers change the rate that they find, so how they compose depends on which they are."""

from typing import Any

from lrlab.node import structural
from lrlab.schedule.combine import Scale
from lrlab.schedule.core import Schedule


class Stepped(Scale):
    """A rate times a shape, along which a scheduler of PyTorch, named in `by`, moves the rate."""

    by: str = structural("")


def stepped(by: str, base_lr: Any, shape: Schedule) -> Schedule:
    """`base_lr * shape`, which remembers the scheduler."""
    return Stepped(base_lr, shape, by)


def scheduler(schedule: Any) -> str:
    """The class of PyTorch that a schedule came from, where that is remembered."""
    return schedule.by if isinstance(schedule, Stepped) else ""
