"""Is it added up what worlds held?"""

from __future__ import annotations

from protocol.states import MACHINES
from suites.simulation.report import Report
from suites.simulation.world import World


def ran(seed: int) -> World:
    world = World(seed)
    world.run()
    return world


def test_worlds_are_full_of_faults_and_take_most_rows() -> None:
    total = Report()
    for seed in range(40, 50):
        total.add(ran(seed).report)
    assert total.connections > 100
    assert len(total.faults) > 15
    assert len(total.reasons) > 8
    assert len(total.rows) > 0.6 * sum(len(machine.rows) for machine in MACHINES)
