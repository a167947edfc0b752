"""Do many connections live on one loop, and do they all come to their end, in the books too?

Drain and cut, overload, trouble with accept, bugs of our own. Most tests run twice, as those of
`test_message`; the last ones run a server in a thread, as in real life.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import socket
import threading
from typing import Any

import pytest

from eventloop import Address, EventLoop
from eventloop.listener import RETRY_AFTER
from libserver import Actions, CannotListen, CloseReason, Message, Server
from libserver.ending import Ending
from libserver.limits import LINGER, REFUSED_LINGER, REFUSED_LINGERING
from libserver.server import CROWDED_QUIET, ip_of
from libserver.system import System
from protocol import Limits
from protocol.states import DRAINING
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_socket import Errno, FaultySocket
from tests.libserver.conftest import OpenHouse, Rows
from tests.libserver.test_message import doors, finish_request, peer_sends, stuff
from tests.support.descriptors import no_descriptor_left
from tests.support.peer import Peer, arrived, connected, small_buffers
from tests.support.server import ANY_PORT, Turned, check_books, check_closed, serving, turned
from tests.support.wire import ask, binary, framed, keep, message

MEGABYTE = 1024 * 1024


def ended(home: Turned) -> None:
    """The drain has come to its end: nothing is open, nobody is listened to."""
    home.until(lambda: not home.server.connections and not home.server.refused)
    check_books(home.server)
    with pytest.raises(ConnectionRefusedError):
        connected(home.server.addresses[0])


# --- drain ---------------------------------------------------------------------------------


def test_a_drain_closes_idle_connections_at_once_with_fin_alone(house: OpenHouse) -> None:
    home = house()
    silent, rested, one = home.peer(), home.peer(), home.peer()
    for peer in (rested, one):
        peer.send(keep("echo", 1))
        assert peer.reply().result == 1
    home.server.drain()
    for peer in (silent, rested, one):
        peer.eof()
    ended(home)
    assert home.reasons == {"shutdown": 3}
    assert home.server.cut == 0


def test_a_request_that_had_arrived_unread_when_the_drain_began_is_answered(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(keep("echo", 1))
    assert peer.reply().result == 1
    peer.sock.sendall(keep("echo", 2) + keep("echo", 3))
    home.server._drain()
    replies = peer.replies(2)
    assert [reply.result for reply in replies] == [2, 3]
    assert [reply.connection for reply in replies] == [None, "close"]
    peer.eof()  # a RST would raise here
    peer.finish()
    ended(home)
    assert home.reasons == {"shutdown": 1}


@pytest.mark.parametrize(
    "limits", [{}, {"write_low": 1024, "write_high": 4096, "output_limit": 8192}], ids=["no limit", "output-limit"]
)
def test_a_reply_made_by_the_drain_that_the_peer_does_not_take_is_timed_and_limited(
    house: OpenHouse, limits: dict[str, Any]
) -> None:
    """Read, answered, and stuck: it has not ended, and its ends still work."""
    home = house(send_timeout=60.0, drain_timeout=0, **limits)
    peer = home.peer(small_buffers)
    peer.send(keep("echo", 1))
    assert peer.reply().result == 1
    home.only.transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    request = keep("echo", "x" * 60_000)
    peer.sock.sendall(request)
    arrived(home.only.transport.sock, len(request))
    home.server._drain()
    home.until(lambda: not home.server.connections or home.only.transport.queued)
    if not limits:
        assert home.only.state is DRAINING
        assert home.only.transport.queued
        home.advance(61.0)
    assert home.ended() == {"output-limit" if limits else "send-timeout": 1}


@pytest.mark.parametrize("fresh", [True, False], ids=["first message", "later message"])
@pytest.mark.parametrize("size", [10, 200_000], ids=["small", "in place"])
@pytest.mark.parametrize("cut", [1, 2, 60, -1])
def test_a_message_whose_first_byte_was_read_is_finished_and_answered_with_close(
    house: OpenHouse, fresh: bool, size: int, cut: int
) -> None:
    home = house()
    peer = home.peer()
    if not fresh:
        peer.send(keep("echo", 1))
        assert peer.reply().result == 1
    content = bytes(size)
    request = binary(content, connection="keep-alive", id=9)
    peer.send(request[:cut])
    home.quiet()
    home.server.drain()
    home.quiet()
    peer.silent()
    peer.send(request[cut:])
    reply = peer.reply()
    assert reply.content == content
    assert reply.connection == "close"
    peer.eof()
    peer.finish()
    ended(home)
    assert home.reasons == {"shutdown": 1}
    assert home.server.cut == 0


def test_a_one_shot_message_begun_before_the_drain_is_answered(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    request = ask("echo", 1)
    peer.send(request[:-1])
    home.quiet()
    home.server.drain()
    home.quiet()
    peer.send(request[-1:])
    assert peer.reply().result == 1
    peer.eof()
    peer.finish()
    ended(home)


def test_what_begins_after_the_begun_message_is_not_served(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    request = keep("echo", 1)
    peer.send(request[:-1])
    home.quiet()
    home.server.drain()
    home.quiet()
    peer.send(request[-1:], keep("echo", 2), keep("echo", 3))
    reply = peer.reply()
    assert (reply.result, reply.connection) == (1, "close")
    peer.eof()
    peer.finish()
    ended(home)


@pytest.mark.parametrize("fields", [{}, {"id": 1}], ids=["plain", "id"])
def test_whole_requests_already_read_are_answered_though_the_peer_has_to_read_first(
    house: OpenHouse, fields: dict[str, Any]
) -> None:
    home = house(write_high=128 * 1024, write_low=64 * 1024)
    peer = home.peer(small_buffers)
    value = "x" * 3000
    request = keep("echo", value, **fields)
    sent = stuff(home, peer, request)
    assert not home.only.transport.reading
    read = sent * len(request) - kernel_holds(home)
    home.server.drain()
    home.quiet()
    replies = 0
    last = None
    while not peer.ended or peer.received:
        try:
            reply = peer.reply()
        except AssertionError:
            break
        assert reply.result == value
        assert last != "close"
        last = reply.connection
        replies += 1
    assert peer.ended
    assert replies >= read // len(request)  # each that was read, and none was lost on the way
    assert last == "close"
    finish_request_of(peer)
    home.until(lambda: not home.server.connections)
    assert home.reasons == {"shutdown": 1}


def kernel_holds(home: Turned) -> int:
    """Bytes that the peer has sent and the server has not read: at most these."""
    import array
    import fcntl
    import termios

    held = array.array("i", [0])
    fcntl.ioctl(home.only.transport.sock.fileno(), termios.FIONREAD, held)
    peer_unsent = array.array("i", [0])
    fcntl.ioctl(home.peers[-1].sock.fileno(), termios.TIOCOUTQ, peer_unsent)
    return held[0] + peer_unsent[0]


def finish_request_of(peer: Peer) -> None:
    for _ in finish_request(peer, b"\0" * 100_000):
        pass
    peer.close()


def test_requests_that_wait_for_a_full_pool_are_all_answered(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, handler_threads=1)
        peer = home.peer()
        peer.send(*(keep("wait", n) for n in range(8)))
        home.until(lambda: d.begun)
        home.quiet()
        home.server.drain()
        home.quiet()
        peer.silent()
        d.open(*range(8))
        replies = peer.replies(8)
        assert [reply.result for reply in replies] == list(range(8))
        assert [reply.connection for reply in replies] == ["keep-alive", *[None] * 6, "close"]
        peer.eof()
        peer.finish()
        ended(home)
        assert home.reasons == {"shutdown": 1}
        assert home.server.cut == 0


def test_a_request_that_begins_after_the_drain_is_told_shutting_down_after_the_reply_owed(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(keep("wait", "slow", id=1))
        home.until(lambda: d.begun)
        home.server.drain()
        home.quiet()
        peer.send(keep("echo", "late", id=2), keep("echo", "later", id=3))
        home.quiet()
        peer.silent()
        d.open("slow")
        first, second = peer.replies(2)
        assert (first.result, first.header["id"]) == ("slow", 1)
        assert (second.code, second.header["id"], second.connection) == ("shutting-down", 2, "close")
        peer.eof()
        peer.finish()
        ended(home)
        assert home.reasons == {"shutdown": 1}


def test_a_late_half_request_withholds_nothing(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(keep("wait", "slow"))
        home.until(lambda: d.begun)
        home.server.drain()
        home.quiet()
        peer.send(keep("echo", "late")[:20])
        home.quiet()
        d.open("slow")
        assert peer.reply().connection == "close"
        peer.eof()
        peer.finish()
        ended(home)


def test_drain_finishes_output_that_is_under_way(house: OpenHouse) -> None:
    home = house()
    peer, idle = home.peer(small_buffers), home.peer()
    idle.send(keep("echo", 1))
    assert idle.reply().result == 1
    content = os.urandom(50_000)
    peer.send(keep("echo", 1), *[binary(content)] * 90)  # small enough for the batch
    home.quiet()
    assert any(m.transport.queued for m in home.server.connections)
    home.server.drain()
    idle.eof()
    replies = [peer.reply()]
    while replies[-1].connection != "close":  # those of its requests that had not been read by then are not served
        replies.append(peer.reply())
    assert replies[0].result == 1
    assert {reply.content for reply in replies[1:]} == {content}
    peer.eof()
    peer.finish()
    ended(home)
    assert home.reasons == {"shutdown": 2}


def test_connections_that_rest_while_their_replies_leave_are_drained_each_by_itself(house: OpenHouse) -> None:
    home = house()
    peers = [home.peer(small_buffers) for _ in range(3)]
    busy = home.peer()
    busy.send(keep("echo", 1))
    assert busy.reply().result == 1
    request = keep("echo", 2)
    busy.send(request[:-1])
    value = "x" * 60_000
    counts = [stuff_until_queued(home, peer, keep("echo", value)) for peer in peers]
    assert sum(m.transport.queued > 0 for m in home.server.connections) == 3
    home.server.drain()
    home.quiet()
    busy.send(request[-1:])
    reply = busy.reply()
    assert (reply.result, reply.connection) == (2, "close")
    for peer, count in zip(peers, counts, strict=True):
        for _ in range(count):
            assert peer.reply().result == value
        peer.eof()
        peer.finish()
    busy.finish()
    ended(home)
    assert home.reasons == {"shutdown": 4}


def stuff_until_queued(home: Turned, peer: Peer, request: bytes) -> int:
    """Send whole requests, one by one, until a reply has to wait for the peer."""
    known = {m.transport.sock.getpeername(): m for m in home.server.connections}
    mine = known[peer.sock.getsockname()]
    for count in range(1, 1000):
        peer.send(request)
        home.quiet()
        if mine.transport.queued:
            return count
    raise AssertionError("the kernel takes everything")


def test_what_is_still_busy_at_the_drain_timeout_is_cut_and_counted(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, drain_timeout=10.0, header_timeout=100.0, min_data_rate=0)
        stuck, half, idle, refusing = home.peer(), home.peer(), home.peer(), home.peer(small_buffers)
        stuck.send(ask("wait", "never"))
        half.send(keep("echo", 1)[:30])
        refusing.send(binary(bytes(16 * MEGABYTE), connection="keep-alive"))
        home.until(lambda: d.begun)
        home.quiet()
        home.server.drain()
        idle.eof()
        home.advance(9.9)
        assert len(home.server.connections) == 3
        home.advance(0.2)
        home.until(lambda: not home.server.connections)
        for peer in (stuck, half, refusing):
            peer.gone()
        ended(home)
        assert home.reasons == {"cut": 3, "shutdown": 1}
        assert home.server.cut == 3


def test_a_drain_timeout_of_zero_waits_without_end(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, drain_timeout=0)
        peer = home.peer()
        peer.send(keep("wait", "slow"))
        home.until(lambda: d.begun)
        home.server.drain()
        home.advance(1_000_000.0)
        peer.silent()
        d.open("slow")
        assert peer.reply().connection == "close"


def test_a_stop_during_a_drain_cuts_at_once(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(keep("wait", "slow"))
        home.until(lambda: d.begun)
        home.server.drain()
        home.server.drain()  # twice is once
        home.quiet()
        home.server.stop()
        peer.gone()
        ended(home)
        assert home.reasons == {"cut": 1}
        assert home.server.cut == 1


def test_a_drain_waits_for_those_that_linger_but_not_for_long(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(framed(b"[]"))
    assert peer.reply().code == "bad-header"
    home.server.drain()
    home.advance(LINGER - 0.1)
    assert len(home.server.connections) == 1
    home.advance(0.2)
    ended(home)
    assert home.reasons == {"bad-framing": 1}
    assert home.server.cut == 0


def test_timers_go_on_during_a_drain(house: OpenHouse) -> None:
    home = house(header_timeout=3.0, drain_timeout=0)
    peer = home.peer()
    peer.send(keep("echo", 1)[:10])
    home.quiet()
    home.server.drain()
    home.advance(3.1)
    reply = peer.reply()
    assert reply.code == "timeout"
    peer.eof()
    peer.finish()
    ended(home)


# --- overload --------------------------------------------------------------------------------


def test_one_connection_too_many_is_told_overloaded_and_the_others_go_on(house: OpenHouse) -> None:
    home = house(max_connections=2)
    one, two = home.peer(), home.peer()
    extra = home.peer()
    reply = extra.reply()
    assert reply.code == "overloaded"
    assert reply.connection is None
    extra.eof()
    for peer in (one, two):
        peer.send(keep("echo", 1))
        assert peer.reply().result == 1
    one.close()
    home.until(lambda: len(home.server.connections) == 1)
    again = home.peer()
    again.send(keep("echo", 2))
    assert again.reply().result == 2
    extra.finish()
    home.until(lambda: not home.server.refused)
    assert home.reasons == {"overloaded": 1, "peer-closed": 1}
    check_books(home.server)


def test_a_refused_connection_that_asks_reads_its_error_without_a_reset(house: OpenHouse) -> None:
    home = house(max_connections=1)
    home.peer()
    extra = home.peer()
    extra.send(ask("echo", 1), bytes(MEGABYTE))
    assert extra.reply().code == "overloaded"
    extra.eof()


def test_a_refused_connection_lingers_for_a_second_at_most(house: OpenHouse) -> None:
    home = house(max_connections=1)
    home.peer()
    home.peer()
    home.advance(REFUSED_LINGER - 0.1)
    assert len(home.server.refused) == 1
    home.advance(0.2)
    assert not home.server.refused
    assert home.reasons == {"overloaded": 1}


def test_a_flood_of_refused_connections_lingers_in_bounded_number_and_all_are_told(house: OpenHouse) -> None:
    home = house(max_connections=1)
    first = home.peer()
    extra = [home.peer() for _ in range(REFUSED_LINGERING + 20)]
    assert len(home.server.refused) == REFUSED_LINGERING
    for peer in extra:
        assert peer.reply().code == "overloaded"
        peer.eof()
        peer.close()
    first.send(keep("echo", 1))
    assert first.reply().result == 1
    home.until(lambda: not home.server.refused)
    assert home.reasons == {"overloaded": REFUSED_LINGERING + 20}
    check_books(home.server)


def test_a_drain_ends_though_refused_connections_linger(house: OpenHouse) -> None:
    home = house(max_connections=1)
    first, extra = home.peer(), home.peer()
    home.server.drain()
    first.eof()
    assert extra.reply().code == "overloaded"
    home.advance(REFUSED_LINGER + 0.1)
    ended(home)


def test_the_cap_is_clamped_to_what_the_descriptors_allow_and_that_is_logged() -> None:
    hundred = System(raise_descriptor_limit=lambda: 100)
    with turned(max_connections=69, system=hundred) as home:
        assert home.server.max_connections == 68
        assert home.log.texts(logging.WARNING) == [
            "max_connections lowered from 69 to 68: the descriptor limit less 32; raise it with ulimit -n"
        ]
    with turned(max_connections=68, system=hundred) as home:
        assert home.log.texts(logging.WARNING) == []
    with turned(system=System(raise_descriptor_limit=lambda: 10)) as home:
        assert home.server.max_connections == 1


# --- connections of one address ----------------------------------------------------------------


def peer_from(home: Turned, source: str, listener: int = 0) -> Peer:
    return home.peer(lambda sock: sock.bind((source, 0)), listener)


def served(peer: Peer) -> bool:
    """Is it? Otherwise it is told that it is one too many."""
    peer.send(keep("echo", 1))
    code = peer.reply().code
    assert code in (None, "overloaded")
    return code is None


def test_one_connection_too_many_of_one_ip_is_told_so_and_other_addresses_are_served(house: OpenHouse) -> None:
    home = house(max_connections_per_ip=2)
    kept = [peer_from(home, "127.0.0.1"), peer_from(home, "127.0.0.1")]
    extra = peer_from(home, "127.0.0.1")
    reply = extra.reply()
    assert reply.code == "overloaded"
    assert "all the 2 connections it may have from one address" in reply.result
    extra.eof()
    assert len(home.server.refused) == 1  # it lingers like others that are refused
    kept += [peer_from(home, "127.0.0.2"), peer_from(home, "127.0.0.2")]
    assert not served(peer_from(home, "127.0.0.2"))
    assert [served(peer) for peer in kept] == [True] * 4
    kept.pop(0).close()
    home.until(lambda: len(home.server.connections) == 3)
    assert served(peer_from(home, "127.0.0.1"))
    assert not served(peer_from(home, "127.0.0.1"))
    assert len(home.server.refused) == 3
    check_books(home.server)


@pytest.mark.parametrize("end", ["close", "reset", "one-shot", "timeout"])
def test_an_address_is_forgotten_with_its_last_connection(house: OpenHouse, end: str) -> None:
    home = house(max_connections_per_ip=1, header_timeout=10.0)
    for last in range(1, 21):
        peer = peer_from(home, f"127.0.0.{last}")
        if end == "one-shot":
            peer.send(ask("echo", 1))
            assert peer.reply().result == 1
        elif end == "timeout":
            home.advance(10.1)
        peer.reset() if end == "reset" else peer.close()
    home.ended()
    assert not home.server._ip_of
    assert not home.server._from_ip


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python has no IPv6")
def test_an_ipv4_mapped_address_is_the_ipv4_address(house: OpenHouse) -> None:
    home = house(listen=("tcp://[::]:0", ANY_PORT), max_connections_per_ip=1)
    dual_stack = home.server.addresses[0].port
    mapped = Peer(socket.create_connection(("127.0.0.1", dual_stack)), home.turn)
    home.peers.append(mapped)
    assert served(mapped)
    assert not served(home.peer(listener=1))
    own = Peer(socket.create_connection(("::1", dual_stack)), home.turn)
    home.peers.append(own)
    assert served(own)


def test_unix_sockets_have_no_address_and_are_not_counted(house: OpenHouse, tmp_path: Any) -> None:
    home = house(listen=(f"unix:{tmp_path}/s", ANY_PORT), max_connections_per_ip=1)
    assert all(served(home.peer()) for _ in range(5))
    assert served(home.peer(listener=1))
    assert not served(home.peer(listener=1))


def test_echo_and_messages_of_one_address_are_counted_together() -> None:
    with turned(listen=(ANY_PORT, "echo://127.0.0.1:0"), max_connections_per_ip=2) as home:
        message, echo = home.peer(), home.peer(listener=1)
        home.peer(listener=1).eof()
        assert not served(home.peer())
        echo.send(b"still here")
        home.until(lambda: echo.read())
        assert served(message)
        message.close()
        home.until(lambda: len(home.server.connections) == 1)
        again = home.peer(listener=1)
        again.send(b"x")
        home.until(lambda: again.read())
        assert again.received == b"x"


def test_without_the_limit_nobody_is_counted(house: OpenHouse) -> None:
    home = house()
    assert all(served(home.peer()) for _ in range(20))
    assert not home.server._ip_of
    assert not home.server._from_ip


@pytest.mark.parametrize(
    ("peer", "ip"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (("::ffff:0:1", 5, 0, 0), "::ffff:0:1"),
        (("2001:db8::1", 5, 0, 0), "2001:db8::1"),
        ("", ""),
        (b"\0abstract", ""),
        (None, ""),
    ],
)
def test_the_ip_of_a_peer_is_what_accept_says_of_it(peer: Any, ip: str) -> None:
    assert ip_of(peer) == ip


# --- trouble with accept -----------------------------------------------------------------------


def troubled(home: Turned) -> FaultySocket:
    """The server's listening socket, replaced by one that fails as scripted."""
    listener = home.server._listeners[0]
    faulty = FaultySocket(listener.sock)
    home.server.loop.register(listener.sock, 0, listener)
    listener.sock = faulty
    listener._accept = faulty.accept
    home.server.loop.register(faulty, 1, listener)
    return faulty


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE])
def test_without_resources_the_listener_pauses_does_not_spin_and_recovers(house: OpenHouse, number: int) -> None:
    home = house()
    old = home.peer()
    faulty = troubled(home)
    faulty.script("accept", *[Errno(number)] * 4)  # twice more than the reserve descriptor could help
    waiting = Peer(connected(home.server.addresses[0]), home.turn)
    home.peers.append(waiting)
    home.turn()
    assert home.server._listeners[0].paused
    home.quiet()
    assert sum(home.turn() for _ in range(10)) == 0
    old.send(keep("echo", 1))
    assert old.reply().result == 1
    for _ in range(4):
        home.advance(RETRY_AFTER)
    waiting.send(keep("echo", 2))
    assert waiting.reply().result == 2
    (warning,) = home.log.texts(logging.WARNING)  # once, not ten times a second
    assert "not accepting for a moment" in warning


@pytest.mark.parametrize("kernels", [True, False], ids=["as the kernel tells", "where it does not"])
def test_a_full_queue_of_waiting_connections_is_told_but_not_all_the_time(
    house: OpenHouse, monkeypatch: pytest.MonkeyPatch, kernels: bool
) -> None:
    if not kernels:
        monkeypatch.setattr("libserver.server.accept_queue", lambda sock: None)
    home = house(backlog=2)
    (address,) = home.server.addresses

    def told() -> list[str]:
        return [text for text in home.log.texts(logging.WARNING) if text.startswith("accept: ")]

    def burst(number: int) -> None:
        """So many wait at once: the server looks when all are there."""
        for sock in [connected(address) for _ in range(number)]:
            home.peers.append(Peer(sock, home.turn))
        home.turn()
        home.quiet()

    burst(2)
    assert told() == []
    burst(3)
    burst(3)
    (warning,) = told()
    assert "the queue of waiting connections was full (2)" in warning
    assert "raise --backlog, or start more servers" in warning
    home.advance(CROWDED_QUIET)
    burst(3)
    assert len(told()) == 2


def test_where_the_kernel_cuts_the_queue_its_own_limit_is_named(
    house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = house(backlog=100)
    monkeypatch.setattr("libserver.server.accept_queue", lambda sock: (20, 16))
    home.server._crowded(None, 16)
    (warning,) = home.log.texts(logging.WARNING)
    assert "raise net.core.somaxconn" in warning


def test_a_long_batch_of_accepts_is_no_full_queue(house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    home = house()
    monkeypatch.setattr("libserver.server.accept_queue", lambda sock: (1000, 4096))
    home.server._crowded(None, 256)
    assert home.log.texts(logging.WARNING) == []


def test_a_request_that_makes_a_handler_fail_can_not_fill_the_log() -> None:
    infinite = message(b'{"action": "echo", "value": 1e999}', "text/json", "utf-8", connection="keep-alive")
    with turned() as house:
        peer = house.peer()
        for _ in range(2):
            del house.log.records[:]
            for _ in range(25):
                peer.send(infinite)
                assert peer.reply().code == "handler-failed"
            assert len(house.log.texts(logging.ERROR)) == 10
            house.advance(5.0)
            assert house.log.texts(logging.ERROR)[10:] == ["handler-failed: 15 more within 5 s"]
        peer.send(infinite * 11)
        peer.replies(11)
        del house.log.records[:]
    assert house.log.texts(logging.ERROR) == ["handler-failed: 1 more within 5 s"]  # at the end at last


def test_with_the_reserve_descriptor_some_are_told_overloaded_when_descriptors_run_out(house: OpenHouse) -> None:
    home = house()
    faulty = troubled(home)
    faulty.script("accept", Errno(errno.EMFILE))  # the next one, with the reserve given up, succeeds
    waiting = [Peer(connected(home.server.addresses[0]), home.turn) for _ in range(3)]
    home.peers += waiting
    for peer in waiting:
        assert peer.reply().code == "overloaded"
        peer.eof()
    assert home.server.accepted == 3
    assert home.reasons == {"overloaded": 3}
    check_books(home.server)


def test_an_echo_refused_with_the_reserve_descriptor_is_counted_too() -> None:
    with turned(listen=("echo://127.0.0.1:0",)) as home:
        faulty = troubled(home)
        faulty.script("accept", Errno(errno.EMFILE))
        peer = Peer(connected(home.server.addresses[0]), home.turn)
        home.peers.append(peer)
        peer.eof()
        assert home.reasons == {"overloaded": 1}


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR])
def test_an_accept_that_fails_for_one_connection_costs_only_that(house: OpenHouse, number: int) -> None:
    home = house()
    faulty = troubled(home)
    faulty.script("accept", Errno(number))
    peer = home.peer()
    peer.send(keep("echo", 1))
    assert peer.reply().result == 1
    assert home.log.texts(logging.WARNING) == []


def test_a_listener_that_is_broken_for_good_is_reported_and_does_not_spin() -> None:
    with turned(internal_errors=1) as home:
        old = home.peer()
        faulty = troubled(home)
        faulty.script("accept", Errno(errno.EINVAL))
        home.peers.append(Peer(connected(home.server.addresses[0]), home.turn))
        home.quiet()
        assert sum(home.turn() for _ in range(10)) == 0
        old.send(keep("echo", 1))
        assert old.reply().result == 1


# --- bugs of our own ---------------------------------------------------------------------------------


def test_an_observer_that_raises_is_let_go_and_costs_nothing() -> None:
    class Broken:
        def transition(self, *args: object) -> None:
            raise RuntimeError("the instrument broke")

    observers: list[Any] = [Broken(), Rows()]
    with turned(observer=lambda: observers.pop(0), observer_errors=1) as home:
        victim, other = home.peer(), home.peer()
        victim.send(keep("echo", 1))
        assert victim.reply().result == 1
        other.send(keep("echo", 2))
        assert other.reply().result == 2
        assert home.reasons == {}


def test_an_observer_that_can_not_be_made_costs_nothing() -> None:
    def fail() -> Rows:
        raise RuntimeError("no instrument")

    with turned(observer=fail, observer_errors=1) as home:
        peer = home.peer()
        peer.send(keep("echo", 1))
        assert peer.reply().result == 1


def test_a_bug_met_in_a_timer_costs_its_connection_and_not_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    with turned(header_timeout=10.0, internal_errors=1) as home:
        home.peer()
        doomed = home.only
        neighbour = home.peer()
        original = Ending.release

        def fail(self: Ending[Any], message: Any, reason: CloseReason) -> None:
            if message is doomed:
                raise RuntimeError("a bug")
            original(self, message, reason)

        monkeypatch.setattr(Ending, "release", fail)
        home.advance(10.0)
        neighbour.eof()
        assert home.ended() == {"internal-error": 1, "header-timeout": 1}


def test_a_bug_met_in_the_drain_or_the_sweep_costs_its_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Ending.release
    for end in ("drain", "sweep"):
        with turned(internal_errors=1, header_timeout=0) as home:
            home.peer()
            doomed = home.only
            for _ in range(3):
                home.peer()

            def fail(self: Ending[Any], message: Any, reason: CloseReason, doomed: Message = doomed) -> None:
                if message is doomed:
                    raise RuntimeError("a bug")
                original(self, message, reason)

            monkeypatch.setattr(Ending, "release", fail)
            if end == "drain":
                home.server.drain()
            else:
                home.advance(400.0)
            assert home.ended() == {"internal-error": 1, "shutdown" if end == "drain" else "idle-timeout": 3}


def test_a_bug_met_between_a_request_and_its_reply_leaves_nothing_behind_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All resting connections share one `Connection`: what one leaves in it the others would find."""
    actions = Actions()
    actions.add_binary("binary/crash")(lambda content: 1 / 0)
    with turned(actions, internal_errors=1) as home:
        victim, others = home.peer(), [home.peer() for _ in range(3)]
        for peer in (victim, *others):
            peer.send(keep("echo", 1))
            assert peer.reply().result == 1

        def fail(*failed: object) -> None:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(home.server, "failure", fail)
            victim.send(binary(b"", "binary/crash"))
            victim.gone()
        for peer in others:
            peer.send(keep("echo", 2))
            assert peer.reply().result == 2
        assert all(message.idle for message in home.server.connections)
        home.server.drain()
        for peer in others:
            peer.eof()
        assert home.ended() == {"internal-error": 1, "shutdown": 3}


def test_a_bug_met_when_a_handler_returns_costs_its_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with doors() as d, turned(d.actions, internal_errors=1) as home:
        victim, other = home.peer(), home.peer()
        victim.send(keep("wait", "slow"))
        home.until(lambda: d.begun)
        with monkeypatch.context() as patch:

            def fail(self: Message, deadline: object) -> None:
                raise BaseExceptionGroup("", [RuntimeError()]) if False else RuntimeError("a bug")

            patch.setattr(Message, "_serve", lambda self: fail(self, None))
            d.open("slow")
            victim.gone()
        other.send(keep("wait", "slow"))
        assert other.reply().result == "slow"
        assert home.server.pool.outstanding == 0
        assert home.reasons == {"internal-error": 1}


# --- beginning and end ---------------------------------------------------------------------------------


def test_a_server_that_can_not_open_its_second_listener_leaves_nothing_of_the_first(tmp_path: Any) -> None:
    with no_descriptor_left():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(CannotListen):
                Server([f"unix:{tmp_path}/a", "echo+udp://127.0.0.1:0", f"tcp://127.0.0.1:{port}"])
        gc.collect()  # what had leaked would warn now
        assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"listen": ["127.0.0.1"]}, "HOST:PORT"),
        ({"listen": ["tls://127.0.0.1:1"]}, "not accepted"),
        ({"max_connections": 0}, "max_connections"),
        ({"idle_timeout": -1}, "idle_timeout"),
    ],
)
def test_arguments_that_can_not_hold_are_value_errors_and_leave_nothing_open(
    arguments: dict[str, Any], words: str
) -> None:
    with no_descriptor_left(), pytest.raises(ValueError, match=words):
        Server(**arguments)


def test_closing_without_a_drain_ends_every_connection_in_the_books() -> None:
    with no_descriptor_left():
        server = Server([ANY_PORT])
        peers = [connected(server.addresses[0]) for _ in range(3)]
        while len(server.connections) < 3:
            server.loop.run_once(1)
        server.close()
        server.close()
        check_closed(server)
        assert server.closed_by == {CloseReason.CUT: 3}
        assert server.cut == 3
        for sock in peers:
            assert sock.recv(1) == b""
            sock.close()


def test_a_server_can_share_a_loop_and_leaves_it_open() -> None:
    loop = EventLoop(clock=FakeClock())
    with Server([ANY_PORT], loop=loop) as one, Server([ANY_PORT], loop=loop) as two:
        for server in (one, two):
            with connected(server.addresses[0]) as sock:
                while not server.connections:
                    loop.run_once(1)
                sock.close()
                while server.connections:
                    loop.run_once(1)
    loop.run_once(0)
    loop.close()


def test_a_shared_loop_keeps_what_its_owner_does_with_errors_and_slow_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[object, Exception]] = []
    loop = EventLoop(clock=FakeClock(), on_error=lambda source, error: heard.append((source, error)))
    with contextlib.closing(loop), Server([ANY_PORT], loop=loop) as server:
        bug = RuntimeError("of the server's own")

        def fail(message: Message, data: bytes) -> None:
            raise bug

        monkeypatch.setattr(Message, "data_received", fail)
        with connected(server.addresses[0]) as sock:
            while not server.connections:
                loop.run_once(1)
            sock.sendall(keep("echo", 1))
            while not heard:
                loop.run_once(1)
        assert [error for _, error in heard] == [bug]
        assert loop.on_slow is None


def test_addresses_say_the_real_ports() -> None:
    with Server([ANY_PORT, Address("echo", "127.0.0.1", 0), "echo+udp://127.0.0.1:0"]) as server:
        assert [address.scheme for address in server.addresses] == ["tcp", "echo", "echo+udp"]
        assert all(address.port for address in server.addresses)


def test_a_drain_before_run_ends_it_at_once() -> None:
    server = Server([ANY_PORT])
    server.drain()
    server.run()
    check_closed(server)


def test_a_port_can_be_bound_again_immediately_after_connections_were_served() -> None:
    port = 0
    for _ in range(3):
        with serving(listen=(f"tcp://127.0.0.1:{port}",)) as home:
            port = home.server.addresses[0].port
            peer = home.peer()
            peer.send(ask("echo", 1))
            assert peer.reply().result == 1
            peer.eof()  # the server closed first: TIME_WAIT is on its side
            home.server.drain()
            home.join()


def test_a_unix_path_is_removed_at_the_end_and_bound_again(tmp_path: Any) -> None:
    path = tmp_path / "s"
    for _ in range(2):
        with serving(listen=(f"unix:{path}",)) as home:
            peer = home.peer()
            peer.send(keep("echo", 1))
            assert peer.reply().result == 1
            assert "peer=unix" in home.server.describe_connections()[0]
        assert not path.exists()


def test_run_in_a_thread_serves_drains_and_returns() -> None:
    with serving() as home:
        peers = [home.peer() for _ in range(20)]
        for n, peer in enumerate(peers):
            peer.send(*(keep("echo", [n, k]) for k in range(50)))
        for n, peer in enumerate(peers):
            assert [reply.result for reply in peer.replies(50)] == [[n, k] for k in range(50)]
        home.server.drain()
        for peer in peers:
            peer.eof()
        home.join()
        assert home.server.closed_by == {CloseReason.SHUTDOWN: 20}


def test_drain_and_stop_may_be_called_from_many_threads_at_once() -> None:
    with serving() as home:
        peer = home.peer()
        peer.send(keep("echo", 1))
        assert peer.reply().result == 1
        threads = [threading.Thread(target=call) for call in [home.server.drain] * 5 + [home.server.stop] * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        home.join()
        peer.gone()


def test_connecting_and_closing_ten_thousand_times_leaves_nothing() -> None:
    with turned(backlog=4096) as home:
        address = home.server.addresses[0]
        with no_descriptor_left():
            for _ in range(100):
                for _ in range(100):
                    connected(address).close()
                home.quiet()
            home.until(lambda: home.server.accepted == 10_000)
            home.ended()


def test_sizes_are_the_codecs() -> None:
    with Server([ANY_PORT], sizes=Limits(max_header=100)) as server:
        assert server.codec.limits.max_header == 100


def test_the_log_tells_each_close_and_its_reason_only_when_debugging(house: OpenHouse) -> None:
    home = house()
    logger = logging.getLogger("multiconn.server")
    level = logger.level
    try:
        for wanted, lines in ((logging.DEBUG, ["connection closed: silent"]), (logging.INFO, [])):
            logger.setLevel(wanted)
            del home.log.records[:]
            home.peer().close()
            home.until(lambda: not home.server.connections)
            assert home.log.texts() == lines
    finally:
        logger.setLevel(level)


__all__ = ["peer_sends"]
