"""Does a client that trusts everything fail the cases about it, and does ours pass them?"""

from __future__ import annotations

import sys

import pytest

from suites.conformance.__main__ import load_cases
from suites.conformance.case import CASES, FAILED, OK, Options
from suites.conformance.client_target import ClientTarget
from suites.conformance.runner import run

#: What a client that trusts one recv, every header and every end must fail.
CARELESS = ("CR4.1", "CR4.3", "CR11.1", "CR16.1", "CE2", "CH1.2", "CH3.1", "CH5.1", "CH12.1", "CV1.1", "CV3.1", "CV9.3")


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
