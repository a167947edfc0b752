"""Whatever a system call of the server or the client fails with, the loop lives on.

A part of the whole: every error at the first call of each kind, in the thorough scenarios; a few of
them at the later calls, and in the other scenarios. All of it, with the figures in a table: `python -m suites.faults`.
"""

from __future__ import annotations

import pytest

from suites.faults.errnos import ERRORS
from suites.faults.scenarios import ALL
from suites.faults.sweep import sweep

#: Between them they make every call of the table.
THOROUGH = ("server: pipeline", "server: large", "client: requests", "client: large", "start")


@pytest.mark.parametrize("name", ALL)
def test_the_loop_lives_on(name: str) -> None:
    thorough = name in THOROUGH
    tally = sweep(ALL[name], stride=6 if thorough else 12, thorough=thorough)
    print(f"\n{name}\n{tally}")
    assert max(tally.latest.values()) > 1, "no call was met more than once"
    if thorough:
        assert set(tally.fired) == {(call, error) for call in tally.latest for error in ERRORS[call]}
