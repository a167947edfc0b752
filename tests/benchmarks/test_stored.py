"""Does a run survive its file?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.stored import Run, as_text, read


def test_a_run_survives_its_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(as_text(run))
    found = json.loads((tmp_path / "run.json").read_text())
    assert read(found) == run
    assert len(found["summaries"]) == len(run.summaries())


def test_another_format_is_refused(run: Run) -> None:
    found = json.loads(as_text(run))
    with pytest.raises(ValueError, match="not a run of format 1: kind 'loads', format 2"):
        read(found | {"format": 2})
    with pytest.raises(ValueError, match="kind 'memory'"):
        read(found | {"kind": "memory"})


def test_what_a_later_run_knows_more_of_a_visit_is_left_out(run: Run) -> None:
    found = json.loads(as_text(run))
    found["visits"][0]["weather"] = "fair"
    assert read(found).visits == run.visits


def test_the_caption_says_where_and_how_often(run: Run) -> None:
    assert run.caption() == (
        "Python 3.11.7, a processor, 2 cores, Linux 6.1-x; medians of 3 rounds of 1 s, with the lowest and the highest"
    )
