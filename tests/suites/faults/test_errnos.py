"""Is every call of the table made, and every error of it one that there is?"""

from __future__ import annotations

from suites.faults.errnos import ERRORS
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
