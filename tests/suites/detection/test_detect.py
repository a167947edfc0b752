"""Does the conformance suite fail what is wrong, case by case, and pass what is right?

Here run some of the variants that show at once. All of them, the slow ones too (a process that spins,
a descriptor that leaks, a server that blocks), and the starred cases that need the machine for
themselves are run by `python -m suites.detection`; `.ci/run` does.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from suites.conformance.__main__ import load_cases
from suites.conformance.case import CASES, FAILED, OK, Result
from suites.detection.detect import Finding, findings, naive_results, quick, starred
from suites.detection.registry import BREAKS

#: Every fourth: the suite has three minutes for everything. `python -m suites.detection` looks at all, and CI runs it.
QUICK = [name for name, variant in BREAKS.items() if not variant.slow][::4]


@pytest.fixture(scope="module")
def results() -> tuple[dict[str, Finding], list[Result]]:
    """Of the variants and of the naive server. Both mostly wait, so they do it together."""
    with ThreadPoolExecutor(1) as beside:
        naive = beside.submit(naive_results, quick)
        return findings(QUICK), naive.result()


@pytest.fixture
def found(results: tuple[dict[str, Finding], list[Result]]) -> dict[str, Finding]:
    return results[0]


@pytest.fixture
def naive(results: tuple[dict[str, Finding], list[Result]]) -> list[Result]:
    return results[1]


@pytest.mark.parametrize("name", QUICK)
def test_a_broken_server_fails_the_case_about_it_and_the_healthy_one_passes(
    name: str, found: dict[str, Finding]
) -> None:
    finding = found[name]
    assert finding.healthy.verdict == OK, finding.healthy.came
    assert finding.broken.verdict == finding.variant.verdict, finding.broken.came


def test_the_naive_server_fails_every_starred_case(naive: list[Result]) -> None:
    assert [(r.case.id, r.verdict, r.came) for r in naive if r.verdict != FAILED] == []
    assert len(naive) == len(starred(quick)) > 200


def test_there_are_many_mistakes_and_each_says_where_it_was_seen() -> None:
    load_cases()
    assert len(BREAKS) >= 40
    for variant in BREAKS.values():
        assert variant.what
        assert variant.seen
        assert {variant.caught_by, *variant.after} <= set(CASES)
    mechanisms = Counter(CASES[variant.caught_by].mechanism for variant in BREAKS.values())
    assert len(mechanisms) >= 30
