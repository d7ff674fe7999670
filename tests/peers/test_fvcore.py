"""fvcore's own schedulers, one in another, over runs of many lengths, against ours."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, settings
from peers.driver import assert_same

import lrlab as lr

fvcore = pytest.importorskip("fvcore.common.param_scheduler")
ours = lr.compat.fvcore
RATES = st.sampled_from([0.0, 0.01, 0.1, 0.3])


class Warmup(fvcore.CompositeParamScheduler):
    """What detectron2's WarmupParamScheduler is to fvcore; detectron2 itself must be compiled."""

    def __init__(self, scheduler, factor, length, method, rescaled):
        ends = factor * scheduler(0.0), scheduler(0.0 if rescaled else length)
        warmup = fvcore.LinearParamScheduler(*ends) if method == "linear" else fvcore.ConstantParamScheduler(ends[0])
        super().__init__([warmup, scheduler], [length, 1 - length], ["rescaled", "rescaled" if rescaled else "fixed"])


def leaves(name, *arguments):
    both = lambda given: (getattr(fvcore, f"{name}ParamScheduler")(*given), getattr(ours, f"{name}ParamScheduler")(*given))  # fmt: skip
    return st.tuples(*arguments).map(both)


@st.composite
def stairs(draw):
    n = draw(st.sampled_from([10, 90, 77]))
    edges = sorted(draw(st.sets(st.integers(1, n - 1), max_size=3)))
    given = [0.1 * 0.4**i for i in range(len(edges) + 1)], n, edges
    return fvcore.MultiStepParamScheduler(*given), ours.MultiStepParamScheduler(*given)


LEAVES = st.one_of(
    leaves("Constant", RATES),
    leaves("Cosine", RATES, RATES),
    leaves("Linear", RATES, RATES),
    leaves("Exponential", st.just(0.1), st.sampled_from([0.02, 1.0, 3.0])),
    leaves("PolynomialDecay", st.just(0.1), st.sampled_from([0.9, 1, 2])),
    leaves("Step", st.integers(5, 99), st.lists(RATES, min_size=1, max_size=5)),
    leaves("StepWithFixedGamma", st.just(0.1), st.integers(1, 4), st.just(0.4), st.integers(5, 99)),
    stairs(),
)


@st.composite
def composed(draw, inner):
    if draw(st.booleans()):
        given = draw(st.tuples(st.sampled_from([0.001, 0.1]), st.sampled_from([0.1, 0.25, 1 / 3]), st.sampled_from(["linear", "constant"]), st.booleans()))  # fmt: skip
        theirs, mine = draw(inner)
        return Warmup(theirs, *given), ours.WarmupParamScheduler(mine, *given)
    lengths = draw(st.sampled_from([[0.3, 0.7], [1 / 3, 1 / 3, 1 / 3], [0.2, 0.3, 0.5], [0.15, 0.85]]))
    scaling = [draw(st.sampled_from(["rescaled", "fixed"])) for _ in lengths]
    theirs, mine = zip(*(draw(inner) for _ in lengths))
    return fvcore.CompositeParamScheduler(theirs, list(lengths), scaling), ours.CompositeParamScheduler(mine, lengths, scaling)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.recursive(LEAVES, composed, max_leaves=6), st.integers(1, 200))
def test_every_scheduler_in_every_other(both, updates):
    theirs, mine = both
    rates = np.array([0.5 * theirs(t / updates) for t in range(updates)])
    assume(rates.any())
    assert_same(ours.LRMultiplier(mine, updates, base_lr=0.5), rates, rates.max())
