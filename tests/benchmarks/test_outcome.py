"""What becomes of a run: JSON and back, the terminal's lines, the plot, the docs' tables?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import table
from benchmarks.plot import svg
from benchmarks.report import lines
from benchmarks.results import Summary, summarize
from benchmarks.stored import Run, as_text, read
from benchmarks.visit import Visit

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def run() -> Run:
    visits = []
    for load in ("64x1", "64x16"):
        for number in range(3):
            visits += [
                Visit(load, "ours", number, rate=230 + number, cpu_us=4.0, p50_us=1, p99_us=2, max_us=3),
                Visit(load, "uvloop", number, rate=100, cpu_us=9.0),
                Visit(load, "c", number, rate=300, cpu_us=3.0, generator_cpu=0.95, server_cpu=0.5),
                Visit(load, "<odd> & co", number, rate=50, cpu_us=20.0),
            ]
    visits.append(Visit("64x1", "trio", 0, broken="it could not be started: no trio"))
    where = {"python": "3.11.7", "processor": "a processor", "cores": 2, "system": "Linux", "kernel": "6.1-x"}
    loads = {"64x1": "64 connections, depth 1", "64x16": "64 connections, depth 16"}
    peers = {"ours": "us", "uvloop": "them", "c": "the limit", "<odd> & co": "odd"}
    return Run(where, {"rounds": 3, "seconds": 1.0}, loads, peers, {"gevent": "not installed"}, visits)


def test_a_run_survives_its_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(as_text(run))
    found = json.loads((tmp_path / "run.json").read_text())
    assert read(found) == run
    assert len(found["summaries"]) == len(run.summaries())


def test_another_programs_json_is_refused() -> None:
    with pytest.raises(ValueError, match="kind None"):
        table.tables({"hello": 1})
    with pytest.raises(ValueError, match="format 99"):
        table.tables({"kind": "loads", "format": 99})


def test_the_terminal_is_told_of_every_server_and_of_what_must_be_known(run: Run) -> None:
    told = "\n".join(lines(run.summaries()))
    assert "2.31" in told
    assert "the generator was the bottleneck (its core 95% busy, the server's 50%)" in told
    assert "BROKEN: it could not be started: no trio" in told


def of_two(rounds: int, generator_cpu: float) -> list[Summary]:
    """Our server beside the one before: as many requests per second, at nine tenths of the processor time."""
    us = {"before": 10.0, "ours": 9.0}
    visits = [
        Visit("oneshot", peer, number, 1000.0, us[peer], 0.5, generator_cpu, requests=1000)
        for number in range(rounds)
        for peer in us
    ]
    return summarize(visits)


def test_a_change_is_told_to_the_thousandth_and_what_was_not_visited_has_no_column() -> None:
    told = lines(of_two(3, generator_cpu=0.5))
    assert told[2].split()[:6] == ["peer", "req/s", "x", "before", "(min..max)", "by"]
    assert "uvloop" not in told[2]
    assert ["ours", "1,000", "1.000", "(1.00..1.00)", "1.111"] in [line.split()[:5] for line in told]


def test_where_the_generator_was_the_limit_processor_time_comes_first() -> None:
    told = [line for line in lines(of_two(3, generator_cpu=0.95)) if "bottleneck" not in line]
    assert "x before by cpu" in told[2]
    assert [line.split()[0] for line in told[3:]] == ["ours", "before"]
    assert told[3].split()[2:5] == ["1.111", "(1.11..1.11)", "1.000"]


def test_the_plot_has_a_bar_for_each_ratio_and_escapes_names(run: Run) -> None:
    root = ElementTree.fromstring(svg(run.summaries(), run.loads, run.caption()))
    titles = [element.text for element in root.iter(f"{SVG}title")]
    assert len(titles) == 8
    assert "ours: 2.31 (2.30 to 2.32, 3 rounds)" in titles
    assert any(title and title.startswith("<odd> & co") for title in titles)


def test_the_plots_bars_stay_within_it(run: Run) -> None:
    root = ElementTree.fromstring(svg(run.summaries(), run.loads, run.caption()))
    widths = [float(element.get("width", 0)) for element in root.iter(f"{SVG}rect")]
    assert max(widths[1:]) < float(root.get("width", 0)) / 2
    assert all(width >= 0 for width in widths)


def test_the_plot_is_legible_in_light_and_dark(run: Run) -> None:
    drawn = svg(run.summaries(), run.loads, run.caption())
    assert "prefers-color-scheme: dark" in drawn
    assert 'class="surface"' in drawn


def test_an_empty_run_can_be_drawn_and_told() -> None:
    assert ElementTree.fromstring(svg([], {}, "")).tag == f"{SVG}svg"
    assert lines([]) == []


def test_the_tables_have_a_row_for_each_load(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(as_text(run))
    made = table.tables(json.loads((tmp_path / "run.json").read_text()))
    assert made["ratios"].count("\n") == 3
    assert "| `64x1` | 2.31 | 1.00 | 3.00 | 0.50 |" in made["ratios"]
    assert "**2.31** (2.30 to 2.32)" in made["ours"]
    assert "(generator-bound)" in made["loads"]


def test_what_was_aimed_at_stands_beside_what_was_reached(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(as_text(run))
    rows = table.tables(json.loads((tmp_path / "run.json").read_text()))["aims"].splitlines()[2:]
    assert rows == [
        "| `64x1` | uvloop | yes | 2.00 | **2.31** (2.30 to 2.32) |",
        "| `64x16` | uvloop | no | 5.00 | **2.31** (2.30 to 2.32) |",
        "| `64x1` | c | yes (generator-bound) | 0.66 | **0.77** (0.77 to 0.77) |",
        "| `64x16` | c | yes (generator-bound) | 0.30 | **0.77** (0.77 to 0.77) |",
        "| `64x1` | c against uvloop | yes | 3.00 | **3.00** (3.00 to 3.00) |",
    ]


def test_tables_replace_what_is_between_their_markers_and_nothing_else() -> None:
    document = "Before.\n<!-- benchmarks: a -->\nold\n<!-- /benchmarks: a -->\nAfter.\n"
    made, homeless = table.put_into(document, {"a": r"| new \1 |", "b": "x"})
    assert made == "Before.\n<!-- benchmarks: a -->\n| new \\1 |\n<!-- /benchmarks: a -->\nAfter.\n"
    assert homeless == ["b"]


def test_putting_tables_into_a_document_twice_changes_nothing() -> None:
    document = "<!-- benchmarks: a -->\n<!-- /benchmarks: a -->\n"
    once, _ = table.put_into(document, {"a": "| x |"})
    assert table.put_into(once, {"a": "| x |"})[0] == once


def test_memorys_figures_become_a_table() -> None:
    footprint = {"empty": 2**20, "idle": 450.4, "asked_again": 451.0, "closed": 10.0, "second_wave": 452.0}
    made = table.tables({"kind": "memory", "connections": 10_000, "footprints": {"ours": footprint}})
    assert "| ours | 1.0 | 450 | 451 | 10 | 452 |" in made["memory"]


def test_the_command_writes_into_a_document(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text(as_text(run))
    (tmp_path / "doc.md").write_text("<!-- benchmarks: ratios -->\n<!-- /benchmarks: ratios -->\n")
    assert table.main([str(tmp_path / "run.json"), "--into", str(tmp_path / "doc.md")]) == 0
    assert "| `64x1` |" in (tmp_path / "doc.md").read_text()
    assert "no markers for loads" in capsys.readouterr().err


def test_into_a_directory_each_table_becomes_a_file_that_says_when_and_where(run: Run, tmp_path: Path) -> None:
    environment = {"commit": "abc1234", "date": "2026-11-21", "python": "3.11.7", "processor": "AMD", "cores": 2}
    known = replace(run, environment=environment | {"system": "Linux", "kernel": "6.18"})
    (tmp_path / "run.json").write_text(as_text(known))
    assert table.main([str(tmp_path / "run.json"), "--into", str(tmp_path)]) == 0
    lines = (tmp_path / "aims.txt").read_text().splitlines()
    assert lines[:2] == ["Commit abc1234, 2026-11-21. Python 3.11.7, AMD, 2 cores, Linux 6.18.", ""]
    assert lines[2].split() == ["load", "against", "reached", "at", "least", "measured"]
    assert not list(tmp_path.glob("*environment*"))
    assert {len(line) for line in lines[2:]} == {len(lines[2])}, "the last column stands to the right"


def test_a_run_of_an_older_file_says_that_its_commit_is_not_known() -> None:
    assert table.label({"kind": "memory"}).startswith("Commit unknown, date unknown. ")


def test_only_some_tables_are_made(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.json").write_text(as_text(run))
    assert table.main([str(tmp_path / "run.json"), "--only", "aims-environment"]) == 0
    assert capsys.readouterr().out.startswith("<!-- benchmarks: aims-environment -->\nPython ")
    assert table.main([str(tmp_path / "run.json"), "--only", "aims,none"]) == 2
    assert "no 'none'" in capsys.readouterr().err


def test_the_command_says_what_is_wrong_with_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.json").write_text("{}")
    assert table.main([str(tmp_path / "bad.json")]) == 2
    assert "no results of this program" in capsys.readouterr().err
