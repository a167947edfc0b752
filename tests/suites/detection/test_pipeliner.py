"""Is each way to be careless about events found by a case, and the careful client by none?"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from suites.conformance.__main__ import load_cases
from suites.conformance.case import CASES, FAILED, OK, Options
from suites.conformance.client_target import ClientTarget
from suites.conformance.runner import run
from suites.detection import pipeliner

#: Which case finds which.
FOUND_BY = {
    "counts-events": "CV10.1",
    "trusts-ids": "CV10.4",
    "knows-two-events": "CV10.5",
    "reads-events": "CV10.5",
    "drops-the-rest": "CV10.2",
    "no-large-events": "CV10.6",
}


def verdicts(command: str, *ids: str) -> dict[str, tuple[str, str]]:
    load_cases()
    target = ClientTarget("true", Options(pipelining_client=command))
    results, _ = run([CASES[id] for id in ids], target, lambda result: None)
    return {result.case.id: (result.verdict, result.came) for result in results}


def careless(mistake: str) -> str:
    return f"{sys.executable} -m suites.detection.pipeliner {mistake} {{host}} {{port}} {{count}}"


@pytest.mark.parametrize("mistake", pipeliner.MISTAKES)
def test_one_that_is_careless_fails_the_case_about_it(mistake: str) -> None:
    id = FOUND_BY[mistake]
    verdict, came = verdicts(careless(mistake), id)[id]
    assert verdict == FAILED, came


def test_one_that_skips_events_passes_them_all() -> None:
    ids = [f"CV10.{number}" for number in range(1, 10)]
    assert verdicts(careless("none"), *ids) == dict.fromkeys(ids, (OK, "as expected"))


def test_our_load_tester_passes_them_too() -> None:
    command = "app_client.py load {host}:{port} -c 1 -n {count} -p 8 --action echo --no-reconnect-on-error --ui none"
    ids = ["CV10.1", "CV10.4", "CV10.5", "CV10.6", "CV10.9"]
    assert verdicts(f"{sys.executable} {command}", *ids) == dict.fromkeys(ids, (OK, "as expected"))


def test_it_imports_nothing_of_ours() -> None:
    tree = ast.parse(Path(pipeliner.__file__).read_text(encoding="utf-8"))
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert all(str(name).partition(".")[0] in sys.stdlib_module_names for name in imported)
