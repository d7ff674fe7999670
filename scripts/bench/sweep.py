"""A sweep of many runs, whole processes: lrlab against PyTorch and plain JAX, one process after another, interleaved.

python sweep.py [--models mlp-32 mlp-128 transformer] [--members 64 16] [--rounds 5] [--json]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from step import cpu, spread
from sweep_setting import MODELS

HERE = Path(__file__).resolve().parent
PEERS = {"torch": "sweep_torch", "torch, fused AdamW": "sweep_torch_fused", "plain JAX, re-jit": "sweep_jax"}
MEASURED = (
    4  # trials that a peer runs, one of each kind, from the lowest peak to near the highest; the others are multiplied
)
CORES = len(os.sched_getaffinity(0))


def run(file: str, model: str, members: int, places: list[int] | None = None, cache: Path | None = None) -> dict:
    """One process; when it had its first losses, and what each trial, or sweep, took."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "0"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as Python is at home: compiled once
    if cache is not None:
        environment |= {"JAX_ENABLE_COMPILATION_CACHE": "1", **_kept(file, cache)}
    given = [file, model, members, time.time(), *(places or ())]
    command = [sys.executable, str(HERE / "sweep_contender.py"), *map(str, given)]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def _kept(file: str, cache: Path) -> dict:
    """Where lrlab keeps its programs, and what JAX is told to keep all of them."""
    if file == "sweep_lrlab":
        return {"XDG_CACHE_HOME": str(cache)}
    least = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    return {"JAX_COMPILATION_CACHE_DIR": str(cache / "jax"), **least}


def measure(model: str, members: int, rounds: int) -> dict:
    """What the sweep takes each contender, in seconds by wall and by cpu, round by round."""
    places = [i * members // MEASURED + i for i in range(MEASURED)]
    rows, losses = {}, {}

    def note(name, seconds, found):
        rows.setdefault(name, []).append(seconds)
        if found is not None:
            losses[name] = statistics.fmean(found)

    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        for file, some in (("sweep_lrlab", None), ("sweep_jax", places)):
            run(file, model, members, some, cache)  # fills it
        for _ in range(rounds):
            for name, file in PEERS.items():
                found = run(file, model, members, places)
                note(f"{name}, one process", _whole(found, members), found["losses"])
                note(f"{name}, steady", {kind: members * each for kind, each in _each(found).items()}, None)
                if file == "sweep_torch":
                    whole = {kind: members * first for kind, first in found["first"].items()}
                    note("torch, a process each", whole, None)
            found = run("sweep_jax", model, members, places, cache)
            note("plain JAX, warm cache, one process", _whole(found, members), found["losses"])
            with ThreadPoolExecutor(CORES) as beside:
                both = list(beside.map(lambda _: run("sweep_torch_fused", model, members, places), range(CORES)))
            note(ON_EACH_CORE, _side_by_side(both, members), None)
            for name, kept in (("lrlab", None), ("lrlab, warm cache", cache)):
                found = run("sweep_lrlab", model, members, cache=kept)
                note(name, found["first"], [found["losses"][place] for place in places])
                if kept is None:
                    note("lrlab, steady", found["each"][1], None)
    return {"rows": rows, "losses": losses}


def _each(found: dict) -> dict:
    """What a trial takes a process that has trained one before."""
    return {kind: statistics.median(one[kind] for one in found["each"][1:]) for kind in found["first"]}


def _whole(found: dict, members: int) -> dict:
    """What a process takes that trains so many, one after another."""
    return {kind: found["first"][kind] + (members - 1) * each for kind, each in _each(found).items()}


def _side_by_side(found: list[dict], members: int) -> dict:
    """What as many processes take as there are cores, each with its share of the members."""
    wholes = [_whole(one, members // CORES) for one in found]
    return {"wall": max(one["wall"] for one in wholes), "cpu": sum(one["cpu"] for one in wholes)}


def ratio(rows: dict, rival: str, ours: str, kind: str) -> list[float]:
    return spread([a[kind] / b[kind] for a, b in zip(rows[rival], rows[ours])])


ON_EACH_CORE = "torch, fused AdamW, a process a core"
COMPARED = (
    ("torch, a process each", "lrlab", "lrlab, warm cache"),
    ("torch, one process", "lrlab", "lrlab, warm cache"),
    ("torch, fused AdamW, one process", "lrlab", "lrlab, warm cache"),
    (ON_EACH_CORE, "lrlab", "lrlab, warm cache"),
    ("plain JAX, re-jit, one process", "lrlab", "lrlab, warm cache"),
    ("plain JAX, warm cache, one process", "lrlab, warm cache"),
    ("torch, steady", "lrlab, steady"),
    ("torch, fused AdamW, steady", "lrlab, steady"),
)


def table(name: str, members: int, found: dict) -> str:
    rows = found["rows"]
    lines = [f"\n{name}, {members} members", f"{'':38}{'wall s':>8}{'cpu s':>8}   loss of the trials that all ran"]
    for row, seconds in rows.items():
        wall, used = (statistics.median(one[kind] for one in seconds) for kind in ("wall", "cpu"))
        loss = f"{found['losses'][row]:.4f}" if row in found["losses"] else ""
        lines.append(f"{row:38}{wall:8.2f}{used:8.2f}   {loss}")
    for rival, *ours in COMPARED:
        for our in ours:
            told = [
                f"{m:.1f} [{a:.1f}, {b:.1f}]" for m, a, b in (ratio(rows, rival, our, kind) for kind in ("wall", "cpu"))
            ]
            lines.append(f"{our + ' over ' + rival:58} wall {told[0]:22} cpu {told[1]}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--members", nargs="+", type=int, choices=(16, 32, 64), default=[64, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    print(cpu(), file=sys.stderr)
    for name in given.models:
        for members in given.members:
            found = measure(name, members, 1 if given.quick else given.rounds)
            print(
                json.dumps({"model": name, "members": members, **found}) if given.json else table(name, members, found),
                flush=True,
            )


if __name__ == "__main__":
    main()
