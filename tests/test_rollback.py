"""A run that diverges goes back to its last good checkpoint at a lower rate, and its record is that of one run."""

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import pytest

import lrlab as lr
from lrlab import branch, cli, record, study
from lrlab.experiment import Experiment
from lrlab.optim import adamw, group, independent, rest, sgd
from lrlab.override import from_values
from lrlab.parallel import strategy
from lrlab.rollback import Rollback, lowered, rollbacks
from lrlab.saving import Saves
from lrlab.task.quadratic import Quadratic

# The top eigenvalue is 1, so gradient descent diverges at rates above 2, which the warm-up reaches at update 100: from
# there on the distance grows up to a factor of 3 an update, and its square leaves float32 some 80 updates later.
BASE = Experiment(
    Quadratic(dimensions=3), 4.0 * lr.warmup("50%") >> lr.decay(), sgd(), 400, 2, evaluate_every=20, log_every=1
)


class Told(study.Watcher):
    """Remembers what it was told, and raises at a step of the given attempt, as a crash would."""

    def __init__(self, at=10**9, attempt=0):
        self.at, self.attempt, self.lines, self.ends = at, attempt, [], []

    def step(self, step, losses, rates, per_s):
        if step >= self.at and sum("goes back" in line for line in self.lines) >= self.attempt:
            raise Fault

    def ended(self, arm, seed, end):
        self.ends.append(end["end"])

    def went_back(self, arm, seed, told):
        self.lines.append(told)

    def remark(self, text):
        self.lines.append(text)


class Fault(Exception):
    pass


HALF, SAVES = Rollback(0.5), Saves(seconds=1e9, at=(60, 160, 180))


def run(out, watch=None, base=BASE, rollback=HALF, saves=SAVES, seeds=1, **arms):
    module = types.SimpleNamespace(BASE=base, ARMS=arms or {"one": {}}, PRESETS={"cpu": {}}, verdict=lambda runs: [])
    chosen = lambda e: strategy(None, e.batch, e.accumulate, jax.devices()[:1])
    prepared = study.prepare(module, "bowl", seeds=seeds)
    return study.run(prepared, out, chosen, watch or study.Watcher(), saves=saves, rollback=rollback)


def rows(out, arm="one", seed=0):
    return list(record.rows(study.folder(out, arm, seed)))


@pytest.fixture(scope="module")
def back(tmp_path_factory):
    """A study in which one arm diverged and went back, and what it said of it."""
    out, told = tmp_path_factory.mktemp("back") / "out", Told()
    result = run(out, told, seeds=2, one={}, low={"schedule.peak": 0.1})
    return out, told, result


# --- laws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", [0, 1, 150, 399])
def test_the_rate_is_what_it_was_and_from_the_update_on_a_share_of_it(update):
    groups = group("w", schedule=0.3 * lr.decay()), rest()
    experiment = Experiment(Quadratic(), BASE.schedule, adamw(), 400, 2, groups=groups).resolve()
    low = lowered(experiment, 0.25, update)
    for before, after in [(experiment.schedule, low.schedule), (experiment.groups[0].schedule, low.groups[0].schedule)]:
        for t in (0, 149, 150, 399):
            assert after(t) == pytest.approx(before(t) * (0.25 if t >= update else 1.0), rel=1e-6)  # two roundings
    assert from_values(json.loads(json.dumps(low.values()))).digest == low.digest


def test_the_record_is_ordered_and_nothing_stands_in_it_twice(back):
    for arm, seed in [("one", 0), ("one", 1), ("low", 0)]:
        held = rows(back[0], arm, seed)
        assert [row["step"] for row in held if "loss" in row] == list(range(400))
        assert [row["step"] for row in held if "held_out" in row] == list(range(20, 401, 20))
        assert [row["step"] for row in held] == sorted(row["step"] for row in held)
        assert [row["end"] for row in held if "end" in row] == ["finished"]


def test_from_the_checkpoint_on_it_is_to_the_bit_the_run_that_goes_on_from_there_at_the_lower_rate(back, tmp_path):
    """The other run follows the lowered schedule from its beginning, which up to the checkpoint is the same."""
    (how, *_) = rollbacks(study.folder(back[0], "one", 1))
    whole = study.Study("whole", "cpu", None, {"one": lowered(BASE.resolve(), 0.5, how["step"])}, range(2))
    one = lambda experiment: strategy(None, 2, 1, jax.devices()[:1])
    study.train(whole, tmp_path, one, study.Watcher(), rollback=Rollback(0.5))  # alone, as the other was
    assert [row for row in rows(back[0], "one", 1) if "rollback" not in row] == rows(tmp_path, "one", 1)


def test_a_run_that_does_not_diverge_is_what_it_is_without(back, tmp_path):
    run(tmp_path, rollback=None, low={"schedule.peak": 0.1})
    assert rows(tmp_path, "low") == rows(back[0], "low")


# --- what is told ----------------------------------------------------------------------------------------------------


def test_the_decision_is_in_the_provenance_the_record_and_the_result(back):
    out, told, result = back
    (how,) = rollbacks(study.folder(out, "one", 1))
    assert (how["how"], how["factor"], how["step"]) == ("--rollback 0.5", 0.5, how["diverged"] // 20 * 20)
    assert how["rate_after"] == how["rate_before"] / 2 == pytest.approx(4.0 * how["step"] / 400)
    (row,) = [row for row in rows(out, "one", 1) if "rollback" in row]
    before = {name: how[name] for name in ("diverged", "rate_before", "rate_after")}
    assert row == {"step": how["step"], "rollback": before}
    assert result["arms"]["one"]["rolled_back"][1] == how["diverged"]
    assert result["arms"]["one"]["diverged"] == result["arms"]["low"]["rolled_back"] == [None, None]
    assert f"diverged at step {how['diverged']} and goes back to step 160; the rate jumps from 3.2 to 1.6" in told.lines
    held = json.loads((study.folder(out, "one", 1) / "experiment.json").read_text())
    assert held["schedule"] == "(4 * warmup(200) >> decay(200)) * join(stable(160), 0.5 * stable(240))"


def test_a_checkpoint_from_which_it_diverges_at_once_is_no_good_one(back):
    """The first seed's last checkpoint is finite, but the next loss is not, at whatever rate."""
    first, second = rollbacks(study.folder(back[0], "one", 0))
    assert first["step"] == first["diverged"] == second["diverged"] == 180
    assert second["step"] == 160


def test_a_run_without_a_checkpoint_says_so_and_ends_as_before(tmp_path):
    told = Told()
    result = run(tmp_path, told, saves=Saves())
    assert told.lines == ["one, seed 0: there is no good checkpoint to go back to; save more often with --save-every N"]
    assert result["arms"]["one"]["diverged"][0] is not None
    assert rows(tmp_path)[-1]["end"] == "diverged"


def test_it_goes_back_so_many_times_and_no_more(tmp_path):
    told = Told()
    result = run(tmp_path, told, rollback=Rollback(0.999, times=2))
    assert told.lines[-1] == "one, seed 0: went back 2 times and does so no more; lower schedule.peak"
    assert len(rollbacks(study.folder(tmp_path, "one", 0))) == 2
    assert result["arms"]["one"]["diverged"][0] is not None
    again = Told()
    run(tmp_path, again, rollback=Rollback(0.999, times=2))
    assert again.lines == told.lines[-1:]  # the same command finds the same, and trains nothing


class Faulty(Quadratic):
    """Five of its batches are not finite."""

    def batch(self, train, seed, step, rows, size):
        return jnp.where((step >= 30) & (step < 35), jnp.nan, 0.0) * rows

    def loss(self, params, batch, key, rows):
        return super().loss(params, batch, key, rows) + batch


def test_the_rate_is_lowered_where_the_clock_stands_that_skipped_updates_did_not_move(tmp_path):
    base = dataclasses.replace(BASE, task=Faulty(dimensions=3), skip_nonfinite=10)
    run(tmp_path, base=base)
    how, *_ = hows = rollbacks(study.folder(tmp_path, "one", 0))
    assert [how["update"] for how in hows] == [how["step"] - 5 for how in hows]
    assert how["diverged"] > how["step"]
    lowest = [row["learning_rate"] for row in rows(tmp_path) if "loss" in row and row["step"] == hows[-1]["step"]]
    assert lowest == [pytest.approx(hows[-1]["rate_after"], rel=1e-6)]
    assert rows(tmp_path)[-1]["end"] == "finished"


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "attempt"), [(70, 0), (165, 1), (190, 1), (300, 2)])
def test_a_run_that_is_cut_off_before_or_after_it_went_back_comes_to_the_same(back, tmp_path, at, attempt):
    with pytest.raises(Fault):
        run(tmp_path, Told(at, attempt))
    run(tmp_path)
    assert rows(tmp_path) == rows(back[0])
    assert rollbacks(study.folder(tmp_path, "one", 0)) == rollbacks(study.folder(back[0], "one", 0))


@pytest.mark.parametrize("written", ["record", "decision"])
def test_a_crash_around_the_decision_changes_nothing(back, tmp_path, monkeypatch, written):
    """It falls between the record that is set aside and the decision, or between that and what follows it."""
    from lrlab import rollback

    def crash(*given):
        raise Fault

    monkeypatch.setattr(rollback, "write_json" if written == "record" else "seam", crash)
    with pytest.raises(Fault):
        run(tmp_path)
    monkeypatch.undo()
    run(tmp_path)
    assert rows(tmp_path) == rows(back[0])
    assert rollbacks(study.folder(tmp_path, "one", 0)) == rollbacks(study.folder(back[0], "one", 0))


def test_runs_that_diverged_together_go_back_where_a_good_checkpoint_is_left(tmp_path):
    told = Told()
    run(tmp_path, rollback=None, seeds=2)
    assert run(tmp_path, told, seeds=2)["arms"]["one"]["diverged"] == [None, None]
    assert {how["members"] for seed in (0, 1) for how in rollbacks(study.folder(tmp_path, "one", seed))} >= {2}
    assert rows(tmp_path)[-1]["end"] == rows(tmp_path, seed=1)[-1]["end"] == "finished"


def test_without_being_asked_again_a_run_goes_on_as_was_decided(back, tmp_path):
    with pytest.raises(Fault):
        run(tmp_path, Told(300, 2))
    run(tmp_path, rollback=None)
    assert rows(tmp_path) == rows(back[0])


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", ["0", "1", "-0.5", "nan", "2"])
def test_a_factor_that_lowers_no_rate_is_refused(factor, capsys):
    assert cli.main(["run", "transformer_warmup_decay", "--rollback", factor]) == 2
    assert "the rate is multiplied by it, so write a share of one, such as 0.5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "transformer_warmup_decay", "--rollback", "0.5", "--parallel", "members"], "trains each run alone"),
        (["run", "transformer_warmup_decay", "--rollback", "0.5", "--block", "4"], "trains each run alone"),
        (["sweep", "transformer_warmup_decay", "--rollback", "0.5"], "a sweep trains populations"),
    ],
)
def test_populations_do_not_go_back(words, sentence, capsys):
    assert cli.main(words) == 2
    assert sentence in capsys.readouterr().err


def test_a_run_that_goes_on_from_another_goes_back_to_where_it_began(tmp_path):
    """It was told to save more often."""
    one, saves = lambda e: strategy(None, e.batch, e.accumulate, jax.devices()[:1]), Saves(every=20)
    trunk = dataclasses.replace(BASE, schedule=0.1 * lr.stable(), steps=40).resolve()
    study.train(
        study.Study("bowl", "cpu", None, {"one": trunk}, range(1)),
        tmp_path / "trunk",
        one,
        study.Watcher(),
        saves=saves,
    )
    planned, told = branch.branches(tmp_path / "trunk", [40], ["1e25 * decay(40)"]), Told()
    study.train(planned, tmp_path / "out", one, told, rollback=Rollback(1e-26))
    (label,) = planned.arms
    assert told.ends[-1] == "finished"
    assert any("goes back to step 40" in line for line in told.lines)
    assert [back["step"] for back in rollbacks(study.folder(tmp_path / "out", label, 0))] == [40]
    again = Told()
    study.train(planned, tmp_path / "out", one, again)
    assert again.ends == ["finished"]


def test_decay_that_follows_the_shape_follows_that_which_was_lowered():
    """As it is read from its record; before, it kept to a peak that the run never came to."""
    base = dataclasses.replace(BASE, optimizer=adamw(weight_decay=independent(0.1))).resolve()
    lower = lowered(base, 0.5, 20)
    assert lower.optimizer.hyperparameters["weight_decay"].peak == pytest.approx(2.0)
    assert from_values(lower.values()).resolve().optimizer.hyperparameters["weight_decay"].peak == pytest.approx(2.0)


def test_nothing_goes_on_from_a_run_of_its_own_schedule(back):
    from lrlab import branch

    with pytest.raises(lr.Refused, match="one, seed 0 went back to a checkpoint at a rate of its own"):
        branch.branches(back[0], [], ["decay(10)"])
