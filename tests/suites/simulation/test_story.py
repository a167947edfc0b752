"""Is a world that fails told so that one can keep it?"""

from __future__ import annotations

from suites.simulation import clients, happenings, peers, subscribers
from suites.simulation.plan import Plan, drawn
from suites.simulation.shrink import Shrunk
from suites.simulation.story import source, story
from tests.suites.simulation.shrinking import FIRST, TIMERS_FIRST
from tests.suites.simulation.test_found import asks_while_the_server_is_stopped


def test_the_story_says_what_it_needs_and_what_was_seen_last(found: Shrunk) -> None:
    lines = list(story(44, FIRST, found))
    text = "\n".join(lines)
    assert lines[0].startswith(f"seed 44 FAILED  {TIMERS_FIRST.breaks}: ")
    assert lines[1] == f"shrunk in {found.runs} runs"
    assert lines[2].endswith("20 peers, 2 clients, 3 other happenings, 3 kinds of faults, 40 s")
    assert "the server is stopped (SIGSTOP) for" in text
    assert " s  SIGTERM" in text
    assert "VIOLATED" in text
    assert len(lines) < 50


def test_the_plan_as_python_is_the_plan(found: Shrunk) -> None:
    mine = {"Plan": Plan, "asks_while_the_server_is_stopped": asks_while_the_server_is_stopped}
    names = {**vars(clients), **vars(happenings), **vars(peers), **vars(subscribers), **mine}
    assert eval("\n".join(source(found.plan)), names) == found.plan
    for seed in range(20):
        assert eval("\n".join(source(drawn(seed))), names) == drawn(seed)
