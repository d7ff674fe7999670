"""The house: what may import what, what `import lrlab` costs, and that every experiment runs."""

import ast
import re
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import jax
import published  # noqa: F401  names the folder of the data that others published
import pytest

from lrlab import catalogue
from lrlab.parallel import strategy
from lrlab.refusal import Lacking
from lrlab.report import plot_study
from lrlab.study import SEEDS, Watcher, prepare, run, told

ROOT = Path(__file__).parent.parent
FLOORS = {
    0: {"refusal", "node"},
    1: {"schedule"},
    2: {"optim", "task", "theory"},
    3: {"monitor", "train"},
    4: {
        "checkpoint",
        "checksum",
        "curves",
        "dashboard",
        "device",
        "distributed",
        "lock",
        "notes",
        "origin",
        "parallel",
        "plan",
        "population",
        "published",
        "record",
    },
    5: {"loop", "saving"},
    6: {"experiment", "override", "verdict", "catalogue", "rollback", "runs", "scale", "study"},
    7: {"branch", "coordinates", "sweep", "finder"},
    8: {"progress", "report"},
    9: {"cli", "__main__"},
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names}


def imports(path):
    """Modules of lrlab that a file imports anywhere, by their first name below lrlab."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lrlab":
            below = node.module.split(".")[1:]
            yield from [below[0]] if below else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("lrlab."))


@pytest.mark.parametrize("path", sorted((ROOT / "lrlab").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_its_floor_and_below(path):
    home = path.relative_to(ROOT / "lrlab").parts[0].removesuffix(".py")
    if home == "__init__":
        return
    above = {name for name in imports(path) if FLOOR.get(name, -1) > FLOOR[home]}
    assert not above, f"{home} (floor {FLOOR[home]}) imports {above}"


def test_the_guide_names_every_module_on_its_floor():
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    floors = re.split(
        r"^    (?=\d  )", guide[guide.index("## The floors") : guide.index("## Adding")], flags=re.MULTILINE
    )
    told = {
        int(text[0]): set(re.findall(r"\w+", " ".join(line[:39] for line in text.splitlines()))) for text in floors[1:]
    }
    assert all(names - {"__main__"} <= told[floor] for floor, names in FLOORS.items())


@pytest.mark.parametrize(("one", "other"), list(permutations(sorted(FLOORS[2]), 2)))
def test_optimizers_tasks_and_theory_do_not_know_each_other(one, other):
    assert not any(other in imports(path) for path in (ROOT / "lrlab" / one).glob("*.py"))


def loaded_after(code):
    """Names of the modules that a fresh Python has loaded after some code."""
    script = f"import sys; {code}; print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout.split()
    )


def test_importing_lrlab_loads_no_jax():
    assert not loaded_after("import lrlab") & {"jax", "numpy", "matplotlib", "orbax", "argparse"}


def test_schedules_load_neither_plots_nor_models():
    assert not loaded_after("import lrlab; lrlab.warmup(3)(1)") & {
        "matplotlib",
        "orbax",
        "flax",
        "optax",
        "sklearn",
        "rich",
    }


def test_orbax_loads_with_the_first_checkpoint():
    assert "orbax" not in loaded_after("import lrlab.checkpoint")


def test_sweeps_load_what_they_need_and_no_more():
    """Half of a small sweep's time would be imports."""
    loads = "import lrlab.sweep, lrlab.task.vision; lrlab.task.vision.Digits().load()"
    assert not loaded_after(loads) & {"scipy", "sklearn", "matplotlib", "orbax"}


def test_help_loads_no_jax():
    assert not loaded_after("from lrlab import cli, __main__") & {"jax", "numpy", "matplotlib"}


def test_listing_experiments_runs_none_of_them():
    assert not loaded_after("from lrlab import cli; cli.main(['list'])") & {"jax", "numpy"}


@pytest.mark.parametrize("entry", catalogue.entries(), ids=lambda entry: entry.name)
def test_every_experiment_states_its_claim_and_cost(entry):
    assert entry.claim
    assert entry.cost
    note = ast.get_docstring(ast.parse(entry.path.read_text()))
    assert "Found:" in note
    assert "Run:" in note


@pytest.mark.parametrize("entry", catalogue.entries(), ids=lambda entry: entry.name)
def test_every_experiment_comes_to_a_verdict_and_a_picture(entry, tmp_path):
    """In three steps at the first size; at the other presets it is resolved. One that trains nothing is computed in full."""
    one_device = lambda experiment: strategy(None, experiment.batch, experiment.accumulate, jax.devices()[:1])
    module = catalogue.load(entry.name)
    small = None if module.BASE is None else {"steps": 3, "evaluate_every": 3}
    if small and hasattr(module.BASE.task, "layers"):
        small["task.layers"] = 1  # compilation, which is all the time here, grows with the layers
    for preset in module.PRESETS:
        prepare(module, entry.name, preset)  # resolves at full size
    try:
        result = run(
            prepare(module, entry.name, "cpu", changes=small, seeds=small and SEEDS),
            tmp_path / "out",
            one_device,
            Watcher(),
        )
    except Lacking as lacking:
        pytest.skip(str(lacking))
    assert result["claims"]
    assert all(claim["text"] for claim in result["claims"])
    picture = (lambda: module.picture(told(result["arms"]))) if hasattr(module, "picture") else None
    assert all(path.stat().st_size for path in plot_study(tmp_path / "out", picture))
