"""Whoever cuts a connection that owes replies is its reason, and says so where it can be heard.

Its input may have failed long before: what went wrong first is the reason of an end that gave everything
that was owed, and of no other. Otherwise a missing reply would be counted where nobody looks for one.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from libserver import Actions, CloseReason
from tests.libserver.conftest import OpenHouse
from tests.libserver.test_message import Doors, doors
from tests.support.peer import Peer, small_buffers
from tests.support.server import Turned
from tests.support.wire import ask, binary, framed, keep
from tests.test_app_server import running

MEGABYTE = 1024 * 1024

Fail = Callable[[Turned, Peer], None]


def with_a_broken_frame(home: Turned, peer: Peer) -> None:
    peer.send(framed(b"[]"))


def in_the_middle_of_a_message(home: Turned, peer: Peer) -> None:
    peer.send(keep("echo", "half")[:20])
    peer.finish()


def by_a_header_that_stops(home: Turned, peer: Peer) -> None:
    peer.send(keep("echo", "half")[:20])
    home.quiet()
    home.advance(6.0)


FAILURES: list[tuple[Fail, CloseReason]] = [
    (with_a_broken_frame, CloseReason.BAD_FRAMING),
    (in_the_middle_of_a_message, CloseReason.TRUNCATED),
    (by_a_header_that_stops, CloseReason.HEADER_TIMEOUT),
]


def owing(home: Turned, d: Doors, fail: Fail, reason: CloseReason) -> Peer:
    """Two replies are owed, the first of them not ready, when its input fails."""
    peer = home.peer()
    peer.send(keep("wait", "never", id="first"), keep("echo", "behind it", id="second"))
    home.until(lambda: bool(d.begun))
    fail(home, peer)
    home.until(lambda: home.only.reason is reason)
    return peer


def hears_of_the_cut(peer: Peer) -> None:
    reply = peer.reply()
    assert (reply.code, reply.header["id"], reply.connection) == ("shutting-down", "first", "close")
    assert "it may have been carried out" in reply.body["error"]["message"]
    peer.eof()


@pytest.mark.parametrize(("fail", "reason"), FAILURES)
@pytest.mark.parametrize("drained", [False, True], ids=["second signal", "drain timeout"])
def test_who_is_cut_while_it_owes_replies_is_counted_as_cut_and_told_although_its_input_had_failed(
    house: OpenHouse, fail: Fail, reason: CloseReason, drained: bool
) -> None:
    with doors() as d:
        home = house(d.actions, header_timeout=5.0, min_data_rate=0, drain_timeout=10.0)
        peer = owing(home, d, fail, reason)
        home.server.drain()
        home.quiet()
        if drained:
            home.advance(10.1)
        else:
            home.server.stop()
        hears_of_the_cut(peer)
        assert home.ended() == {"cut": 1}
        assert home.server.cut == 1


@pytest.mark.parametrize("request_", [keep("wait", "never", id="first"), ask("wait", "never", id="first")])
def test_who_is_cut_while_a_handler_works_is_told(house: OpenHouse, request_: bytes) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(request_)
        home.until(lambda: bool(d.begun))
        home.server.stop()
        reply = peer.reply()
        assert (reply.code, reply.header["id"]) == ("shutting-down", "first")
        peer.eof()
        assert home.ended() == {"cut": 1}


def test_who_waits_for_room_in_the_pool_is_told_too(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, handler_threads=1)
        for n in range(2):
            home.peer().send(ask("wait", n))
        home.until(lambda: home.server.pool.full)
        peer = home.peer()
        peer.send(keep("wait", "held", id="first"), keep("echo", 1, id="second"))
        home.quiet()
        home.server.stop()
        hears_of_the_cut(peer)
        assert home.ended() == {"cut": 3}


def test_who_owes_nothing_keeps_its_first_reason_when_it_is_cut(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(framed(b"[]"))
    assert peer.reply().code == "bad-header"  # it lingers now
    home.server.stop()
    peer.eof()
    assert home.ended() == {"bad-framing": 1}
    assert home.server.cut == 0


def test_between_two_parts_of_a_reply_nothing_is_put_in(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions, write_high=64 * MEGABYTE)
        peer = home.peer(small_buffers)
        peer.send(binary(bytes(16 * MEGABYTE), connection="keep-alive"), keep("wait", "never"))
        home.until(lambda: bool(d.begun))
        assert home.only.transport.queued
        home.server.stop()
        peer.gone()
        assert b"shutting-down" not in peer.received
        assert home.ended() == {"cut": 1}


def test_a_peer_that_does_not_read_is_counted_by_the_send_timeout_although_its_input_had_failed(
    house: OpenHouse,
) -> None:
    home = house(write_high=64 * MEGABYTE, send_timeout=60.0)
    peer = home.peer(small_buffers)
    peer.send(binary(bytes(16 * MEGABYTE), connection="keep-alive"), framed(b"[]"))
    home.until(lambda: home.only.reason is CloseReason.BAD_FRAMING)
    assert home.only.transport.queued
    home.advance(61.0)
    assert home.ended() == {"send-timeout": 1}


def test_a_reply_above_the_output_limit_is_counted_as_that_although_its_input_had_failed(house: OpenHouse) -> None:
    actions, may_return = Actions(), threading.Event()

    @actions.add("large", blocking=True)
    def large(request: object) -> str:
        assert may_return.wait(20)
        return "x" * (16 * MEGABYTE)

    home = house(actions, output_limit=MEGABYTE)
    peer = home.peer(small_buffers)
    peer.send(keep("large"), framed(b"[]"))
    home.until(lambda: home.only.reason is CloseReason.BAD_FRAMING)
    may_return.set()
    assert home.ended() == {"output-limit": 1}


def test_the_command_warns_of_one_that_was_cut_while_it_owed_although_its_input_had_failed(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "import os, time\n"
        "from libserver import Actions\n"
        "actions = Actions()\n"
        "@actions.add('never', blocking=True)\n"
        "def never(request):\n"
        "    os.write(2, b'begun\\n')  # in one piece: the log's thread writes there, too\n"
        "    time.sleep(3600)\n"
    )
    with running("127.0.0.1", "0", "--app", "app:actions", "--drain-timeout", "1h", cwd=tmp_path) as command:
        peer = command.peer(command.address())
        peer.send(keep("never", id="first"), framed(b"[]"))
        assert "begun" in (command.line(), command.line())  # the other is of the broken frame
        command.signal(signal.SIGTERM)
        assert command.line().startswith("Draining")
        command.signal(signal.SIGTERM)
        hears_of_the_cut(peer)
        code, lines = command.end()
    assert code == 128 + signal.SIGTERM
    assert any("Cut while still busy" in line and line.endswith(": 1") for line in lines), lines
    assert lines[-1] == "Closed: accepted 1 (cut 1)"
