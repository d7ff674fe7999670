"""Rules of thumb: what they leave unchanged, the numbers of their papers, and where they are shown."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrlab.cli import main
from lrlab.refusal import Refused
from lrlab.theory import (
    adam_warmup,
    decay_timescale,
    edge_of_stability,
    horizon_scaling,
    linear_scaling,
    root_scaling,
    width_scaling,
)

counts = st.integers(1, 10**6)


@pytest.mark.parametrize("scaling", [linear_scaling, width_scaling, horizon_scaling])
@given(st.floats(1e-6, 1), counts, counts, counts)
def test_scaling_in_two_steps_is_scaling_in_one(scaling, rate, a, b, c):
    assert scaling(scaling(rate, a, b), b, c) == pytest.approx(scaling(rate, a, c), rel=1e-9)
    assert scaling(rate, a, a) == pytest.approx(rate)


def test_adam_at_four_times_the_batch():
    """Malladi et al. 2022: the averages are over as many examples as before, 1 - b in proportion to the batch."""
    scaled = root_scaling(1e-3, 64, 256, b1=0.9, b2=0.999)
    assert scaled == pytest.approx((2e-3, 0.6, 0.996, 0.5))


def test_momentum_is_stable_up_to_the_edge_and_not_beyond():
    """Descent on h x^2 / 2, as it is written, on both sides of the limit."""
    for momentum, averaged in ((0.0, False), (0.9, False), (0.9, True)):
        for share, falls in ((0.98, True), (1.02, False)):
            h, x, v = 3.0, 1.0, 0.0
            rate = share * edge_of_stability(h, momentum, averaged)
            for _ in range(2000):
                v = momentum * v + (1 - momentum if averaged else 1) * h * x
                x -= rate * v
                if abs(x) > 1e6:
                    break
            assert (abs(x) < 1) == falls


def test_numbers_of_the_papers():
    assert adam_warmup(0.999) == pytest.approx(2000)
    assert edge_of_stability(1.0, 0.9, averaged=True) == pytest.approx(38)
    weights, rate, decay = 1.0, 1e-2, 0.1
    for _ in range(round(decay_timescale(rate, decay))):
        weights *= 1 - rate * decay
    assert weights == pytest.approx(np.exp(-1), rel=1e-3)


def test_show_prints_those_that_apply(capsys):
    assert main(["show", "transformer_warmup_decay", "--arm", "pre-LN / constant @ 0.004"]) == 0
    said = capsys.readouterr().out
    for words in (
        "Adam wants 2000 updates, and has 0",
        "at 16 examples a peak of 0.00566",
        "forgets over 2.5e+03 updates",
        "at 64 wide 0.002",
    ):
        assert words in said
    assert (
        main(
            [
                "show",
                "transformer_warmup_decay",
                "--arm",
                "pre-LN / constant @ 0.004",
                "--set",
                "optimizer=momentum()",
                "--json",
            ]
        )
        == 0
    )
    (shown,) = json.loads(capsys.readouterr().out)
    assert [rule["name"] for rule in shown["rules"]] == ["horizon", "batch", "edge of stability"]
    assert all(rule["reference"] and rule["limit"] for rule in shown["rules"])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: root_scaling(1e-3, 8, 800), "a batch 100 times as large is more than Adam's average with 0.9 is over"),
        (lambda: linear_scaling(0.1, 0, 8), "from 0 to 8 nothing scales"),
        (lambda: adam_warmup(1.0), "b2 = 1 is no decay of Adam's second moment"),
    ],
    ids=range(3),
)
def test_what_is_refused(call, sentence):
    with pytest.raises(Refused) as refused:
        call()
    assert sentence in str(refused.value)
