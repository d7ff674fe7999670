"""Sequences that peers' own code produced, and how a schedule is held against one."""

import json

import numpy as np
from published import published

import lrlab as lr


def sequence(group, label):
    """The rates that a peer used at updates 0, 1, 2, ...; skips where they are not there."""
    groups = json.loads(published("peer_schedules.json").read_text())["sequences"]
    return next(values for text, values in groups[group].items() if text == label)


def assert_agrees(schedule, expected, peak=None):
    """At every update within a millionth of the peak: float32's rounding, here and in several peers, is 6e-8."""
    expected = np.asarray(expected, np.float64)
    got = schedule(np.arange(len(expected)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * (peak or np.abs(expected).max()))


def assert_follows(schedule, rate, updates=150):
    """The schedule is the function of the update, and can be read back."""
    expected = [rate(t) for t in range(updates)]
    assert_agrees(schedule, expected, peak=max(map(abs, expected)) or 1e-30)
    assert lr.parse(repr(schedule)) == schedule
