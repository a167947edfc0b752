"""Does the conformance suite fail what is wrong, case by case, and pass what is right?

Here run some of the variants that show at once. All of them, the slow ones too (a process that spins,
a descriptor that leaks, a server that blocks), and the starred cases that need the machine for
themselves are run by `python -m suites.detection`; `.ci/run` does.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from suites.conformance.__main__ import load_cases
from suites.conformance.case import CASES, CLIENT, FAILED, OK, Options, Result
from suites.conformance.client_target import ClientTarget
from suites.conformance.runner import run
from suites.detection.broken import main
from suites.detection.detect import NAIVE, Finding, findings, look, naive_results, quick, starred
from suites.detection.registry import BREAKS, replace

#: Every fourth: the suite has three minutes for everything. `python -m suites.detection` looks at all, and CI runs it.
QUICK = [name for name, variant in BREAKS.items() if not variant.slow][::4]

#: What a client that trusts one recv, every header and every end must fail.
CARELESS = ("CR4.1", "CR4.3", "CR11.1", "CR16.1", "CE2", "CH1.2", "CH3.1", "CH5.1", "CH12.1")


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


def test_the_naive_server_passes_cases_that_no_star_marks() -> None:
    """It is naive, not dead: otherwise failing would prove nothing."""
    results = look(NAIVE, ["FR1", "FR2.2", "EN12.3", "EN14", "HV14", "PL8"])
    assert {id: result.verdict for id, result in results.items()} == dict.fromkeys(results, OK)


def test_there_are_many_mistakes_and_each_says_where_it_was_seen() -> None:
    load_cases()
    assert len(BREAKS) >= 40
    for variant in BREAKS.values():
        assert variant.what
        assert variant.seen
        assert {variant.caught_by, *variant.after} <= set(CASES)
    mechanisms = Counter(CASES[variant.caught_by].mechanism for variant in BREAKS.values())
    assert len(mechanisms) >= 30


def test_a_mistake_whose_place_has_gone_is_not_taken_for_made() -> None:
    with pytest.raises(LookupError, match="mend the variant"):
        replace(lambda: None, lambda: None)


def test_an_unknown_variant_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no-such-variant"]) == 2
    assert "--list" in capsys.readouterr().err


# --- the client role -------------------------------------------------------------------------


def verdicts(command: str, ids: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    load_cases()
    results, _ = run([CASES[id] for id in ids], ClientTarget(command, Options()), lambda result: None)
    return {result.case.id: (result.verdict, result.came) for result in results}


def test_a_careless_client_fails_what_it_is_careless_about() -> None:
    found = verdicts(f"{sys.executable} -m suites.detection.naive_client", CARELESS)
    assert {id: verdict for id, (verdict, _) in found.items()} == dict.fromkeys(CARELESS, FAILED)


@pytest.mark.parametrize("form", ["app_client.py", "app_client.py request {host}:{port} {action} {value} --timeout 5s"])
def test_our_client_passes_them_in_both_its_forms(form: str) -> None:
    found = verdicts(f"{sys.executable} {form}", CARELESS)
    assert found == dict.fromkeys(CARELESS, (OK, "as expected"))


def test_a_command_is_filled_in_or_gets_the_four_words_of_the_tutorial() -> None:
    program = shutil.which("sh") or sys.executable
    plain = ClientTarget(program, Options())
    assert plain.argv(1, "search", "a b") == [program, "127.0.0.1", "1", "search", "a b"]
    placed = ClientTarget(f"{program} -x {{host}}:{{port}} '{{action}} it' {{value}}", Options())
    assert placed.argv(7, "echo", '{port} "q"') == [program, "-x", "127.0.0.1:7", "echo it", '{port} "q"']


def test_there_are_client_cases_for_many_mechanisms() -> None:
    load_cases()
    cases = [case for case in CASES.values() if case.role == CLIENT]
    assert len(cases) >= 100
    assert len({case.mechanism for case in cases}) >= 40
