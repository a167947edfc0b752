"""Is a seed that fails shrunk to what it needs, and told so that one can keep it?"""

from __future__ import annotations

import pytest

from suites.simulation import clients, happenings, peers
from suites.simulation.__main__ import main
from suites.simulation.bugs import BUGS
from suites.simulation.clients import MessageClient, PoolClient
from suites.simulation.happenings import Arrival, Leap, Pause, Standstill, Terminate
from suites.simulation.plan import Plan, drawn
from suites.simulation.shrink import Shrunk, shrunk
from suites.simulation.story import source, story
from suites.simulation.world import World
from tests.suites.simulation.test_found import asks_while_the_server_is_stopped

#: A bug that needs one peer, one stop and one timeout,
TIMERS_FIRST = next(bug for bug in BUGS if bug.name == "timers-first")
#: and a world in which these are the least of what happens.
FIRST = Plan(
    seed=1,
    length=40.0,
    rooms=(16_384, 8192),
    delay=0.002,
    limits={"idle_timeout": 5.0, "header_timeout": 2.0, "max_connections": 60, "requests_per_event": 4},
    observed=0.5,
    rates={"segment: cut small": 0.2, "send: fewer bytes than there is room": 0.2, "select: spurious readiness": 0.01},
    clients=(("client0", PoolClient), ("client1", MessageClient)),
    happenings=(
        *(Arrival(0.1 + n / 7, script, n) for n, script in enumerate(peers.SCRIPTS)),
        Arrival(0.5, asks_while_the_server_is_stopped, 100),
        Pause(0.7, "client1", 3.0),
        Standstill(1.5, 20.0),
        Leap(30.0, 20.0),
    ),
    end=Terminate(60.0, second=1.0),
)


@pytest.fixture(scope="module")
def found() -> Shrunk:
    with TIMERS_FIRST.applied():
        return shrunk(FIRST)


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


# --- how it is told ----------------------------------------------------------------------------------


def test_the_story_says_what_it_needs_and_what_was_seen_last(found: Shrunk) -> None:
    lines = list(story(44, FIRST, found))
    text = "\n".join(lines)
    assert lines[0].startswith(f"seed 44 FAILED  {TIMERS_FIRST.breaks}: ")
    assert lines[1] == f"shrunk in {found.runs} runs"
    assert "the server is stopped (SIGSTOP) for" in text
    assert " s  SIGTERM" in text
    assert "VIOLATED" in text
    assert len(lines) < 50


def test_the_plan_as_python_is_the_plan(found: Shrunk) -> None:
    mine = {"Plan": Plan, "asks_while_the_server_is_stopped": asks_while_the_server_is_stopped}
    names = {**vars(clients), **vars(happenings), **vars(peers), **mine}
    assert eval("\n".join(source(found.plan)), names) == found.plan
    for seed in range(20):
        assert eval("\n".join(source(drawn(seed))), names) == drawn(seed)


def test_the_command_shrinks_a_seed_and_offers_to_do_it_for_one_that_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed, name = 0, "replies-swapped"
    assert main(["--seeds", f"{seed}:{seed + 1}", "--bug", name]) == 1
    assert f"shrink: python -m suites.simulation --shrink {seed} --bug {name}" in capsys.readouterr().out
    assert main(["--shrink", str(seed), "--bug", name]) == 1
    told = capsys.readouterr().out
    assert "  to   " in told
    assert "as a test:" in told
    assert main(["--shrink", str(seed)]) == 0
    assert "does not fail" in capsys.readouterr().out
