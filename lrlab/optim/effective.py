"""The table of what each group of parameters really gets: its size, its rate over the run, its weight decay."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from lrlab.optim.coupled import Independent, sampled
from lrlab.optim.groups import Group, assigned
from lrlab.optim.optimizers import Optimizer
from lrlab.schedule import Schedule
from lrlab.schedule.write import written


class Effective(NamedTuple):
    """One row: a group, and the rates that its updates use."""

    name: str
    rule: str
    arrays: int  # parameters of the group
    numbers: int  # in them
    first: float  # rate of the first update that moves them
    peak: float
    last: float
    weight_decay: str | None  # None where nothing is decayed
    begin: int
    end: int  # updates begin <= t < end move them


def effective(
    optimizer: Optimizer,
    schedule: Schedule,
    groups: Sequence[Group],
    params: Any,
    steps: int,
    scale: Schedule | None = None,
) -> list[Effective]:
    """A row for each group, of schedules in steps; without groups one row for all parameters. `scale` multiplies them.

    Raises `Refused` for a parameter in no group or in two.
    """
    parts = tuple(groups) or (Group(),)
    index, leaves = assigned(parts, params), jax.tree.leaves(params)
    rows = []
    for i, one in enumerate(parts):
        own = [leaf for leaf, at in zip(leaves, index) if at == i]
        used = (schedule if one.schedule is None else one.schedule) * (1.0 if scale is None else scale)
        begin, end = one.span(steps)
        t = sampled(used, steps)
        t = np.union1d(t[(begin <= t) & (t < end)], [begin, end - 1])
        rates = used(t) * one.rate if end > begin else np.zeros(1)
        rows.append(
            Effective(
                one.name if groups else "all",
                repr(one) if groups else "",
                len(own),
                sum(int(np.size(leaf)) for leaf in own),
                float(rates[0]),
                float(rates.max()),
                float(rates[-1]),
                _decay(optimizer.decay_of(one, own), one),
                begin,
                end,
            )
        )
    return rows


def _decay(decay: Any, one: Group) -> str | None:
    if decay is None or one.decay == 1:
        return None if decay is None else written(decay)
    if isinstance(decay, Independent | Schedule):
        return f"{written(one.decay)} * {decay}" if one.decay else "0"
    return f"{decay * one.decay:.6g}"
