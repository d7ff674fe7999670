"""One self-contained HTML page, and a Markdown table, of what many experiments came to."""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lrlab.record import read_json

_STYLE = """
:root { color-scheme: light; --ink: #1b1f24; --faint: #59636e; --line: #d1d9e0; --held: #00664b; --not: #a33c00; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: #fff;
       font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { margin: 3rem 0 .3rem; font-size: 1.25rem; }
h2 + p { margin-top: 0; font-size: 1.05rem; }
.faint { color: var(--faint); font-size: .9rem; }
a { color: #0055aa; }
img { display: block; max-width: 100%; height: auto; margin: 1rem 0; }
pre { overflow-x: auto; padding: .8rem; background: #f6f8fa; font-size: .85rem; line-height: 1.45; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.held { color: var(--held); font-weight: 600; white-space: nowrap; }
.not { color: var(--not); font-weight: 600; white-space: nowrap; }
@media (max-width: 40rem) {
  thead { display: none; } tr { display: block; padding: .6rem 0; border-bottom: 1px solid var(--line); }
  td { display: block; padding: .1rem 0; border: 0; } td[data-label]::before { content: attr(data-label) ": "; color: var(--faint); }
  td:empty { display: none; } .number { white-space: normal; }
}
"""


class Reproduced(NamedTuple):
    """An experiment, the folder that holds what it came to, and why it did not come to anything, if it did not."""

    name: str
    note: str  # the docstring of its module
    folder: Path
    failed: str = ""


def write_page(experiments: Sequence[Reproduced], page: Path, table: Path) -> None:
    """Write the page, with the figures in it, and the tables of experiments and of claims in Markdown."""
    told = [(one, None if one.failed else read_json(one.folder / "verdict.json")) for one in experiments]
    page.write_text(_page(told), encoding="utf-8")
    table.write_text(_markdown(told), encoding="utf-8")


def cost(folder: Path, verdict: Any) -> float:
    """Seconds that an experiment's runs took, or where it trains nothing its verdict; of runs that went on, since then."""
    runs = [read_json(path) for path in folder.glob("runs/*/*/provenance.json")]
    if not runs:
        return float(verdict["wall_s"])
    return float(sum((run["wall_s"] or 0.0) / run["together"] for run in runs))


def _page(told: Sequence[tuple[Reproduced, Any]]) -> str:
    claims = [claim for _, verdict in told if verdict for claim in verdict["claims"]]
    held = sum(claim["holds"] for claim in claims)
    body = [
        "<h1>What the literature says of the learning rate, and what it came to here</h1>",
        f"<p>{held} of {len(claims)} claims of {len(told)} experiments held. Intervals are 95 %, over paired seeds; a number "
        "without one was computed. A claim that does not show here may still be true at the size that its paper ran.</p>",
        _machine(told),
        '<div class="wide"><table><thead><tr><th>experiment</th><th>claims held</th><th>cost</th></tr></thead><tbody>',
        *(_row(one, verdict) for one, verdict in told),
        "</tbody></table></div>",
        *(_section(one, verdict) for one, verdict in told),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Learning rates, reproduced</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _machine(told: Sequence[tuple[Reproduced, Any]]) -> str:
    """Where the runs ran, as their records have it."""
    found = [next(iter(sorted(one.folder.glob("runs/*/*/provenance.json"))), None) for one, _ in told]
    known = [read_json(path) for path in found if path is not None]
    told_ = sorted({_of_machine(origin) for origin in known})
    return "".join(f'<p class="faint">{html.escape(text)}</p>' for text in told_)


def _of_machine(origin: Any) -> str:
    kinds = [device.removeprefix("cpu:") for device in origin["devices"]]
    devices = ", ".join(f"{kinds.count(kind)} \N{MULTIPLICATION SIGN} {kind}" for kind in dict.fromkeys(kinds))
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
    return f"{devices}; {origin['platform']}; Python {origin['python']}, {versions}"


def _row(one: Reproduced, verdict: Any) -> str:
    if verdict is None:
        return f'<tr><td>{html.escape(one.name)}</td><td class="not">{html.escape(one.failed)}</td><td></td></tr>'
    holds = [claim["holds"] for claim in verdict["claims"]]
    kind = "held" if holds and all(holds) else "not"
    return (
        f'<tr><td><a href="#{html.escape(one.name)}">{html.escape(one.name)}</a></td>'
        f'<td data-label="held" class="{kind}">{sum(holds)} of {len(holds)}</td>'
        f'<td data-label="cost" class="number">{_span(cost(one.folder, verdict))}</td></tr>'
    )


def _section(one: Reproduced, verdict: Any) -> str:
    claim, _, rest = one.note.partition("\n\n")
    parts = [
        f'<h2 id="{html.escape(one.name)}">{html.escape(one.name)}</h2>',
        f"<p>{html.escape(' '.join(claim.split()))}</p>",
    ]
    if verdict is None:
        return "".join([*parts, f'<p class="not">{html.escape(one.failed)}</p>'])
    head = "<thead><tr><th>claim</th><th>the paper</th><th>here</th><th>verdict</th></tr></thead>"
    rows = "".join(_claim(claim) for claim in verdict["claims"])
    parts.append(f'<div class="wide"><table>{head}<tbody>{rows}</tbody></table></div>')
    figure = one.folder / "figure.png"
    if figure.exists():
        data = base64.b64encode(figure.read_bytes()).decode()
        parts.append(f'<img alt="What {html.escape(one.name)} measured" src="data:image/png;base64,{data}">')
    parts.append(f"<details><summary>the note of the module</summary><pre>{html.escape(rest)}</pre></details>")
    parts.append(f'<p class="faint">lrlab run {one.name} --preset {html.escape(verdict["preset"])}</p>')
    return "".join(parts)


def _claim(claim: Any) -> str:
    because = f'<div class="faint">{html.escape(claim["because"])}</div>' if claim["because"] else ""
    kind, word = ("held", "held") if claim["holds"] else ("not", "not held here")
    return (
        f"<tr><td>{html.escape(claim['text'])}{because}</td><td data-label='the paper'>{html.escape(claim.get('paper', ''))}</td>"
        f"<td data-label='here' class='number'>{html.escape(_measured(claim))}</td><td class='{kind}'>{word}</td></tr>"
    )


def _measured(claim: Any) -> str:
    if claim["measured"] is None or not np.isfinite(claim["measured"]):
        return "no number"
    if claim["low"] == claim["high"]:
        return f"{claim['measured']:.4g} {claim['unit']}".strip()
    return f"{claim['measured']:.4g} [{claim['low']:.4g}, {claim['high']:.4g}] {claim['unit']}".strip()


def _markdown(told: Sequence[tuple[Reproduced, Any]]) -> str:
    """First what each experiment came to, then every claim; names lead to the figures, which lie in the folders."""
    short = ["| experiment | what it is about | claims held | cost |", "|---|---|---|---|"]
    long = ["| experiment | claim | the paper | here (95 % interval) | verdict |", "|---|---|---|---|---|"]
    for one, verdict in told:
        name, about = f"[{one.name}]({one.name}/figure.png)", one.note.partition("\n\n")[0]
        if verdict is None:
            short.append(_line(one.name, about, one.failed, ""))
            continue
        claims = verdict["claims"]
        held = f"{sum(claim['holds'] for claim in claims)} of {len(claims)}"
        short.append(_line(name, about, held, _span(cost(one.folder, verdict))))
        for i, claim in enumerate(claims):
            word = "held" if claim["holds"] else "**not held here**"
            long.append(_line("" if i else one.name, claim["text"], claim.get("paper", ""), _measured(claim), word))
    return "\n".join([*short, "", *long]) + "\n"


def _line(*cells: str) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _span(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
