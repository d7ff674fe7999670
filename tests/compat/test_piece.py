"""The first steps of any schedule, in words that last just so long."""

import hypothesis.strategies as st
import numpy as np
import strategies
from compat.published import assert_agrees
from hypothesis import assume, given

import lrlab as lr
from lrlab.schedule.compat.piece import first, ratio


@given(strategies.descriptions(concrete=True, rest=False), st.integers(1, 60))
def test_the_first_steps_are_those_of_the_schedule(description, steps):
    schedule = strategies.build(description)
    assume(schedule.length < 10**6)
    begun = first(schedule, steps)
    assert begun.length == steps
    assert_agrees(begun, schedule(np.arange(steps)), peak=strategies.bound(description))


@given(st.floats(1e-6, 1.0), st.floats(1e-6, 1.0))
def test_a_ratio_loses_only_rounding(a, b):
    assert abs(ratio(a, b) - a / b) <= 4e-16 * (a / b)


def test_what_goes_on_for_ever_is_ended():
    assert (
        repr(first(0.1 * lr.repeat(lr.stable(30), shrink=0.1), 45)) == "0.1 * repeat(stable(30), over=45, shrink=0.1)"
    )
    assert repr(first(lr.stable(30) >> 0.1 * lr.stable(), 45)) == "stable(30) >> 0.1 * stable(15)"
    assert repr(first(lr.stable(30) >> 0.1 * lr.stable(), 20)) == "stable(20)"
