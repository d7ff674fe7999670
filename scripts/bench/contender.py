"""One contender in its own process: reads a number of steps, runs them, writes what they cost.

    python contender.py FILE '{"layers": 4, ...}'

FILE defines `make(setting) -> run`, and `run(steps) -> loss`: train that many more steps and return the loss of the
last one as a float, or None if nothing is trained. For each line read, one JSON line is written: {"wall": s, "cpu": s,
"loss": x}; the first, unasked, holds {"versions": ..., "device": ...}. Standard output belongs to the protocol: what the contender
prints goes to standard error.
"""

import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from pathlib import Path


def device() -> str:
    """The kind of GPU that the contender runs on, as its maker calls it, or "cpu"."""
    if "jax" in sys.modules:
        return sys.modules["jax"].devices()[0].device_kind
    cuda = sys.modules["torch"].cuda
    return cuda.get_device_name(0) if cuda.is_available() else "cpu"


def main() -> None:
    path, given = sys.argv[1:]
    values = json.loads(given)
    os.environ["OMP_NUM_THREADS"] = str(values["threads"])  # before torch is imported
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the contenders share a GPU's memory
    replies, sys.stdout = sys.stdout, sys.stderr
    from setting import Setting

    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = module.make(Setting(**values))
    versions = {name: importlib.metadata.version(name) for name in ("jax", "optax", "torch") if name in sys.modules}

    def reply(**fields) -> None:
        print(json.dumps(fields), file=replies, flush=True)

    reply(versions=versions, device=device())
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        loss = run(int(line))
        reply(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu, loss=loss)


if __name__ == "__main__":
    main()
