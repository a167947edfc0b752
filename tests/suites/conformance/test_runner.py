"""Does each case get its verdict, and do cases run in the order and company they ask for?

Not here: what a case does; the command line (`test_main.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from suites.conformance.case import (
    ALONE,
    FAILED,
    INFORMATIONAL,
    LAST,
    NON_STRICT,
    OK,
    TOGETHER,
    UNIMPLEMENTED,
    Case,
    Failed,
    Informational,
    Options,
    Result,
    Run,
    Unimplemented,
)
from suites.conformance.runner import HEAVY_AT_ONCE, run, run_case


class FakeTarget:
    name = "a fake"
    jobs = 8

    def __init__(self, damaged: Exception | None = None) -> None:
        self.damaged = damaged
        self.looked_after: list[str] = []

    def begin(self, case: Case) -> Run:
        return Run(case, Options())

    def after(self, run: Run) -> None:
        self.looked_after.append(run.case.id)
        if self.damaged is not None:
            raise self.damaged

    def close(self) -> None: ...


def a_case(act: Callable[[Run], None], id: str = "T1", phase: str = TOGETHER, heavy: bool = False) -> Case:
    return Case(id, "a title", "a mechanism", "a section", "the usual", act, heavy=heavy, phase=phase)


def fails(run: Run) -> None:
    raise Failed("this", "that")


def informs(run: Run) -> None:
    raise Informational("not here")


def deviates(run: Run) -> None:
    run.deviates("a", "b")
    run.deviates("a", "b")


def breaks(run: Run) -> None:
    raise KeyError("a hole in the suite")


@pytest.mark.parametrize(
    ("act", "verdict", "expected", "came"),
    [
        (lambda run: None, OK, "the usual", "as expected"),
        (fails, FAILED, "this", "that"),
        (informs, INFORMATIONAL, "the usual", "not here"),
        (deviates, NON_STRICT, "a", "b"),
        (breaks, FAILED, "the usual", "an error of the suite itself: KeyError('a hole in the suite')"),
    ],
)
def test_each_end_of_a_case_has_its_verdict(act: Callable[[Run], None], verdict: str, expected: str, came: str) -> None:
    target = FakeTarget()
    result = run_case(a_case(act), target)
    assert (result.verdict, result.expected, result.came) == (verdict, expected, came)
    assert target.looked_after == ["T1"]


@pytest.mark.parametrize("act", [lambda run: None, informs, deviates])
def test_a_case_that_left_its_target_damaged_is_failed(act: Callable[[Run], None]) -> None:
    result = run_case(a_case(act), FakeTarget(Failed("to be served", "silence")))
    assert (result.verdict, result.came) == (FAILED, "silence")


def test_a_case_about_a_part_that_the_target_has_not_is_not_run_and_no_failure() -> None:
    class Without(Run):
        def check_part(self) -> None:
            raise Unimplemented("it has no topics")

    class Target(FakeTarget):
        def begin(self, case: Case) -> Run:
            return Without(case, Options())

    target = Target()
    result = run_case(a_case(breaks), target)
    assert (result.verdict, result.came) == (UNIMPLEMENTED, "it has no topics")
    assert target.looked_after == ["T1"]


def test_what_a_case_found_is_not_hidden_by_the_damage() -> None:
    assert run_case(a_case(fails), FakeTarget(Failed("to be served", "silence"))).came == "that"


def test_what_a_case_opened_is_closed_however_it_ends() -> None:
    closed: list[str] = []

    def opens_and_fails(run: Run) -> None:
        run.closing(lambda: closed.append("first"))
        run.closing(lambda: closed.append("second"))
        raise Failed("this", "that")

    run_case(a_case(opens_and_fails), FakeTarget())
    assert closed == ["second", "first"]


def test_cases_run_together_then_alone_then_last_and_are_told_in_their_own_order() -> None:
    ran: list[str] = []
    phases = {"A": LAST, "B": ALONE, "C": TOGETHER, "D": ALONE}
    cases = [a_case(lambda run: ran.append(run.case.id), id, phase) for id, phase in phases.items()]
    told: list[Result] = []
    results, complete = run(cases, FakeTarget(), told.append)
    assert ran == ["C", "B", "D", "A"]
    assert [result.case.id for result in told] == ran
    assert [result.case.id for result in results] == list(phases)
    assert complete


def test_cases_run_side_by_side_but_few_of_the_heavy_ones() -> None:
    meet = threading.Barrier(4, timeout=10)  # passes only if four run at once
    lock, now, most = threading.Lock(), 0, 0

    def heavy(run: Run) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.01)
        with lock:
            now -= 1

    cases = [a_case(lambda run: (meet.wait(), None)[1], f"T{n}") for n in range(4)]
    cases += [a_case(heavy, f"H{n}", heavy=True) for n in range(6)]
    results, _ = run(cases, FakeTarget(), lambda result: None)
    assert {result.verdict for result in results} == {OK}
    assert most <= HEAVY_AT_ONCE


def test_interrupted_it_gives_what_it_has() -> None:
    def stop(run: Run) -> None:
        raise KeyboardInterrupt

    cases = [a_case(lambda run: None, "A"), a_case(stop, "B", ALONE), a_case(fails, "C", LAST)]
    results, complete = run(cases, FakeTarget(), lambda result: None)
    assert [result.case.id for result in results] == ["A"]
    assert not complete
