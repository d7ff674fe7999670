"""scripts/reproduce: experiments to one page and one table, with those that failed among them."""

import html.parser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lrlab.report import Reproduced, write_page

ROOT = Path(__file__).parent.parent
CLAIM = {
    "text": "a <b> | c",
    "holds": True,
    "measured": -0.1,
    "low": -0.2,
    "high": -0.05,
    "unit": "nats",
    "because": "3 of 3 seeds",
}


def verdict(folder, **claim):
    folder.mkdir()
    told = {"experiment": folder.name, "preset": "cpu", "wall_s": 2.0, "arms": {}, "claims": [{**CLAIM, **claim}]}
    (folder / "verdict.json").write_text(json.dumps(told))
    return Reproduced(folder.name, "A claim.\n\nMore of it.", folder)


class Balanced(html.parser.HTMLParser):
    """Fails where a tag is closed that is not the last one opened; keeps what is fetched from elsewhere."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.fetched += [value for name, value in attrs if name == "src" and not value.startswith("data:")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_escaped_and_fetches_nothing(tmp_path):
    one, lost = (
        verdict(tmp_path / "one", paper="-0.2 & more"),
        Reproduced("two", "B.", tmp_path / "two", "no data; name --data"),
    )
    write_page([one, lost], tmp_path / "index.html", tmp_path / "claims.md")
    page = (tmp_path / "index.html").read_text()
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert parser.fetched == []
    for text in (
        "a &lt;b&gt; | c",
        "-0.2 &amp; more",
        "-0.1 [-0.2, -0.05] nats",
        "no data; name --data",
        "1 of 1 claims",
    ):
        assert text in page
    experiments, claims = (tmp_path / "claims.md").read_text().split("\n\n")
    assert experiments.splitlines()[2:] == [
        "| [one](one/figure.png) | A claim. | 1 of 1 | 2 s |",
        "| two | B. | no data; name --data |  |",
    ]
    assert claims.splitlines()[2:] == ["| one | a <b> \\| c | -0.2 & more | -0.1 [-0.2, -0.05] nats | held |"]


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ({"measured": None, "low": None, "high": None}, "no number"),
        ({"measured": 2, "low": 2, "high": 2, "unit": ""}, ">2</td>"),
    ],
)
def test_numbers_read_as_what_they_are(tmp_path, claim, text):
    write_page([verdict(tmp_path / "one", **claim)], tmp_path / "index.html", tmp_path / "claims.md")
    assert text in (tmp_path / "index.html").read_text()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_needs_no_sideways_scrolling(tmp_path, width):
    one = verdict(
        tmp_path / "one", paper="-0.77 % loss at 610M parameters", text="a_name_without_a_place_to_break " * 20
    )
    (one.folder / "figure.png").write_bytes((ROOT / "docs" / "tutorial" / "basin.png").read_bytes())
    write_page(
        [one._replace(note=f"A claim.\n\n{'    a table in the note that is wide ' * 9}")],
        page := tmp_path / "index.html",
        tmp_path / "claims.md",
    )
    told = "onload = () => parent.postMessage(document.documentElement.scrollWidth + ' ' + innerWidth, '*')"
    opened = "document.querySelectorAll('details').forEach(one => one.open = true)"
    page.write_text(f"{page.read_text()}<script>{opened}; {told}</script>")
    frame = f'<iframe src="index.html" style="width: {width}px; border: 0"></iframe>'  # no window is narrower than 500
    (tmp_path / "frame.html").write_text(f"<script>onmessage = told => document.title = told.data</script>{frame}")
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=9000", "--dump-dom"]
    words += [(tmp_path / "frame.html").as_uri()]
    dom = subprocess.run(["chromium", *words], capture_output=True, text=True, timeout=120).stdout
    needed, there = map(int, re.search(r"<title>(\d+) (\d+)</title>", dom).groups())
    assert needed <= there == width


def test_an_unknown_experiment_is_refused():
    ran = subprocess.run([sys.executable, "scripts/reproduce", "nothing"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "there is no experiment nothing; `lrlab list` names them" in ran.stderr
