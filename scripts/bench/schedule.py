"""Schedules: what one costs inside a compiled step and on the host, what each of the museum costs, how right the last steps are.

    python schedule.py [--quick] [--json]

lrlab is measured where it can be imported, beside optax, torch and a closed form in float64.
"""

import argparse
import importlib.metadata
import json
import math
import platform
import random
import re
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

try:
    import lrlab as lr
    from lrlab.schedule.notation import public
except ImportError:
    lr = None

PEAK, WARMUP, STEPS = 3e-4, 100, 1000
CHUNK = 500  # steps of one compiled scan


def contenders(steps: int) -> dict:
    """Schedules of the same length, each name with a function of the step."""
    found = {
        "optax cosine": optax.warmup_cosine_decay_schedule(0.0, PEAK, WARMUP, steps),
        "optax join": optax.join_schedules(
            [
                optax.linear_schedule(0.0, PEAK, WARMUP),
                optax.constant_schedule(PEAK),
                optax.cosine_decay_schedule(PEAK, steps // 5),
            ],
            [WARMUP, steps - steps // 5],
        ),
    }
    if lr is not None:
        horizon = lr.Horizon(steps=steps)
        written = {
            "lrlab cosine": PEAK * lr.warmup(WARMUP) >> lr.decay(curve=lr.cosine),
            "lrlab wsd": PEAK * lr.warmup(WARMUP) >> lr.stable() >> lr.decay("20%", curve=lr.cosine),
        }
        found |= {name: s.resolve(horizon) for name, s in written.items()}
    return found


def torch_lambda(steps: int):
    """The function that one gives to torch's LambdaLR: a closed form in Python floats."""

    def rate(t: int) -> float:
        if t < WARMUP:
            return PEAK * t / WARMUP
        return PEAK * 0.5 * (1 + math.cos(math.pi * min(1.0, (t - WARMUP) / (steps - WARMUP))))

    return rate


def spread(values: list[float]) -> list[float]:
    return [statistics.median(values), min(values), max(values)]


def interleaved(runs: dict, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each, in another order every round."""
    taken = {name: [] for name in runs}
    for run in runs.values():
        run()
    order = random.Random(0)
    for _ in range(rounds):
        for name in order.sample(list(runs), len(runs)):
            began = time.process_time()
            runs[name]()
            taken[name].append(time.process_time() - began)
    return taken


def inside(rounds: int) -> dict:
    """Microseconds that a schedule adds to a step of a perceptron (64-32-10, Adam, batch 64) inside one scan."""
    draw = np.random.default_rng(0)
    x, y = jnp.float32(draw.standard_normal((64, 64))), jnp.asarray(draw.integers(10, size=64))
    shapes = ((64, 32), (32, 10))
    params = [jnp.float32(draw.standard_normal(s) / math.sqrt(s[0])) for s in shapes]

    def loss(p):
        logits = jax.nn.relu(x @ p[0]) @ p[1]
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    def program(schedule):
        tx = optax.adam(schedule)

        def step(state, _):
            params, moments = state
            updates, moments = tx.update(jax.grad(loss)(params), moments)
            return (optax.apply_updates(params, updates), moments), None

        start = (params, tx.init(params))
        chunk = jax.jit(lambda s: lax.scan(step, s, length=CHUNK)[0])
        return lambda: jax.block_until_ready(chunk(start))

    taken = interleaved({"constant": program(PEAK)} | {n: program(s) for n, s in contenders(STEPS).items()}, rounds)
    base = taken["constant"]
    return {
        name: {
            "us": spread([1e6 * t / CHUNK for t in times]),
            "added us": spread([1e6 * (t - b) / CHUNK for t, b in zip(times, base)]),
            "ratio": spread([t / b for t, b in zip(times, base)]),
        }
        for name, times in taken.items()
    }


def host(rounds: int) -> dict:
    """Microseconds of one value at a Python int, and milliseconds of a million."""
    singles, million = 200, np.arange(10**6, dtype=np.int32)
    one, many = {}, {}
    for name, schedule in contenders(10**6).items():
        one[name] = lambda s=schedule: [float(s(t)) for t in range(500, 500 + singles)]
        many[name] = lambda s=schedule: np.asarray(s(million))
    closed = torch_lambda(10**6)
    one["torch lambda"] = lambda: [closed(t) for t in range(500, 500 + singles)]
    many["torch lambda"] = lambda: [closed(t) for t in range(10**6)]
    single, array = interleaved(one, rounds), interleaved(many, max(3, rounds // 3))
    return {
        name: {
            "us a value": spread([1e6 * t / singles for t in single[name]]),
            "ms a million": spread([1e3 * t for t in array[name]]),
        }
        for name in one
    }


def museum(rounds: int) -> dict:
    """Every schedule of lr.named, as its docstring writes it, at a million steps in one compiled call: times one jnp.cos."""
    if lr is None:
        return {}
    million = jnp.arange(10**6, dtype=jnp.int32)
    fractions = million / 10**6
    run = lr.Horizon(steps=10**6, batch=512, sequence=1024, epoch=512 * 5000)

    def call(function, steps):
        compiled = jax.jit(function)
        return lambda: jax.block_until_ready(compiled(steps))

    calls = {"jnp.cos": call(jnp.cos, fractions)}
    for name, function in public(lr.named).items():
        text = re.search(r">>> (.*)", function.__doc__).group(1).replace("curves.", "")
        calls[name] = call(lr.parse(f"named.{text}").resolve(run), million)
    taken = interleaved(calls, rounds)
    return {name: {"times cos": spread([t / c for t, c in zip(taken[name], taken["jnp.cos"])])} for name in calls}


def exact(shape: str, left: int, total: int) -> float:
    """The gain with `left` of `total` steps to go, in float64 and without cancellation."""
    return left / total if shape == "linear" else math.sin(0.5 * math.pi * left / total) ** 2


def precision() -> dict:
    """Largest relative error over the last ten steps of a decay from 1 to 0, compiled, against float64."""
    found = {}
    for total in (10**4, 10**5, 10**6, 10**8, 2**31 - 1):
        steps = np.arange(total - 10, total).astype(np.int32)
        for shape in ("cosine", "linear"):
            made = {
                "optax": optax.cosine_decay_schedule(1.0, total)
                if shape == "cosine"
                else optax.linear_schedule(1.0, 0.0, total)
            }
            if lr is not None:
                made["lrlab"] = lr.decay(curve=getattr(lr, shape)).resolve(lr.Horizon(steps=total))
            truth = np.array([exact(shape, total - int(t), total) for t in steps])
            for name, schedule in made.items():
                values = np.asarray(jax.jit(schedule)(jnp.asarray(steps)), np.float64)
                found[f"{name} {shape}, {total} steps"] = float(np.max(np.abs(values - truth) / truth))
    return found


def printed(found: dict) -> str:
    def ratio(values: list[float]) -> str:
        return "{:9.3f} [{:.3f}, {:.3f}]".format(*values)

    lines = [str(found["versions"])]
    for part, title in (("inside", inside.__doc__), ("host", host.__doc__), ("museum", museum.__doc__)):
        lines += ["", title, f"{'':18}" + "".join(f"{kind:>32}" for kind in next(iter(found[part].values())))]
        lines += [f"{n:18}" + "".join(f"{ratio(v):>32}" for v in row.values()) for n, row in found[part].items()]
    lines += ["", precision.__doc__, *(f"{name:34}{error:12.2e}" for name, error in found["precision"].items())]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rounds = 5 if given.quick else 21
    versions = {name: importlib.metadata.version(name) for name in ("jax", "optax", "numpy")}
    found = {
        "versions": versions | {"python": platform.python_version()},
        "inside": inside(rounds),
        "host": host(rounds),
        "museum": museum(rounds),
        "precision": precision(),
    }
    print(json.dumps(found) if given.json else printed(found))


if __name__ == "__main__":
    main()
