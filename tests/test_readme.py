"""The README is the manual: its Python runs, its commands work, its pictures exist."""

import re
import shlex
from pathlib import Path

import pytest

from lrlab import catalogue
from lrlab.cli import main
from lrlab.study import prepare

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


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


@pytest.mark.parametrize("line", re.findall(r"^    lrlab ((?:show|lint) .*|list.*)$", README, re.MULTILINE))
def test_a_command_works_as_written(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line, comments=True)) == 0
    assert capsys.readouterr().out


def test_the_pictures_exist():
    for path in re.findall(r"\]\((docs/[^)]*|experiments/[^)]*|[A-Z]+\.md)\)", README):
        assert (ROOT / path).is_file(), path
