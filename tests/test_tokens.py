"""Token files: what is read is what was written, a batch is a function of (seed, step), and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrlab import catalogue
from lrlab.parallel import strategy
from lrlab.refusal import Refused
from lrlab.study import Watcher, prepare, run
from lrlab.task import tokens
from lrlab.task.language import Language


@pytest.fixture
def shards(tmp_path):
    """Three training shards whose token number i is i, over their joints, and one to be judged on, from 40000 on."""
    for i, (begin, end) in enumerate([(0, 300), (300, 500), (500, 1000)]):
        tokens.write(tmp_path / f"train_{i:06}.bin", np.arange(begin, end))
    tokens.write(tmp_path / "val_000000.bin", np.arange(40000, 40203))
    return tmp_path


def task(shards, **changes):
    given = {"text": f"{shards}/train_*.bin", "validation": f"{shards}/val_*.bin", "sequence": 8, "layers": 1}
    return Language(**{**given, **changes})


def test_a_file_is_its_header_then_uint16(tmp_path):
    tokens.write(tmp_path / "a.bin", np.asarray([7, 65535, 0]))
    raw = (tmp_path / "a.bin").read_bytes()
    assert np.frombuffer(raw[:1024], "<i4").tolist() == [20240520, 1, 3, *[0] * 253]
    assert raw[1024:] == b"\x07\x00\xff\xff\x00\x00"
    held = tokens.read(str(tmp_path / "a.bin"))
    assert isinstance(held, np.memmap)
    assert held.tolist() == [7, 65535, 0]


def test_shards_are_joined_in_the_order_of_their_names(shards):
    data = task(shards).load()
    assert data.train.dtype == data.valid.dtype == np.uint16
    np.testing.assert_array_equal(data.train.ravel(), np.arange(1000))
    assert data.held_out == 25
    held = task(shards).held(jnp.asarray(data.valid), jnp.arange(25))
    np.testing.assert_array_equal(held, 40000 + 8 * np.arange(25)[:, None] + np.arange(9))
    assert task(shards, held_out=3).load().held_out == 3


def test_a_folder_is_its_shards(shards):
    np.testing.assert_array_equal(tokens.read(str(shards)), [*range(1000), *range(40000, 40203)])
    assert Language(text=str(shards)).load().train.dtype == np.uint16


def test_windows_of_tokens_begin_at_every_offset_and_end_inside(shards):
    language = task(shards)
    data = language.load()
    batch = jax.jit(lambda step: language.batch(jnp.asarray(data.train), 0, step, jnp.arange(4), 4))
    windows = np.concatenate([batch(step) for step in range(0, 2000, 10)]).astype(int)
    assert (windows == windows[:, :1] + np.arange(9)).all()
    assert windows.max() < 1000
    assert set(windows[:, 0] % 8) == set(range(8))
    np.testing.assert_array_equal(batch(150), batch(150))


def test_the_vocabulary_is_that_of_gpt2_unless_said(shards):
    assert task(shards).symbols == 50304
    assert Language().symbols == 256
    assert task(shards, vocabulary=41000).init(0)["embedding"].shape == (41000, 32)
    assert task(shards, vocabulary=41000, width=64).flops_per_token == 6 * (12 * 64**2 + 41000 * 64) + 12 * 8 * 64


def test_an_epoch_is_known_from_the_headers_and_unknown_without_files(shards, monkeypatch):
    monkeypatch.setattr(tokens, "read", None)  # not called
    assert task(shards).horizon(10, 4).epoch == 124
    assert task(shards, validation=0.1).horizon(10, 4).epoch == (900 // 8 - 1) // 4 * 4
    assert task(shards / "nowhere").horizon(10, 4).epoch is None


def test_the_digest_follows_both_parts(shards):
    first = task(shards).load().digest
    assert first != task(shards, text=f"{shards}/train_000000.bin").load().digest
    assert first != task(shards, validation=f"{shards}/train_000001.bin", text=f"{shards}/val_*.bin").load().digest


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda raw: raw[:100], "holds 100 bytes, and the header of a token file alone has 1024; copy it again"),
        (lambda raw: raw[:-3], r"promises 200 tokens and holds 198.5; copy it again"),
        (lambda raw: raw + b"..", r"promises 200 tokens and holds 201"),
        (lambda raw: b"PK" + raw[2:], r"begins with \d+, version 1, and a file of uint16 tokens with 20240520"),
        (lambda raw: raw[:4] + b"\x07" + raw[5:], "begins with 20240520, version 7, and a file"),
        (lambda raw: raw[:11] + b"\xff" + raw[12:], "promises -16777016 tokens and holds 200"),
    ],
)
def test_malformed_files_are_refused(shards, spoil, sentence):
    file = shards / "train_000001.bin"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(Refused, match=r"train_000001\.bin " + sentence):
        task(shards).load()
    with pytest.raises(Refused, match=sentence):
        task(shards).horizon(10, 4)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"text": "none_*.bin"}, r"there is no token file none_\*\.bin; give a \.bin file, a folder or a pattern"),
        ({"vocabulary": 40000}, "holds a 40202, and vocabulary=40000 ends at 39999; write vocabulary=40203 or more"),
        ({"validation": None}, r"validation=None\): write a number from 0.0 to below 1.0"),
        ({"validation": "val.txt"}, "one is bytes and one tokens; give two of a kind"),
        ({"text": None}, "Python's documentation and validation=.*one is bytes and one tokens"),
        ({"vocabulary": 0}, r"Language\(vocabulary=0\): write a positive whole number"),
        ({"sequence": 500}, r"leaves 1000 tokens for training, and sequence=500 needs 1500"),
        ({"held_out": 0}, r"Language\(held_out=0\): write a positive whole number"),
    ],
)
def test_what_does_not_fit_is_refused(shards, changes, sentence):
    with pytest.raises(Refused, match=sentence):
        task(shards, **changes).load()


def test_what_is_learned_from_is_not_held_out(shards):
    with pytest.raises(
        Refused, match=r"val_000000\.bin is in .* and in validation=.*: held out is what is not learned"
    ):
        task(shards, text=str(shards)).load()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (np.asarray([-1, 3]), "tokens from -1 to 3; a token file holds 0 to 65535"),
        (np.asarray([65536]), "tokens from 65536 to 65536"),
        (np.zeros((2, 2), int), r"tokens of shape \(2, 2\) and type int64; give one list of whole numbers"),
        (np.zeros(2), r"type float64"),
        (np.zeros(0, int), r"tokens of shape \(0,\)"),
    ],
)
def test_tokens_that_cannot_be_written_are_refused(tmp_path, given, sentence):
    with pytest.raises(Refused, match=sentence):
        tokens.write(tmp_path / "a.bin", given)


SMALL = {"task.heads": 2, "task.width": 16, "task.layers": 1, "task.sequence": 32, "task.attention": "auto"}


@pytest.mark.parametrize("preset", ["gpu", "paper"])
def test_gpt2_is_prepared_before_there_are_data_and_then_refused(tmp_path, preset):
    study = prepare(catalogue.load("gpt2"), "gpt2", preset, changes={"task.text": f"{tmp_path}/*.bin"})
    assert [arm.schedule.peak for arm in study.arms.values()] == [6e-4, 1.8e-3, 1.5e-3]
    assert study.arms["wsd"].flops_per_step == pytest.approx(854.7e6 * 524288, rel=1e-4)
    with pytest.raises(Refused, match="there is no token file"):
        run(study, tmp_path / "out", None, Watcher())
    assert not (tmp_path / "out").exists()


def test_gpt2_trains_on_shards_at_reduced_width(tmp_path):
    random = np.random.default_rng(0)
    for name, size in (("train_0.bin", 3000), ("train_1.bin", 2000), ("val_0.bin", 500)):
        tokens.write(tmp_path / name, random.integers(0, 50257, size))
    here = {"task.text": f"{tmp_path}/train_*.bin", "task.validation": f"{tmp_path}/val_*.bin"}
    changes = {**SMALL, **here, "steps": 3, "batch": 8, "accumulate": 2, "schedule": "1e-3 * decay()"}
    study = prepare(catalogue.load("gpt2"), "gpt2", "paper", ["linear"], changes)
    ended = run(study, tmp_path / "out", lambda e: strategy(None, e.batch, e.accumulate, jax.devices()[:1]), Watcher())
    assert ended["arms"]["linear"]["final"]["loss"] == [pytest.approx(np.log(50304), abs=0.1)]
