"""fastai's own schedulers at the shares of the run that its Learner counts, against ours."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from peers.driver import assert_same

import lrlab as lr

fastai = pytest.importorskip("fastai.callback.schedule")
ours = lr.compat.fastai
LEAVES = st.sampled_from(
    [("SchedLin", 0.1, 0.0), ("SchedCos", 0.03, 0.1), ("SchedNo", 0.1, 0), ("SchedExp", 0.1, 1e-4), ("SchedPoly", 0.1, 0.01, 2)]
)  # fmt: skip
RUN = st.integers(1, 6), st.integers(1, 50)


def assert_follows(mine, theirs, epochs, each):
    """Learner begins an epoch at its share of the run, and adds an update's share after every update."""
    rates, shares = [], (epoch / epochs for epoch in range(epochs))
    for share in shares:
        for _ in range(each):
            rates.append(float(theirs(share)))
            share += 1.0 / (each * epochs)
    assert_same(mine, np.array(rates), max(rates))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([[1.0], [0.25, 0.75], [0.2, 0.3, 0.5], [0.1, 0.9]]), st.data(), *RUN)
def test_combined(pcts, data, epochs, each):
    parts = [data.draw(LEAVES) for _ in pcts]
    theirs, mine = ([getattr(module, name)(*given) for name, *given in parts] for module in (fastai, ours))
    mine = ours.combine_scheds(pcts, mine)
    assert_follows(ours.ParamScheduler({"lr": mine}, steps=epochs * each), fastai.combine_scheds(pcts, theirs), epochs, each)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([0.1, 0.25, 0.3, 0.75, 1 / 3]), st.sampled_from([5.0, 25.0]), *RUN)
def test_fits(pct, div, epochs, each):
    cycle = ours.fit_one_cycle(epochs, 0.1, div, pct_start=pct, steps_per_epoch=each)
    assert_follows(cycle, fastai.combined_cos(pct, 0.1 / div, 0.1, 0.1 / 1e5), epochs, each)
    flat = ours.fit_flat_cos(epochs, 0.1, pct_start=pct, steps_per_epoch=each)
    assert_follows(flat, fastai.combined_cos(pct, 0.1, 0.1, 0.1 / 1e5), epochs, each)


@pytest.mark.parametrize("cycles", [1, 2, 3, 4])
@pytest.mark.parametrize("mult", [2, 3])
@pytest.mark.parametrize("each", [1, 7, 50])
def test_sgdr(cycles, mult, each):
    epochs = (mult**cycles - 1) // (mult - 1)
    theirs = fastai.combine_scheds([mult**i / epochs for i in range(cycles)], cycles * [fastai.SchedCos(0.1, 0)])
    assert_follows(ours.fit_sgdr(cycles, 1, 0.1, mult, steps_per_epoch=each), theirs, epochs, each)
