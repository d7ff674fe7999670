"""The README is the manual: its Python runs, its commands work, its pictures exist."""

import re
import shlex
from pathlib import Path

import pytest

from lrlab import catalogue
from lrlab.cli import _parser, main
from lrlab.override import assignment
from lrlab.study import prepare

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()


def test_the_python_blocks_run_one_after_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 6
    exec(compile("\n".join(blocks), "README.md", "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out
    for said in re.findall(r"print\(.*?\)\s+# (.*)", README):
        assert said.removesuffix(", ...]").split(", b1")[0] in printed


def test_the_module_in_the_readme_is_an_experiment(tmp_path):
    block = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "BASE" in block)
    (tmp_path / "mine.py").write_text(f'"""A claim."""\n{block}')
    module = catalogue.load(str(tmp_path / "mine.py"))
    for preset in module.PRESETS:
        assert prepare(module, "mine", preset).total == 6


@pytest.mark.parametrize("line", re.findall(r"^    lrlab ((?:show|lint) .*|list.*)$", README + TUTORIAL, re.MULTILINE))
def test_a_command_works_as_written(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line, comments=True)) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("line", re.findall(r"^    lrlab ((?:run|find|sweep) .*)$", TUTORIAL, re.MULTILINE))
def test_a_command_of_the_tutorial_is_one(line):
    """It is read to the end, and its experiment and changes are there; `scripts/pictures tutorial` runs it."""
    options = _parser().parse_args(shlex.split(line))
    prepare(
        catalogue.load(options.experiment),
        options.experiment,
        options.preset,
        options.arm,
        dict(map(assignment, options.set)),
    )


def test_every_picture_of_the_tutorial_follows_the_command_that_draws_it():
    drawn = re.findall(
        r"^    lrlab .*(?:--plot |--out )(\w+)(?:\.png)?\n\n!\[.+\]\(tutorial/(\w+)\.png\)", TUTORIAL, re.MULTILINE
    )
    assert [name for name, _ in drawn] == [picture for _, picture in drawn] == re.findall(r"\(tutorial/(\w+)", TUTORIAL)
    assert all((ROOT / "docs" / "tutorial" / f"{name}.png").is_file() for name, _ in drawn)


def test_the_table_of_the_literature_names_every_experiment():
    """All that `scripts/reproduce` runs, and gpt2 elsewhere."""
    table = re.findall(r"^\| \[(\w+)\]\(experiments/", README, re.MULTILINE)
    assert [*table, "gpt2"] == [*sorted(catalogue.names() - {"gpt2"}), "gpt2"]
    assert "(experiments/gpt2.py)" in README


def test_the_pictures_exist():
    for path in re.findall(r"\]\((docs/[^)]*|experiments/[^)]*|[A-Z]+\.md)\)", README):
        assert (ROOT / path).is_file(), path
