"""A start is measured as a whole process, and one that fails is no figure."""

from __future__ import annotations

import re
import sys

import pytest

from benchmarks import startup
from benchmarks.cli import main


def test_both_starts_are_measured_beside_the_least_there_can_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["startup", "--rounds", "1"]) == 0
    request, help_ = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"request +[\d.]+ ms +least_client\.py +[\d.]+ ms +x [\d.]+", request)
    assert re.fullmatch(r"server --help +[\d.]+ ms +python -c pass +[\d.]+ ms +x [\d.]+", help_)


def test_a_command_that_fails_is_no_figure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(startup.Failed, match=r"-c raise SystemExit.* ended with 3"):
        startup.processor_seconds([sys.executable, "-c", "raise SystemExit(3)"])
    assert main(["startup", "--rounds", "1", "--tutorial", "/does/not/exist.py"]) == 1
    assert "ended with 2" in capsys.readouterr().err
