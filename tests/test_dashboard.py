"""Dashboards show what the record holds, and a package that is missing is a sentence."""

import struct
import sys

import pytest

import lrlab as lr
from lrlab.dashboard import TensorBoard, WandB
from lrlab.record import Record, rows

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
