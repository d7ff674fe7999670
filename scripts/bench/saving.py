"""Saving: what a checkpoint every hundred steps costs the training of ten million parameters, ours and Orbax's own.

    python saving.py [--quick] [--json]

An MLP of 9.2 M parameters with Adam's moments, 110 MB in all; blocks of 300 steps with 3 saves, each into a new folder.
"""

import argparse
import importlib.metadata
import json
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
from schedule import spread

from lrlab.checkpoint import Checkpoints, restore

STEPS, EVERY, BATCH = 300, 100, 128
WIDTHS = [784, *[1024] * 9, 10]

OPTIMIZER = optax.adam(1e-3)


def begin():
    draw = np.random.default_rng(0)
    params = [jnp.asarray(draw.normal(size=pair) / pair[0] ** 0.5, jnp.float32) for pair in pairwise(WIDTHS)]
    return params, jax.jit(OPTIMIZER.init)(params)


def loss(params, x):
    for w in params[:-1]:
        x = jax.nn.relu(x @ w)
    return jnp.mean(jnp.square(x @ params[-1]))


@jax.jit
def batch(t):
    return jax.random.normal(jax.random.fold_in(jax.random.key(0), t), (BATCH, WIDTHS[0]))


def step(state, x):
    params, moments = state
    updates, moments = OPTIMIZER.update(jax.grad(loss)(params, x), moments)
    return optax.apply_updates(params, updates), moments


step = jax.jit(step, donate_argnums=0)


@contextmanager
def nothing(folder: Path):
    yield lambda t, state: None


@contextmanager
def orbax(folder: Path):
    options = ocp.CheckpointManagerOptions(max_to_keep=3)
    with ocp.CheckpointManager(folder, options=options) as manager:
        yield lambda t, state: manager.save(t, args=ocp.args.StandardSave(state))


@contextmanager
def ours(folder: Path):
    with Checkpoints(folder, keep=3) as checkpoints:
        yield lambda t, state: checkpoints.save(t, state, about={"schedule": "1e-3 * stable()"})


CONTENDERS = {"no saving": nothing, "Orbax's manager": orbax, "lrlab": ours}


def block(saving: Callable, folder: Path) -> dict[str, object]:
    """Seconds of a block, without and with what it writes after its last step, and milliseconds that each save took."""
    state, blocked = begin(), []
    jax.block_until_ready(state)
    begun, cpu = time.perf_counter(), time.process_time()
    with saving(folder) as save:
        for t in range(1, STEPS + 1):
            state = step(state, batch(t))
            if t % 8 == 0:
                jax.block_until_ready(state)
            if t % EVERY == 0:
                jax.block_until_ready(state)  # the wait for the steps is no cost of saving
                saved = time.perf_counter()
                save(t, state)
                blocked.append(1e3 * (time.perf_counter() - saved))
        jax.block_until_ready(state)
        trained = time.perf_counter()
    ended = {"all": time.perf_counter() - begun, "cpu": time.process_time() - cpu}
    return {"trained": trained - begun, **ended, "blocked": blocked}


def reading(folder: Path) -> float:
    """Seconds to find, read and check a checkpoint."""
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, begin())
    begun = time.perf_counter()
    jax.block_until_ready(restore(folder, begin()).state)
    return time.perf_counter() - begun


def measure(rounds: int) -> dict:
    found = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(-1, rounds):  # the first compiles
            for name, saving in CONTENDERS.items():
                taken = block(saving, Path(folder) / f"{turn}-{name}")
                found[name] += [taken] if turn >= 0 else []
        restored = spread([reading(Path(folder) / f"restored-{turn}") for turn in range(rounds)])
    base = found["no saving"]
    rows = {
        name: {
            "step_ms": spread([1e3 * one["trained"] / STEPS for one in blocks]),
            "slower": spread([one["trained"] / other["trained"] for one, other in zip(blocks, base)]),
            "slower_with_end": spread([one["all"] / other["all"] for one, other in zip(blocks, base)]),
            "cpu": spread([one["cpu"] / other["cpu"] for one, other in zip(blocks, base)]),
            "blocked_ms": spread([ms for one in blocks for ms in one["blocked"]] or [0.0]),
        }
        for name, blocks in found.items()
    }
    return {"saving": rows, "restore_s": restored}


def printed(found: dict) -> str:
    ratio = lambda values: "{:8.3f} [{:.3f}, {:.3f}]".format(*values)
    lines = [str(found["versions"]), ""]
    heads = ("step, ms", "times as long", "with the last write", "times the cpu", "held up, ms")
    lines += [f"{'':18}" + "".join(f"{head:>26}" for head in heads)]
    lines += [
        f"{name:18}" + "".join(f"{ratio(value):>26}" for value in row.values()) for name, row in found["saving"].items()
    ]
    return "\n".join([*lines, "", f"restore and check, s {ratio(found['restore_s'])}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    versions = {name: importlib.metadata.version(name) for name in ("jax", "orbax-checkpoint")} | {
        "python": platform.python_version()
    }
    found = {"versions": versions, **measure(2 if given.quick else 7)}
    print(json.dumps(found) if given.json else printed(found))


if __name__ == "__main__":
    main()
