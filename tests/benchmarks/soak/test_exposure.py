"""Is what one peer can cost measured, and nothing else?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.soak import exposure
from tests.benchmarks.soak import linux


@linux
def test_the_exposure_of_a_large_content_is_some_32_times_what_was_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exposure, "SETTLE", 0.1)
    monkeypatch.setitem(exposure.MEASURED, "announced", lambda: exposure.announced(530_000, 2))
    assert main(["exposure", "--only", "announced", "--json", str(tmp_path / "exposure.json")]) == 0
    assert "530,000 bytes of a content of 64 MiB" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "exposure.json").read_text())["rows"]
    assert 530_000 < row["cost"] < 40 * 530_000  # two peers share what the process itself grows by


def test_what_can_not_be_measured_is_refused_with_what_can(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["exposure", "--only", "silent,nothing"])
    assert ended.value.code == 2
    assert "no 'nothing'; there are silent, header" in capsys.readouterr().err


def test_what_is_answered_is_not_held_and_gives_no_figure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Zeros, which can become no header, are refused at once: for a while the row of a header measured nothing."""
    monkeypatch.setattr(exposure, "SETTLE", 0.3)
    monkeypatch.setitem(exposure.MEASURED, "header", lambda: exposure.held("zeros", 2, b"\xff\xff" + bytes(100)))
    assert main(["exposure", "--only", "header"]) == 1
    assert "header: zeros: the server answered, or closed" in capsys.readouterr().err
