"""Does a real socket fail as planned, at the call that is meant, and is a loop that sleeps for ever found?"""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from suites.faults.errnos import ERRORS
from suites.faults.kernel import Faults, Jumping, SleepsForEver
from tests.fakes.clock import FakeClock


def pair(faults: Faults) -> tuple[Any, Any]:
    """A victim and its peer."""
    ours, theirs = socket.socketpair()
    faults.armed = True
    victim = faults.module.socket(fileno=ours.detach())
    victim.setblocking(False)
    return victim, theirs


def test_the_call_of_that_number_fails_and_no_other() -> None:
    faults = Faults("recv", "ECONNRESET", 2)
    victim, theirs = pair(faults)
    with victim, theirs:
        theirs.send(b"abc")
        assert victim.recv(1) == b"a"
        with pytest.raises(ConnectionResetError):
            victim.recv(1)
        assert victim.recv(1) == b"b", "the bytes are still there"
        assert (faults.fired, faults.counts["recv"]) == (1, 3)


def test_a_fault_that_stays_fails_every_call_from_there_on() -> None:
    faults = Faults("send", "EPIPE", 1, stays=True)
    victim, theirs = pair(faults)
    with victim, theirs:
        for _ in range(3):
            with pytest.raises(BrokenPipeError):
                victim.send(b"x")
        assert faults.fired == 3
        faults.armed = False
        assert victim.send(b"x") == 1


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("recv", lambda sock: sock.recv(1)),
        ("recv_into", lambda sock: sock.recv_into(bytearray(1))),
        ("send", lambda sock: sock.send(b"x")),
        ("sendmsg", lambda sock: sock.sendmsg([b"x"])),
        ("shutdown", lambda sock: sock.shutdown(socket.SHUT_WR)),
        ("getpeername", lambda sock: sock.getpeername()),
        ("getsockname", lambda sock: sock.getsockname()),
        ("setsockopt", lambda sock: sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)),
        ("getsockopt", lambda sock: sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)),
        ("close", lambda sock: sock.close()),
    ],
)
def test_each_call_of_a_socket_has_its_errors(call: str, act: Any) -> None:
    error = ERRORS[call][-1]
    faults = Faults(call, error, 1)
    victim, theirs = pair(faults)
    with theirs:
        with pytest.raises(OSError) as failed:  # noqa: PT011
            act(victim)
        faults.armed = False
        victim.close()
    assert failed.value.errno == getattr(errno, error)


def test_one_send_takes_no_more_than_it_may() -> None:
    faults = Faults(most=3)
    victim, theirs = pair(faults)
    with victim, theirs:
        assert victim.send(b"abcdef") == 3
        assert victim.sendmsg([b"ab", b"cd"]) <= 3


@pytest.fixture
def jumping() -> Iterator[Jumping]:
    made = Jumping(FakeClock(), Faults())
    yield made
    made.close()


def test_a_selector_that_would_sleep_lets_the_clock_jump(jumping: Jumping) -> None:
    clock = jumping.clock
    begun = clock.now
    assert jumping.select(2.5) == []
    assert clock.now == begun + 2.5


def test_what_is_ready_is_told_and_the_clock_stands(jumping: Jumping) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        jumping.register(ours, selectors.EVENT_READ)
        theirs.send(b"x")
        begun = jumping.clock.now
        assert [key.fileobj for key, _ in jumping.select(5.0)] == [ours]
        assert jumping.clock.now == begun


def test_nobody_sleeps_for_ever(jumping: Jumping) -> None:
    with pytest.raises(SleepsForEver):
        jumping.select(None)


def test_what_a_connect_came_to_is_told_by_so_error_and_an_errno_is_no_exception() -> None:
    faults = Faults("SO_ERROR", "ETIMEDOUT", 1)
    victim, theirs = pair(faults)
    with victim, theirs:
        assert victim.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ETIMEDOUT
        assert victim.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert faults.counts["getsockopt"] == 2


def test_a_shutdown_that_does_not_fail_is_one() -> None:
    victim, theirs = pair(Faults())
    with victim, theirs:
        victim.shutdown(socket.SHUT_WR)
        assert theirs.recv(1) == b""


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("epoll_ctl ADD", lambda selector, sock: selector.register(sock, selectors.EVENT_READ)),
        ("epoll_ctl MOD", lambda selector, sock: selector.modify(sock, selectors.EVENT_WRITE)),
        ("epoll_wait", lambda selector, sock: selector.select(0)),
    ],
)
def test_the_selector_fails_too_for_what_is_watched(call: str, act: Any) -> None:
    faults = Faults(call, ERRORS[call][-1], 1)
    selector = Jumping(FakeClock(), faults)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        faults.watched.add(ours.fileno())
        if call == "epoll_ctl MOD":
            selector.register(ours, selectors.EVENT_READ)
        faults.armed = True
        if call == "epoll_wait":
            act(selector, ours)  # EINTR: the standard library's selector goes on
        else:
            with pytest.raises(OSError) as failed:  # noqa: PT011
                act(selector, ours)
            assert failed.value.errno == getattr(errno, ERRORS[call][-1])
        assert faults.fired == 1
        faults.armed = False
        selector.close()
