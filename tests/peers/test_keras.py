"""Keras' own schedules, asked step by step, against ours."""

import numpy as np
import pytest
from compat.published import assert_agrees

import lrlab as lr

schedules = pytest.importorskip("keras").optimizers.schedules

CASES = [
    ("ExponentialDecay", (0.1, 7, 0.5)),
    ("ExponentialDecay", (0.1, 7, 0.5, True)),
    ("PiecewiseConstantDecay", ([3, 9], [0.1, 0.05, 0.01])),
    ("PolynomialDecay", (0.1, 30, 0.01, 2.0)),
    ("PolynomialDecay", (0.1, 30, 0.01, 2.0, True)),
    ("InverseTimeDecay", (0.1, 7, 0.5)),
    ("InverseTimeDecay", (0.1, 7, 0.5, True)),
    ("CosineDecay", (0.01, 30, 0.1, "", 0.1, 7)),
    ("CosineDecayRestarts", (0.1, 7, 1.0, 0.5, 0.1)),
    ("CosineDecayRestarts", (0.1, 7, 2.0, 0.9)),
    ("CosineDecayRestarts", (0.1, 7, 1.3, 0.5, 0.1)),
]


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_every_schedule(name, arguments):
    theirs = getattr(schedules, name)(*arguments)
    assert_agrees(getattr(lr.compat.keras, name)(*arguments), [float(np.asarray(theirs(t))) for t in range(80)])
    assert getattr(lr.compat.keras, name)(**theirs.get_config()) == getattr(lr.compat.keras, name)(*arguments)
