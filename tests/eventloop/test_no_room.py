"""When the selector has no room, or a call that never fails does: nothing is deaf, lost or left open.

epoll_ctl says ENOSPC at the limit of watches (fs.epoll.max_user_watches) and ENOMEM without memory.
Every call and every errno, with real sockets: suites/faults. Here each of their consequences once.
"""

from __future__ import annotations

import errno
import selectors
import socket
from typing import Any

import pytest

from eventloop import Connector, Endpoint, EventLoop, Listener, Transport, WaterMarks
from eventloop.connector import open_socket
from eventloop.listener import RETRY_AFTER, SPOILED_BUDGET
from eventloop.loop import READ, WRITE
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_socket import AGAIN, Errno, FaultySocket
from tests.fakes.protocol import RecordingProtocol
from tests.fakes.selector import FakeSelector
from tests.support.descriptors import no_descriptor_left

NO_ROOM = Errno(errno.ENOSPC)
BROKEN = Errno(errno.EIO)


def no_room(monkeypatch: pytest.MonkeyPatch, selector: FakeSelector, times: int = 1, method: str = "register") -> None:
    """The next `times` calls of the selector's `method` fail; afterwards there is room again."""
    real = getattr(selector, method)
    left = times

    def refuse(fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        nonlocal left
        left -= 1
        if left >= 0:
            if method == "modify":
                selector.unregister(fileobj)  # as selectors does
            raise NO_ROOM.error()
        return real(fileobj, events, data)  # type: ignore[no-any-return]

    monkeypatch.setattr(selector, method, refuse)


# --- a transport -----------------------------------------------------------------------


def test_a_transport_that_cannot_be_watched_from_the_start_leaves_the_socket_to_its_maker(
    loop: EventLoop, selector: FakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch, selector)
    sock = FaultySocket()
    with pytest.raises(OSError, match="No space"):
        Transport(loop, sock, RecordingProtocol())
    assert not sock.closed


def test_a_transport_that_cannot_be_watched_later_is_lost(
    loop: EventLoop, selector: FakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch, selector)
    sock, protocol = FaultySocket(), RecordingProtocol()
    transport = Transport(loop, sock, protocol, watch=False)
    transport.watch()
    assert transport.closed
    assert sock.closed
    loop.run_once(0)
    assert [getattr(loss, "errno", None) for loss in protocol.losses] == [errno.ENOSPC]


def test_a_transport_that_cannot_be_watched_differently_is_lost_and_told_nothing_else(
    loop: EventLoop, selector: FakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock, protocol = FaultySocket(), RecordingProtocol()
    transport = Transport(loop, sock, protocol, WaterMarks(high=2, low=1))
    sock.script("send", AGAIN)
    transport.write(b"12345")
    assert transport.above_high
    no_room(monkeypatch, selector, method="modify")
    sock.script("send", 4)
    transport.pause_reading()  # a modify, which fails
    assert transport.closed
    loop.run_once(0)
    assert "resume" not in protocol.heard
    assert len(protocol.losses) == 1


def test_a_transport_whose_output_cannot_be_watched_is_lost_and_told_nothing_else(
    loop: EventLoop, selector: FakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock, protocol = FaultySocket(), RecordingProtocol()
    transport = Transport(loop, sock, protocol, WaterMarks(high=2, low=1))
    no_room(monkeypatch, selector, method="modify")
    sock.script("send", AGAIN)
    transport.write(b"12345")
    assert transport.closed
    loop.run_once(0)
    assert protocol.kept_back == []
    assert protocol.heard == ["lost"]


def test_a_transport_lost_as_it_drained_is_not_told_to_resume(
    loop: EventLoop, selector: FakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    sock, protocol = FaultySocket(), RecordingProtocol()
    transport = Transport(loop, sock, protocol, WaterMarks(high=2, low=1))
    sock.script("send", AGAIN)
    transport.write(b"12345")
    no_room(monkeypatch, selector, method="modify")
    selector.ready(sock, WRITE)
    loop.run_once(0)
    loop.run_once(0)
    assert "resume" not in protocol.heard
    assert len(protocol.losses) == 1


def test_a_close_that_fails_is_a_close(loop: EventLoop) -> None:
    sock, protocol = FaultySocket().always("close", BROKEN), RecordingProtocol()
    Transport(loop, sock, protocol).abort()
    loop.run_once(0)
    assert protocol.losses == [None]


# --- a connector -----------------------------------------------------------------------


def connecting(loop: EventLoop, *socks: FaultySocket) -> list[Any]:
    """What a connector over these sockets, all under way, tells."""
    told: list[Any] = []
    waiting = list(socks)
    for sock in socks:
        sock.script("connect_ex", Errno(errno.EINPROGRESS))
    endpoints = [Endpoint(socket.AF_INET, ("127.0.0.1", 1))] * len(socks)
    Connector(loop, endpoints, told.append, told.append, open_socket=lambda _: waiting.pop(0))
    loop.run_once(0)
    return told


def test_an_attempt_that_cannot_be_watched_is_over_and_the_next_begins(
    loop: EventLoop, selector: FakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch, selector)
    one, other = FaultySocket(), FaultySocket()
    told = connecting(loop, one, other)
    assert one.closed
    selector.ready(other, WRITE)
    loop.run_once(0)
    assert told == [other]


def test_an_attempt_whose_outcome_cannot_be_asked_has_failed(loop: EventLoop, selector: FakeSelector) -> None:
    sock = FaultySocket().script("getsockopt", Errno(errno.ENOBUFS))
    told = connecting(loop, sock)
    selector.ready(sock, WRITE)
    loop.run_once(0)
    assert [error.errno for error in told[0]] == [errno.ENOBUFS]
    assert sock.closed


def test_a_socket_whose_options_cannot_be_set_is_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, *args: Any) -> None:
        raise OSError(errno.ENOMEM, "no memory")

    monkeypatch.setattr(socket.socket, "setsockopt", refuse)
    with no_descriptor_left(), pytest.raises(OSError, match="no memory"):
        open_socket(Endpoint(socket.AF_INET, None))


# --- a listener ------------------------------------------------------------------------


def test_a_listener_that_finds_no_room_on_coming_back_pauses_again(
    loop: EventLoop, selector: FakeSelector, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    starved: list[OSError] = []
    accepted: list[Any] = []
    sock = FaultySocket().script("accept", Errno(errno.ENOMEM))
    listener = Listener(loop, sock, lambda sock, peer: accepted.append(sock), starved=starved.append)
    selector.ready(sock, READ)
    loop.run_once(0)
    no_room(monkeypatch, selector, times=2)
    for _ in range(2):
        clock.advance(RETRY_AFTER)
        loop.run_once(0)
        assert listener.paused
    clock.advance(RETRY_AFTER)
    loop.run_once(0)
    assert [error.errno for error in starved] == [errno.ENOMEM, errno.ENOSPC, errno.ENOSPC]
    newcomer = FaultySocket()
    sock.feed_connection(newcomer)
    selector.ready(sock, READ)
    loop.run_once(0)
    assert accepted == [newcomer]
    listener.close()


def test_a_listener_that_can_never_be_watched_holds_nothing(
    loop: EventLoop, selector: FakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch, selector)
    reserves: list[int] = []
    sock = FaultySocket()
    with pytest.raises(OSError, match="No space"):
        Listener(loop, sock, print, open_reserve=lambda: reserves.append(1) or 1)  # type: ignore[func-returns-value]
    assert not sock.closed
    assert reserves == []


def test_one_connections_error_that_stays_does_not_spin(
    loop: EventLoop, selector: FakeSelector, clock: FakeClock
) -> None:
    starved: list[OSError] = []
    sock = FaultySocket().always("accept", Errno(errno.EPERM))
    listener = Listener(loop, sock, print, starved=starved.append)
    for _ in range(10):
        selector.ready(sock, READ)
        loop.run_once(0)
    assert sock.count("accept") == SPOILED_BUDGET
    assert [error.errno for error in starved] == [errno.EPERM]
    clock.advance(RETRY_AFTER)
    loop.run_once(0)
    assert selector.interest(sock) == READ
    listener.close()


# --- a loop ----------------------------------------------------------------------------


def test_a_loop_without_sockets_to_be_woken_by_leaves_nothing_open(selector: FakeSelector) -> None:
    def none_left() -> tuple[Any, Any]:
        raise OSError(errno.EMFILE, "none left")

    with pytest.raises(OSError, match="none left"):
        EventLoop(selector, wakeup_pair=none_left)
    assert selector.closed


def test_a_loop_that_cannot_watch_its_waker_leaves_nothing_open(
    selector: FakeSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room(monkeypatch, selector)
    pair = FaultySocket(), FaultySocket()
    with pytest.raises(OSError, match="No space"):
        EventLoop(selector, wakeup_pair=lambda: pair)
    assert selector.closed
    assert all(sock.closed for sock in pair)
