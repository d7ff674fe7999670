"""The coordinate check: flat in width under muP, steep in the standard parametrization, and what it refuses."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from lrlab import Refused, optim, stable
from lrlab.coordinates import Coordinates, coordinate_check
from lrlab.experiment import Experiment
from lrlab.task.language import Language
from lrlab.task.quadratic import Quadratic

WIDTHS = (32, 128)
BASE = Experiment(Language(layers=1), 8e-3 * stable(), optim.adam(), steps=4, batch=8)


def widened(width, mup):
    if not mup:
        return replace(BASE, task=replace(BASE.task, width=width))
    groups = optim.mup(width, 32, matrices="layers.*kernel")
    return replace(BASE, task=replace(BASE.task, width=width, mup_base=32), groups=groups)


@pytest.fixture(scope="module")
def checks():
    return {mup: coordinate_check({width: widened(width, mup) for width in WIDTHS}) for mup in (False, True)}


def test_under_mup_activations_move_alike_at_every_width(checks):
    """Four widths up to 256, one and two layers, two seeds gave -0.11 to 0.04 in the stream; two widths scatter more.

    Logits gave -0.19 to -0.26: they fall to a limit, since what the first parameters add vanishes as the width grows.
    """
    slopes = checks[True].slopes
    assert abs(slopes["embedding"]) < 0.2
    assert abs(slopes["layers.0"]) < 0.2
    assert -0.4 < slopes["logits"] < 0.2


def test_in_the_standard_parametrization_they_blow_up_with_the_width(checks):
    """Updates of aligned matrices add up over the width: a power of 1, measured 0.9 to 1.3."""
    slopes = checks[False].slopes
    assert slopes["layers.0"] > 0.7
    assert slopes["logits"] > 0.15


def test_at_the_base_width_both_are_the_same(checks):
    for layer in checks[True].moved:
        np.testing.assert_allclose(checks[True].moved[layer][:, 0], checks[False].moved[layer][:, 0], rtol=1e-5)


def test_a_slope_is_the_power_of_the_width():
    widths = np.array([10.0, 20.0, 80.0])
    check = Coordinates(widths, {"a": np.stack([widths, 3 * widths**0.5]), "b": np.ones((2, 3))})
    assert check.slopes == pytest.approx({"a": 0.5, "b": 0.0}, abs=1e-12)


def test_the_last_activations_are_the_logits_that_are_trained():
    task = Language(layers=2, mup_base=16)
    params, batch = task.init(0), jnp.asarray(np.arange(66).reshape(2, 33), jnp.uint8)
    seen = task.activations(params, batch)
    assert list(seen) == ["embedding", "layers.0", "layers.1", "logits"]
    np.testing.assert_allclose(seen["logits"].reshape(2, 32, 256), task.logits(params, batch[:, :-1]), rtol=1e-5)


@pytest.mark.parametrize(
    ("widths", "sentence"),
    [
        ({32: BASE}, "a coordinate check of 1 widths shows no trend; give the experiment at two or more"),
        (
            {2: replace(BASE, task=Quadratic()), 4: replace(BASE, task=Quadratic())},
            r"Quadratic has no activations to look at; give it activations\(params, batch\)",
        ),
    ],
)
def test_refusals(widths, sentence):
    with pytest.raises(Refused, match=sentence):
        coordinate_check(widths)
