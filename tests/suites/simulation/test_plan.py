"""Is a seed's plan its own, and one that a server can be made of?"""

from __future__ import annotations

from dataclasses import replace

from libserver.limits import ServerLimits
from suites.simulation import peers
from suites.simulation.happenings import Arrival, Heal, Leap, Terminate
from suites.simulation.plan import PROBE_PATIENCE, Plan, drawn

SEEDS = range(200)


def test_a_seed_has_one_plan_and_another_seed_another() -> None:
    assert drawn(7) == drawn(7)
    assert len({str(drawn(seed)) for seed in SEEDS}) == len(SEEDS)
    assert drawn(7).seed == 7


def test_every_plan_has_limits_that_a_server_takes() -> None:
    for seed in SEEDS:
        ServerLimits(**drawn(seed).limits)


def test_every_world_ends_and_one_that_lives_so_long_serves_a_newcomer_first() -> None:
    for seed in SEEDS:
        plan = drawn(seed)
        sudden = [happening for happening in plan.happenings if isinstance(happening, Terminate)]
        if sudden:
            assert isinstance(plan.end, Terminate)
            continue
        assert isinstance(plan.end, Heal)
        assert plan.end.then.at > PROBE_PATIENCE
        busy = [happening.at for happening in plan.happenings if not isinstance(happening, Heal)]
        assert max(busy) < plan.end.at, "nothing happens to the server once all is well"


def test_the_timeline_is_everything_in_its_order() -> None:
    first, last = Arrival(1.0, peers.garbage, 1), Leap(3.0, 1.0)
    plan = Plan(happenings=(last, first), end=Terminate(2.0))
    assert plan.timeline() == [first, Terminate(2.0), last]


def test_gathered_everything_comes_sooner_by_the_same_part() -> None:
    plan = Plan(length=10.0, happenings=(Leap(4.0, 3.0),), end=Terminate(8.0, second=1.0))
    assert plan.gathered(0.5) == replace(plan, length=5.0, happenings=(Leap(2.0, 3.0),), end=Terminate(4.0, second=1.0))
