"""Is a client's command filled in, and is it judged by what it says and how it ends?"""

from __future__ import annotations

import shutil
import sys

from suites.conformance.__main__ import load_cases
from suites.conformance.case import CASES, CLIENT, Options
from suites.conformance.client_target import ClientTarget


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
