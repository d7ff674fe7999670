"""Weights & Biases itself, offline: its own files hold what the record holds."""

import json
import struct

import jax
import pytest
from rich.console import Console

import lrlab as lr
from lrlab import notes, record, study
from lrlab.dashboard import WandB, scalars
from lrlab.experiment import Experiment
from lrlab.parallel import strategy
from lrlab.progress import Progress
from lrlab.record import Record
from lrlab.rollback import Rollback
from lrlab.saving import Saves
from lrlab.task.quadratic import Quadratic

wandb = pytest.importorskip("wandb")


def test_a_run_and_what_it_resumes_are_shown_offline(tmp_path, capfd):
    members = [tmp_path / "seed-0", tmp_path / "seed-1"]
    for step in (0, 2):
        dashboards = [WandB(folder, "project-x", about={"schedule": "decay(9)"}, mode="offline") for folder in members]
        for folder, dashboard in zip(members, dashboards):
            with Record(folder, step, [dashboard]) as held:
                held.write({"step": at, "loss": 2.25 + at} for at in range(step, 4))
                held.write([{"step": 4, "held_out": {"loss": 1.125}}])
    wandb.teardown()  # its process may write a little longer
    for folder in members:
        (one, other) = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.parent.name)
        assert one.name == other.name  # one run of theirs, however often it goes on
        for path, first in ((one, b"2.25"), (other, b"4.25")):
            held = path.read_bytes()
            told = [b"project-x", b"decay(9)", b"train/loss", first, b"held_out/loss", b"1.125"]
            assert [text for text in told if text not in held] == []
    assert capfd.readouterr().out == ""


# Gradient descent diverges at rates above 2 over the top eigenvalue, which is 1.
BOWL = Experiment(
    Quadratic(dimensions=3),
    4.0 * lr.warmup("50%") >> lr.decay(),
    lr.optim.sgd(),
    400,
    2,
    evaluate_every=20,
    log_every=1,
)


def shown(path):
    """The rows of one of their files: blocks of 32 KiB, in them pieces of records with checksum, length and kind."""
    from wandb.proto.wandb_internal_pb2 import Record as Theirs

    data, record, at = path.read_bytes(), b"", 7
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # no room for another head
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # the whole of it, or its last piece
            items = Theirs.FromString(record).history.item
            if items:
                row = {"".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
                yield {name: value for name, value in row.items() if name[0] != "_"}
            record = b""


def test_a_run_that_is_cut_off_and_goes_back_is_shown_without_a_row_twice(tmp_path, monkeypatch):
    """Offline there is a session for each time that a run began, and another run of theirs for each time it went back."""

    def train():
        with Progress(planned, Console(stderr=True), dashboards=["wandb"]) as progress:
            one = lambda experiment: strategy(None, 2, 1, jax.devices()[:1])
            study.train(planned, tmp_path, one, progress, saves=Saves(every=40), rollback=Rollback(0.5))

    def crash(note, first, *rest):
        write(note, first, *rest)
        if first >= 100:
            raise ZeroDivisionError

    monkeypatch.setenv("WANDB_MODE", "offline")
    planned, write = study.Study("bowl", "cpu", None, {"one": BOWL.resolve()}, range(1)), notes.Note.write
    with monkeypatch.context() as patch:
        patch.setattr(notes.Note, "write", crash)
        with pytest.raises(ZeroDivisionError):
            train()
    train()
    wandb.teardown()  # its process may write a little longer
    folder, runs = study.folder(tmp_path, "one", 0), {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        runs.setdefault(path.stem, []).append(list(shown(path)))
    first, second = runs.values()  # before it went back, and after
    assert [len(first), len(second)] == [2, 1]
    ours = lambda rows: [{"step": row["step"], **scalars(row)} for row in rows]
    held = list(record.rows(folder))
    at = next(i for i, row in enumerate(held) if "rollback" in row)
    assert second == [ours(held[at:])]
    before = [row for session in first for row in session]
    assert before[:at] == ours(held[:at])
    assert [row["step"] for row in before if "train/loss" in row] == list(range(held[at]["rollback"]["diverged"]))


def test_an_account_that_is_missing_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(
        lr.Failed, match=r"began no run: No API key configured.*write `wandb login` first, or WANDB_MODE"
    ):
        WandB(tmp_path, mode="online")
