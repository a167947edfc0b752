"""What seeds have found, each as a small world written by hand.

A seed means another world as soon as anything changes; these keep their meaning. Each names the seeds that
showed it first.
"""

from __future__ import annotations

from typing import Any

import pytest

from suites.conformance.wire import action, framed
from suites.simulation import peers
from suites.simulation.happenings import Arrival, Leap, Standstill, Terminate, TerminateAtCall
from suites.simulation.peers import Peer, Script
from suites.simulation.plan import Plan
from suites.simulation.pool import SimPool
from suites.simulation.world import World


def ran(plan: Plan) -> World:
    world = World(plan)
    world.run()
    assert world.violations == [], "\n".join(world.trace.lines(20))
    return world


def reasons(world: World) -> dict[str, int]:
    return {reason: count for reason, count in world.report.reasons.items() if count}


# --- peers that need names here -----------------------------------------------------------------------


def breaks_off_behind_a_slow_request(peer: Peer) -> Script:
    """A request that takes its time, then half a message and FIN."""
    yield from peer.connect()
    yield from peer.send(action("slow", 1, connection="keep-alive") + action("echo", 2)[:20])
    peer.fin()
    yield from peer.read_for(60.0)


def talks_nonsense_behind_a_slow_request(peer: Peer) -> Script:
    yield from peer.connect()
    yield from peer.send(action("slow", 1, connection="keep-alive") + framed(b"[1, 2]"))
    yield from peer.read_for(60.0)


def asks_for_much_and_breaks_off(peer: Peer) -> Script:
    yield from peer.connect()
    yield from peer.send(action("big", 1000, connection="keep-alive") * 60 + action("echo", 2)[:20])
    peer.fin()
    yield from peer.wait(100.0)


def asks_many_at_once(peer: Peer) -> Script:
    """More than the server reads in one go, reading all the while; each read ends where a request does."""
    yield from peer.connect()
    one = action("echo", "x" * 100, connection="keep-alive")
    one = action("echo", "x" * (100 + 256 - len(one)), connection="keep-alive")
    assert len(one) == 256
    left = memoryview(one * 1200)
    while left:
        peer.read()
        try:
            left = left[peer.sock.send(left) :]
        except BlockingIOError:
            yield from peer.wait(1.0)
    yield from peer.read_for(30.0)


def goes_on_talking_nonsense(peer: Peer) -> Script:
    yield from peer.connect()
    yield from peer.send(framed(b"[1, 2]"))
    for _ in range(100):
        yield from peer.send(b"x" * 200)
        yield 0.01
    yield from peer.read_for(10.0)


def asks_while_the_server_is_stopped(peer: Peer) -> Script:
    """A request, silence for less than the idle timeout, and another one."""
    yield from peer.connect()
    yield from peer.send(action("echo", 1, connection="keep-alive"))
    yield from peer.read_for(3.0)
    yield from peer.send(action("echo", 2, connection="close"))
    yield from peer.read_for(60.0)


@pytest.fixture
def stuck_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers in threads never return."""
    monkeypatch.setattr(SimPool, "_seconds", lambda self: 1e9)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> bytearray:
    """All that peers have read."""
    data = bytearray()
    read = Peer.read

    def heard_too(self: Peer, most: int = 1 << 16) -> bytes | None:
        got = read(self, most)
        data.extend(got or b"")
        return got

    monkeypatch.setattr(Peer, "read", heard_too)
    return data


# --- what they found -----------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [breaks_off_behind_a_slow_request, talks_nonsense_behind_a_slow_request])
@pytest.mark.parametrize("end", [Terminate(1.0, second=0.5), Terminate(1.0)], ids=["second signal", "drain timeout"])
def test_a_cut_is_counted_and_told_although_the_input_had_failed(
    stuck_pool: None, heard: bytearray, script: Any, end: Terminate
) -> None:
    """Seeds 900051, 910506, 911145, 911213, 920676, 921172, 922108, 922132, 938702."""
    world = ran(Plan(happenings=(Arrival(0.1, script, 1),), end=end))
    assert reasons(world) == {"cut": 1}
    assert b"shutting-down" in heard


def test_output_above_its_limit_is_the_reason_although_the_input_had_failed() -> None:
    """Seed 934073: ended as header-timeout and owed 14 replies."""
    limits = {"write_high": 16_384, "write_low": 0, "output_limit": 16_384, "requests_per_event": 4}
    plan = Plan(rooms=(2048, 2048), limits=limits, happenings=(Arrival(0.1, asks_for_much_and_breaks_off, 1),))
    assert reasons(ran(plan)) == {"output-limit": 1}


def test_who_lingers_may_be_cut_by_a_second_signal() -> None:
    """Seeds 933024, 934682, 934991, 935968, 939184, 940866: said its last words, was cut, and more came."""
    plan = Plan(happenings=(Arrival(0.1, goes_on_talking_nonsense, 1),), end=Terminate(0.3, second=0.2))
    world = ran(plan)
    assert reasons(world) == {"bad-framing": 1}
    assert any("is closed: RST" in line for line in world.trace.lines())


def test_a_stopped_server_hears_what_came_before_it_looks_at_its_timers() -> None:
    plan = Plan(
        limits={"idle_timeout": 5.0},
        happenings=(Arrival(0.1, asks_while_the_server_is_stopped, 1), Standstill(1.0, 20.0)),
        end=Terminate(30.0),
    )
    assert reasons(ran(plan)) == {"served": 1}


def test_an_hour_that_nobody_saw_is_nobodys_fault() -> None:
    """Seed 932052, and 940866: a suspend after SIGTERM is no drain that took an hour."""
    plan = Plan(
        happenings=(Arrival(0.1, goes_on_talking_nonsense, 1), Terminate(0.3), Leap(0.4, 3600.0)),
        end=Terminate(1.0),
    )
    assert "bad-framing" in reasons(ran(plan))


@pytest.mark.parametrize("grace", [0.0, 1.0])
@pytest.mark.parametrize("share", [4, 1024])
def test_a_drain_closes_nothing_that_it_has_not_read(share: int, grace: float) -> None:
    """Seed 935497: requests waited in the kernel, and the close was a RST that cost the peer its replies."""
    limits = {"requests_per_event": share, "drain_grace": grace}
    for number in range(8, 20):
        signal = TerminateAtCall(0.0, number=number)
        ran(Plan(limits=limits, rooms=(1 << 19, 1 << 19), happenings=(Arrival(0.1, asks_many_at_once, 1), signal)))


@pytest.mark.parametrize("observed", [0.0, 1.0], ids=["batch", "walk"])
def test_eighty_handlers_that_stall_are_not_all_of_one_turn(observed: float) -> None:
    """Seed 939269: one turn of the loop served all of them, and a newcomer waited as long as they took together."""
    ran(Plan(observed=observed, happenings=(Arrival(0.1, peers.staller, 1, count=80),), end=Terminate(300.0)))


def test_the_end_of_a_turn_comes_once_in_it() -> None:
    """Who went on there and had to wait again asked for another end of the same turn: five stalls in one."""
    for seed in range(25):
        crowd = Arrival(0.1, peers.staller, 4, count=40)
        ran(Plan(seed=seed, limits={"requests_per_event": 1}, happenings=(crowd,), end=Terminate(400.0)))


def test_who_waits_for_its_turn_is_not_idle_however_long_that_takes() -> None:
    """Seed 9001908: the idle timeout closed a connection that the server itself had not read on."""
    for seed in range(12):
        limits = {"requests_per_event": 1, "idle_timeout": 5.0}
        crowd = Arrival(0.1, peers.staller, 12, count=40)
        ran(Plan(seed=seed, limits=limits, happenings=(crowd,), end=Terminate(400.0)))


def test_nobody_is_closed_in_the_grace_who_was_not_told() -> None:
    """Seed 11000716: the last reply left among more than the high-water mark at once, and said nothing of an end."""
    for seed in range(11000711, 11000721):
        limits = {"write_high": 2048, "write_low": 2048}
        ran(Plan(seed=seed, limits=limits, happenings=(Arrival(0.34, peers.greedy, 1000),), end=Terminate(5.0)))


def test_behind_a_reply_that_says_close_nothing_is_answered_though_it_has_not_left() -> None:
    """Seed 40000527: the kernel took a part of that reply, and what came next was refused as if it had begun before."""
    rates = {
        "connect: first SYN lost": 0.09564566702426602,
        "connection: reset at a byte": 0.12242403337594623,
        "send: fewer bytes than there is room": 0.07336207999688141,
    }
    arrival = Arrival(0.0060061070340024884, peers.staller, 1, count=1)
    ran(
        Plan(
            seed=40000527,
            length=0.75,
            limits={"max_requests": 1},
            refuses_new=False,
            rates=rates,
            happenings=(arrival,),
            end=Terminate(0.75),
        )
    )
