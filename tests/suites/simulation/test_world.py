"""Do worlds run clean?"""

from __future__ import annotations

import pytest

from suites.simulation.world import AFTERMATH, World


def ran(seed: int) -> World:
    world = World(seed)
    world.run()
    return world


@pytest.mark.parametrize("first", [0, 8, 16])
def test_a_few_dozen_worlds_run_clean(first: int) -> None:
    for seed in range(first, first + 8):
        world = ran(seed)
        assert world.violations == [], f"python -m suites.simulation --replay {seed} --trace"


def test_a_clock_that_leaps_after_the_servers_end_does_not_eat_the_clients_patience() -> None:
    """Seed 932052: an hour's suspend, and the calls that were still waited for were said to be lost."""
    world = World(0)
    seen = []
    world.schedule.after(1.0, world.leap, 3600.0)
    world.schedule.after(AFTERMATH - 1.0, seen.append, "due within the hour")
    world.schedule.after(3600.0 + AFTERMATH - 1.0, seen.append, "in time")
    world.schedule.after(3600.0 + AFTERMATH + 1.0, seen.append, "too late")
    world._others_run(lambda: False)
    world.close()
    assert seen == ["due within the hour", "in time"]
