"""Do those who listen and those who speak act as they say, and leave when their script does?"""

from __future__ import annotations

from typing import Any

import pytest

from suites.simulation import subscribers
from suites.simulation.happenings import Arrival, Terminate
from suites.simulation.peers import SCRIPTS as OTHERS
from suites.simulation.plan import Plan
from suites.simulation.subscribers import SCRIPTS, SPEAKERS
from suites.simulation.world import World


def ran(*happenings: Arrival, **more: Any) -> World:
    world = World(Plan(topics=True, happenings=happenings, **{"end": Terminate(300.0), **more}))
    world.run()
    assert world.violations == [], "\n".join(world.trace.lines(20))
    return world


EACH = list(dict.fromkeys(SCRIPTS))


@pytest.mark.parametrize("script", EACH, ids=lambda script: script.__name__)
def test_a_few_of_each_come_and_are_all_gone_in_the_end(script: Any) -> None:
    speakers = (Arrival(0.2 + number / 10, subscribers.flooder, 10 + number) for number in range(2))
    world = ran(*(Arrival(0.1 * number, script, number) for number in range(4)), *speakers, rooms=(2048, 2048))
    assert all(peer.over for peer in world._crowd)
    assert len(world.crowd.files) == 0, "no peer keeps its descriptor"
    assert world.chronicle is not None
    assert len(world.chronicle.published) > 10


def test_each_has_a_name_of_its_own_and_a_first_line_for_the_story() -> None:
    assert len({script.__name__ for script in (*EACH, *OTHERS)}) == len(EACH) + len(OTHERS)
    assert all(script.__doc__ for script in EACH)
    assert set(SPEAKERS) < set(SCRIPTS)


def test_those_who_read_slowly_get_gaps_and_those_who_come_back_what_they_missed() -> None:
    names = ("listener", "slow_listener", "stalled_listener", "returning_listener", "returning_listener", "wanderer")
    world = ran(
        *(Arrival(0.1 * n, getattr(subscribers, name), n) for n, name in enumerate(names * 3)),
        *(Arrival(0.5 + n, subscribers.flooder, 50 + n) for n in range(12)),
        rooms=(2048, 2048),
        limits={"write_high": 2048, "write_low": 512, "max_topics": 4},
        observed=1.0,
    )
    assert world.chronicle is not None
    told = world.chronicle.told
    assert told["message"] > 100
    assert told["gap"] > 3
    taken = {row[2] for row in world.report.rows if row[0] == "DELIVERY"}
    assert {"MISSED_SOME", "ABOVE_HIGH", "QUEUE_FULL", "GAPS_SENT", "CAUGHT_UP", "CONNECTION_ENDED"} <= taken


def test_small_contents_are_kept_to() -> None:
    world = ran(*(Arrival(0.1 * n, script, n) for n, script in enumerate(EACH)), max_json=600)
    assert world.chronicle is not None
    assert world.chronicle.published
    assert world.report.reasons["bad-framing"] == 0
