"""Where a run begins that goes on from what was saved of one, itself or another, and by which decision."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Origin(NamedTuple):
    """The member of a population that was saved from which a run begins, and how it came to that."""

    folder: Path  # of that population's checkpoints
    step: int
    members: int
    steps: int
    place: int
    how: dict[str, Any]  # for the record: from where, by which decision, the rate before and after


def seam(how: Mapping[str, Any]) -> str:
    """How a run goes on, in words.

    >>> seam({"folder": "a", "step": 80, "rate_before": 0.1, "rate_after": 0.05})
    'goes on from a after 80 updates; the rate jumps from 0.1 to 0.05'
    >>> seam({"diverged": 93, "step": 80, "rate_before": 0.1, "rate_after": 0.05})
    'diverged at step 93 and goes back to step 80; the rate jumps from 0.1 to 0.05'
    """
    before, after = how["rate_before"], how["rate_after"]
    same = np.isclose(before, after, rtol=1e-6)
    rate = f"the rate goes on at {after:.4g}" if same else f"the rate jumps from {before:.4g} to {after:.4g}"
    if "diverged" in how:
        return f"diverged at step {how['diverged']} and goes back to step {how['step']}; {rate}"
    return f"goes on from {how['folder']} after {how['step']} updates; {rate}"
