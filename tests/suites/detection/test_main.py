"""Does the command say what was caught and what was missed, and is the exit code the answer?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from suites.conformance.__main__ import load_cases
from suites.conformance.case import CASES, FAILED, OK, Case, Result
from suites.detection import __main__ as command
from suites.detection.detect import Finding, slow
from suites.detection.registry import BREAKS


def result(id: str, verdict: str) -> Result:
    load_cases()
    return Result(CASES[id], verdict, "the usual", f"it was {verdict}", 0.1, [])


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was asked of `detect`; every variant is caught, and the naive server fails all."""
    asked: list[object] = []

    def findings(names: Iterable[str] | None) -> dict[str, Finding]:
        chosen = list(BREAKS if names is None else names)
        asked.append(chosen)
        return {
            name: Finding(BREAKS[name], result(BREAKS[name].caught_by, BREAKS[name].verdict), result("FR1", OK))
            for name in chosen
        }

    def naive_results(which: Callable[[Case], bool] | None) -> list[Result]:
        asked.append(which)
        return [result("HV4", FAILED)]

    monkeypatch.setattr(command, "findings", findings)
    monkeypatch.setattr(command, "naive_results", naive_results)
    return asked


def test_without_names_all_are_run_and_the_naive_server(
    looked_at: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([]) == 0
    assert sorted(map(str, looked_at)) == sorted(map(str, [list(BREAKS), None]))
    told = capsys.readouterr().out
    assert told.count("caught  ") == len(BREAKS)
    assert "naive server: 1 of 1 starred cases FAILED" in told
    assert "0 missed" in told


def test_with_names_those_are_run_and_nothing_else(looked_at: list[object]) -> None:
    assert command.main(["timer-per-byte"]) == 0
    assert looked_at == [["timer-per-byte"]]


def test_the_rest_is_what_is_slow_and_needs_the_machine_for_itself(looked_at: list[object]) -> None:
    assert command.main(["--rest"]) == 0
    assert slow in looked_at
    assert [name for name, variant in BREAKS.items() if variant.slow] in looked_at


def test_what_was_missed_is_told_with_what_came_and_is_exit_code_1(
    looked_at: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = command.findings

    def missed(names: Iterable[str] | None) -> dict[str, Finding]:
        return {name: replace(one, healthy=result("FR1", FAILED)) for name, one in found(names).items()}

    monkeypatch.setattr(command, "findings", missed)
    assert command.main(["timer-per-byte"]) == 1
    told = capsys.readouterr().out
    assert "MISSED  timer-per-byte" in told
    assert "healthy: FAILED, it was FAILED" in told


def test_a_starred_case_that_the_naive_server_passes_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.tell_naive([result("HV4", FAILED), result("HV5", OK)]) == 1
    assert "MISSED: HV5" in capsys.readouterr().out


def test_an_unknown_name_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["nothing"]) == 2
    told = capsys.readouterr().err
    assert "there is no variant 'nothing'; write --rest, or names out of: " in told
    assert "timer-per-byte" in told
