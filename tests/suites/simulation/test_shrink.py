"""Is a seed that fails shrunk to what it needs?"""

from __future__ import annotations

from suites.simulation import peers, subscribers
from suites.simulation.bugs import BUGS
from suites.simulation.happenings import Arrival, Leap, Standstill
from suites.simulation.plan import Plan
from suites.simulation.shrink import Shrunk, shrunk
from suites.simulation.story import story
from suites.simulation.world import World
from tests.suites.simulation.shrinking import FIRST, TIMERS_FIRST


def test_a_seed_is_shrunk_to_the_few_things_that_the_bug_needs(found: Shrunk) -> None:
    stops = [happening for happening in found.plan.happenings if isinstance(happening, Standstill)]
    others = [happening for happening in found.plan.happenings if not isinstance(happening, Standstill)]
    assert len(stops) == 1
    assert len(others) + len(found.plan.clients) == 1  # somebody who asks meanwhile
    assert len(found.plan.limits) <= 1  # the timeout that runs out
    assert found.plan.rates == {}
    assert found.plan.length < FIRST.length
    assert found.whole


def test_what_is_left_fails_by_the_same_invariant_and_without_the_bug_it_does_not(found: Shrunk) -> None:
    for applied in (True, False):
        world = World(found.plan)
        if applied:
            with TIMERS_FIRST.applied():
                world.run()
        else:
            world.run()
        assert [name for name, _ in world.violations][:1] == ([TIMERS_FIRST.breaks] if applied else [])


def test_nothing_more_can_be_left_out(found: Shrunk) -> None:
    with TIMERS_FIRST.applied():
        assert shrunk(found.plan).plan == found.plan


def test_the_same_seed_shrinks_to_the_same_plan(found: Shrunk) -> None:
    with TIMERS_FIRST.applied():
        again = shrunk(FIRST)
    assert (again.plan, again.runs) == (found.plan, found.runs)


def test_it_is_bounded_in_runs_and_in_time() -> None:
    with TIMERS_FIRST.applied():
        few = shrunk(FIRST, most_runs=5)
        none = shrunk(FIRST, most_seconds=0.0)
    assert (few.runs, few.whole) == (5, False)
    assert (none.runs, none.whole) == (1, False)
    assert none.plan == FIRST
    assert none.world is not None


def test_a_seed_that_does_not_fail_is_not_shrunk() -> None:
    plan = Plan()
    found = shrunk(plan)
    assert (found.world, found.plan, found.runs) == (None, plan, 1)
    assert list(story(0, plan, found)) == ["seed 0 does not fail: there is nothing to shrink"]


def test_a_crowd_becomes_as_small_as_it_can_be() -> None:
    """Who is one too many, if three may be there and nobody counts?"""
    bug = next(bug for bug in BUGS if bug.name == "cap-ignored")
    crowd = Plan(
        limits={"max_connections": 3, "backlog": 8},
        happenings=(Arrival(0.5, peers.idler, 1, count=80), Arrival(0.7, peers.polite, 2)),
    )
    with bug.applied():
        found = shrunk(crowd)
    (arrival,) = found.plan.happenings
    assert isinstance(arrival, Arrival)
    assert arrival.count == 4
    assert found.plan.limits == {"max_connections": 3}


def test_a_world_with_topics_is_shrunk_to_those_who_need_them() -> None:
    """One that listens and speaks, and the topics; not those who come beside it."""
    bug = next(bug for bug in BUGS if bug.name == "event-overtakes-its-reply")
    company = (subscribers.listener, subscribers.talking_listener, subscribers.talking_listener, peers.polite)
    plan = Plan(
        seed=3,
        topics=True,
        limits={"history": 20, "push_queue": 20_000, "max_topics": 4},
        rates={"segment: cut small": 0.2},
        happenings=(*(Arrival(0.1 + n / 5, script, n) for n, script in enumerate(company)), Leap(5.0, 2.0)),
    )
    with bug.applied():
        found = shrunk(plan)
    assert found.world is not None
    assert found.world.violations[0][0] == bug.breaks
    assert found.plan.topics
    assert [happening.script for happening in found.plan.happenings] == [subscribers.talking_listener]  # type: ignore[attr-defined]
    assert (found.plan.limits, found.plan.rates) == ({}, {})
    told = "\n".join(story(3, plan, found))
    assert "topics = True" in told
    assert "a peer comes, talking listener (listens and speaks on one connection" in told
    assert "topics=True," in told
