"""Checkpoints: what is restored is what was saved, to the bit, or it is said which was damaged and why."""

import contextlib
import gc
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import lrlab as lr
from lrlab.checkpoint import Checkpoints, kept, restore, steps
from lrlab.checksum import checksums
from lrlab.lock import locked
from lrlab.optim.scheduled import ByGroup

ROOT = Path(__file__).parent.parent


class State(NamedTuple):
    step: Any
    params: Any
    rest: Any


def state(step, size=256):
    """A state that says which step it is of, with every kind of leaf and some that are hard to hold."""
    noise = np.random.default_rng(step).normal(size=(8, size)).astype(np.float32)
    odd = np.array([np.nan, -0.0, np.inf, 1e-45], np.float32)
    params = {"a": {"kernel": jnp.asarray(noise)}, "b": jnp.asarray(noise[0], jnp.bfloat16), "odd": jnp.asarray(odd)}
    return State(jnp.int32(step), params, (None, jnp.array([True, False]), {}))


def saved(folder, *at, **options):
    with Checkpoints(folder, **options) as checkpoints:
        for step in at:
            checkpoints.save(step, state(step), about={"step": step})
    return folder


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other)):
        assert a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


# --- what is restored is what was saved ------------------------------------------------------------------------------


def test_a_state_comes_back_to_the_bit_with_what_was_said_about_it(tmp_path):
    about = {"schedule": "1e-3 * warmup(10) >> decay()", "horizon": {"steps": 100}, "digest": "4ab6"}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, state(7), about=about)
    found = restore(tmp_path, like=state(0))
    assert_same(found.state, state(7))
    assert (found.step, found.about, found.remarks) == (7, about, ())
    assert type(found.state) is State


def test_a_state_may_hold_the_rates_of_groups(tmp_path):
    """Dataclasses that are pytrees, at which Orbax 0.12 fails."""
    rates = {"learning_rate": ByGroup(names=("head", "rest"), whole=jnp.float32(1), each=jnp.arange(2.0))}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, rates)
    assert_same(restore(tmp_path, like=rates).state, rates)


def test_a_state_may_be_donated_as_soon_as_save_returns(tmp_path):
    advance = jax.jit(lambda s: jax.tree.map(lambda x: x + jnp.ones_like(x), s), donate_argnums=0)
    now = {"w": jnp.zeros((256, 1024))}
    with Checkpoints(tmp_path, keep=9) as checkpoints:
        for step in range(4):
            checkpoints.save(step, now)
            for _ in range(5):
                now = advance(now)
    for step in range(4):
        np.testing.assert_array_equal(restore(tmp_path, like=now, step=step).state["w"], 5.0 * step)


def test_an_empty_folder_holds_nothing(tmp_path):
    assert restore(tmp_path / "none", like=state(0)) is None
    assert steps(tmp_path / "none") == []


def test_a_state_saved_on_eight_devices_is_restored_on_two_and_on_one(tmp_path):
    def placed(devices):
        mesh = Mesh(np.array(jax.devices()[:devices]), ("data",), axis_types=(AxisType.Auto,))
        split, copied = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
        like = jax.tree.map(lambda x: copied, state(0))
        return like._replace(params={**like.params, "a": {"kernel": split}})

    for devices in (8, 2, 1):
        with Checkpoints(tmp_path / str(devices)) as checkpoints:
            checkpoints.save(devices, jax.device_put(state(devices), placed(devices)))
    for before, after in [(8, 2), (2, 1), (1, 8), (8, 1)]:
        like = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), state(0), placed(after))
        found = restore(tmp_path / str(before), like=like)
        assert_same(found.state, state(before))
        assert jax.tree.map(lambda x: x.sharding, found.state) == placed(after)


# --- what is kept ----------------------------------------------------------------------------------------------------

NOTES = st.dictionaries(
    st.integers(0, 30),
    st.none()
    | st.fixed_dictionaries(
        {"metrics": st.just({}) | st.fixed_dictionaries({"loss": st.none() | st.floats(0, 9)}), "pin": st.booleans()}
    ),
)


@given(NOTES, st.integers(1, 4), st.sampled_from(["min", "max"]))
def test_the_newest_the_best_and_the_pinned_are_kept_and_no_others(notes, keep, mode):
    chosen = kept(notes, keep, "loss", mode)
    pinned = {step for step, note in notes.items() if note and note["pin"]}
    assert {*sorted(notes)[-keep:]} | pinned <= chosen <= set(notes)
    losses = {s: n["metrics"]["loss"] for s, n in notes.items() if n and n["metrics"].get("loss") is not None}
    extra = chosen - {*sorted(notes)[-keep:]} - pinned
    assert len(extra) <= 1
    if losses:
        best = min(losses.values()) if mode == "min" else max(losses.values())
        assert best in [losses.get(step) for step in chosen]


def test_a_folder_keeps_the_newest_the_best_and_the_pinned(tmp_path):
    losses = {10: 3.0, 20: 1.0, 30: 2.0, 40: float("nan"), 50: 4.0}
    for session in (losses.items(), {60: 5.0}.items()):  # the second reads what the first has noted
        with Checkpoints(tmp_path, keep=2, best="loss") as checkpoints:
            for step, loss in session:
                checkpoints.save(step, state(step), metrics={"loss": loss}, pin=step == 10)
    assert steps(tmp_path) == [10, 20, 50, 60]


def test_a_save_ends_the_future_that_was_given_up(tmp_path):
    saved(tmp_path, 10, 20, 30)
    with Checkpoints(tmp_path, keep=9) as checkpoints:
        checkpoints.save(20, state(21))
    assert steps(tmp_path) == [10, 20]
    assert_same(restore(tmp_path, like=state(0)).state, state(21))


# --- damage ----------------------------------------------------------------------------------------------------------


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def largest(folder):
    return max(files(folder), key=lambda path: path.stat().st_size)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << at % 8
    path.write_bytes(data)


@pytest.fixture
def collected():
    yield
    gc.collect()


def breaks_orbax(test):
    """An error in one of Orbax's threads leaves others unfinished, of which Python complains when it collects them."""
    test = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")(test)
    return pytest.mark.usefixtures("collected")(test)


class Trap:
    """Unpickling it makes a file."""

    def __reduce__(self):
        return Path.touch, (Path("executed"),)


DAMAGES = {
    "flipped": lambda folder: flip(largest(folder), 700),
    "cut short": lambda folder: os.truncate(largest(folder), 100),
    "emptied": lambda folder: os.truncate(largest(folder), 0),
    "no array files": lambda folder: shutil.rmtree(folder / "state/ocdbt.process_0"),
    "no manifest": lambda folder: (folder / "state/manifest.ocdbt").unlink(),
    "no state": lambda folder: shutil.rmtree(folder / "state"),
    "no note": lambda folder: shutil.rmtree(folder / "note"),
    "nothing": lambda folder: [path.unlink() for path in files(folder)],
    "another note": lambda folder: shutil.copy(folder.parent / "10/note/metadata", folder / "note/metadata"),
    "a pickle": lambda folder: [path.write_bytes(pickle.dumps(Trap())) for path in files(folder)],
}


@breaks_orbax
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_with_a_remark(damage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, 10, 20)
    DAMAGES[damage](tmp_path / "20")
    found = restore(tmp_path, like=state(0))
    assert found.step == 10
    assert_same(found.state, state(10))
    (remark,) = found.remarks
    assert remark.startswith("the checkpoint of step 20 is damaged and was passed over: ")
    assert not Path("executed").exists()
    saved(tmp_path, 20)  # and the run goes on
    assert restore(tmp_path, like=state(0)).step == 20


@breaks_orbax
def test_a_flip_in_any_file_is_seen_or_does_no_harm(tmp_path):
    saved(tmp_path, 10)
    draw = np.random.default_rng(0)
    for path in files(tmp_path / "10"):
        whole = path.read_bytes()
        for at in draw.integers(0, 1 << 30, size=3 if whole else 0):
            flip(path, int(at))
            with contextlib.suppress(lr.Failed):  # which says that it is damaged
                found = restore(tmp_path, like=state(0))
                assert_same(found.state, state(10))
                assert found.about == {"step": 10}
            path.write_bytes(whole)


@breaks_orbax
def test_changed_bytes_are_named_by_leaf(tmp_path):
    """Orbax itself restores them without a word: here its files of step 20 are put below the note of step 10."""
    saved(tmp_path, 10, 20)
    shutil.rmtree(tmp_path / "10/state")
    shutil.copytree(tmp_path / "20/state", tmp_path / "10/state")
    with pytest.raises(
        lr.Failed, match=r"the bytes of step, params.a.kernel, params.b have changed; remove the folder"
    ):
        restore(tmp_path, like=state(0), step=10)


@breaks_orbax
def test_a_folder_without_a_good_checkpoint_fails_with_a_sentence(tmp_path):
    saved(tmp_path, 10, 20)
    for step in (10, 20):
        DAMAGES["no note"](tmp_path / str(step))
    with pytest.raises(
        lr.Failed, match=r"holds no good checkpoint: .*step 20 is damaged.*note cannot be read.*step 10 is"
    ):
        restore(tmp_path, like=state(0))


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (state(0)._replace(params={"a": jnp.ones(3)}), r"params.a.kernel is float32\[8, 256\] there and missing here"),
        (state(0)._replace(step=jnp.float32(0)), r"step is int32\[\] there and float32\[\] here; choose another"),
        (state(0, size=3), r"params.a.kernel is float32\[8, 256\] there and float32\[8, 3\] here"),
    ],
)
def test_a_state_of_another_structure_is_refused(other, sentence, tmp_path):
    saved(tmp_path, 10)
    with pytest.raises(lr.Refused, match=sentence):
        restore(tmp_path, like=other)


def test_a_step_that_is_not_there_is_refused(tmp_path):
    saved(tmp_path, 10, 20)
    with pytest.raises(lr.Refused, match="holds no checkpoint of step 15; there are: 10, 20"):
        restore(tmp_path, like=state(0), step=15)


@pytest.mark.parametrize(
    ("wrong", "sentence"), [({"keep": 0}, "keep=0: at least one"), ({}, "a checkpoint at step -1")]
)
def test_wrong_requests_are_refused(wrong, sentence, tmp_path):
    with pytest.raises(lr.Refused, match=sentence), Checkpoints(tmp_path, **wrong) as checkpoints:
        checkpoints.save(-1, state(0))


def test_names_of_leaves_lead_nowhere(tmp_path):
    evil = {"../../outside": jnp.arange(3), "/tmp/outside": jnp.arange(4)}
    with Checkpoints(tmp_path / "in" / "folder") as checkpoints:
        checkpoints.save(1, evil)
    assert_same(restore(tmp_path / "in" / "folder", like=evil).state, evil)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["folder"]


# --- disks, processes, crashes ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def a_disk_with_room_for(size):
    """No file grows beyond `size` bytes: the error that a full disk gives, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def full(step):
    return rf"cannot save step {step} to .*: File too large; when that is mended, run the same command again: it "


@breaks_orbax
def test_a_full_disk_fails_at_the_next_save_and_leaves_what_was_there(tmp_path, caplog):
    saved(tmp_path, 10)
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        with a_disk_with_room_for(2000):
            checkpoints.save(20, state(20))
            with pytest.raises(lr.Failed, match=full(20) + "goes on from step 10"):
                checkpoints.save(30, state(30))
        assert caplog.text == ""  # the sentence says it, and not a trace of Orbax's threads as well
        assert restore(tmp_path, like=state(0)).step == 10
        checkpoints.save(30, state(30))  # there is room again
    assert steps(tmp_path) == [30]
    assert_same(restore(tmp_path, like=state(0)).state, state(30))


@breaks_orbax
def test_a_full_disk_fails_at_the_end_and_does_not_hide_another_error(tmp_path):
    with a_disk_with_room_for(2000):
        with pytest.raises(lr.Failed, match=full(10) + "begins anew"), Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(10, state(10))
        with pytest.raises(ZeroDivisionError), Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(1 // (checkpoints.save(10, state(10)) or 0), state(20))


@pytest.fixture
def as_a_user():
    """A folder of someone who is not root, whom nothing stops."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


@breaks_orbax
def test_a_folder_that_cannot_be_written_fails_with_a_sentence(as_a_user):
    saved(as_a_user / "run", 10)
    (as_a_user / "run").chmod(0o500)
    assert restore(as_a_user / "run", like=state(0)).step == 10
    with (
        pytest.raises(lr.Failed, match=r"cannot save step 20 .*: Permission denied; .*it goes on from step 10"),
        Checkpoints(as_a_user / "run") as checkpoints,
    ):
        checkpoints.save(20, state(20))
    as_a_user.chmod(0o500)
    with pytest.raises(
        lr.Failed, match=r"cannot write to .*other: Permission denied; choose another folder with --out"
    ):
        Checkpoints(as_a_user / "other")
    as_a_user.chmod(0o700)
    (as_a_user / "run").chmod(0o700)


def test_a_folder_has_one_writer(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(10, state(10))
        checkpoints.wait()
        with pytest.raises(lr.Refused, match=rf"is being written by process {os.getpid()} on .*; wait for it to end"):
            Checkpoints(tmp_path)
        assert restore(tmp_path, like=state(0)).step == 10  # reading disturbs nobody
    saved(tmp_path, 20)


HOLD = """
import sys
from pathlib import Path
from lrlab.lock import locked
with locked(Path(sys.argv[1])):
    print(flush=True)
    input()
"""


def test_the_lock_of_a_process_that_died_is_free(tmp_path):
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as child:
        child.stdout.readline()
        with pytest.raises(lr.Refused, match=f"is being written by process {child.pid} on "), locked(tmp_path):
            pass
        child.kill()
    with locked(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


TRAIN = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from test_checkpoint import Checkpoints, state, steps
folder = Path(sys.argv[1])
with Checkpoints(folder, keep=2) as checkpoints:
    for step in range(max(steps(folder), default=0) + 1, 10_000):
        checkpoints.save(step, state(step, size=20_000))
        print(step, flush=True)
"""


def test_a_process_killed_while_saving_loses_at_most_the_save_under_way(tmp_path):
    draw, last = np.random.default_rng(0), 0
    for _ in range(2):
        command = [sys.executable, "-c", TRAIN, tmp_path]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        while not (line := child.stdout.readline()) or int(line) < last + 5:
            assert child.poll() is None
        time.sleep(draw.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        begun = [int(line), *map(int, child.communicate()[0].split())][
            -1
        ]  # its save has begun, and the one before ended
        found = restore(tmp_path, like=state(0, size=20_000))
        assert begun - 1 <= found.step <= begun + 1
        assert found.remarks == ()
        assert_same(found.state, state(found.step, size=20_000))
        last = found.step
    saved(tmp_path, last + 1)
    assert not list(tmp_path.glob("*tmp*"))


# --- checksums -------------------------------------------------------------------------------------------------------


def checksum(x):
    return checksums([x])[0]


def test_every_bit_counts():
    words = np.random.default_rng(0).integers(0, 2**32, size=(2, 4), dtype=np.uint32)
    flipped = words ^ (np.uint32(1) << np.arange(32, dtype=np.uint32))[:, None, None, None] * np.eye(
        8, dtype=np.uint32
    ).reshape(8, 2, 4)
    sums = set(checksums([jnp.asarray(one) for one in flipped.reshape(-1, 2, 4)]))
    assert len(sums) == 8 * 32  # all different: by chance they collide once in 100 000
    assert checksum(jnp.asarray(words)) not in sums


def test_order_and_signs_count():
    ones = np.ones(64, np.float32)
    signs = [np.where(np.isin(np.arange(64), pair), -ones, ones) for pair in np.ndindex(64, 64) if pair[0] < pair[1]]
    sums = checksums([jnp.asarray(one) for one in signs])
    assert len(np.unique(sums)) == len(signs)  # 2016 of 2^32: by chance two collide once in 2000


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "bfloat16", "float16", "int32", "float32"])
def test_a_checksum_is_of_the_bytes_however_they_are_spread(dtype):
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, size=(8, 16)), dtype)
    mesh = Mesh(np.array(jax.devices()), ("data",), axis_types=(AxisType.Auto,))
    spread = [jax.device_put(x, NamedSharding(mesh, PartitionSpec(*axes))) for axes in (("data",), (None, "data"), ())]
    assert (
        {checksum(one) for one in spread} == {checksum(x)} != {checksum(x.at[3, 5].set((x[3, 5] == 0).astype(dtype)))}
    )
