"""What `lrlab show` draws: samples that miss nothing, a plot that any terminal can print, pictures that say it all."""

import inspect
import io
import json
import math
import re
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given
from rich.console import Console
from strategies import concrete_schedules

import lrlab as lr
from lrlab.cli import main
from lrlab.report import picture, print_schedules, sample, sparkline
from lrlab.report.sample import Sampled

WSD = "3e-4 * warmup(10) >> stable(60) >> decay(30)"

PLOT = """\
  rate
  3e-4 +    *************************
       |    *                       **
       |    *                        **
       |   **                         **
  2e-4 +   *                           **
       |   *                            **
       |   *                             **
       |  *                               **
  1e-4 +  *                                **
       |  *                                 **
       | *                                   **
       | *                                    **
     0 + *
       +-+------------------+------------------+
  step   0                 50                100
         +--+------- stable --------+-- decay -+
"""


def curve(text, steps):
    return sample(lr.parse(text).resolve(lr.Horizon(steps)), steps)


def printed(curves, encoding="utf-8", width=80, **options):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_schedules(curves, Console(file=stream, width=width), **options)
    stream.seek(0)
    return stream.read()


# ---------------------------------------------------------------------------------------------- samples


@given(concrete_schedules(), st.integers(1, 200))
def test_the_area_is_the_sum_of_the_rates(schedule, steps):
    seen = sample(schedule, steps)
    rates = schedule(np.arange(steps)).astype(float)
    assert math.isclose(seen.area, rates.sum(), rel_tol=1e-12, abs_tol=1e-30)  # float64 in another order
    assert 0 <= seen.share <= 1 + 1e-12
    assert [stretch.begin for stretch in seen.stretches] == [0, *(stretch.end for stretch in seen.stretches[:-1])]
    assert seen.stretches[-1].end == steps


@pytest.mark.parametrize(
    ("text", "area"),
    [
        ("stable()", 2e9),
        ("decay()", 1e9),  # sum of 1 - t/n is (n + 1)/2
        ("warmup(1000000) >> stable(1000000) >> decay('50%', curve=cosine)", 0.5e6 + 1e6 + 0.5e9),
        ("repeat(decay(), 50)", 1e9),
    ],
)
def test_the_area_of_a_long_run_is_that_of_the_closed_form(text, area):
    long = curve(text, 2 * 10**9)
    assert len(long.t) < 1.01 * 2**20
    assert long.area == pytest.approx(area, rel=1e-5)  # 2**20 samples, of which each cycle loses at most one to a jump


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=400), st.integers(1, 50))
@example([0.0] * 399 + [1.0], 7)
def test_thinning_keeps_the_ends_and_the_extremes(rates, bins):
    seen = Sampled(len(rates), np.arange(len(rates)), np.array(rates), [], [])
    thin = seen.thinned(bins)
    assert (thin.rate == seen.rate[thin.t]).all()
    assert (thin.t[0], thin.t[-1]) == (0, len(rates) - 1)
    assert (thin.rate.min(), thin.rate.max()) == (seen.rate.min(), seen.rate.max())
    assert len(thin.t) <= 5 * bins + 3


def test_both_sides_of_a_jump_are_sampled_in_a_long_run():
    long = curve("repeat(decay(333_333_331), 3)", 10**9)
    assert {333_333_330, 333_333_331, 666_666_661, 666_666_662} <= set(long.t.tolist())


def test_stretches_say_where_the_rate_rises_holds_and_falls():
    assert [(s.name, s.begin, s.end, s.way) for s in curve(WSD, 120).stretches] == [
        ("warmup", 0, 10, 1), ("stable", 10, 70, 0), ("decay", 70, 100, -1), ("", 100, 120, 0),
    ]  # fmt: skip
    assert [(s.name, s.way) for s in curve("warmup(10) * decay(20)", 20).stretches] == [
        ("warmup · decay", 1), ("decay", -1),
    ]  # fmt: skip
    assert curve("minimum(warmup(50), 0.6)", 100).stretches[:2] == [("warmup", 0, 30, 1), ("warmup", 30, 50, 0)]
    assert curve("table([0.2, 1, 0.2])", 3).stretches == [("table", 0, 3, 0)]


# ---------------------------------------------------------------------------------------------- the terminal


def test_the_plot_of_a_schedule():
    assert printed([curve(WSD, 100)], encoding="ascii", width=48) == PLOT


@given(st.lists(concrete_schedules(), min_size=1, max_size=4), st.sampled_from(["utf-8", "ascii", "cp1252"]), st.integers(30, 120), st.booleans())  # fmt: skip
def test_a_plot_fits_its_terminal_and_holds_no_colour_codes(schedules, encoding, width, log):
    curves = [sample(schedule, 60) for schedule in schedules]
    out = printed(curves, encoding, width, log=log)
    assert max(map(len, out.splitlines())) <= width
    assert "\x1b" not in out
    assert out.isascii() == (encoding != "utf-8")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_curves_are_told_apart_by_letters(encoding):
    apart = [curve(f"{peak} * stable()", 100) for peak in (1, 2, 3)]
    rows = printed(apart, encoding).splitlines()
    for name in "abc":
        (row,) = [row[9:] for row in rows[1:-2] if name in row[9:]]
        assert not set("abc") - {name} & set(row)
    same = printed([apart[0]] * 3, encoding).splitlines()
    assert any({"a", "b", "c"} <= set(row[9:]) for row in same[1:-2])


def test_zero_lies_under_a_log_axis_and_the_axis_says_so():
    with_zero = printed([curve("warmup(50) >> decay()", 100)], log=True)
    assert " <0.01 ┤" in with_zero
    assert "<" not in printed([curve("ramp(start=0.01, to=1)", 100)], log=True)
    straight = printed([curve("ramp(start=0.001, to=1, curve=geometric)", 1000)], "ascii", log=True).splitlines()
    stars = [row.index("*") for row in straight[1:-3]]
    assert max(np.abs(np.diff(stars[:-1], 2))) <= 1  # a geometric ramp is straight


def test_a_schedule_that_is_zero_is_drawn_on_either_axis():
    assert "\n     0 ┤ ⠒⠒⠒" in printed([curve("table([0])", 9)])
    assert "<0.1 ┤ ⠒⠒⠒" in printed([curve("table([0])", 9)], log=True)


def test_a_terminal_in_colour_gets_it():
    stream = io.StringIO()
    print_schedules([curve(WSD, 100)], Console(file=stream, force_terminal=True, color_system="truecolor", width=80))
    assert "\x1b[38;2;0;114;178m" in stream.getvalue()


def test_a_sparkline_shows_the_shape():
    assert sparkline((lr.warmup(4) >> lr.decay(4))(range(8)), width=8) == " ▂▄▆█▆▄▂"
    assert sparkline((lr.warmup(4) >> lr.decay(4))(range(8)), "ascii") == " :=*@*=:"


def test_the_gallery_holds_every_named_schedule():
    script = (Path(__file__).parent.parent / "scripts" / "pictures").read_text()
    for name, function in inspect.getmembers(lr.named, inspect.isfunction):
        if function.__module__ == lr.named.__name__ and not name.startswith("_"):
            assert f"named.{name}(" in script


# ---------------------------------------------------------------------------------------------- the command


def test_show_draws_names_and_adds_up(capsys):
    assert main(["show", "0.5 * warmup(2) >> decay(8)"]) == 0
    out = capsys.readouterr().out
    assert re.search("├─+ warmup ─+┼─+ decay ─+┤", out)
    assert "10 steps, from 0 over 0.5 at step 2 to 0.0625" in out
    assert "LR area 2.5, 50.0 % of the peak held" in out
    assert main(["show", "0.5 * decay(8)", "0.5 * decay(8)", "--log"]) == 0
    out = capsys.readouterr().out
    assert "\na  0.5 * decay(8)\n" in out
    assert "\nb  0.5 * decay(8)\n" in out


def test_json_holds_peak_and_area_and_one_entry_for_each_schedule(capsys):
    assert main(["show", "2 * decay(4)", "2 * decay(4)", "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert [(shown["peak"], shown["area"], "at" in shown) for shown in both] == [(2.0, 5.0, False)] * 2


def test_json_of_a_run_too_long_to_list_names_the_steps_of_its_values(capsys):
    assert main(["show", "repeat(decay(), 3)", "--steps", "2000000000", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["steps"] == 2_000_000_000
    assert len(shown["values"]) == len(shown["at"]) < 30_000
    assert (shown["at"][0], shown["at"][-1]) == (0, 1_999_999_999)
    schedule = lr.parse(shown["schedule"])
    assert shown["values"] == schedule(np.array(shown["at"])).tolist()


def test_a_schedule_of_many_parts_is_listed_in_part(capsys):
    assert main(["show", "repeat(decay(3), 100)"]) == 0
    out = capsys.readouterr().out
    assert out.count("  decay ") == 40
    assert "and 60 more parts" in out


@pytest.mark.parametrize(
    ("text", "empty", "played"),
    [("3e-4 * warmup('0.1%') >> decay()", "warmup", "decay"), ("table([0.1, 0.2]) >> decay(0)", "decay", "table")],
)
def test_a_part_of_no_steps_is_not_listed(text, empty, played, capsys):
    assert main(["show", text, "--steps", "100"]) == 0
    out = capsys.readouterr().out
    assert f"  {played} " in out
    assert f"  {empty} " not in out


@pytest.mark.parametrize(("suffix", "begin"), [(".png", b"\x89PNG"), (".PDF", b"%PDF"), (".svg", b"<?xml")])
def test_a_picture_has_the_format_of_its_name(tmp_path, capsys, suffix, begin):
    path = tmp_path / "new" / f"rates{suffix}"
    assert main(["show", "decay(10)", "warmup(4)", "--plot", str(path)]) == 0
    assert path.read_bytes().startswith(begin)
    printed = capsys.readouterr()
    assert "┤" not in printed.out
    assert printed.err == f"drawn into {path}\n"


@pytest.mark.parametrize("texts", [[WSD], [WSD, "1e-4 * stable()", "2e-4 * repeat(decay(3), 30)"], [f"{i}e-4 * decay()" for i in range(1, 10)], ["table([0])"]])  # fmt: skip
def test_a_picture_says_what_it_shows(texts, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(picture, "save", lambda figure, path: drawn.append(figure))
    curves = {text: curve(text, 100) for text in texts}
    picture.plot_schedules(curves, tmp_path / "rates.png")
    linear, log = drawn[0].axes[:2]
    assert (linear.get_yscale(), log.get_yscale()) == ("linear", "log")
    assert linear.get_ylim()[1] >= max(seen.peak for seen in curves.values())
    captions = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert [caption.split("   ")[0] for caption in captions] == texts
    assert all("LR area" in caption for caption in captions)
    looks = {(line.get_color(), line.get_linestyle()) for line in linear.lines}
    assert len(looks) == len(texts)
    assert all(axis.get_xlabel() == "step (optimizer updates)" for axis in drawn[0].axes[-2:])
    if texts == [WSD]:
        assert [text.get_text() for text in drawn[0].axes[2].texts] == ["warmup", "stable", "decay"]
        assert [text.get_text() for text in linear.get_legend().get_texts()] == ["rises", "holds", "falls"]
        assert len(linear.patches) == 2  # shaded behind the warm-up and the decay


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["show", "decay(10)", "--plot", str(tmp_path / "file" / "rates.png")]) == 3
    printed = capsys.readouterr()
    assert "rates.png: File exists; name a file in a folder that you may write to" in printed.err


def test_standard_output_in_ascii_gets_no_traceback(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    assert main(["show", "warmup(4) * decay(8)"]) == 0
    assert main(["show", "transformer_warmup_decay"]) == 0
    stream.seek(0)
    out = stream.read()
    assert "transformer_warmup_decay ? preset cpu" in out
    assert "\n     ..::--==++**" in out or " @" in out
