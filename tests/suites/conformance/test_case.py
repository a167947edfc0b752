"""Does a case keep what it is told, and is each registered once?"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from suites.conformance.case import (
    TOGETHER,
    Case,
    Failed,
    Options,
    Run,
    case,
)


def a_case(act: Callable[[Run], None], id: str = "T1", phase: str = TOGETHER, heavy: bool = False) -> Case:
    return Case(id, "a title", "a mechanism", "a section", "the usual", act, heavy=heavy, phase=phase)


def fails(run: Run) -> None:
    raise Failed("this", "that")


def test_an_id_stands_for_one_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[case.__module__], "CASES", {})
    register = case("T1", "t", mechanism="m", section="s", expected="e")
    register(lambda run: None)
    with pytest.raises(ValueError, match="two cases are called T1"):
        register(lambda run: None)


def test_of_a_long_case_the_beginning_and_the_end_are_kept() -> None:
    kept = Run(a_case(fails), Options())
    for number in range(100):
        kept.note(f"line {number}.")
    assert "line 0." in kept.seen[0]
    assert "line 99." in kept.seen[-1]
    assert len(kept.seen) < 30
