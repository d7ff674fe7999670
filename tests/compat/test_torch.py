"""PyTorch's schedulers against the sequences that PyTorch produced."""

import math

import hypothesis.strategies as st
import pytest
from compat.published import assert_agrees
from hypothesis import given

import lrlab as lr

torch = lr.compat.torch


@given(st.integers(1, 50), st.floats(1e-5, 1.0), st.sampled_from([0.0, 1e-6, 0.01]))
def test_cosine_annealing_goes_up_and_down_for_ever(T_max, base_lr, eta_min):
    expected = [eta_min + (base_lr - eta_min) * (1 + math.cos(math.pi * t / T_max)) / 2 for t in range(5 * T_max)]
    assert_agrees(torch.CosineAnnealingLR(base_lr=base_lr, T_max=T_max, eta_min=eta_min), expected)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: torch.StepLR(base_lr=0.1, step_size=0), "StepLR(step_size=0): step_size is a whole number of steps from 1 on"),
        (lambda: torch.CosineAnnealingLR(base_lr=0, T_max=9), "CosineAnnealingLR(base_lr=0): a learning rate is positive"),
        (lambda: torch.CosineAnnealingLR(base_lr=1, T_max=9, after="zero"), "there is no after of CosineAnnealingLR 'zero'"),
    ],
)  # fmt: skip
def test_what_torch_refuses_is_refused_in_a_sentence(call, sentence):
    with pytest.raises(lr.Refused) as refusal:
        call()
    assert sentence in str(refusal.value)
