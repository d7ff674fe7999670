"""Megatron's own scheduler, stepped as its trainer does, against ours: learning rate and weight decay."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import lrlab as lr

peer = pytest.importorskip("megatron.core.optimizer_param_scheduler")
from peers.driver import assert_same, optimizer  # noqa: E402

UPDATES = 130
shares = st.sampled_from([0.0, 0.1, 1.0])


def used(scheduler, name):
    """What the updates use."""
    values = []
    for _ in range(UPDATES):
        values.append(scheduler.optimizer.param_groups[0][name])
        scheduler.step(1)
    return np.array(values)


@given(
    st.floats(1e-5, 1.0),
    shares,
    shares,
    st.integers(1, 90),
    st.sampled_from(["constant", "linear", "cosine", "inverse-square-root", "WSD"]),
    st.sampled_from(["linear", "cosine", "exponential", "minus_sqrt"]),
    st.sampled_from(["linear", "cosine"]),
    st.data(),
)
def test_every_style(high, start, low, total, style, cooldown, increase, data):
    given = {"init_lr": start * high, "max_lr": high, "min_lr": low * high, "lr_decay_steps": total}
    given |= {"lr_warmup_steps": data.draw(st.integers(0, total - 1)), "lr_decay_style": style}
    given |= {"wsd_decay_steps": data.draw(st.integers(0, 120)), "lr_wsd_decay_style": cooldown}
    decay = {"start_wd": 0.01, "end_wd": 0.1, "wd_incr_steps": data.draw(st.integers(1, 90)), "wd_incr_style": increase}
    theirs = lambda: peer.OptimizerParamScheduler(optimizer(high), **given, **decay)
    assert_same(lr.compat.megatron.OptimizerParamScheduler(**given), used(theirs(), "lr"), high)
    assert_same(lr.compat.megatron.get_wd(**decay), used(theirs(), "weight_decay"), 0.1)
