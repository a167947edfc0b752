"""Has every second seed topics, with limits that a server takes, and is the rest of its plan what it was?"""

from __future__ import annotations

from libserver.limits import ServerLimits
from suites.simulation import subscribers
from suites.simulation.happenings import Arrival, Terminate
from suites.simulation.plan import drawn
from suites.simulation.push_plan import BUSY, GATHERING, NUMBERED_FROM, drawn_push

SEEDS = range(200)
LIMITS = {"write_high": 262_144, "output_limit": 262_144}


def test_about_every_second_seed_has_topics_and_the_others_know_nothing_of_them() -> None:
    with_topics = [seed for seed in SEEDS if drawn(seed).topics]
    assert 80 < len(with_topics) < 120
    for seed in SEEDS:
        plan = drawn(seed)
        come = [one for one in plan.happenings if isinstance(one, Arrival) and one.number >= NUMBERED_FROM]
        assert bool(come) == plan.topics
        assert ("push_queue" in plan.limits) == plan.topics


def test_a_seed_has_one_push_and_a_server_takes_its_limits() -> None:
    for seed in SEEDS:
        push = drawn_push(seed, 10.0, LIMITS, ())
        assert push == drawn_push(seed, 10.0, LIMITS, ())
        if push is not None:
            ServerLimits(**{**LIMITS, **push.limits})


def test_where_some_listen_somebody_speaks_and_both_come_before_all_is_well() -> None:
    for seed in SEEDS:
        push = drawn_push(seed, 10.0, LIMITS, ())
        if push is None:
            continue
        scripts = [one.script for one in push.happenings if isinstance(one, Arrival)]
        assert any(script in subscribers.SPEAKERS for script in scripts)
        assert max(one.at for one in push.happenings) <= BUSY * 10.0
    every = {one.script for seed in SEEDS for one in drawn(seed).happenings if isinstance(one, Arrival)}
    assert every.issuperset(subscribers.SCRIPTS)


def test_some_come_right_before_a_signal() -> None:
    end = Terminate(1000.0)
    pushes = [push for seed in SEEDS if (push := drawn_push(seed, 1400.0, LIMITS, (end,))) is not None]
    for push in pushes:
        late = [one for one in push.happenings if abs(one.at - end.at) <= 2 * GATHERING]
        assert late
