"""From an experiment module to a verdict: plans, records, folders, verdicts and what is refused on the way."""

import dataclasses
import io
import json
import re
import types

import alone
import numpy as np
import pytest
from rich.console import Console

import lrlab as lr
from lrlab import notes, record, study
from lrlab.experiment import Experiment
from lrlab.optim import adamw, sgd
from lrlab.override import override
from lrlab.parallel import strategy
from lrlab.plan import Plan
from lrlab.progress import Progress
from lrlab.published import FOLDER, published
from lrlab.report import study as report_of_studies
from lrlab.saving import Saves
from lrlab.task.language import Language
from lrlab.task.quadratic import Quadratic
from lrlab.task.vision import Digits
from lrlab.verdict import Claim, as_json, between, corrected, equal, exact, lower, often, paired

BASE = Experiment(
    task=Quadratic(dimensions=4),
    schedule=0.5 * lr.decay(),
    optimizer=sgd(),
    steps=20,
    batch=2,
    evaluate_every=10,
    log_every=4,
)


def module(**changes):
    """An experiment module of two short arms."""
    return types.SimpleNamespace(
        **{
            "BASE": BASE,
            "ARMS": {"decay": {}, "constant": {"schedule": "0.5 * stable()"}},
            "PRESETS": {"cpu": {}, "long": {"steps": 40, "seeds": 4}},
            "verdict": lambda runs: [
                lower("decay is lower", runs["decay"].final["loss"], runs["constant"].final["loss"])
            ],
            **changes,
        }
    )


def run(out, modul=None, **options):
    prepared = study.prepare(modul or module(), "short", **options)
    return study.run(prepared, out, lambda e: strategy(None, e.batch, e.accumulate, one_device()), study.Watcher())


def one_device():
    import jax

    return jax.devices()[:1]


@pytest.mark.parametrize(
    ("told", "steps", "every"),
    [
        ({"steps": 100}, 100, 10),
        ({"steps": "10ep", "evaluate_every": "1ep"}, 890, 89),  # of 1424 images in 89 whole batches
        ({"steps": "10ep", "evaluate_every": "1ep", "batch": "64"}, 220, 22),
        ({"steps": "3.2e3ex", "evaluate_every": "25%"}, 200, 50),
        ({"steps": "1ex"}, 1, 10),  # at least one
    ],
)
def test_a_run_lasts_as_long_in_any_unit(told, steps, every):
    digits = Experiment(Digits(), 0.1 * lr.decay("50%"), sgd(), steps=7, batch=16, evaluate_every=10)
    asked = override(digits, told)
    resolved = asked.resolve()
    assert (asked.length, resolved.steps, resolved.evaluate_every) == (steps, steps, every)
    assert resolved.digest == override(digits, {**told, "steps": steps, "evaluate_every": every}).digest


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            {"steps": "50%"},
            "steps=50%: write updates, such as 500, or a unit: '10ep' (epochs), '3e6ex' (examples), '1e9tok' (tokens)",
        ),
        ({"steps": "1e3"}, "steps=1e3: write updates"),
        ({"steps": 1e3}, "steps is a duration, such as 500 or '10ep'"),
        ({"evaluate_every": "often"}, "evaluate_every=often: write updates"),
        ({"steps": "5tok"}, "'5tok' cannot become steps without sequence"),
        (
            {"steps": "1ep", "batch_schedule": "8 * stable()", "accumulate": 2},
            "no number of updates while the batch follows",
        ),
    ],
)
def test_a_length_that_is_none_is_refused(told, sentence):
    digits = Experiment(Digits(), 0.1 * lr.decay(), sgd(), steps=7, batch=16)
    with pytest.raises(lr.Refused, match=re.escape(sentence)):
        override(digits, told).resolve()


def test_a_preset_may_bring_arms_of_its_own_by_the_same_names():
    own = {"decay": {"steps": 30}, "constant": {"schedule": "0.1 * stable()"}}
    modul = module(PRESETS={"cpu": {}, "large": {"arms": own, "batch": 4}})
    arms = study.prepare(modul, "mine", "large").arms
    assert [(one.steps, one.batch, repr(one.schedule)) for one in arms.values()] == [
        (30, 4, "0.5 * decay(30)"),
        (20, 4, "0.1 * stable(20)"),
    ]
    assert study.prepare(modul, "mine").arms["decay"].steps == 20
    with pytest.raises(
        lr.Refused, match="preset large are not called as the experiment's are: decay; name them decay, constant"
    ):
        study.prepare(module(PRESETS={"cpu": {}, "large": {"arms": {"decay": {}}}}), "mine", "large")


def test_arms_that_would_have_one_folder_are_refused():
    arms = {"beta=0.9": {}, "beta 0.9": {"schedule": "0.5 * stable()"}}
    with pytest.raises(
        lr.Refused, match=r"the arms 'beta=0\.9' and 'beta 0\.9' would have one folder, beta-0\.9; name one"
    ):
        study.prepare(module(ARMS=arms), "mine")


def test_a_checkpoint_after_the_last_update_is_refused_before_there_is_a_folder(tmp_path):
    with pytest.raises(lr.Refused, match="--save-at 21: there is no such update; the longest of these runs has 20"):
        study.train(
            study.prepare(module(), "mine"), tmp_path / "out", lambda e: None, study.Watcher(), saves=Saves(at=(20, 21))
        )
    assert not (tmp_path / "out").exists()


def test_a_preset_may_bring_a_task_of_its_own():
    modul = module(PRESETS={"cpu": {}, "text": {"task": Language(width=16, heads=2), "task.layers": 1}})
    assert study.prepare(modul, "mine", "text").arms["decay"].task == Language(width=16, heads=2, layers=1)
    with pytest.raises(lr.Refused, match="task=text: task is set field by field, with a longer path"):
        study.prepare(modul, "mine", changes={"task": "text"})


# --- plans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 7, 19, 100, 1500, 1501])
@pytest.mark.parametrize("every", [1, 7, 100, 97])
@pytest.mark.parametrize("chunk", [1, 8, 20])
def test_chunks_fill_the_run_and_stop_at_evaluations(steps, every, chunk):
    lengths = Plan(steps, 1, evaluate_every=every, chunk=chunk).chunks()
    edges = set(np.cumsum(lengths))
    assert sum(lengths) == steps
    assert max(lengths) <= chunk
    assert edges >= {*range(every, steps, every), steps}


# --- records ---------------------------------------------------------------------------------------------------------


def test_a_record_holds_the_steps_in_order_and_how_the_run_ended(tmp_path):
    run(tmp_path / "out")
    rows = list(record.rows(tmp_path / "out/runs/decay/seed-0"))
    assert [row["step"] for row in rows if "learning_rate" in row] == [0, 4, 8, 12, 16, 19]
    assert [row["step"] for row in rows if "held_out" in row] == [10, 20]
    assert rows[-1]["end"] == "finished"
    rates = [row["learning_rate"] for row in rows if "learning_rate" in row]
    np.testing.assert_array_equal(np.float32(rates), (0.5 * lr.decay(20))([0, 4, 8, 12, 16, 19]))


# --- the loop --------------------------------------------------------------------------------------------------------


def test_a_run_that_diverges_stops_and_keeps_its_records(tmp_path):
    result = run(tmp_path / "out", module(ARMS={"decay": {}, "constant": {"schedule": "1e30 * stable()"}}), seeds=3)
    at = result["arms"]["constant"]["diverged"]
    assert result["arms"]["decay"]["diverged"] == [None] * 3
    assert all(0 < step < 20 for step in at)
    rows = list(record.rows(tmp_path / "out/runs/constant/seed-0"))
    assert rows[-1]["end"] == "diverged"
    assert rows[-2] == {**rows[-2], "step": at[0], "loss": None}
    assert result["claims"][0]["holds"]  # a finite loss is lower than none
    assert "3 of the other arm" in result["claims"][0]["because"]


def test_the_loop_reports_progress(tmp_path):
    told = []
    outcome, *_ = alone.run(BASE, tmp_path, watch=lambda *now: told.append(now))
    assert [step for step, *_ in told] == [10, 20]
    assert told[-1][2] == [pytest.approx(0.5 / 20)]  # the rate of the last update
    assert outcome.diverged is None
    assert told[-1][3] > 0


def test_what_ended_counts_no_more_updates(tmp_path):
    """The speed was that of all members for as long as any went on."""

    class Speeds(study.Watcher):
        def step(self, step, losses, rates, per_s):
            told.append((losses, per_s))

    told, now = [], iter(range(100))
    base = dataclasses.replace(BASE, steps=40)
    arms = {"good": {}, "bad": {"schedule.peak": 1e38}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notes.time, "perf_counter", lambda: next(now))
        prepared = study.prepare(module(BASE=base, ARMS=arms), "short", seeds=1)
        study.train(prepared, tmp_path, lambda e: strategy(None, e.batch, 1, one_device()), Speeds())
    assert not np.isfinite(told[-1][0][1])
    assert told[-1][1] == 10  # updates from an evaluation to the next, of the one that goes on


def test_a_loss_that_ends_without_a_number_is_told(tmp_path):
    """Was a traceback, and at every later look at the folder: the held-out loss may leave what numbers hold at the last update."""
    told = io.StringIO()
    progress = Progress(study.prepare(module(), "short"), Console(file=told, width=80))
    progress.ended("decay", 0, {"step": 20, "end": "finished", "final": {"loss": None, "train_loss": 1.0}})
    progress.ended("decay", 1, {"step": 8, "end": "diverged", "skipped": 3, "final": {"loss": None}})
    assert "loss not finite  train_loss 1.0000" in told.getvalue()
    assert "diverged at step 7: too many updates in a row were skipped" in told.getvalue()


# --- studies ---------------------------------------------------------------------------------------------------------


def test_a_study_ends_in_a_verdict_on_disk(tmp_path):
    result = run(tmp_path / "out")
    assert json.loads((tmp_path / "out/verdict.json").read_text()) == json.loads(json.dumps(result))
    assert set(result) >= {"experiment", "digest", "preset", "out", "wall_s", "tokens_per_s", "arms", "claims"}
    assert result["arms"]["decay"]["schedule"] == "0.5 * decay(20)"
    assert result["arms"]["decay"]["seeds"] == [0, 1, 2]
    (claim,) = result["claims"]
    assert claim["holds"] == (claim["high"] < 0)
    about = json.loads((tmp_path / "out/runs/decay/seed-2/provenance.json").read_text())
    assert about["seed"] == 2
    assert about["data"] == BASE.task.load().digest
    assert about["versions"]["jax"]


def test_the_legend_names_the_arms_of_every_group(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(report_of_studies, "save", lambda figure, path: drawn.append(figure))
    run(
        tmp_path / "out", module(ARMS={"one / a": {}, "two / a": {"steps": 10}, "two / b": {}}, verdict=lambda runs: [])
    )
    report_of_studies.plot_study(tmp_path / "out")
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["a", "b"]


def test_finished_runs_are_not_run_again(tmp_path):
    run(tmp_path / "out", seeds=2)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("metrics.jsonl")}
    result = run(tmp_path / "out", seeds=3)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(result["arms"]["decay"]["final"]["loss"]) == 3


def test_an_unfinished_run_is_run_again(tmp_path):
    run(tmp_path / "out", seeds=1)
    path = tmp_path / "out/runs/decay/seed-0/metrics.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
    run(tmp_path / "out", seeds=1)
    assert len(list(record.rows(path.parent))) == 9
    assert len(path.with_suffix(".1.jsonl").read_text().splitlines()) == 3


def test_fewer_than_three_seeds_give_no_verdict(tmp_path):
    assert run(tmp_path / "out", seeds=2)["claims"] == []


def test_a_folder_of_another_experiment_is_refused_and_left_alone(tmp_path):
    run(tmp_path / "out", seeds=1)
    with pytest.raises(lr.Refused, match=r"holds another experiment .short, preset cpu.*--out"):
        run(tmp_path / "out", seeds=1, changes={"batch": "4"})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("x")
    with pytest.raises(lr.Refused, match="holds files that are not of an experiment"):
        run(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_run_on_other_data_is_refused(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be " * 40)
    base = override(BASE, {"steps": 2, "evaluate_every": 2})
    language = module(BASE=Experiment(
        task=Language(text=str(text), width=8, heads=1, layers=1, sequence=8), schedule=base.schedule, optimizer=sgd(), steps=2, batch=2
    ), ARMS={"only": {}})  # fmt: skip
    run(tmp_path / "out", language, seeds=1)
    from lrlab.task.text import _read

    text.write_text("whether 'tis nobler " * 40)
    _read.cache_clear()
    with pytest.raises(lr.Refused, match="was run on other data"):
        run(tmp_path / "out", language, seeds=1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"preset": "gpus"}, "there is no preset 'gpus'"),
        ({"arms": ["decai"]}, "there is no arm 'decai'; did you mean 'decay'"),
        ({"seeds": 0}, "seeds 0:0 are none"),
        ({"changes": {"steps": "5"}, "arms": ["decay"], "preset": "long", "seeds": -1}, "seeds 0:-1 are none"),
    ],
)
def test_requests_that_do_not_fit_the_module_are_refused(options, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        study.prepare(module(), "short", **options)


# --- experiments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "read"),
    [
        ("steps", "50", lambda e: e.steps == 50),
        ("clip", "0.5", lambda e: e.clip == 0.5),
        ("clip", "none", lambda e: e.clip is None),
        ("clip", "2 * decay(to=0.1)", lambda e: repr(e.resolve().clip) == "2 * decay(20, to=0.1)"),
        ("task.sigma", "0", lambda e: e.task.sigma == 0),
        ("schedule", "1e-3 * warmup(5) >> decay()", lambda e: repr(e.schedule) == "1e-3 * warmup(5) >> decay()"),
        ("schedule.peak", "0.25", lambda e: repr(e.schedule) == "0.25 * decay()"),
        ("schedule.shape.to", "0.1", lambda e: repr(e.schedule) == "0.5 * decay(to=0.1)"),
        ("optimizer", "adamw(b2=0.95)", lambda e: repr(e.optimizer) == "adamw(b2=0.95)"),
    ],
)
def test_a_path_sets_a_value_of_its_type(path, value, read):
    assert read(override(BASE, {path: value}))


def test_hyperparameters_are_set_by_name_and_may_be_schedules():
    base = override(BASE, {"optimizer": adamw()})
    assert override(base, {"optimizer.b2": "0.95"}).optimizer == adamw(b2=0.95)
    scheduled = override(base, {"optimizer.weight_decay": "0.1 * decay()"}).resolve()
    assert repr(scheduled.optimizer) == "adamw(weight_decay=0.1 * decay(20))"


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("stpes", "5", "there is no value 'stpes'; did you mean 'steps'"),
        ("task.widht", "5", "there is no value 'task.widht'"),
        ("task.dimension", "5", "did you mean 'task.dimensions'"),
        ("steps", "many", "steps=many: write updates, such as 500, or a unit: '10ep'"),
        ("steps", "1.5", "steps=1.5: write updates"),
        ("steps", "-3", "steps is a positive whole number"),
        ("clip", "-1", "bound on the gradient's norm is positive"),
        ("clip", "low", "clip=low: there is no word .low."),
        ("schedule", "warmpu(3)", "did you mean 'warmup'"),
        ("schedule", "0.1", "schedule is a schedule, such as"),
        ("schedule.peak", "-1", "peak"),
        ("optimizer", "adamax()", "there is no word 'adamax'"),
        ("optimizer.b2", "1", "there is no value 'optimizer.b2'"),
        ("task", "x", "set field by field"),
    ],
)
def test_a_wrong_path_or_value_is_refused(path, value, sentence):
    with pytest.raises(lr.Refused, match=sentence):
        override(BASE, {path: value})


def test_a_choice_of_the_task_is_checked():
    with pytest.raises(lr.Refused, match="norm_position"):
        override(override(BASE, {"task": Language()}), {"task.norm_position": "sideways"})


def test_a_schedule_that_does_not_fit_the_run_is_refused():
    with pytest.raises(lr.Refused, match="longer than the run"):
        override(BASE, {"schedule": "warmup(15) >> decay(15)"}).resolve()


def test_the_digest_is_of_the_values_and_not_of_how_they_are_written():
    assert override(BASE, {"schedule": "0.5 * decay(20)"}).digest == BASE.digest
    assert override(BASE, {"schedule": "0.5 * decay(19)"}).digest != BASE.digest
    assert BASE.digest == "c5772389288e"  # changes if the canonical text changes: old run folders are then refused


def test_an_option_left_at_its_default_is_not_part_of_the_identity():
    assert dataclasses.replace(BASE, clip=None, accumulate=1).digest == BASE.digest
    assert dataclasses.replace(BASE, clip=1.0).digest != BASE.digest
    newer = dataclasses.make_dataclass("Quadratic", [("added", int, 0)], bases=(Quadratic,), frozen=True)
    assert dataclasses.replace(BASE, task=newer(dimensions=4)).digest == BASE.digest
    assert dataclasses.replace(BASE, task=newer(dimensions=4, added=1)).digest != BASE.digest


# --- verdicts --------------------------------------------------------------------------------------------------------


def test_a_paired_interval_is_students():
    difference = paired([1.0, 2.0, 3.0, 4.0], [1.1, 2.3, 3.2, 4.2])
    # by hand: mean -0.2, standard deviation 0.0816, t(3, 97.5 %) = 3.1824
    assert difference.mean == pytest.approx(-0.2)
    assert difference.low == pytest.approx(-0.2 - 3.182446 * 0.08164966 / 2, rel=1e-6)
    assert (difference.same_sign, difference.seeds) == (4, 4)


def test_a_claim_holds_only_if_the_whole_interval_does():
    assert lower("", [1.0, 1.1, 1.2], [2.0, 2.1, 2.3]).holds
    assert not lower("", [1.0, 1.1, 1.2], [1.05, 1.0, 1.4]).holds
    assert not lower("", [1.0, 1.1, 1.2], [2.0, 2.1, 2.3], by=1.5).holds
    assert not lower("", [2.0, 2.1, 2.3], [1.0, 1.1, 1.2]).holds


def test_divergence_is_never_a_lower_loss():
    nan = float("nan")
    assert lower("", [1.0, 1.1, 1.2], [nan] * 3).holds
    assert not lower("", [nan] * 3, [1.0, 1.1, 1.2]).holds
    assert not lower("", [nan] * 3, [nan] * 3).holds
    assert not lower("", [1.0, nan, 1.2], [nan, 1.0, nan]).holds
    assert not lower("", [1.0, 1.1, 1.2, nan], [2.0, 2.1, 2.2, 2.0]).holds  # was judged on the other three
    assert lower("", [1.0, 1.1, 1.2, 1.0], [2.0, 2.1, 2.2, nan]).holds


def test_equal_is_a_claim_about_the_whole_interval():
    assert equal("", [1.0, 1.1, 1.2], [1.01, 1.09, 1.2], within=0.05).holds
    assert not equal("", [1.0, 1.1, 1.2], [1.01, 1.09, 1.2], within=0.005).holds
    assert not equal("", [1.0, 1.1, 1.2], [1.3, 1.0, 0.9], within=0.1).holds  # equal means with a wide interval
    assert not equal("", [1.0, 1.1, float("nan")], [1.0, 1.1, 1.2], within=1.0).holds
    json.dumps(as_json([equal("", [1.0, 1.1, 1.2], [1.0, 1.1, 1.1], within=np.float64(0.1))]))  # was NumPy's bool


def test_a_quantity_lies_between_bounds_with_its_interval():
    assert between("", [2.0, 2.1, 2.2], 1.5).holds
    assert not between("", [2.0, 2.1, 2.2], 2.05).holds
    assert between("", [2.0, 2.1, 2.2], high=2.5).because == "asked: at most 2.5; 3 of 3 seeds"


def test_what_is_computed_has_no_interval():
    claim = exact("", 0.5, high=1, note="by the bound")
    assert (claim.holds, claim.low, claim.high) == (True, 0.5, 0.5)
    assert claim.because == "by the bound; asked: at most 1"
    assert not exact("", float("nan"), 0, 1).holds


def test_a_share_of_seeds_has_clopper_and_pearsons_interval():
    none, all_ = often("", [False] * 5, 1), often("", [True] * 5, 5)
    assert (none.holds, none.low, none.high) == (False, 0.0, pytest.approx(1 - 0.025**0.2))
    assert (all_.holds, all_.low, all_.high) == (True, pytest.approx(0.025**0.2), 1.0)


def test_claims_that_were_tested_together_are_corrected_after_holm():
    claims = [Claim("", True, 0, 0, 0, "", p=p) for p in (0.01, 0.04, 0.03, None)]
    assert [claim.because for claim in corrected(claims)] == [
        "p 0.01, 0.03 among 3 claims",
        "p 0.04, 0.06 among 3 claims",
        "p 0.03, 0.06 among 3 claims",
        "",
    ]


def test_the_p_value_and_the_interval_agree():
    """At the border of the interval p is 5 %."""
    first, second = [1.0, 1.1, 1.3], [1.5, 1.5, 1.6]
    border = paired(first, second).high
    assert paired(first, second, null=border).p == pytest.approx(0.05)


def test_an_experiment_that_trains_nothing_has_a_verdict(tmp_path):
    computed = module(BASE=None, ARMS={}, PRESETS={"cpu": {}}, verdict=lambda runs: [exact("it is one", 1.0, 1, 1)])
    assert run(tmp_path / "out", computed)["claims"][0]["holds"]
    with pytest.raises(lr.Refused, match="trains nothing"):
        run(tmp_path / "out", computed, seeds=3)
    with pytest.raises(lr.Refused, match="there is no preset 'gpu'"):
        run(tmp_path / "out", computed, preset="gpu")
    with pytest.raises(lr.Refused, match=r"holds another experiment \(short"):  # was overwritten: neither has arms
        study.run(study.prepare(computed, "another"), tmp_path / "out", lambda e: None, study.Watcher())


def test_data_that_others_published_are_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    with pytest.raises(lr.Refused, match=r"^runs.csv does not come with lrlab; it is made from example.org: name"):
        published("runs.csv", "example.org")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(lr.Refused, match=r"runs.csv is not in"):
        published("runs.csv", "example.org")
    (tmp_path / "runs.csv").write_text("")
    assert published("runs.csv", "example.org") == tmp_path / "runs.csv"


def test_seeds_may_begin_elsewhere(tmp_path):
    first = run(tmp_path / "first", seeds=3)["arms"]["decay"]
    last = run(tmp_path / "last", seeds=range(1, 4))["arms"]["decay"]
    assert last["seeds"] == [1, 2, 3]
    assert last["final"]["loss"][:2] == first["final"]["loss"][1:]
    assert last["folders"][0].endswith("runs/decay/seed-1")


def test_a_claim_reads_as_a_sentence():
    text = str(Claim("decay beats a constant", True, -0.14, -0.17, -0.11, "nats"))
    assert text == "held: decay beats a constant: -0.140 [-0.170, -0.110] nats"


@pytest.mark.parametrize(("first", "second"), [([1.0, 2.0], [1.0, 2.0]), ([1.0] * 3, [1.0] * 4)])
def test_too_few_or_unpaired_seeds_are_refused(first, second):
    with pytest.raises(lr.Refused, match="three pairs"):
        paired(first, second)
