"""The command line as a user meets it: what it prints where, its JSON, its exit codes, its sentences."""

import json
import re
import shutil

import pytest

from lrlab.cli import main

EXPERIMENT = '''"""A claim in a sentence.

Cost: nothing.
"""
import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import sgd
from lrlab.task.quadratic import Quadratic
from lrlab.verdict import lower

BASE = Experiment(task=Quadratic(dimensions=4), schedule=0.5 * lr.decay(), optimizer=sgd(), steps=20, batch=8, evaluate_every=10)
ARMS = {f"group / {name} @ {peak}": {"schedule": f"{peak} * {name}()"} for name in ("decay", "stable") for peak in (0.25, 0.5)}
PRESETS = {"cpu": {}}


def verdict(runs):
    return [lower("decay is lower", runs["group / decay @ 0.5"].final["loss"], runs["group / stable @ 0.5"].final["loss"])]
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "claim.py").write_text(EXPERIMENT)
    return "claim"


def test_list_names_claim_and_cost(module, capsys):
    assert main(["list"]) == 0
    assert "claim\n    A claim in a sentence.\n    cost: nothing." in capsys.readouterr().out
    assert main(["list", "--json"]) == 0
    entry = next(one for one in json.loads(capsys.readouterr().out) if one["name"] == "claim")
    assert {"claim": "A claim in a sentence.", "cost": "nothing."}.items() <= entry.items()


def test_show_prints_every_value_of_a_schedule(capsys):
    assert main(["show", "0.5 * warmup('20%') >> decay()", "--steps", "10", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schedule"] == "0.5 * warmup(2) >> decay(8)"
    assert shown["marks"] == [["warmup", 0, 2], ["decay", 2, 10]]
    assert shown["values"] == pytest.approx([0, 0.25, 0.5, 0.4375, 0.375, 0.3125, 0.25, 0.1875, 0.125, 0.0625])


def test_show_takes_several_schedules_and_draws_them(tmp_path, capsys):
    picture = tmp_path / "new" / "rates.svg"
    assert main(["show", "decay(10)", "warmup(4)", "--json", "--plot", str(picture)]) == 0
    printed = capsys.readouterr()
    assert [shown["steps"] for shown in json.loads(printed.out)] == [10, 10]
    assert "drawn into" in printed.err
    assert b"<svg" in picture.read_bytes()[:600]


def test_show_takes_units(capsys):
    assert main(["show", "warmup('1e6tok') >> decay()", "--steps", "100", "--batch", "64", "--sequence", "1024"]) == 0
    assert "warmup     steps        0 to       14" in capsys.readouterr().out


def test_show_prints_an_experiment_without_running_it(module, tmp_path, capsys):
    assert main(["show", module, "--set", "steps=40"]) == 0
    out = capsys.readouterr().out
    assert "claim · preset cpu · 4 arms · 3 seeds" in out
    assert "Quadratic(dimensions=4, power=1.0" in out
    assert re.search(r"group +parameters +first +peak +last +decay +updates\n +all +4 +0.5 +0.5 +0.0125 +- +all", out)
    assert not (tmp_path / "runs").exists()
    assert main(["show", module, "--arm", "group / decay @ 0.5", "--json"]) == 0
    (arm,) = json.loads(capsys.readouterr().out)
    assert arm["schedule"] == "0.5 * decay(20)"
    assert len(arm["values"]) == 20
    assert [(row["name"], row["numbers"], row["peak"]) for row in arm["groups"]] == [("all", 4, 0.5)]
    assert arm["flops_per_step"] is None  # a quadratic has no matmul


def test_show_counts_the_flops_of_an_experiment(capsys):
    assert main(["show", "gpt2", "--preset", "paper", "--arm", "cosine", "--set", "task.layers=1"]) == 0
    assert "model FLOPs: 1.49e+14 a step, 2.81e+18 a run" in capsys.readouterr().out


def test_run_ends_in_a_verdict_a_figure_and_one_json_document(module, tmp_path, capsys):
    assert main(["run", module, "--json", "--out", "out"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert set(result) >= {"experiment", "digest", "preset", "out", "wall_s", "tokens_per_s", "arms", "claims"}
    assert set(result["claims"][0]) >= {"text", "holds", "measured", "low", "high", "unit"}
    assert set(next(iter(result["arms"].values()))) >= {"schedule", "seeds", "final", "diverged"}
    assert "[12/12]" in printed.err
    remark = "group / stable @ 0.25: note: stable: the sum of the rates is 5, 2 times that of a cosine"
    assert printed.err.count(remark) == printed.err.count("note: stable: the sum of the rates") == 1
    assert (tmp_path / "out/figure.png").stat().st_size > 10_000
    assert b"<svg" in (tmp_path / "out/figure.svg").read_bytes()[:600]
    assert main(["report", "out"]) == 0
    assert "decay is lower" in capsys.readouterr().out
    assert main(["report", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == result


def test_report_reads_a_study_that_crashed(module, tmp_path, capsys):
    assert main(["run", module, "--json", "--out", "out"]) == 0
    whole = json.loads(capsys.readouterr().out)["arms"]
    (tmp_path / "out/verdict.json").unlink()
    folders = sorted((tmp_path / "out/runs").iterdir())
    shutil.rmtree(folders[0])  # never begun
    cut, empty = (folders[1] / f"seed-{seed}/metrics.jsonl" for seed in (0, 1))
    cut.write_bytes(cut.read_bytes()[:-40])
    empty.write_bytes(b"")
    assert main(["report", "out", "--json"]) == 0
    arms = json.loads(capsys.readouterr().out)["arms"]
    slow = [arm for arm in arms if any(step is not None for step in arms[arm]["unfinished"])]
    assert [arms[arm]["unfinished"] for arm in slow] == [[0, 0, 0], [20, 0, None]]
    assert arms[slow[1]]["final"]["loss"] == [
        whole[slow[1]]["final"]["loss"][0],
        None,
        whole[slow[1]]["final"]["loss"][2],
    ]
    assert all({**arms[arm], "unfinished": 0} == {**whole[arm], "unfinished": 0} for arm in arms if arm not in slow)
    assert main(["report", "out"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 3" in printed
    assert "No verdict yet: runs that are unfinished count with what they measured last." in printed


PAINTED = EXPERIMENT.replace(
    "def verdict",
    """def picture(runs):
    from pathlib import Path
    from lrlab.report.style import frames
    figure, axes = frames(1, 1, 3, 3)
    axes[0, 0].plot([len((Path(folder) / "metrics.jsonl").read_text()) for folder in runs["group / decay @ 0.5"].folders])
    return figure


def verdict""",
)


def test_report_draws_a_study_wherever_it_lies_now(module, tmp_path, monkeypatch, capsys):
    """A module's picture reads the folders of the runs, which were told as they were typed."""
    (tmp_path / "experiments" / "claim.py").write_text(PAINTED)
    assert main(["run", module, "--out", "out"]) == 0
    own = (tmp_path / "out/figure.svg").read_bytes()
    (tmp_path / "out").rename(tmp_path / "moved")
    (tmp_path / "moved/figure.svg").unlink()
    assert main(["report", "moved"]) == 0
    assert len((tmp_path / "moved/figure.svg").read_bytes()) == pytest.approx(len(own), rel=0.01)


def test_report_leaves_the_picture_of_a_module_that_it_does_not_know(module, tmp_path, monkeypatch):
    """And does not execute a file because a folder of records names it, nor take a namesake's picture."""
    (tmp_path / "claim.py").write_text(PAINTED)
    assert main(["run", "claim.py", "--out", "out"]) == 0
    own = (tmp_path / "out/figure.png").read_bytes()
    monkeypatch.setattr("lrlab.catalogue.load", None)
    assert main(["report", "out"]) == 0
    assert (tmp_path / "out/figure.png").read_bytes() == own


def test_run_names_its_folder_by_the_digest(module, tmp_path, capsys):
    assert main(["run", module, "--seeds", "1", "--arm", "group / decay @ 0.5"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("claim-cpu-")
    assert "No verdict: it needs every arm and at least 3 seeds." in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--parallel", "pmap"], ["--parallel", "mesh"], ["--mesh", "data=2,fsdp=2,tensor=2"]]
)
def test_run_on_eight_devices(module, words, capsys):
    assert main(["run", module, "--seeds", "1", "--json", *words, "--set", "steps=4"]) == 0
    assert json.loads(capsys.readouterr().out)["arms"]


def test_a_diverged_arm_ends_in_exit_code_3_with_its_records_kept(module, tmp_path, capsys):
    assert (
        main(
            [
                "run",
                module,
                "--seeds",
                "1",
                "--arm",
                "group / decay @ 0.5",
                "--set",
                "schedule.peak=1e30",
                "--out",
                "out",
            ]
        )
        == 3
    )
    printed = capsys.readouterr()
    assert "lrlab: every run of group / decay @ 0.5 diverged; lower schedule.peak" in printed.err
    assert "diverged at step" in printed.err
    assert list((tmp_path / "out").rglob("metrics.jsonl"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["show", "warmpu(3)"], "there is no word 'warmpu'; did you mean 'warmup'?"),
        (["show", "warmup(1.0)"], "a bare float could be steps or a share of the run"),
        (["show", "stable() >> decay()"], "both claim the rest of the run"),
        (["show", "warmup(300) >> stable()", "--steps", "100"], "last 300 steps, longer than the run of 100"),
        (["show", "decay(300)", "--steps", "100"], "lasts 300 steps, longer than the run of 100"),
        (["show", "-1 * decay()"], "a rate is positive and finite"),
        (["show", "0 * decay()"], "a rate is positive and finite"),
        (["show", "decay('1e6tok')"], "cannot become steps without batch"),
        (["show", "clami"], "there is no schedule or experiment 'clami'; did you mean 'claim'?"),
        (["show", "decay()", "--plot", "rates.xyz"], "end its name in .png, .svg or .pdf"),
        (["show", "decay()", "--steps", "0"], "steps is a positive whole number"),
        (["show", "claim", "--batch", "4"], "--batch is for schedules; claim has its own; write --set batch=4"),
        (["lint", "claim", "--epoch", "4"], "--epoch is for schedules; claim has its own data"),
        (["show", "decay(3)", "--set", "steps=3"], "--set, --arm and --preset are for experiments"),
        (["show", "noisy_quadratic"], "noisy_quadratic trains nothing, so it has no schedules of its own"),
        (
            ["forecast", "--fit", "a.csv", "--warmup", "-5"],
            "--warmup -5: write how many steps the rate rose, 0 or more",
        ),
        (["show", "claim", "--steps", "0"], "steps=0: steps is a positive whole number"),
        (["show"], "the following arguments are required"),
        (["run", "clami"], "there is no experiment 'clami'; did you mean 'claim'?"),
        (["run", "missing.py"], "there is no file missing.py"),
        (["run", "claim", "--preset", "gpu"], "there is no preset 'gpu'"),
        (["run", "claim", "--arm", "x"], "there is no arm 'x'"),
        (["run", "claim", "--set", "stpes=3"], "there is no value 'stpes'; did you mean 'steps'?"),
        (["run", "claim", "--set", "steps"], "write path=value"),
        (["run", "claim", "--set", "batch=6"], "a batch of 6 cannot be shared by 8 devices; set batch=8"),
        (["run", "claim", "--parallel", "cluster"], "invalid choice: 'cluster'"),
        (["run", "claim", "--mesh", "data=2,fsdp=2"], "--mesh data=2,fsdp=2 is for 4 devices, and there are 8"),
        (["run", "claim", "--mesh", "data=8", "--parallel", "pmap"], "--parallel pmap has no axes"),
        (["report", "nowhere"], "nowhere holds no study"),
        (["rnu"], "invalid choice: 'rnu'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exit_code_2(module, words, sentence, capsys):
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("lrlab: ")
    assert printed.err.count("\n") == 1
    assert sentence in printed.err


def test_a_text_that_is_missing_or_too_small_is_refused(module, tmp_path, capsys):
    (tmp_path / "language.py").write_text(
        EXPERIMENT.replace("Quadratic(dimensions=4)", 'Language(text="little.txt", width=8, heads=1, layers=1)')
        .replace("from lrlab.task.quadratic import Quadratic", "from lrlab.task.language import Language")
    )  # fmt: skip
    assert main(["run", "language.py"]) == 2
    assert "there is no text at little.txt" in capsys.readouterr().err
    (tmp_path / "little.txt").write_text("too little")
    assert main(["run", "language.py"]) == 2
    assert "give a longer text" in capsys.readouterr().err


def test_an_experiment_that_lacks_a_part_is_refused(tmp_path, capsys):
    (tmp_path / "half.py").write_text("BASE = 1\n")
    assert main(["run", str(tmp_path / "half.py")]) == 2
    assert "lacks ARMS and PRESETS and verdict" in capsys.readouterr().err


def test_an_out_folder_that_holds_another_experiment_is_refused(module, capsys):
    short = ["--seeds", "1", "--arm", "group / decay @ 0.5", "--out", "out"]
    assert main(["run", module, *short]) == 0
    assert main(["run", module, *short, "--set", "steps=10"]) == 2
    assert "out holds another experiment (claim, preset cpu," in capsys.readouterr().err
