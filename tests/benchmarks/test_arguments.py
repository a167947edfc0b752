"""What a benchmark measured is not lost with the file that it was to be written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.arguments import save


def test_a_file_that_can_not_be_written_is_a_sentence_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert save(tmp_path / "run.json", "whole\n") == 0
    assert (tmp_path / "run.json").read_text() == "whole\n"
    assert save(tmp_path / "gone" / "run.json", "lost") == 1
    assert "run.json can't be written (No such file or directory); keep what is printed" in capsys.readouterr().err


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "run.json").symlink_to(tmp_path / "victim")
    assert save(tmp_path / "run.json", "new") == 1
    assert "is a symbolic link" in capsys.readouterr().err
    assert (tmp_path / "victim").read_text() == "precious"
