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


@given(st.integers(1, 9), st.integers(2, 5), st.integers(1, 3), st.sampled_from([1.5, 2.0]), st.integers(1, 300))
def test_cycles_that_grow_are_cut(each, times, stretch, shrink, steps):
    schedule = lr.repeat(lr.warmup(each) >> lr.decay(each, to=0.5), times, stretch=stretch, shrink=shrink)
    begun = first(schedule, steps)
    assert begun.length == steps
    assert_agrees(begun, schedule(np.arange(steps)), peak=shrink**times)
    assert lr.parse(repr(begun)) == begun


@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 60))
def test_cycles_that_end_are_held_there(each, over, steps):
    schedule = lr.repeat(lr.decay(each, to=0.5), over=over)
    for begun in (first(schedule, steps), first(2 * schedule, steps).shape):
        assert begun.length == steps
        assert_agrees(begun, schedule(np.arange(steps)))


def test_what_goes_on_for_ever_is_ended():
    assert (
        repr(first(0.1 * lr.repeat(lr.stable(30), shrink=0.1), 45)) == "0.1 * repeat(stable(30), over=45, shrink=0.1)"
    )
    assert repr(first(lr.stable(30) >> 0.1 * lr.stable(), 45)) == "stable(30) >> 0.1 * stable(15)"
    assert repr(first(lr.stable(30) >> 0.1 * lr.stable(), 20)) == "stable(20)"
