"""Is it added up what worlds held?"""

from __future__ import annotations

from protocol.states import LIFECYCLE, MACHINES, RECEIVE
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
    assert len(total.rows) > 0.6 * sum(len(machine.rows) for machine in (RECEIVE, LIFECYCLE))


def test_two_reports_are_one_and_its_lines_say_what_was_never_taken() -> None:
    whole, other = Report(), Report()
    for report, times in ((whole, 1), (other, 2)):
        report.connections, report.seconds, report.turns = 10 * times, 3600.0 * times, 1000 * times
        report.connection_seconds = 1800.0 * times
        report.reasons["served"] = report.faults["reset"] = report.events["gap"] = times
        report.rows["RECEIVE", "PROTOHEADER", "PREFIX_READ"] = times
    whole.add(other)
    lines = list(whole.lines())
    assert lines[0] == ("simulated: 30 connections, 1.5 connection-hours, 3.0 hours, 3,000 turns of the server's loop")
    assert ["3", "reset"] in [line.split() for line in lines]
    assert ["3", "served"] in [line.split() for line in lines]
    assert ["3", "gap"] in [line.split() for line in lines]
    assert ["3", "RECEIVE", "PROTOHEADER", "PREFIX_READ", "JSONHEADER"] in [line.split() for line in lines]
    never = lines[-1].removeprefix("never taken: ").split(", ")
    assert len(never) == sum(len(machine.rows) for machine in MACHINES) - 1
    assert "RECEIVE PROTOHEADER PREFIX_READ" not in never
