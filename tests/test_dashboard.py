"""Dashboards show what the record holds, and a package that is missing is a sentence."""

import struct
import sys

import jax
import pytest
from rich.console import Console

import lrlab as lr
from lrlab import cli, notes, study
from lrlab.dashboard import TensorBoard, WandB, scalars
from lrlab.experiment import Experiment
from lrlab.parallel import strategy
from lrlab.progress import Progress
from lrlab.record import Record, rows
from lrlab.rollback import Rollback
from lrlab.saving import Saves
from lrlab.task.quadratic import Quadratic

ROWS = [
    {"step": 0, "loss": 2.5, "learning_rate": 0.5},
    {"step": 1, "loss": 2.25, "learning_rate": 0.25},
    {"step": 2, "held_out": {"loss": 2.25}},
    {"step": 2, "end": "finished", "final": {"loss": 2.25}},
]


class Told:
    """A dashboard that remembers what it was told."""

    def __init__(self):
        self.rows, self.closed = [], 0

    def write(self, rows):
        self.rows += rows

    def close(self):
        self.closed += 1


def test_dashboards_are_told_every_row_and_closed_with_the_record(tmp_path):
    told = [Told(), Told()]
    with Record(tmp_path, dashboards=told) as record:
        record.write(iter(ROWS[:2]))
        record.write(iter(ROWS[2:]))
    assert [one.rows for one in told] == [ROWS, ROWS]
    assert [one.closed for one in told] == [1, 1]
    assert len(list(rows(tmp_path))) == len(ROWS)


@pytest.mark.parametrize(
    ("dashboard", "package", "extra"), [(TensorBoard, "tensorboardX", "tensorboard"), (WandB, "wandb", "wandb")]
)
def test_a_missing_package_is_a_sentence(dashboard, package, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(lr.Refused, match=rf"{package} is not installed.*write pip install 'lrlab\[{extra}\]'"):
        dashboard(tmp_path)


def events(folder):
    """What TensorBoard would read, in the order of writing: (step, tag, value), and where a session purged, (step,)."""
    Event = pytest.importorskip("tensorboardX").proto.event_pb2.Event
    for path in sorted(folder.rglob("events.*"), key=lambda path: path.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:  # length, checksum, event, checksum
            length = struct.unpack("<Q", data[:8])[0]
            event, data = Event.FromString(data[12 : 12 + length]), data[16 + length :]
            yield from [(event.step, value.tag, value.simple_value) for value in event.summary.value]
            if event.HasField("session_log"):
                yield (event.step,)


def test_tensorboard_reads_the_record_and_forgets_what_a_resumed_run_writes_again(tmp_path):
    pytest.importorskip("tensorboardX")
    for step in (0, 1):
        with Record(tmp_path, step, [TensorBoard(tmp_path, step)]) as record:
            record.write(ROWS[step:3])
    again = [(1, "train/loss", 2.25), (1, "train/learning_rate", 0.25), (2, "held_out/loss", 2.25)]
    assert list(events(tmp_path)) == [(0, "train/loss", 2.5), (0, "train/learning_rate", 0.5), *again, (1,), *again]


def test_what_was_recorded_before_there_was_a_dashboard_is_shown(tmp_path):
    pytest.importorskip("tensorboardX")
    with Record(tmp_path) as record:
        record.write(ROWS[:2])
    TensorBoard(tmp_path, 2).close()
    assert [event[0] for event in events(tmp_path)] == [0, 0, 1, 1]


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
_FILE = '''"""A bowl."""
import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.task.quadratic import Quadratic
BASE = Experiment(Quadratic(dimensions=3), 0.1 * lr.decay(), lr.optim.sgd(), 20, 8, log_every=1)
ARMS = {"one": {}}
PRESETS = {"cpu": {"seeds": 1}}
def verdict(runs):
    return []
'''


def seen(folder):
    """What TensorBoard shows: of each session what the later ones did not purge."""
    shown = []
    for step, *event in events(folder):
        shown = [one for one in shown if one[0] < step] if not event else [*shown, (step, *event)]
    return shown


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(_FILE)
    return tmp_path


def test_a_run_that_is_cut_off_and_goes_back_is_shown_as_its_record_has_it(tmp_path, monkeypatch, capsys):
    def train():
        with Progress(planned, Console(stderr=True), dashboards=["tensorboard"]) as progress:
            one = lambda experiment: strategy(None, 2, 1, jax.devices()[:1])
            study.train(planned, tmp_path, one, progress, saves=Saves(every=40), rollback=Rollback(0.5))

    def crash(note, first, *rest):
        write(note, first, *rest)
        if first >= 100:
            raise ZeroDivisionError

    planned, write = study.Study("bowl", "cpu", None, {"one": BOWL.resolve()}, range(1)), notes.Note.write
    monkeypatch.setattr(notes.Note, "write", crash)
    with pytest.raises(ZeroDivisionError):
        train()
    monkeypatch.undo()
    train()
    assert (
        "one, seed 0: diverged at step 180 and goes back to step 160; the rate jumps from 3.2 to 1.6"
        in capsys.readouterr().err
    )
    folder = study.folder(tmp_path, "one", 0)
    held = [(row["step"], name, value) for row in rows(folder) for name, value in scalars(row).items()]
    assert {name for _, name, _ in held} >= {"train/loss", "held_out/loss", "rollback/rate_after", "final/loss"}
    assert seen(folder) == [(step, name, pytest.approx(value, rel=1e-6)) for step, name, value in held]  # float32 there


def test_every_member_of_a_sweep_is_shown(mine):
    words = ["sweep", "mine.py", "--vary", "schedule.peak=0.1,0.2", "--out", "out"]
    assert cli.main([*words, "--dashboard", "tensorboard"]) == 0
    folders = sorted((mine / "out/runs").glob("*/seed-0"))
    assert len(folders) == 2
    for folder in folders:
        assert {step for step, tag, _ in seen(folder) if tag == "train/loss"} == set(range(20))


@pytest.mark.parametrize("command", [["run"], ["sweep", "--vary", "schedule.peak=0.1,0.2"]])
def test_a_dashboard_without_its_package_is_refused_before_anything_is_trained(mine, monkeypatch, capsys, command):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert cli.main([command[0], "mine.py", *command[1:], "--out", "out", "--dashboard", "wandb"]) == 2
    assert (
        "wandb is not installed, which this dashboard needs; write pip install 'lrlab[wandb]'"
        in capsys.readouterr().err
    )
    assert not (mine / "out").exists()
