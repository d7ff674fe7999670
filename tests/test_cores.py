"""The cores of a CPU are devices to a command that trains several runs, and nobody's settings are overruled."""

import json

import fresh
import jax
import pytest

import lrlab as lr
from lrlab import population
from lrlab.cli import cores
from lrlab.optim import sgd
from lrlab.parallel import strategy
from lrlab.task.language import Language
from lrlab.train import Member

ON_FOUR = "import sys; from lrlab.cli import cores, main; cores.count = lambda: 4; sys.exit(main())"


def ran(tmp_path, *words, out="out", **settings):
    """How the devices were shared by each run of the small experiment, on a machine with four cores, and their records."""
    module = tmp_path / "claim.py"
    module.write_text(fresh.EXPERIMENT)
    command = [words[0], str(module), *words[1:], "--json", "--out", str(tmp_path / out)]
    fresh.python(tmp_path / "home", "-c", ON_FOUR, *command, **settings)
    folders = sorted((tmp_path / out / "runs").glob("*/*"))
    told = {json.loads((folder / "provenance.json").read_text())["strategy"] for folder in folders}
    return told, [(folder / "metrics.jsonl").read_bytes() for folder in folders]


def test_every_core_trains_runs_of_its_own_and_each_is_what_it_is_on_one(tmp_path):
    shared, records = ran(tmp_path, "run", "--seeds", "6", "--block", "1")
    single, others = ran(tmp_path, "run", "--seeds", "6", "--block", "1", out="one", JAX_NUM_CPU_DEVICES="1")
    assert (shared, single) == ({"members on 4"}, {"jit on 1"})
    assert len(records) == 6
    assert records == others  # to the bit


def test_devices_never_wait_for_one_another_even_where_threads_are_few(tmp_path):
    """Saves, rungs and members that fill up a population put nothing into a program that devices would have to meet in."""
    words = ["sweep", "--seeds", "1", "--vary", "schedule.peak=0.1,0.2,0.3,0.4,0.5", "--block", "1"]
    words += ["--set", "evaluate_every=1", "--set", "chunk=1", "--halve", "1", "--save-every", "1", "--set", "steps=40"]
    shared, records = ran(tmp_path, *words, NPROC="2")
    _, others = ran(tmp_path, *words, out="one", JAX_NUM_CPU_DEVICES="1")
    assert shared == {"members on 4"}
    assert records == others


@pytest.mark.parametrize(
    ("words", "settings", "told"),
    [
        (["run", "--seeds", "2"], {}, "members on 2"),  # no more devices than runs
        (["run", "--seeds", "1"], {}, "jit on 1"),
        (["run", "--seeds", "2", "--rollback", "0.5"], {}, "jit on 1"),  # one after another
        (["run", "--seeds", "2"], {"JAX_NUM_CPU_DEVICES": "2"}, "pmap on 2"),
        (["run", "--seeds", "2"], {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, "pmap on 2"),
        (["run", "--seeds", "2", "--mesh", "data=1"], {}, "mesh data=1 on 1"),
        (["sweep", "--seeds", "1", "--vary", "schedule.peak=0.1,0.2,0.3"], {}, "members on 3"),
        (["sweep", "--seeds", "2", "--vary", "schedule.peak=0.1,0.2,0.3", "--workers", "2"], {}, "members on 2"),
    ],
)
def test_how_many_devices_a_command_makes(tmp_path, words, settings, told):
    assert ran(tmp_path, *words, **settings)[0] == {told}


def test_where_jax_has_its_devices_already_they_stay():
    assert len(jax.devices()) == 8
    assert not cores.split(4)


def test_processes_share_the_cores_unless_they_are_told_otherwise(monkeypatch):
    monkeypatch.setattr(cores, "count", lambda: 4)
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES", raising=False)
    assert [cores.environment(n)["JAX_NUM_CPU_DEVICES"] for n in (1, 2, 3, 8)] == ["4", "2", "1", "1"]
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "3")
    assert cores.environment(2)["JAX_NUM_CPU_DEVICES"] == "3"


def test_there_is_at_least_one_core():
    assert cores.count() >= 1


def test_no_more_devices_than_runs_or_than_memory_for_them(monkeypatch):
    task, member = Language(width=16, heads=2, layers=1, sequence=16), Member(0.1 * lr.stable(), sgd())
    chosen = strategy("members", 8)
    devices = lambda count: len(population.narrowed(chosen, task, member, count).devices)
    assert [devices(count) for count in (1, 3, 8, 20)] == [1, 3, 8, 8]
    assert population.narrowed(chosen, task, member, 1).name == "jit"
    needs = population._needs(task, member, chosen)[2] + population._bytes(tuple(task.load()[:2]))
    monkeypatch.setattr(population, "_memory", lambda devices: 3.5 * needs / population._SHARE)
    assert devices(8) == 3
    monkeypatch.setattr(population, "_memory", lambda devices: 1.0)
    assert devices(8) == 1  # which `size` refuses in a sentence
    assert population.narrowed(strategy("pmap", 8), task, member, 2).devices == tuple(jax.devices())
