"""Groups of parameters: what a hundred with schedules of their own add to a transformer's step; how long 64 schedules trace.

    python groups.py [--quick] [--json]

The transformer has a hundred parameter arrays, so that each can be a group: 16 layers of width 64, 8 x 64 bytes, AdamW.
"""

import argparse
import importlib.metadata
import json
import platform
import time
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from schedule import interleaved, spread

import lrlab as lr
from lrlab.optim import adamw, group
from lrlab.parallel import compiled, strategy
from lrlab.population import stack
from lrlab.task.language import Language
from lrlab.train import Member

CHUNK, BATCH, STEPS = 16, 8, 1000
TASK = Language(layers=16, width=64, heads=4, sequence=64)


def paths() -> list[str]:
    leaves = jax.tree_util.tree_flatten_with_path(TASK.init(0))[0]
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves]


def groups(own):
    """One group for each parameter; `own(i)` is its schedule."""
    return tuple(group(f"^{path}$".replace(".", r"\."), schedule=own(i)) for i, path in enumerate(paths()))


def step(rounds: int) -> dict:
    """Step of the transformer: CPU milliseconds, and their ratio to one schedule for all, in interleaved blocks of 16."""
    rate = lambda i: (1e-3 * (1 + i / 100)) * lr.warmup(10 + i) >> lr.stable(500) >> lr.decay(490 - i, curve=lr.cosine)
    members = {
        "one schedule": Member(rate(0), adamw(), 0, 1.0),
        "100 multipliers": Member(rate(0), adamw(), 0, 1.0, groups=tuple(
            one.replace(rate=0.5 + i / 100) for i, one in enumerate(groups(lambda i: None))
        )),
        "100 schedules": Member(rate(0), adamw(), 0, 1.0, groups=groups(rate)),
        "100 schedules as tables": Member(rate(0), adamw(), 0, 1.0, groups=groups(lambda i: lr.table(rate(i), STEPS))),
    }  # fmt: skip
    here = strategy(None, BATCH, 1, jax.devices()[:1])
    train, chunk = here.put(TASK.load().train), compiled(here, TASK, BATCH, 1, CHUNK, 1)

    def program(member):
        members = here.deal(stack([member]))
        state = [here.begin(TASK, members)]

        def run():
            state[0], metrics = chunk(state[0], members, np.ones(1, bool), train, np.int32(CHUNK))
            jax.block_until_ready(metrics)

        return run

    taken = interleaved({name: program(member) for name, member in members.items()}, rounds)
    base = taken["one schedule"]
    return {
        name: {
            "ms": spread([1e3 * t / CHUNK for t in times]),
            "ratio": spread([t / b for t, b in zip(times, base)]),
        }
        for name, times in taken.items()
    }


def trace(rounds: int) -> dict:
    """Seconds for one program that holds 64 schedules, no two of one form, at a traced step."""
    warmups = [lr.warmup(10, curve=curve) for curve in (lr.linear, lr.cosine, lr.sqrt, lr.power(2))]
    middles = [lr.stable(10), lr.rsqrt(10, 20), lr.repeat(lr.ramp(5, start=1, to=0.5), 3), lr.ramp(9, start=1, to=0.5)]
    decays = [lr.decay(50, to=0.1, curve=curve) for curve in (lr.linear, lr.cosine, lr.sqrt, lr.geometric)]
    schedules = [1e-3 * a >> b >> c for a, b, c in product(warmups, middles, decays)]
    assert len({jax.tree.structure(schedule) for schedule in schedules}) == 64
    found = {"trace": [], "lower": [], "compile": []}
    for _ in range(rounds):
        jax.clear_caches()
        marks = [time.perf_counter()]
        traced = jax.jit(lambda t: jnp.stack([schedule(t) for schedule in schedules])).trace(jnp.int32(0))
        marks.append(time.perf_counter())
        lowered = traced.lower()
        marks.append(time.perf_counter())
        lowered.compile()
        marks.append(time.perf_counter())
        for name, begun, ended in zip(found, marks, marks[1:]):
            found[name].append(ended - begun)
    return {name: spread(times) for name, times in found.items()}


def printed(found: dict) -> str:
    ratio = lambda values: "{:9.3f} [{:.3f}, {:.3f}]".format(*values)
    lines = [str(found["versions"]), "", step.__doc__]
    lines += [f"{name:26}{ratio(row['ms'])}   {ratio(row['ratio'])}" for name, row in found["step"].items()]
    lines += ["", trace.__doc__, *(f"{name:26}{ratio(row)}" for name, row in found["trace"].items())]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    versions = {name: importlib.metadata.version(name) for name in ("jax", "optax")} | {
        "python": platform.python_version()
    }
    found = {"versions": versions, "step": step(5 if given.quick else 21), "trace": trace(3 if given.quick else 7)}
    print(json.dumps(found) if given.json else printed(found))


if __name__ == "__main__":
    main()
