"""Start-up: whole processes, from their start to their end, interleaved: --help, imports, the first step of a medium model.

python start.py [--rounds N] [--quick] [--json]

The first step is that of 6 layers of width 256 on 8 x 256 bytes (4.9 M parameters), from nothing, initial values and data
included; with an empty cache of compiled programs and with one that an earlier process filled.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

FIRST_STEP = """
import sys
from lrlab.cli import cache
cache.keep()
import peer_lrlab
from setting import Setting
peer_lrlab.CHUNK = 1
peer_lrlab.make(Setting(6, 256, 8, 256, 8))(1)
"""
PROCESSES = {  # name: (arguments of Python, which cache)
    "python": (["-c", "pass"], "warm"),
    "import lrlab": (["-c", "import lrlab"], "warm"),
    "lrlab --help": (["-m", "lrlab", "--help"], "warm"),
    "import jax": (["-c", "import jax"], "warm"),
    "first step, warm cache": (["-c", FIRST_STEP], "warm"),
    "first step, empty cache": (["-c", FIRST_STEP], "empty"),
}


def seconds(words: list[str], cache: str) -> tuple[float, float]:
    """What one process takes: by the clock, and of processors, which suffers least from neighbours."""
    here = os.path.dirname(os.path.abspath(__file__))
    environment = {
        k: v for k, v in os.environ.items() if k not in ("JAX_COMPILATION_CACHE_DIR", "PYTHONDONTWRITEBYTECODE")
    }
    path = os.pathsep.join([here, os.path.dirname(os.path.dirname(here))])
    environment |= {"XDG_CACHE_HOME": cache, "JAX_PLATFORMS": "cpu", "PYTHONPATH": path}
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *words], check=True, env=environment, stdout=subprocess.DEVNULL)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, used


def measure(rounds: int) -> dict[str, list[tuple[float, float]]]:
    times, order = {name: [] for name in PROCESSES}, random.Random(0)
    with tempfile.TemporaryDirectory() as warm:
        for name, (words, _) in PROCESSES.items():  # writes byte code, fills the caches
            if name != "first step, empty cache":
                seconds(words, warm)
        for _ in range(rounds):
            for name in order.sample(list(PROCESSES), len(PROCESSES)):
                words, cache = PROCESSES[name]
                with tempfile.TemporaryDirectory() as empty:
                    times[name].append(seconds(words, warm if cache == "warm" else empty))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    times = measure(3 if given.quick else given.rounds)
    spread = lambda row: [statistics.median(row), min(row), max(row)]
    found = {name: dict(zip(("wall", "cpu"), map(spread, zip(*rows)))) for name, rows in times.items()}
    if given.json:
        print(json.dumps(found))
        return
    for name, kinds in found.items():
        told = (f"{kind} {1e3 * m:6.0f} ms [{1e3 * a:.0f}, {1e3 * b:.0f}]" for kind, (m, a, b) in kinds.items())
        print(f"{name:26}" + "   ".join(f"{part:32}" for part in told))


if __name__ == "__main__":
    main()
