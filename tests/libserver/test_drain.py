"""Does a drain keep every request that can be kept, and does a connection that had its share end as gently?

By a clock that the test moves. Not here: a drain without grace (`test_server`), and what each row of
LIFECYCLE looks like (`test_lifecycle`).
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

import pytest

from eventloop import Transport
from eventloop.quiesce import HANDSHAKE
from libserver import Server
from libserver.limits import LINGER
from protocol.states import DRAINING, LINGERING, OPEN
from tests.libserver.conftest import OpenHouse
from tests.libserver.test_message import doors
from tests.support.peer import Peer, arrived, connected, small_buffers
from tests.support.server import Turned, turned
from tests.support.wire import Reply, ask, binary, keep

GRACE = 1.0


def kept(home: Turned, value: object = "first") -> Peer:
    peer = home.peer()
    peer.send(keep("echo", value))
    assert peer.reply().result == value
    return peer


def refuses(home: Turned, listener: int = 0) -> None:
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        connected(home.server.addresses[listener])


def ends(home: Turned, *peers: Peer) -> None:
    """Each has got FIN, and closes."""
    for peer in peers:
        peer.eof()
        peer.close()


def drained(home: Turned) -> Turned:
    """A drain has begun, and its listeners are closed."""
    home.server.drain()
    home.advance(HANDSHAKE)
    return home


# --- who is idle -----------------------------------------------------------------------------------


def test_one_that_is_idle_may_ask_once_more_and_is_answered_with_close(house: OpenHouse) -> None:
    home = house(drain_grace=GRACE)
    peer = kept(home)
    drained(home)
    home.advance(0.9)
    assert home.only.state is OPEN
    peer.send(keep("echo", "second"))
    reply = peer.reply()
    assert (reply.result, reply.connection) == ("second", "close")
    ends(home, peer)
    assert home.ended() == {"shutdown": 1}


def test_one_that_has_not_spoken_may_speak_and_a_one_shot_client_is_one(house: OpenHouse) -> None:
    home = house(drain_grace=GRACE)
    peers = [home.peer() for _ in range(3)]
    drained(home)
    for peer, request in zip(peers, (ask("echo", 1), keep("echo", 1), binary(b"x" * 100_000)), strict=True):
        peer.send(request)
        reply = peer.reply()
        assert reply.connection == "close"
        assert reply.content == b"x" * 100_000 if request == binary(b"x" * 100_000) else reply.result == 1
    ends(home, *peers)
    assert home.ended() == {"served": 2, "shutdown": 1}


def test_only_at_the_end_of_the_grace_do_the_silent_get_fin(house: OpenHouse) -> None:
    home = house(drain_grace=GRACE)
    silent, idle = home.peer(), kept(home)
    drained(home)
    home.advance(GRACE - HANDSHAKE - 0.01)
    assert len(home.server.connections) == 2
    silent.silent()
    idle.silent()
    home.advance(0.02)
    ends(home, silent, idle)
    assert home.ended() == {"shutdown": 2}


def test_it_ends_earlier_if_everything_has_ended_earlier() -> None:
    with turned(drain_grace=GRACE) as home:
        peer = kept(home)
        drained(home)
        peer.close()
        home.ended()
        stopped: list[float] = []
        home.server.loop.stop = lambda: stopped.append(home.clock.now)  # type: ignore[method-assign]
        home.server._stop_if_drained()
        assert stopped


def test_the_server_runs_on_while_somebody_has_his_grace_and_a_listener_is_open() -> None:
    with turned(drain_grace=GRACE) as home:
        stopped: list[float] = []
        home.server.loop.stop = lambda: stopped.append(home.clock.now)  # type: ignore[method-assign]
        began = home.clock.now
        home.server.drain()
        home.quiet()
        assert not stopped
        home.advance(HANDSHAKE)
        assert stopped == [began + HANDSHAKE]


@pytest.mark.parametrize("timeout", [0.5, 1.0])
def test_the_grace_lies_within_the_drain_timeout(house: OpenHouse, timeout: float) -> None:
    home = house(drain_grace=GRACE, drain_timeout=timeout)
    idle = kept(home)
    half = home.peer()
    half.send(keep("echo", 1)[:-1])
    drained(home)
    home.advance(timeout)
    ends(home, idle)
    half.gone()
    assert home.ended() == {"shutdown": 1, "cut": 1}


def test_a_grace_of_zero_closes_idle_ones_at_once(house: OpenHouse) -> None:
    home = house(drain_grace=0)
    idle = kept(home)
    home.server.drain()
    ends(home, idle)
    assert home.ended() == {"shutdown": 1}
    refuses(home)


def test_a_second_signal_does_not_wait_for_the_grace(house: OpenHouse) -> None:
    home = house(drain_grace=GRACE)
    idle = kept(home)
    home.server.drain()
    home.quiet()
    home.server.stop()
    idle.gone()
    assert home.ended() == {"cut": 1}


# --- who is busy -----------------------------------------------------------------------------------


def test_what_has_come_behind_a_request_is_served_before_close_is_said(house: OpenHouse) -> None:
    """Also what only the kernel has: a client that pipelines has sent it before it could know."""
    home = house(drain_grace=GRACE)
    peer = kept(home)
    drained(home)
    requests = b"".join(keep("echo", [n, "x" * 1000]) for n in range(400))  # more than one read
    peer.send(requests)
    replies = peer.replies(400)
    assert [reply.result[0] for reply in replies] == list(range(400))
    assert [n for n, reply in enumerate(replies) if reply.connection] == [399]
    ends(home, peer)
    assert home.ended() == {"shutdown": 1}


def test_a_request_that_comes_while_another_is_worked_on_is_served(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, drain_grace=GRACE)
        peer = home.peer()
        peer.send(keep("wait", "slow", id=1))
        home.until(lambda: d.begun)
        drained(home)
        peer.send(keep("echo", "meanwhile", id=2))
        home.quiet()
        d.open("slow")
        first, second = peer.replies(2)
        assert (first.result, first.connection) == ("slow", "keep-alive")
        assert (second.result, second.connection) == ("meanwhile", "close")
        ends(home, peer)
        assert home.ended() == {"shutdown": 1}


def test_after_the_grace_a_late_request_is_told_shutting_down(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, drain_grace=GRACE)
        peer = home.peer()
        peer.send(keep("wait", "slow", id=1))
        home.until(lambda: d.begun)
        drained(home)
        home.advance(GRACE)
        assert home.only.state is DRAINING
        peer.send(keep("echo", "late", id=2))
        home.quiet()
        d.open("slow")
        first, second = peer.replies(2)
        assert (first.result, second.code, second.connection) == ("slow", "shutting-down", "close")
        ends(home, peer)


def test_a_message_that_began_in_the_grace_is_finished_after_it(house: OpenHouse) -> None:
    home = house(drain_grace=GRACE)
    peer = kept(home)
    drained(home)
    request = keep("echo", "slowly")
    peer.send(request[:20])
    home.advance(GRACE)
    peer.send(request[20:])
    reply = peer.reply()
    assert (reply.result, reply.connection) == ("slowly", "close")
    ends(home, peer)
    assert home.ended() == {"shutdown": 1}


# --- what is unread at the end of the grace -----------------------------------------------------------


def unread(home: Turned, peer: Peer, data: bytes) -> None:
    """`data` lies in the server's kernel, and nobody has looked."""
    peer.sock.setblocking(True)
    peer.sock.sendall(data)
    peer.sock.setblocking(False)
    arrived_all(home.only.transport, len(data))


def arrived_all(transport: Transport, size: int) -> None:
    deadline = time.monotonic() + 20
    while transport.unread() < size:
        assert time.monotonic() < deadline, f"{transport.unread()} of {size} bytes arrived"


@pytest.mark.parametrize("grace", [0.0, GRACE])
def test_requests_that_lie_in_the_kernel_at_the_end_are_all_answered(house: OpenHouse, grace: float) -> None:
    """1,200 pipelined ones of 256 bytes: more than one read, and more than one turn may serve."""
    home = house(drain_grace=grace, requests_per_event=100)
    peer = home.peer(lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20))
    home.only.transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    peer.send(keep("echo", 0))
    assert peer.reply().result == 0
    request = keep("echo", "x" * 100)
    count = 1200 if grace else 500
    if grace:
        home.server._drain()
    unread(home, peer, request * count)
    if grace:
        home.server._end_grace()
    else:
        home.server._drain()
    assert len(home.server.connections) == 1, "closed on unread requests"
    replies = peer.replies(count)
    assert [n for n, reply in enumerate(replies) if reply.connection] == [count - 1]
    assert replies[-1].connection == "close"
    ends(home, peer)
    assert home.ended() == {"shutdown": 1}


def test_one_that_had_its_share_of_the_turn_is_not_closed_on_what_is_unread(house: OpenHouse) -> None:
    home = house(requests_per_event=4)
    peer = kept(home)
    unread(home, peer, keep("echo", 1) * 4)
    home.only.transport.on_readable()  # its share; it has paused, and is idle for the moment
    unread(home, peer, keep("echo", 2) * 3)
    home.server._drain()
    replies = peer.replies(7)
    assert [reply.result for reply in replies] == [1] * 4 + [2] * 3
    assert replies[-1].connection == "close"
    ends(home, peer)
    assert home.ended() == {"shutdown": 1}


@pytest.mark.parametrize("place", [1, 200_000])
def test_what_lies_unread_of_a_large_content_counts_too(house: OpenHouse, place: int) -> None:
    """The rest of a content goes straight into its place, and the request behind it has begun."""
    home = house()
    peer = home.peer(lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20))
    home.only.transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    content = bytes(300_000)
    request = binary(content, connection="keep-alive")
    peer.send(request[:-place])
    home.quiet()
    unread(home, peer, request[-place:] + keep("echo", "behind") + keep("echo", "begun")[:1])
    home.server._drain()
    home.quiet()
    peer.send(keep("echo", "begun")[1:])
    first, second, third = peer.replies(3)
    assert first.content == content
    assert (second.result, second.connection) == ("behind", None)
    assert (third.result, third.connection) == ("begun", "close")
    ends(home, peer)
    assert home.ended() == {"shutdown": 1}


# --- who has connected ---------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", [0.0, GRACE])
@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_everybody_in_the_accept_queue_is_accepted(tmp_path: Any, grace: float, scheme: str) -> None:
    address = "tcp://127.0.0.1:0" if scheme == "tcp" else f"unix:{tmp_path}/s"
    with turned(listen=(address,), drain_grace=grace) as home:
        socks = [connected(home.server.addresses[0]) for _ in range(300)]
        home.server._drain()
        peers = [Peer(sock, home.turn) for sock in socks]
        for number, peer in enumerate(peers):
            if grace:
                peer.send(ask("echo", number))
        home.advance(HANDSHAKE)
        refuses(home)
        for number, peer in enumerate(peers):
            if grace:
                assert peer.reply().result == number
            peer.eof()
            peer.close()
        home.ended()
        assert home.server.accepted == 300


def test_with_two_listeners_both_accept_until_the_end(tmp_path: Any) -> None:
    with turned(listen=("tcp://127.0.0.1:0", f"unix:{tmp_path}/s"), drain_grace=GRACE) as home:
        socks = [connected(address) for address in home.server.addresses for _ in range(5)]
        home.server._drain()
        home.advance(HANDSHAKE)
        peers = [Peer(sock, home.turn) for sock in socks]
        for peer in peers:
            peer.send(ask("echo", 1))
            assert peer.reply().result == 1
        ends(home, *peers)
        for listener in (0, 1):
            refuses(home, listener)
        assert not (tmp_path / "s").exists()


def test_a_unix_listener_takes_nobody_from_the_signal_on_and_a_successor_keeps_its_file(tmp_path: Any) -> None:
    address = f"unix:{tmp_path}/s"
    with turned(listen=(address,), drain_grace=GRACE) as old:
        old.server.drain()
        old.quiet()
        refuses(old)
        with Server((address,)) as successor:
            old.advance(GRACE)
            old.server.close()
            peer = Peer(connected(successor.addresses[0]), lambda: successor.loop.run_once(0.01))
            peer.send(ask("echo", 1))
            assert peer.reply().result == 1
            peer.close()


def test_the_one_too_many_is_told_so_in_a_drain_too() -> None:
    with turned(drain_grace=GRACE, max_connections=1) as home:
        first = kept(home)
        second = Peer(connected(home.server.addresses[0]), home.turn)
        home.server._drain()
        home.advance(HANDSHAKE)
        assert second.reply().code == "overloaded"
        first.send(keep("echo", 2))
        assert first.reply().result == 2
        first.close()
        second.close()
        home.ended()


def test_a_request_that_comes_too_late_is_told_so_though_the_reply_before_it_is_still_leaving() -> None:
    """Seed 90067762: that reply was made before the drain, so it said nothing of an end, and the request got a FIN."""
    with turned(write_high=1 << 20, write_low=1 << 10) as home:
        peer = home.peer(small_buffers)
        home.only.transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        peer.send(keep("echo", "first"))
        peer.reply()
        peer.send(keep("echo", "x" * 200_000))
        home.until(lambda: home.only.transport.queued)
        drained(home)
        peer.send(keep("echo", "late", id=7))
        assert peer.reply().connection is None
        last = peer.reply()
        assert (last.code, last.header["id"], last.connection) == ("shutting-down", 7, "close")
        ends(home, peer)
        assert home.ended() == {"shutdown": 1}


# --- raw echo ----------------------------------------------------------------------------------------------


def test_raw_echo_goes_on_for_the_grace_and_is_closed_when_all_is_echoed() -> None:
    with turned(listen=("echo://127.0.0.1:0",), drain_grace=GRACE) as home:
        idle, busy = home.peer(), home.peer()
        drained(home)
        busy.send(b"hello")
        home.until(lambda: busy.read())
        assert busy.received == b"hello"
        home.quiet()
        (sock,) = (m.transport.sock for m in home.server.connections if m.transport.peer_name() == name_of(busy))
        busy.sock.sendall(b"x" * 1000)
        arrived(sock, 1000)
        home.server._end_grace()
        busy.received.clear()
        home.until(lambda: not busy.read() and len(busy.received) == 1000)
        ends_raw(home, idle, busy)
        assert home.ended() == {"shutdown": 2}


def name_of(peer: Peer) -> str:
    host, port = peer.sock.getsockname()
    return f"{host}:{port}"


def ends_raw(home: Turned, *peers: Peer) -> None:
    for peer in peers:
        peer.received.clear()
        peer.eof()


# --- a connection's share -------------------------------------------------------------------------------------


def last_of(peer: Peer, most: int) -> tuple[int, Reply]:
    """Ask, one by one, until a reply says `close`: how many that were, and the last."""
    for number in range(1, most + 1):
        peer.send(keep("echo", number))
        reply = peer.reply()
        assert reply.result == number
        if reply.connection == "close":
            return number, reply
    raise AssertionError(f"no close among {most} replies")


@pytest.mark.parametrize("share", [1, 2, 10])
def test_the_reply_to_the_last_of_max_requests_says_close(house: OpenHouse, share: int) -> None:
    home = house(max_requests=share)
    peer = home.peer()
    assert last_of(peer, 20)[0] == share
    ends(home, peer)
    assert home.ended() == {"retired": 1}


def test_max_requests_counts_those_that_are_answered_together() -> None:
    with turned(max_requests=5) as home:
        peers = [home.peer() for _ in range(8)]
        for number in range(5):
            for peer in peers:
                peer.sock.sendall(keep("echo", number))
            words = []
            for peer in peers:
                reply = peer.reply()
                assert reply.result == number
                words.append(reply.connection)
            assert set(words) == {{0: "keep-alive", 4: "close"}.get(number)}
        ends(home, *peers)
        assert home.ended() == {"retired": 8}


def test_what_was_pipelined_beyond_max_requests_is_served(house: OpenHouse) -> None:
    home = house(max_requests=3)
    peer = home.peer()
    peer.send(keep("echo", 0))
    peer.reply()
    peer.send(keep("echo", 1) * 2)
    peer.replies(2)
    peer.send(b"".join(keep("echo", n) for n in range(50)))
    replies = peer.replies(50)
    assert [reply.result for reply in replies] == list(range(50))
    assert replies[-1].connection == "close"
    ends(home, peer)
    assert home.ended() == {"retired": 1}


def test_blocking_actions_count_and_the_last_one_says_close(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, max_requests=2)
        peer = home.peer()
        peer.send(keep("wait", 1), keep("wait", 2))
        home.until(lambda: d.begun)
        d.open(1, 2)
        first, second = peer.replies(2)
        peer.send(keep("wait", 3)) if second.connection is None else None
        d.open(3)
        last = second if second.connection else peer.reply()
        assert (first.connection, last.connection) == ("keep-alive", "close")
        ends(home, peer)
        assert home.ended() == {"retired": 1}


def test_a_large_content_is_counted_too(house: OpenHouse) -> None:
    home = house(max_requests=2)
    peer = home.peer()
    for word in ("keep-alive", "close"):
        peer.send(binary(bytes(200_000), connection="keep-alive"))
        assert peer.reply().connection == word
    ends(home, peer)


def test_one_that_is_too_old_ends_with_its_next_reply(house: OpenHouse) -> None:
    home = house(max_age=100.0, idle_timeout=0)
    peer = kept(home)
    home.advance(60)
    young = kept(home)
    home.advance(41)
    assert len(home.server.connections) == 2, "it is not closed, it may be asking just now"
    for one, word in ((young, None), (peer, "close")):
        one.send(keep("echo", 1))
        assert one.reply().connection == word
    ends(home, peer)
    home.advance(70)
    young.send(keep("echo", 1))
    assert young.reply().connection == "close"
    ends(home, young)
    assert home.ended() == {"retired": 2}


def test_one_that_waits_to_be_answered_is_told_to_end_by_its_reply() -> None:
    with turned(max_age=100.0, idle_timeout=0) as home:
        peers = [kept(home) for _ in range(3)]
        home.quiet()
        for number, peer in enumerate(peers):
            peer.sock.sendall(keep("echo", number))
        for message in home.server.connections:
            arrived(message.transport.sock, 1)
        home.clock.advance(101)
        home.quiet()
        for number, peer in enumerate(peers):
            reply = peer.reply()
            assert (reply.result, reply.connection) == (number, "close")
        ends(home, *peers)
        assert home.ended() == {"retired": 3}


def test_a_drain_takes_over_what_is_already_about_to_end(house: OpenHouse) -> None:
    home = house(max_age=100.0, idle_timeout=0, drain_grace=GRACE)
    peer, silent = kept(home), kept(home)
    home.advance(101)
    drained(home)
    peer.send(keep("echo", 1))
    assert peer.reply().connection == "close"
    ends(home, peer)
    home.advance(GRACE)
    ends(home, silent)
    assert home.ended() == {"shutdown": 2}


def test_a_client_that_half_closes_in_the_grace_gets_its_replies(house: OpenHouse) -> None:
    home = house(drain_grace=GRACE)
    peer = kept(home)
    drained(home)
    peer.send(keep("echo", 1), keep("echo", 2))
    peer.finish()
    assert [reply.result for reply in peer.replies(2)] == [1, 2]
    ends(home, peer)
    home.ended()


def test_a_peer_that_does_not_read_is_answered_wholly_and_then_told_close(house: OpenHouse) -> None:
    home = house(drain_grace=GRACE, write_high=64 * 1024, write_low=1024)
    peer = home.peer(small_buffers)
    home.only.transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    peer.send(keep("echo", "first"))
    peer.reply()
    drained(home)
    peer.send(*(keep("echo", "x" * 10_000) for _ in range(30)))
    home.advance(GRACE)
    replies = [peer.reply()]
    while replies[-1].connection != "close":  # what had not left the peer by then is not served
        replies.append(peer.reply())
        assert replies[-1].code is None
    assert len(replies) > 6
    ends(home, peer)
    assert home.ended() == {"shutdown": 1}


def test_lingering_ends_in_a_drain_as_ever(house: OpenHouse) -> None:
    home = house(drain_grace=GRACE)
    peer = kept(home)
    drained(home)
    peer.send(keep("echo", 1))
    peer.reply()
    home.quiet()
    assert home.only.state is LINGERING
    with contextlib.suppress(OSError):
        home.advance(LINGER)
    assert home.ended() == {"shutdown": 1}
