"""Is there a bug for each way in which topics can break their promise? (`test_bugs` has each of them caught.)"""

from __future__ import annotations

from collections import Counter

from suites.simulation.bugs import BUGS
from suites.simulation.plan import drawn
from suites.simulation.push_bugs import PUSH_BUGS
from suites.simulation.push_invariants import PUSH_INVARIANTS


def test_each_promise_of_topics_has_a_bug_that_breaks_it() -> None:
    breaks = Counter(bug.breaks for bug in PUSH_BUGS)
    assert set(breaks) == {kind.name for kind in PUSH_INVARIANTS}
    assert set(PUSH_BUGS) <= set(BUGS)


def test_the_seed_that_is_known_to_catch_it_has_topics() -> None:
    assert [bug.name for bug in PUSH_BUGS if not drawn(bug.seed).topics] == []
