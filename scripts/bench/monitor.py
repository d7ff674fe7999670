"""Monitoring: what each measure costs beside one gradient of a transformer of 4 layers of width 128 on 16 x 128 bytes.

python monitor.py [--quick] [--json]
"""

import argparse
import importlib.metadata
import json
import platform

import jax
import jax.numpy as jnp
from schedule import interleaved, spread

from lrlab.monitor import loss_on, sharpness, spiked, spikes, update_ratio
from lrlab.optim import group, rest
from lrlab.task.language import Language

TASK = Language(layers=4, width=128, heads=4, sequence=128)
PRODUCTS, SPIKES, RATIOS = 4, 1000, 100  # of each in one program, so that dispatching it does not count


def measure(rounds: int) -> dict:
    """CPU milliseconds of one of each, and their ratio to a gradient, in interleaved rounds."""
    train, params = jax.tree.map(jnp.asarray, (TASK.load().train, TASK.init(0)))
    loss = loss_on(TASK, train, 0, 0, examples=16)
    groups = (group("embedding"), rest())

    def ratios(params):
        one = lambda total, i: (total + update_ratio(params, jax.tree.map(lambda x: x + i, params), groups).whole, None)
        return jax.lax.scan(one, 0.0, jnp.linspace(0, 1, RATIOS))[0]

    losses = jnp.linspace(3, 2, SPIKES)
    programs = {
        "gradient": (1, jax.jit(jax.grad(loss)), (params,)),
        "update ratio, 2 groups": (RATIOS, jax.jit(ratios), (params,)),
        "spike detector": (SPIKES, jax.jit(lambda losses: jax.lax.scan(spiked, spikes(), losses)), (losses,)),
        "Hessian-vector product": (
            PRODUCTS,
            jax.jit(lambda params: sharpness(loss, params, jax.random.key(0), PRODUCTS)),
            (params,),
        ),
    }
    runs = {
        name: (lambda program=program, given=given: jax.block_until_ready(program(*given)))
        for name, (_, program, given) in programs.items()
    }
    taken = {name: [t / programs[name][0] for t in times] for name, times in interleaved(runs, rounds).items()}
    return {
        name: {
            "ms": spread([1e3 * t for t in times]),
            "gradients": spread([t / one for t, one in zip(times, taken["gradient"])]),
        }
        for name, times in taken.items()
    }


def printed(found: dict) -> str:
    ratio = lambda values: "{:10.4f} [{:.4f}, {:.4f}]".format(*values)
    rows = [f"{name:26}{ratio(row['ms'])}   {ratio(row['gradients'])}" for name, row in found["monitor"].items()]
    return "\n".join([str(found["versions"]), "", measure.__doc__, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    versions = {"jax": importlib.metadata.version("jax"), "python": platform.python_version()}
    found = {"versions": versions, "monitor": measure(5 if given.quick else 15)}
    print(json.dumps(found) if given.json else printed(found))


if __name__ == "__main__":
    main()
