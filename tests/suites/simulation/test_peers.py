"""Do the raw peers act as they say, whatever the random numbers, and leave when their script does?"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from suites.conformance.wire import take
from suites.simulation import peers
from suites.simulation.happenings import Arrival, Heal, Terminate
from suites.simulation.peers import ANSWERABLE, BROKEN, SCRIPTS, Peer, Script
from suites.simulation.plan import Plan
from suites.simulation.world import World


def ran(*happenings: Arrival, **more: Any) -> World:
    world = World(Plan(happenings=happenings, **{"end": Terminate(120.0), **more}))
    world.run()
    assert world.violations == []
    return world


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_few_of_each_come_and_are_all_gone_in_the_end(script: Any) -> None:
    world = ran(*(Arrival(0.1 * number, script, number) for number in range(4)))
    assert all(peer.over for peer in world._crowd)
    assert world.report.connections >= 4
    assert len(world.crowd.files) == 0, "no peer keeps its descriptor"


def test_each_has_a_name_of_its_own_for_the_story() -> None:
    assert len({script.__name__ for script in SCRIPTS}) == len(SCRIPTS)


def says(count: int, seen: list[bytes]) -> Any:
    def script(peer: Peer) -> Script:
        seen.append(peer.requests(count))
        yield from peer.connect()

    return script


@pytest.mark.parametrize("number", range(5))
def test_what_it_asks_are_whole_messages_the_first_of_which_asks_for_keep_alive(number: int) -> None:
    seen: list[bytes] = []
    ran(Arrival(0.1, says(6, seen), number))
    stream = bytearray(seen[0])
    taken = []
    while (message := take(stream)) is not None:
        taken.append(message)
    assert (len(taken), stream) == (6, b"")
    assert taken[0][1]["connection"] == "keep-alive"
    again: list[bytes] = []
    ran(Arrival(0.1, says(6, again), number))
    assert again == seen, "its random numbers are its own"


def test_broken_frames_are_broken_and_answerable_ones_are_whole() -> None:
    assert all(take(bytearray(whole)) is not None for whole in ANSWERABLE)
    world = ran(*(Arrival(0.1 * n, sends(frame), n) for n, frame in enumerate(BROKEN)))
    assert world.report.reasons["bad-framing"] == len(BROKEN)


def sends(data: bytes) -> Any:
    def script(peer: Peer) -> Script:
        yield from peer.connect()
        yield from peer.send(data)
        yield from peer.read_for(30)

    return script


def test_who_sleeps_is_woken_by_what_happens_to_its_socket_and_not_twice() -> None:
    woken: list[float] = []

    def waits(peer: Peer) -> Script:
        yield from peer.connect()
        yield from peer.send(peer.one_request(connection="keep-alive"))
        begun = peer.kernel.clock.now
        while peer.read() is None:
            yield from peer.wait(100.0)
            woken.append(peer.kernel.clock.now - begun)
        yield from peer.wait(0.5)  # nothing comes any more: its time runs out
        woken.append(peer.kernel.clock.now - begun)

    ran(Arrival(0.1, waits, 1))
    assert woken[0] < 50.0, "the reply came before its time was up"
    assert woken[-1] == pytest.approx(woken[-2] + 0.5, abs=0.01)


def test_a_newcomer_tries_again_until_it_is_answered() -> None:
    world = ran(end=Heal(1.0, Terminate(60.0)))
    assert world.probe is not None
    assert world.probe.answered
    assert world.probe.over


def test_a_newcomer_gives_up_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Plan())

    def refused(self: Peer, patience: float = 20.0, port: int = 0) -> Script:
        self.sock = world.kernel.socket(world.crowd)
        yield patience
        raise OSError("not connected")

    monkeypatch.setattr(Peer, "connect", refused)
    probe = peers.Probe(world.kernel, world.crowd, world.target, Random(1), 20.0)
    while not probe.over:
        due = world.schedule.next_due()
        assert due is not None
        world.clock.reach(due)
        world.schedule.run_due()
    assert not probe.answered
    assert world.clock.now >= probe.until
    world.close()
