"""Records: strictly in order, never twice, and nothing that was written is lost."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrlab as lr
from lrlab import record

EVERY = 5  # updates between evaluations


def written(first, last):
    """The rows that a run writes for its updates from `first` to before `last`."""
    for step in range(first, last):
        yield {"step": step, "loss": 1 / (step + 1), "learning_rate": 0.1}
        if (step + 1) % EVERY == 0:
            yield {"step": step + 1, "held_out": {"loss": 2 / (step + 1)}}


def lines(folder, name="metrics.jsonl"):
    return (folder / name).read_text().splitlines()


# --- going on --------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1), st.integers(0, 40)), max_size=5))
def test_a_record_reads_as_if_the_run_had_never_been_interrupted(tmp_path_factory, crashes):
    """Each crash: how many updates were done since the start, which of them the checkpoint holds, how many bytes are lost."""
    folder, step, kept = tmp_path_factory.mktemp("run"), 0, 0
    for done, share, lost in crashes:
        with record.Record(folder, step) as rows:
            rows.write(written(step, step + done))
        path = folder / "metrics.jsonl"
        length = path.stat().st_size
        before = sum(len(json.dumps(row)) + 1 for row in written(0, step + round(share * done)))
        path.write_bytes(path.read_bytes()[: max(before, length - lost)])  # the checkpoint came after its rows
        step += round(share * done)
        kept += len(path.read_bytes()) > before
    with record.Record(folder, step) as rows:
        rows.write(written(step, 40))
        rows.write([{"step": 40, "end": "finished"}])
    assert list(record.rows(folder)) == [*written(0, max(step, 40)), {"step": 40, "end": "finished"}]
    assert len(list(folder.glob("metrics.*.jsonl"))) == kept


def test_what_a_run_wrote_beyond_is_set_aside(tmp_path):
    with record.Record(tmp_path) as rows:
        rows.write(written(0, 12))
    for _ in range(2):
        with record.Record(tmp_path, step=5) as rows:
            rows.write(written(5, 7))
    assert [json.loads(line) for line in lines(tmp_path, "metrics.1.jsonl")] == list(written(5, 12))
    assert [json.loads(line) for line in lines(tmp_path, "metrics.2.jsonl")] == list(written(5, 7))
    assert list(record.rows(tmp_path)) == list(written(0, 7))


def test_a_run_that_begins_anew_sets_all_aside(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("first\n")
    for _ in range(2):
        with record.Record(tmp_path):
            pass
    assert lines(tmp_path, "metrics.1.jsonl") == ["first"]
    assert lines(tmp_path) == []
    assert not (tmp_path / "metrics.2.jsonl").exists()


def test_how_a_member_of_a_population_ended_is_kept_and_how_the_run_did_is_not(tmp_path):
    end = {"step": 7, "end": "diverged"}
    with record.Record(tmp_path) as rows:
        rows.write([*written(0, 7), end])
    with record.Record(tmp_path, step=10):
        assert list(record.rows(tmp_path)) == [*written(0, 7), end]
    with record.Record(tmp_path, step=6):
        assert list(record.rows(tmp_path)) == list(written(0, 6))


def test_the_last_row_is_that_of_all_rows_unless_it_is_cut_short(tmp_path):
    assert record.last(tmp_path) == {}
    with record.Record(tmp_path) as rows:
        rows.write(written(0, 3))
    assert record.last(tmp_path) == list(record.rows(tmp_path))[-1]
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert record.last(tmp_path) == {}


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [b'{"ste', b"\xff\xfe\x00", b'{}}\n{"step": 9}\n'])
def test_what_follows_a_damaged_line_is_left_out_and_set_aside(tail, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 0}\n{"step": 1}\n' + tail)
    assert list(record.rows(tmp_path)) == [{"step": 0}, {"step": 1}]
    with record.Record(tmp_path, step=9) as rows:
        rows.write([{"step": 2}])
    assert list(record.rows(tmp_path)) == [{"step": 0}, {"step": 1}, {"step": 2}]
    assert (tmp_path / "metrics.1.jsonl").read_bytes() == tail


def test_a_row_without_its_line_end_is_written_again(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n{"step": 1}')
    with record.Record(tmp_path, step=2) as rows:
        rows.write([{"step": 1}])
    assert lines(tmp_path) == ['{"step": 0}', '{"step": 1}']


def test_numbers_that_json_cannot_hold_become_null():
    assert json.dumps(record.finite({"a": [float("nan"), float("inf"), 1.0]})) == '{"a": [null, null, 1.0]}'


def test_records_that_cannot_be_written_fail_with_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(lr.Failed, match=r"cannot write records to .*choose another folder with --out"):
        record.Record(tmp_path / "file" / "run")


def test_nothing_is_left_of_a_document_that_could_not_be_written(tmp_path, monkeypatch):
    """Else the folder would hold what is no experiment's, and the same command be refused."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record.os, "replace", full)
    with pytest.raises(lr.refusal.Failed, match="No space left on device"):
        record.write_json(tmp_path / "experiment.json", {})
    assert not list(tmp_path.iterdir())


def test_a_full_disk_fails_with_a_sentence_and_keeps_what_was_written(tmp_path):
    with record.Record(tmp_path) as kept:
        kept.write([{"step": 0}])
    with open("/dev/full", "wb", buffering=0) as full:
        kept._file = io.TextIOWrapper(full, write_through=True)
        with pytest.raises(lr.Failed, match=r"cannot write to .*: No space left on device"):
            kept.write([{"step": 1}])
    assert list(record.rows(tmp_path)) == [{"step": 0}]
