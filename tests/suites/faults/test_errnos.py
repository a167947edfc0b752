"""Is every call of the table made, and every error of it one that there is?"""

from __future__ import annotations

import errno

from suites.faults.errnos import ERRORS, MEANINGLESS, TRANSPARENT, number
from suites.faults.kernel import Faults
from suites.faults.scenarios import ALL
from tests.suites.faults.test_scenarios import THOROUGH


def test_the_thorough_scenarios_make_every_call_of_the_table() -> None:
    made: set[str] = set()
    for name in THOROUGH:
        faults = Faults()
        ALL[name](faults)
        made |= set(faults.counts)
    assert made == set(ERRORS)
    print(f"{len(ERRORS)} calls, {sum(map(len, ERRORS.values()))} pairs of call and errno")


def test_every_name_is_an_error_of_this_system_and_stands_once() -> None:
    for call, names in ERRORS.items():
        assert len(set(names)) == len(names), call
        assert all(number(name) > 0 for name in names), call
    assert number("ECONNRESET") == errno.ECONNRESET


def test_what_loses_nothing_and_what_means_nothing_are_errors_of_the_table() -> None:
    assert all(names <= set(ERRORS[call]) for call, names in TRANSPARENT.items())
    assert all(any(name in names for names in ERRORS.values()) for name in MEANINGLESS)
