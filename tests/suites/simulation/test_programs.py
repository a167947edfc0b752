"""Do several programs share a process, each waiting in its own way, and does the world decide who runs?"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest

from suites.simulation.plan import Plan
from suites.simulation.programs import Blocking, Turning
from suites.simulation.world import World


@pytest.fixture
def world() -> Iterator[World]:
    made = World(Plan())
    yield made
    made.close()


def test_a_turning_program_runs_when_its_timer_is_due_and_never_waits(world: World) -> None:
    program = Turning(world.kernel, "it", 0)
    seen: list[float] = []
    program.loop.call_later(5.0, lambda: seen.append(world.clock.now))
    program.poke()
    assert program.wants_to_run
    program.turn()
    due = program.deadline
    assert not program.wants_to_run
    assert seen == []
    world.clock.reach(due)
    assert program.wants_to_run
    program.turn()
    assert seen == [due]
    program.close()
    assert program.deadline == math.inf


class Sleeper(Blocking):
    """Sleeps twice, and says where it is."""

    def body(self) -> None:
        self.seen: list[object] = [threading.current_thread() is not threading.main_thread()]
        self.sleep(1.0)
        self.seen.append(self.kernel.clock.now)
        self.sleep(1.0)
        self.seen.append("never")


def test_a_blocking_program_runs_in_a_thread_and_only_until_it_waits(world: World) -> None:
    program = Sleeper(world.kernel, "it", 0)
    assert not program.wants_to_run
    program.start()
    program.turn()
    assert program.seen == [True]
    assert not program.wants_to_run
    world.clock.reach(program.deadline)
    program.turn()
    assert program.seen[1:] == [world.clock.now]
    program.close()
    assert program.over
    assert program.seen[2:] == [], "it ended where it waited"
    assert program.escaped is None


def test_what_a_blocking_program_raises_is_kept(world: World) -> None:
    class Fails(Blocking):
        def body(self) -> None:
            raise KeyError("mine")

    program = Fails(world.kernel, "it", 0)
    program.start()
    program.turn()
    assert program.over
    assert isinstance(program.escaped, KeyError)
    program.close()


def test_one_that_never_started_is_over_when_it_is_closed(world: World) -> None:
    program = Sleeper(world.kernel, "it", 0)
    program.close()
    assert program.over
    program.start()
    assert program.deadline == math.inf


def test_who_was_stopped_beyond_its_time_comes_back_without_having_looked(world: World) -> None:
    program = Turning(world.kernel, "it", 0)
    program.interrupted = True
    assert not program.wakes_blind(world.clock.now + 1), "its time is not up"
    assert not program.interrupted, "it is told once"
    program.interrupted = True
    assert program.wakes_blind(world.clock.now)
    program.close()
