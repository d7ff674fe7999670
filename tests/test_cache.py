"""Compiled programs are kept by commands and not by the library, where the user's settings say, and never required."""

import json
from pathlib import Path

import pytest
from fresh import EXPERIMENT, python

from lrlab.cli import cache


def kept(home):
    return sorted(home.rglob("*-cache"))


def test_a_second_run_compiles_nothing_that_the_first_did(tmp_path):
    module = tmp_path / "claim.py"
    module.write_text(EXPERIMENT)
    home = tmp_path / "home"
    words = ["-m", "lrlab", "run", str(module), "--seeds", "1", "--json", "--out"]
    came = lambda folder: json.loads(python(home, *words, str(tmp_path / folder)).stdout)["arms"]["decay"]["final"]
    first = came("a")
    programs = kept(home)
    assert any("population" in program.name for program in programs)
    assert all(program.is_relative_to(home / "lrlab" / "programs") for program in programs)
    again = came("b")
    assert kept(home) == programs
    assert again == first  # to the bit
    for program in programs:
        program.write_bytes(program.read_bytes()[:50])  # a crash cut them short
    assert came("c") == first


WHERE = "import jax; from lrlab.cli import cache; cache.keep(); print(jax.config.jax_compilation_cache_dir)"


@pytest.mark.parametrize(
    ("code", "settings", "expected"),
    [
        (WHERE, {"JAX_COMPILATION_CACHE_DIR": "/elsewhere"}, "/elsewhere"),
        (WHERE, {"JAX_ENABLE_COMPILATION_CACHE": "0"}, "None"),
        (WHERE, {"XDG_CACHE_HOME": "/proc/nowhere"}, "None"),
        (WHERE.replace("cache.keep()", "import lrlab; lrlab.task"), {}, "None"),
    ],
    ids=["another folder", "turned off", "not writable", "the library"],
)
def test_settings_of_jax_go_first_and_the_library_sets_none(tmp_path, code, settings, expected):
    assert python(tmp_path, "-c", code, **settings).stdout.strip() == expected
    assert not list(tmp_path.iterdir())


def test_machines_with_other_instructions_have_other_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = cache.folder()
    assert here == cache.folder()
    assert here.parent == tmp_path / "lrlab" / "programs"
    monkeypatch.setattr(cache, "_cpu", lambda: "flags: fpu avx512f")
    assert cache.folder() != here
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder().is_relative_to(Path.home() / ".cache" / "lrlab")
