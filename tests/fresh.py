"""A Python of its own, as a command starts it, and a small experiment for it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXPERIMENT = '''"""A claim.

Cost: nothing.
"""
from lrlab import decay
from lrlab.experiment import Experiment
from lrlab.optim import sgd
from lrlab.task.quadratic import Quadratic

BASE = Experiment(task=Quadratic(dimensions=4), schedule=0.5 * decay(), optimizer=sgd(), steps=4, batch=2)
ARMS, PRESETS, verdict = {"decay": {}}, {"cpu": {}}, lambda runs: []
'''


def python(home, *words, **settings):
    """What a Python of its own prints, with its caches in `home` and no settings of JAX but these."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(home), "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), **settings}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return done
