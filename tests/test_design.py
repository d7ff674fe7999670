"""Designed schedules: never worse than what they are beside, never rising, and printed in words that a run takes."""

import json

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lrlab as lr
from lrlab import record
from lrlab.cli import main
from lrlab.refusal import Refused
from lrlab.theory import LAWS, Observed, design_by_bound, design_by_law, final_bound, fit, simplified

STEPS = 600
AT = np.arange(20, STEPS + 1, 5)
TISSUE = {"L0": 2.5, "A": 0.3, "alpha": 0.5, "C": 0.5, "lambda": 0.97}


@pytest.fixture(scope="module")
def fitted():
    schedules = [
        1e-2 * lr.warmup(30) >> rest
        for rest in (lr.stable(570), lr.decay(570, to=0.1, curve=lr.cosine), lr.stable(300) >> lr.decay(270))
    ]
    rates = [np.asarray(schedule(np.arange(STEPS)), float) for schedule in schedules]
    with jax.enable_x64(True):
        return fit("tissue", [Observed(r, AT, np.asarray(LAWS["tissue"](TISSUE, r, AT))) for r in rates])


def values(schedule, steps=STEPS):
    return schedule.resolve(lr.Horizon(steps))(np.arange(steps)).astype(float)


def is_a_design(table, warm):
    return table.min() >= 0 and np.all(np.diff(table[: warm + 1]) > 0) and np.all(np.diff(table[warm:]) <= 1e-12)


def test_a_law_predicts_less_for_its_design_than_for_the_rivals(fitted):
    found = design_by_law(fitted, STEPS, warm=30)
    loss = lambda rates: float(fitted.loss(rates, [STEPS])[0])
    assert is_a_design(found.table, 30)
    assert found.table.max() <= 1e-2 * (1 + 1e-6)
    assert loss(found.table) < min(loss(values(found.cosine)), loss(values(found.wsd)))
    assert loss(values(found.simple)) <= loss(values(found.cosine))


def test_the_design_by_the_bound_is_nearly_linear_decay():
    """Defazio et al. 2023: linear decay is optimal but for constants. Free to rise, the last step would: 0.20011."""
    found = design_by_bound(100)
    assert is_a_design(found.table, 0)
    bounds = [float(final_bound(rates)) for rates in (found.table, values(found.cosine, 100), values(found.wsd, 100))]
    assert bounds == sorted(bounds)
    assert 0.20011 < bounds[0] < 0.2036 - 2e-3  # that of linear decay
    np.testing.assert_allclose(found.table / found.table.max(), 1 - np.arange(100) / 100, atol=0.05)


@given(st.integers(0, 9), st.sampled_from([lr.linear, lr.cosine, lr.sqrt]), st.sampled_from([0.0, 0.1]), st.booleans())
@settings(max_examples=20)
def test_what_was_written_in_few_words_is_found_again(tenths, curve, to, warm):
    held = round(0.1 * tenths * (500 - 50 * warm))
    rest = lr.stable(held) >> lr.decay(500 - 50 * warm - held, to=to, curve=curve)
    shape = values(lr.warmup(50) >> rest if warm else rest, 500)
    found = values(simplified(shape, 50 * warm), 500)
    np.testing.assert_allclose(found, shape, atol=0.15)  # the beginning is on a grid of a fiftieth
    assert np.mean((found - shape) ** 2) < 1e-3


def test_the_command_from_fit_to_schedule(fitted, tmp_path, capsys):
    file, picture = tmp_path / "fit.json", tmp_path / "design.png"
    file.write_text(json.dumps({"fitted": {**fitted._asdict(), "score": fitted.score._asdict()}}))
    assert (
        main(["design", "--law", str(file), "--steps", str(STEPS), "--warmup", "30", "--plot", str(picture), "--json"])
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    assert {"designed", "cosine", "wsd"} <= set(document["predicted"])
    assert document["low"] <= document["predicted"]["designed"] <= document["high"]
    assert len(document["table"]) == STEPS
    assert document["gain"]["cosine"]["mean"] > 0
    assert lr.parse(document["schedule"]).resolve(lr.Horizon(STEPS)).length == STEPS
    assert picture.stat().st_size > 10_000


def test_a_law_that_sees_no_decay_designs_nothing(fitted):
    """It gave where the descent begins, and no doubt."""
    with pytest.raises(Refused, match="chinchilla does not see how a rate falls, so it cannot design"):
        design_by_law(fitted._replace(law="chinchilla"), 100)


def test_a_fit_that_lacks_a_letter_is_refused(fitted, tmp_path, capsys):
    document = {"fitted": {**fitted._asdict(), "score": fitted.score._asdict(), "parameters": {"L0": 2.5}}}
    (tmp_path / "fit.json").write_text(record.as_text(document))
    assert main(["design", "--law", str(tmp_path / "fit.json"), "--steps", "100"]) == 2
    assert "holds no fitted law" in capsys.readouterr().err


def test_the_shortest_design_divides_by_no_zero():
    design_by_bound(20)  # warnings are errors


def test_the_command_by_the_bound(capsys):
    assert main(["design", "--bound", "--steps", "200", "--warmup", "10"]) == 0
    said = capsys.readouterr().out
    assert "warmup(10) >> decay(" in said
    assert "--set 'schedule=" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--steps", "10"], "one of the arguments --law --bound is required"),
        (["--bound", "--steps", "10", "--warmup", "9"], "a warm-up of 9 steps leaves nothing to design of 10"),
        (["--bound", "--steps", "10", "--peak", "-1"], "a peak of -1.0 is no rate to design with"),
        (["--law", "nowhere.json", "--steps", "10"], "cannot read nowhere.json"),
        (
            ["--law", "empty.json", "--steps", "10"],
            "holds no fitted law; write `lrlab forecast --fit ... --save empty.json` first",
        ),
    ],
    ids=range(5),
)
def test_what_is_refused(words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("{}")
    assert main(["design", *words]) == 2
    assert sentence in capsys.readouterr().err
