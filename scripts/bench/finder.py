"""A range test: torch-lr-finder's way, and lrlab's with one seed and with eight, each a process, their blocks interleaved.

    python finder.py [--quick] [--json]

The perceptron 64-128-128-10 on handwritten digits, batches of 128, AdamW, 100 rates from 1e-5 to 0.1, where none diverges.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time

LOW, HIGH, UPDATES, BATCH, WIDTH = 1e-5, 0.1, 100, 128, 128


def torch_finder():
    """As its README has it: a loop over a DataLoader, then the state put back."""
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # the faster for its size; no progress bar
    import torch
    from sklearn.datasets import load_digits
    from torch import nn
    from torch_lr_finder import LRFinder

    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor((images - images.mean()) / images.std(), dtype=torch.float32)[:1437]
    data = torch.utils.data.TensorDataset(images, torch.tensor(labels)[:1437])
    loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True, drop_last=True)
    model = nn.Sequential(
        nn.Linear(64, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10)
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=LOW)

    def run() -> int:
        finder = LRFinder(model, optimizer, nn.CrossEntropyLoss())
        with contextlib.redirect_stdout(None):
            finder.range_test(loader, end_lr=HIGH, num_iter=UPDATES)
        finder.reset()
        return len(finder.history["loss"])

    return run


def lrlab(seeds: int, validate: bool = False):
    """From the initial values to the suggestions."""
    import numpy as np

    import lrlab as lr
    from lrlab.experiment import Experiment
    from lrlab.task.vision import Digits

    task = Digits(hidden=(WIDTH, WIDTH))
    experiment = Experiment(task, lr.warmup("10%") >> lr.decay(), lr.optim.adamw(), steps=1000, batch=BATCH)

    def run() -> int:
        test = lr.finder.find(experiment, seeds, LOW, HIGH, UPDATES, validate=validate)
        return int(np.isfinite(test.losses).sum()) // seeds

    return run


CONTENDERS = {
    "torch-lr-finder": torch_finder,
    "lrlab, 1 seed": lambda: lrlab(1),
    "lrlab, 8 seeds": lambda: lrlab(8),
    "lrlab, 8 seeds, short runs": lambda: lrlab(8, validate=True),
}
BASE = "torch-lr-finder"


def contend(name: str) -> None:
    """For each number read, so many range tests, and what one of them costs."""
    run = CONTENDERS[name]()
    for line in sys.stdin:
        times, wall, cpu = int(line), time.perf_counter(), time.process_time()
        updates = [run() for _ in range(times)]
        cost = {"wall": (time.perf_counter() - wall) / times, "cpu": (time.process_time() - cpu) / times}
        print(json.dumps({**cost, "updates": min(updates)}), flush=True)


def spread(values: list[float]) -> list[float]:
    return [statistics.median(values), min(values), max(values)]


def measure(rounds: int) -> dict:
    """Seconds of the first test of a process and of later ones, and how many times as fast these are as torch's."""
    command, pipes = [sys.executable, __file__, "--contend"], {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = {name: subprocess.Popen([*command, name], text=True, **pipes) for name in CONTENDERS}

    def ask(name: str, times: int) -> dict:
        print(times, file=processes[name].stdin, flush=True)
        return json.loads(processes[name].stdout.readline())

    first = {name: ask(name, 1) for name in CONTENDERS}
    assert {cost["updates"] for cost in first.values()} == {UPDATES}  # none ended early
    taken, order = {name: [] for name in CONTENDERS}, random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(CONTENDERS), len(CONTENDERS)):
            taken[name].append(ask(name, 3))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return {
        name: {
            "first_s": first[name]["wall"],
            "ms": {kind: spread([1e3 * cost[kind] for cost in costs]) for kind in ("wall", "cpu")},
            "speed": {
                kind: spread([base[kind] / cost[kind] for cost, base in zip(costs, taken[BASE])])
                for kind in ("wall", "cpu")
            },
        }
        for name, costs in taken.items()
    }


def printed(found: dict) -> str:
    lines = [
        str(found["versions"]),
        f"{'':28}{'first s':>8}{'wall ms':>9}{'cpu ms':>9}   speed, wall        speed, cpu",
    ]
    for name, row in found["contenders"].items():
        ratios = "  ".join("{:5.2f} [{:.2f}, {:.2f}]".format(*values) for values in row["speed"].values())
        lines.append(f"{name:28}{row['first_s']:8.2f}{row['ms']['wall'][0]:9.1f}{row['ms']['cpu'][0]:9.1f}   {ratios}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--contend", choices=CONTENDERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contend:
        return contend(given.contend)
    from importlib.metadata import version

    versions = {name: version(name) for name in ("jax", "torch", "torch-lr-finder")}
    found = {
        "versions": versions | {"python": platform.python_version()},
        "contenders": measure(5 if given.quick else 15),
    }
    print(json.dumps(found) if given.json else printed(found))
    return None


if __name__ == "__main__":
    main()
