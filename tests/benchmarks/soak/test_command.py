"""Is a run that failed told apart by its exit code and its words?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.soak import command
from benchmarks.soak.figures import Figures
from benchmarks.soak.run import Soak


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "soon"])
def test_minutes_that_are_none_are_refused(minutes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["soak", "--minutes", minutes])
    assert ended.value.code == 2
    assert "write minutes" in capsys.readouterr().err


def test_a_failed_run_is_told_apart_by_its_exit_code_and_its_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], figures: Figures
) -> None:
    figures.good_failed = 1

    def run(soak: Soak) -> None:
        soak.figures = figures

    monkeypatch.setattr(command.Soak, "run", run)
    assert main(["soak", "--json", str(tmp_path / "soak.json")]) == 1
    assert "not held: good answers" in capsys.readouterr().err
    written = json.loads((tmp_path / "soak.json").read_text())
    assert [check["name"] for check in written["checks"] if not check["held"]] == ["good answers"]
    assert written["latency_us"]["chaos"]["p99"] == 2489
    figures.good_failed = 0
    assert main(["soak"]) == 0
