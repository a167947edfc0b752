"""Is a bug there while it is applied, and gone afterwards?"""

from __future__ import annotations

from suites.simulation.bug import Bug, method


class Thing:
    def says(self) -> str:
        return "right"


def test_a_bug_is_there_while_it_is_applied() -> None:
    bug = Bug("wrong", "an-invariant", 0, "it says the wrong thing", method(Thing, "says", lambda self: "wrong"))
    thing = Thing()
    for _ in range(2):
        with bug.applied():
            assert thing.says() == "wrong"
        assert thing.says() == "right"
