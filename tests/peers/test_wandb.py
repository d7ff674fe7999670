"""Weights & Biases itself, offline: its own files hold what the record holds."""

import pytest

from lrlab.dashboard import WandB
from lrlab.record import Record

wandb = pytest.importorskip("wandb")


def test_a_run_and_what_it_resumes_are_shown_offline(tmp_path, capfd):
    members = [tmp_path / "seed-0", tmp_path / "seed-1"]
    for step in (0, 2):
        dashboards = [WandB(folder, "project-x", about={"schedule": "decay(9)"}, mode="offline") for folder in members]
        for folder, dashboard in zip(members, dashboards):
            with Record(folder, step, [dashboard]) as record:
                record.write({"step": at, "loss": 2.25 + at} for at in range(step, 4))
                record.write([{"step": 4, "held_out": {"loss": 1.125}}])
    wandb.teardown()  # its process may write a little longer
    for folder in members:
        (one, other) = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.parent.name)
        assert one.name == other.name  # one run of theirs, however often it goes on
        for path, first in ((one, b"2.25"), (other, b"4.25")):
            held = path.read_bytes()
            told = [b"project-x", b"decay(9)", b"train/loss", first, b"held_out/loss", b"1.125"]
            assert [text for text in told if text not in held] == []
    assert capfd.readouterr().out == ""
