"""Faults: a training process is killed, its files damaged, its disk filled, and what that cost is counted.

    python faults.py [--quick] [--json]

A small transformer on a text, saved every 50 updates. After each fault the same command is given again, and its record,
losses and rates of every update, and its last checkpoint, parameters and moments, are held to the bit against those of a
run that nothing happened to. The benchmark ends with an error at the first difference.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp

ROOT = Path(__file__).parents[2]
EVERY, STEPS, HALF = 50, 600, 300

EXPERIMENT = f'''"""A transformer on a text."""
import lrlab as lr
from lrlab.experiment import Experiment
from lrlab.optim import adamw
from lrlab.task.language import Language
BASE = Experiment(
    Language(text="corpus.txt", width=64, heads=4), 3e-3 * lr.warmup("10%") >> lr.decay(), adamw(weight_decay=0.1),
    steps={STEPS}, batch=8, clip=1.0, evaluate_every=100, log_every=1,
)
ARMS = {{"one": {{}}}}
PRESETS = {{"cpu": {{"seeds": 1}}}}
def verdict(runs):
    return []
'''


class Row(NamedTuple):
    fault: str
    tries: int
    lost: str
    said: str


# --- a command, and what it leaves -----------------------------------------------------------------------------------


def corpus(seed: int) -> None:
    """Write a text of words that follow one another at random."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 8))) for _ in range(500)]
    Path("corpus.txt").write_text(" ".join(draw.choices(words, k=40_000)))


def start(out: str, *under: str) -> subprocess.Popen:
    """The command, as a process of its own, or `under` another that limits it."""
    words = [*under, sys.executable, "-m", "lrlab", "run", "mine.py", "--out", out, "--save-every", str(EVERY)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": paths}, **quiet)


def ended(process: subprocess.Popen, code: int) -> str:
    """What a process says; an error unless it ends with this code."""
    said = process.communicate()[1].strip()
    assert process.returncode == code, f"exit code {process.returncode} where {code} was due: {said}"
    return said


def goes_on(out: str) -> str:
    """What the same command says, which comes to the end that the undisturbed run came to, to the bit."""
    said = ended(start(out), 0)
    assert held(out) == held("straight"), f"{out} came to another end"
    return said


def held(out: str) -> tuple[list[str], list[tuple[str, bytes]]]:
    """The record of a run, and every array of its last checkpoint."""
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
        state = reader.restore(saved(out)[-1].resolve() / "state")
    leaves, _ = jax.tree.flatten_with_path(state)
    return record(out), [(jax.tree_util.keystr(path), np.asarray(x).tobytes()) for path, x in leaves]


def saved(out: str) -> list[Path]:
    """The checkpoints of a run, the newest last."""
    found = [path for path in Path(out).glob("checkpoints/*/*") if path.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.name))


def newest(out: str) -> int:
    return int(saved(out)[-1].name) if saved(out) else 0


def saving(out: str) -> bool:
    """Whether a save is in progress, or was when the process died: Orbax writes under another name."""
    return any(Path(out).glob("checkpoints/*/*orbax-checkpoint-tmp*"))


def record(out: str) -> list[str]:
    path = next(Path(out).glob("runs/*/*/metrics.jsonl"), None)
    return path.read_text().splitlines() if path else []


def done(out: str) -> int:
    """Updates that the last whole row of the record tells of."""
    rows = [line for line in record(out)[-2:] if line[-1:] == "}"]
    row = json.loads(rows[-1]) if rows else {"step": 0, "end": ""}
    return row["step"] + ("loss" in row)


def until(true: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait for something, or for the end of the process."""
    while process.poll() is None and not true():
        time.sleep(0.002)


def kill(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


@contextmanager
def broken_off() -> Iterator[str]:
    """A run that was killed half way, with its checkpoints of 200, 250 and 300 updates."""
    if not Path("half").exists():
        process = start("half")
        until(lambda: newest("half") >= HALF, process)
        kill(process)
    shutil.rmtree("copy", ignore_errors=True)
    shutil.copytree("half", "copy")
    yield "copy"


def again(updates: Sequence[int]) -> str:
    """Updates that were done again."""
    return f"{statistics.median(updates):.0f} [{min(updates)}, {max(updates)}] updates done again"


def line(said: str, with_: str) -> str:
    """The line of what was said that holds some words, without what it begins with."""
    found = [line for line in said.splitlines() if with_ in line]
    return found[-1].partition(": ")[2] if found else ""


# --- the faults ------------------------------------------------------------------------------------------------------


def killed(tries: int, draw: random.Random, starts: float) -> Iterator[Row]:
    """At random moments, of its start or its training; and while a save is in progress. Each run is killed until it ends."""

    def at_random(process: subprocess.Popen, out: str) -> None:
        if draw.random() < 0.3:  # while it starts
            moment = time.perf_counter() + draw.uniform(0, starts)
            until(lambda: time.perf_counter() > moment, process)
        else:
            enough = done(out) + draw.randrange(1, 200)
            until(lambda: done(out) > enough, process)

    def while_saving(process: subprocess.Popen, out: str) -> None:
        enough = newest(out) + EVERY * draw.randint(0, 3)
        until(lambda: newest(out) >= enough and saving(out), process)
        time.sleep(draw.uniform(0, 0.02))

    for fault, wait, count in (
        ("kill -9 at a random moment", at_random, 3 * tries),
        ("kill -9 while it saves", while_saving, 2 * tries),
    ):
        lost, midst, out = [], 0, ""
        while len(lost) < count:
            out = out or f"{wait.__name__}-{len(lost)}"
            process = start(out)
            wait(process, out)
            if process.poll() is None:
                kill(process)
                lost.append(done(out) - newest(out))
                midst += saving(out)
            else:  # it came to its end before
                ended(process, 0)
                goes_on(out)
                out = ""
        said = line(goes_on(out), "goes on after")
        yield Row(f"{fault}, {midst} times with a save half written", len(lost), again(lost), said)


def damaged(tries: int, draw: random.Random) -> Iterator[Row]:
    """Files of the newest checkpoint, then of all, and the record."""
    files = lambda out: [path for path in sorted(saved(out)[-1].rglob("*")) if path.is_file() and path.stat().st_size]

    def flipped(out: str) -> None:
        (path,) = draw.choices(files(out), [path.stat().st_size for path in files(out)])
        data = bytearray(path.read_bytes())
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)

    def cut_short(out: str) -> None:
        path = draw.choice(files(out))
        os.truncate(path, draw.randrange(path.stat().st_size))

    def line_cut(out: str) -> None:
        path = next(Path(out).glob("runs/*/*/metrics.jsonl"))
        os.truncate(path, path.stat().st_size - draw.randrange(1, 60))

    for fault, damage in (
        ("a bit of a checkpoint flipped", flipped),
        ("a file of a checkpoint cut short", cut_short),
        ("a file of a checkpoint missing", lambda out: draw.choice(files(out)).unlink()),
        ("the record's last line cut short", line_cut),
    ):
        lost, told = [], ""
        for _ in range(tries):
            with broken_off() as out:
                damage(out)
                said = goes_on(out)
                lost.append(done("half") - int(line(said, "goes on after").split()[-2]))
                told = line(said, "damaged") or told or line(said, "goes on after")
        yield Row(fault, tries, again(lost), told)
    with broken_off() as out:
        for folder in saved(out):
            shutil.rmtree(folder / "state")
        yield Row("every checkpoint damaged", 1, "all of it", last(ended(start(out), 3)))


def full(tries: int) -> Iterator[Row]:
    """No file may grow beyond a size, which gives the error of a full disk; later there is room again."""
    lost = []
    for _ in range(tries):
        with broken_off() as out:
            said = ended(start(out, "prlimit", "--fsize=100000"), 3)
            lost.append(done(out) - newest(out))
            goes_on(out)
    yield Row("no room for a checkpoint", tries, again(lost), last(said))


def forbidden(tries: int) -> Iterator[Row]:
    """The folder becomes read-only, for root too."""
    as_a_user = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    for _ in range(tries):
        with broken_off() as out:
            modes = {path: path.stat().st_mode for path in [Path(out), *Path(out).rglob("*")]}
            for path, mode in modes.items():
                path.chmod(mode & ~0o222)
            said = ended(start(out, *as_a_user), 3)
            for path, mode in modes.items():
                path.chmod(mode)
            assert done(out) == done("half")
            goes_on(out)
    yield Row("a folder that may not be written", tries, "nothing", last(said))


def disturbed(tries: int, draw: random.Random) -> Iterator[Row]:
    """A second process, another text, a request to stop."""
    for turn in range(tries):
        process = start(out := f"two-{turn}")
        until(lambda out=out: bool(record(out)), process)
        said = ended(start(out), 2)
        ended(process, 0)
        goes_on(out)
    yield Row("a second process on the folder", tries, "nothing", last(said))
    for turn in range(1, tries + 1):
        with broken_off() as out:
            corpus(turn)
            said = ended(start(out), 2)
            corpus(0)
            goes_on(out)
    yield Row("the text changed", tries, "nothing", last(said))
    lost = []
    for turn in range(tries):
        out, moment = f"stopped-{turn}", draw.randrange(STEPS // 2)
        process = start(out)
        until(lambda out=out, moment=moment: done(out) > moment, process)
        process.terminate()
        said = ended(process, 128 + signal.SIGTERM)
        lost.append(done(out) - newest(out))
        goes_on(out)
    yield Row("SIGTERM", tries, again(lost), last(said))


def last(said: str) -> str:
    return said.splitlines()[-1].removeprefix("lrlab: ")


def measure(tries: int) -> Iterator[Row]:
    """All faults, in the folder where it is."""
    draw = random.Random(0)
    Path("mine.py").write_text(EXPERIMENT)
    corpus(0)
    ended(start("warm"), 0)  # compiles for all
    begun, process = time.perf_counter(), start("straight")
    until(lambda: bool(record("straight")), process)
    starts = time.perf_counter() - begun
    ended(process, 0)
    few = min(tries, 2)
    yield from damaged(min(tries, 3), draw)
    yield from full(few)
    yield from forbidden(few)
    yield from disturbed(few, draw)
    yield from killed(tries, draw, starts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="each fault once or twice")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    versions = {name: importlib.metadata.version(name) for name in ("jax", "orbax-checkpoint")}
    versions["python"] = platform.python_version()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(folder, "cache")
        for row in measure(1 if given.quick else 5):
            rows.append(row)
            if not given.json:
                print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print(json.dumps({"versions": versions, "faults": [row._asdict() for row in rows]}) if given.json else versions)


if __name__ == "__main__":
    main()
