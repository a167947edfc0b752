"""Do results become the tables of the docs?"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import table
from benchmarks.stored import Run, as_text


def test_another_programs_json_is_refused() -> None:
    with pytest.raises(ValueError, match="kind None"):
        table.tables({"hello": 1})
    with pytest.raises(ValueError, match="format 99"):
        table.tables({"kind": "loads", "format": 99})


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
