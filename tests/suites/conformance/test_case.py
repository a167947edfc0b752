"""Does a case keep what it is told, and is each registered once?"""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from suites.conformance.case import (
    FAILED,
    INFORMATIONAL,
    NON_STRICT,
    OK,
    TOGETHER,
    TOPICS,
    UNIMPLEMENTED,
    VERDICTS,
    Case,
    Failed,
    Options,
    Run,
    case,
    each,
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


def test_each_row_is_a_case_with_its_own_words_and_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    cases: dict[str, Case] = {}
    monkeypatch.setattr(sys.modules[case.__module__], "CASES", cases)
    seen: list[object] = []
    rows = {"T1": ("byteorder", 2), "T2": "one alone"}
    each(rows, "without {0}", mechanism="m", section="s", expected="{0} missed", star=True, part=TOPICS)(
        lambda run, *row: seen.append((run, row))
    )
    assert [(made.title, made.expected, made.star) for made in cases.values()] == [
        ("without byteorder", "byteorder missed", True),
        ("without one alone", "one alone missed", True),
    ]
    for made in cases.values():
        made.run("a run")
    assert seen == [("a run", ("byteorder", 2)), ("a run", ("one alone",))]
    assert {made.part for made in cases.values()} == {TOPICS}
    assert {made.group for made in cases.values()} == {__name__.rpartition(".")[2]}


def test_a_failure_says_what_was_expected_and_what_came() -> None:
    assert str(Failed("a reply", "FIN")) == "expected a reply; came FIN"


def test_the_verdicts_are_in_order_the_worst_last() -> None:
    assert VERDICTS == (OK, UNIMPLEMENTED, INFORMATIONAL, NON_STRICT, FAILED)


def test_what_a_case_opened_is_closed_the_last_first() -> None:
    closed: list[str] = []
    run = Run(a_case(fails), Options())
    for name in ("first", "second"):
        run.closing(lambda name=name: closed.append(name))  # type: ignore[misc]
    run.close()
    assert closed == ["second", "first"]
