"""The listener: whatever accept says, it neither starves, nor spins, nor dies."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import eventloop.listener
from eventloop import EventLoop, Listener
from eventloop.listener import (
    ACCEPT_BUDGET,
    REFUSE_BUDGET,
    RETRY_AFTER,
    SPOILED_BUDGET,
    accept_queue,
    acceptor,
)
from eventloop.loop import READ
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_socket import AGAIN, INTERRUPTED, OK, Errno, FaultySocket
from tests.fakes.selector import FakeSelector

EMFILE = Errno(errno.EMFILE)


class Desk:
    """A listener on a made-up socket; counts its reserve descriptors (real ones)."""

    def __init__(self, loop: EventLoop, selector: FakeSelector, **options: Any) -> None:
        self.loop = loop
        self.selector = selector
        self.sock = FaultySocket()
        self.accepted: list[Any] = []
        self.refused: list[Any] = []
        self.starved: list[int] = []
        self.reserves: list[int] = []
        self.no_reserve = 0  # so many attempts to open one fail from now
        self.on_accepted: Callable[[], object] = lambda: None
        self.on_refused: Callable[[], object] = lambda: None
        options.setdefault("refused", self._refused)
        options.setdefault("starved", lambda error: self.starved.append(error.errno))
        self.listener = Listener(loop, self.sock, self._accepted, open_reserve=self._open_reserve, **options)

    def _accepted(self, sock: Any, peer: Any) -> None:
        self.accepted.append(sock)
        self.on_accepted()

    def _refused(self, sock: Any) -> None:
        assert not sock.closed
        self.refused.append(sock)
        self.on_refused()

    def _open_reserve(self) -> int:
        if self.no_reserve:
            self.no_reserve -= 1
            raise EMFILE.error()
        self.reserves.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        return self.reserves[-1]

    def held(self) -> bool:
        """The reserve is there: the last descriptor opened is still open."""
        try:
            os.fstat(self.reserves[-1])
        except OSError:
            return False
        return True

    def waiting(self, count: int) -> list[FaultySocket]:
        socks = [FaultySocket() for _ in range(count)]
        for sock in socks:
            self.sock.feed_connection(sock)
        return socks

    def turn(self) -> None:
        if not self.sock.closed:
            self.selector.ready(self.sock, READ)
        self.loop.run_once(0)


@pytest.fixture
def desk(loop: EventLoop, selector: FakeSelector) -> Iterator[Desk]:
    desk = Desk(loop, selector)
    yield desk
    desk.listener.close()


# --- batches -------------------------------------------------------------------------


def test_one_event_accepts_all_that_wait(desk: Desk) -> None:
    socks = desk.waiting(20)
    desk.turn()
    assert desk.accepted == socks
    assert desk.sock.count("accept") == 21  # the last one says that there are no more


def test_no_event_accepts_more_than_the_budget(loop: EventLoop, selector: FakeSelector) -> None:
    desk = Desk(loop, selector, budget=3)
    socks = desk.waiting(7)
    for accepted in (3, 6, 7):
        desk.turn()
        assert desk.accepted == socks[:accepted]
    desk.listener.close()


def test_the_budget_has_a_default(desk: Desk) -> None:
    desk.waiting(ACCEPT_BUDGET + 1)
    desk.turn()
    assert len(desk.accepted) == ACCEPT_BUDGET == desk.listener.budget


def crowded_desk(loop: EventLoop, selector: FakeSelector, **options: Any) -> tuple[Desk, list[tuple[Any, int]]]:
    told: list[tuple[Any, int]] = []
    desk = Desk(loop, selector, crowded=lambda sock, taken: told.append((sock, taken)), **options)
    return desk, told


def test_an_event_that_takes_more_than_may_wait_is_told(loop: EventLoop, selector: FakeSelector) -> None:
    desk, told = crowded_desk(loop, selector, queue=3)
    for number in (1, 3):
        desk.waiting(number)
        desk.turn()
    assert told == []
    desk.waiting(4)
    desk.turn()
    assert told == [(desk.sock, 4)]
    desk.listener.close()


def test_an_event_that_uses_up_its_budget_is_told_too(loop: EventLoop, selector: FakeSelector) -> None:
    desk, told = crowded_desk(loop, selector, budget=5)
    desk.waiting(6)
    desk.turn()
    desk.turn()
    assert told == [(desk.sock, 5)]
    desk.listener.close()


def test_one_that_was_closed_with_the_last_of_its_budget_tells_nothing(loop: EventLoop, selector: FakeSelector) -> None:
    desk, told = crowded_desk(loop, selector, budget=2)
    desk.on_accepted = lambda: desk.listener.close() if len(desk.accepted) == 2 else None
    desk.waiting(3)
    desk.turn()
    assert told == []


@pytest.mark.parametrize("answer", [AGAIN, INTERRUPTED])
def test_spurious_readiness_is_survived(desk: Desk, answer: Errno) -> None:
    desk.sock.script("accept", answer)
    desk.turn()
    assert desk.accepted == []
    assert desk.selector.interest(desk.sock) == READ
    assert not desk.listener.paused


def test_it_watches_for_reading_only(desk: Desk) -> None:
    assert desk.selector.interest(desk.sock) == READ
    desk.listener.on_writable()  # part of what a handler has to have
    assert desk.sock.calls == []


def test_real_connections_are_accepted_non_blocking(real_loop: EventLoop) -> None:
    accepted: list[socket.socket] = []
    peers: list[Any] = []

    def take(sock: Any, peer: Any) -> None:
        accepted.append(sock)
        peers.append(peer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listener = Listener(real_loop, listening, take)
        assert not listening.getblocking()
        clients = [socket.create_connection(listening.getsockname()) for _ in range(5)]
        while len(accepted) < 5:
            assert real_loop.run_once(10)
        assert {sock.getpeername() for sock in accepted} == {sock.getsockname() for sock in clients}
        assert not any(sock.getblocking() for sock in accepted)
        assert peers == [sock.getpeername() for sock in accepted]
        listener.close()
    for sock in clients + accepted:
        sock.close()


# --- errors that concern one connection ----------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "ECONNABORTED",
        "EPROTO",
        "EPERM",
        "ENETDOWN",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENETUNREACH",
        "ETIMEDOUT",
        *(["ENONET"] if hasattr(errno, "ENONET") else []),
    ],
)
def test_an_error_of_one_connection_costs_not_the_rest_of_the_batch(desk: Desk, name: str) -> None:
    socks = desk.waiting(3)
    error = Errno(getattr(errno, name))
    desk.sock.script("accept", error, OK, error, error, OK)
    desk.turn()
    assert desk.accepted == socks
    assert desk.selector.interest(desk.sock) == READ
    assert desk.starved == []


def test_errors_of_single_connections_count_against_the_budget(loop: EventLoop, selector: FakeSelector) -> None:
    desk = Desk(loop, selector, budget=5)
    desk.sock.always("accept", Errno(errno.ECONNABORTED))
    desk.turn()
    assert desk.sock.count("accept") == 5
    desk.listener.close()


# --- out of resources ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["ENOBUFS", "ENOMEM"])
def test_out_of_memory_pauses_and_comes_back_on_a_timer(desk: Desk, name: str, clock: FakeClock) -> None:
    socks = desk.waiting(3)
    error = Errno(getattr(errno, name))
    desk.sock.script("accept", OK, error)
    desk.turn()
    assert desk.accepted == socks[:1]
    assert desk.starved == [error.number]
    assert desk.listener.paused
    assert desk.selector.interest(desk.sock) == 0
    assert desk.refused == []  # that takes a descriptor, and memory
    start = clock.now
    desk.loop.run_once()
    assert clock.now == start + RETRY_AFTER
    assert not desk.listener.paused
    desk.turn()
    assert desk.accepted == socks


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE"])
def test_out_of_descriptors_the_reserve_refuses_some_and_the_listener_pauses(desk: Desk, name: str) -> None:
    first_reserve = desk.reserves[-1]
    socks = desk.waiting(4)
    error = Errno(getattr(errno, name))
    desk.sock.script("accept", OK, error, OK, OK, error)
    desk.turn()
    assert desk.accepted == socks[:1]
    assert desk.refused == socks[1:3]
    assert [sock.closed for sock in socks] == [False, True, True, False]
    assert desk.starved == [error.number]
    assert desk.listener.paused
    assert desk.selector.interest(desk.sock) == 0
    assert len(desk.reserves) == 1 + 3  # given up and taken back for each attempt
    assert desk.held()
    assert first_reserve == desk.reserves[-1]  # the lowest free number: nothing has leaked


def test_a_reserve_of_the_systems_own_is_used_by_default(loop: EventLoop, selector: FakeSelector) -> None:
    before = len(os.listdir("/dev/fd"))
    sock = FaultySocket().script("accept", EMFILE)
    waiting = FaultySocket()
    sock.feed_connection(waiting)
    listener = Listener(loop, sock, print)
    assert len(os.listdir("/dev/fd")) == before + 1
    selector.ready(sock, READ)
    loop.run_once(0)
    assert waiting.closed  # with nobody to tell
    assert listener.paused
    assert len(os.listdir("/dev/fd")) == before + 1
    listener.close()
    assert len(os.listdir("/dev/fd")) == before


def test_no_pause_refuses_more_than_its_budget(desk: Desk) -> None:
    socks = desk.waiting(REFUSE_BUDGET + 5)
    desk.sock.script("accept", EMFILE)
    desk.turn()
    assert desk.refused == socks[:REFUSE_BUDGET]
    assert desk.held()


def test_when_descriptors_stay_away_it_does_not_spin(desk: Desk, clock: FakeClock) -> None:
    desk.sock.always("accept", EMFILE)
    desk.waiting(1)
    start = clock.now
    while clock.now < start + 10.05:
        desk.turn()
        desk.loop.run_once()
    attempts = desk.sock.count("accept")
    assert attempts <= 2 * 10 / RETRY_AFTER + 4  # one, and one with the reserve, per retry
    assert len(desk.starved) == attempts // 2
    desk.sock.always("accept", OK)
    desk.turn()
    assert len(desk.accepted) == 1


def test_a_lost_reserve_is_done_without_and_taken_back_when_the_pause_ends(desk: Desk) -> None:
    socks = desk.waiting(3)
    desk.no_reserve = 1  # somebody was faster
    desk.sock.script("accept", EMFILE, OK, EMFILE)
    desk.turn()
    assert desk.refused == socks[:1]
    assert not desk.held()
    desk.loop.run_once()
    assert desk.held()
    assert not desk.listener.paused
    desk.turn()  # EMFILE again, and the reserve works again
    assert desk.refused == socks


def test_without_a_reserve_it_pauses_all_the_same(desk: Desk) -> None:
    desk.waiting(1)
    desk.no_reserve = 2
    desk.sock.script("accept", EMFILE, AGAIN, EMFILE)
    desk.turn()
    desk.loop.run_once()
    desk.turn()
    assert desk.listener.paused
    assert desk.sock.count("accept") == 3  # the third was not followed by an attempt to refuse
    assert desk.starved == [errno.EMFILE] * 2


def test_a_failing_refusal_closes_its_connection_and_the_listener_goes_on(desk: Desk) -> None:
    errors: list[object] = []
    desk.loop.on_error = lambda source, error: errors.append(source)
    socks = desk.waiting(2)

    def fail() -> None:
        raise RuntimeError("boom")

    desk.on_refused = fail
    desk.sock.script("accept", EMFILE)
    desk.turn()
    assert errors == [desk.listener]
    assert socks[0].closed
    desk.turn()
    assert desk.accepted == socks[1:]


def test_nobody_needs_to_be_told_of_a_pause(loop: EventLoop, selector: FakeSelector) -> None:
    desk = Desk(loop, selector, starved=None)
    desk.sock.script("accept", Errno(errno.ENOMEM))
    desk.turn()
    assert desk.listener.paused
    desk.listener.close()


# --- errors that nobody expects ------------------------------------------------------


def test_an_unexpected_error_is_raised_but_not_every_turn(desk: Desk, clock: FakeClock) -> None:
    errors: list[tuple[object, int | None]] = []
    desk.loop.on_error = lambda source, error: errors.append((source, getattr(error, "errno", None)))
    desk.sock.always("accept", Errno(errno.EINVAL))
    start = clock.now
    while clock.now < start + 1.0:
        desk.turn()
        desk.loop.run_once()
    assert set(errors) == {(desk.listener, errno.EINVAL)}
    assert len(errors) <= 1.0 / RETRY_AFTER + 1
    assert desk.refused == []


def test_an_unexpected_error_without_on_error_ends_the_turn(desk: Desk) -> None:
    desk.sock.script("accept", Errno(errno.EINVAL))
    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
        desk.turn()


# --- closing -------------------------------------------------------------------------


def test_close_stops_accepting_and_gives_back_the_reserve(desk: Desk) -> None:
    desk.waiting(1)
    desk.listener.close()
    desk.listener.close()
    assert desk.sock.closed
    assert desk.sock.count("close") == 1
    assert not desk.held()
    desk.turn()
    assert desk.accepted == []


def test_close_inside_accepted_ends_the_batch(desk: Desk) -> None:
    socks = desk.waiting(3)
    desk.on_accepted = desk.listener.close
    desk.turn()
    assert desk.accepted == socks[:1]
    assert desk.sock.closed
    assert not desk.held()


def test_the_event_of_a_listener_closed_earlier_in_the_batch_is_ignored(desk: Desk) -> None:
    class Closer:
        def on_readable(self) -> None:
            desk.listener.close()

        def on_writable(self) -> None: ...

    other = FaultySocket()
    desk.waiting(1)
    desk.loop.register(other, READ, Closer())
    desk.selector.ready(other, READ)
    desk.turn()
    assert desk.accepted == []
    assert desk.sock.count("accept") == 0


def test_close_while_paused_never_comes_back(desk: Desk) -> None:
    desk.sock.script("accept", Errno(errno.ENOMEM))
    desk.turn()
    desk.listener.close()
    assert not desk.listener.paused
    assert not desk.held()
    assert desk.loop.run_once(10 * RETRY_AFTER) == 0


def test_close_inside_refused_ends_the_refusing_and_leaks_no_reserve(desk: Desk) -> None:
    socks = desk.waiting(3)
    desk.on_refused = desk.listener.close
    desk.sock.script("accept", EMFILE)
    desk.turn()
    assert desk.refused == socks[:1]
    assert socks[0].closed
    assert desk.sock.closed
    assert not desk.held()
    assert len(desk.reserves) == 1
    assert not desk.listener.paused
    assert desk.starved == []
    assert desk.loop.run_once(10 * RETRY_AFTER) == 0


def test_close_inside_starved_never_comes_back(loop: EventLoop, selector: FakeSelector) -> None:
    desk = Desk(loop, selector, starved=lambda error: desk.listener.close())
    desk.sock.script("accept", EMFILE)
    desk.turn()
    assert desk.sock.closed
    assert not desk.held()
    assert desk.loop.run_once(10 * RETRY_AFTER) == 0


# --- the kernel's queue ------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_the_kernel_tells_how_many_wait_and_how_many_may(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=5) as listening:
        assert accept_queue(listening) == (0, 5)
        with socket.create_connection(listening.getsockname()), socket.create_connection(listening.getsockname()):
            assert accept_queue(listening) == (2, 5)
            listening.accept()[0].close()
            assert accept_queue(listening) == (1, 5)


def test_of_other_sockets_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        assert accept_queue(unix) is None
    assert accept_queue(FaultySocket()) is None
    with socket.socket() as tcp:
        monkeypatch.setattr(sys, "platform", "darwin")
        assert accept_queue(tcp) is None


# --- with less ado -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_what_accept_gives_is_the_same_with_less_ado(family: socket.AddressFamily, tmp_path: Path) -> None:
    anywhere = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0), socket.AF_UNIX: str(tmp_path / "s")}
    with socket.socket(family) as listening:
        listening.bind(anywhere[family])
        listening.listen()
        accept = acceptor(listening)
        assert accept != listening.accept
        for way in (listening.accept, accept):
            with socket.socket(family) as client:
                client.connect(listening.getsockname())
                sock, peer = way()
                with sock:
                    assert type(sock) is socket.socket
                    assert (sock.family, sock.type, sock.proto) == (family, socket.SOCK_STREAM, listening.proto)
                    assert not sock.get_inheritable()
                    assert sock.getblocking()
                    assert peer == client.getsockname()
                    client.sendall(b"x")
                    assert sock.recv(1) == b"x"


def test_a_socket_of_another_class_accepts_in_its_own_way() -> None:
    class Own(socket.socket):
        def accept(self) -> Any:
            raise AssertionError("its own")

    with Own() as listening, pytest.raises(AssertionError, match="its own"):
        acceptor(listening)()


# --- the end ---------------------------------------------------------------------------


def test_finish_accepts_all_that_wait_and_hands_them_over_when_it_has_closed(desk: Desk) -> None:
    socks = desk.waiting(ACCEPT_BUDGET + 10)
    closed: list[bool] = []
    desk.on_accepted = lambda: closed.append(desk.sock.closed)
    desk.listener.finish()
    assert desk.accepted == socks
    assert all(closed)
    assert desk.sock.calls[-2][0] == "accept"  # the one that says there are no more; then close, and nothing between
    assert desk.sock.calls[-1][0] == "close"
    assert not desk.held()
    desk.listener.finish()  # twice is once
    assert desk.accepted == socks


def test_finish_goes_on_after_an_error_that_is_one_connections(desk: Desk) -> None:
    socks = desk.waiting(3)
    desk.sock.script("accept", OK, Errno(errno.ECONNABORTED), Errno(errno.ENOBUFS), OK)
    desk.listener.finish()
    assert desk.accepted == socks


def test_finish_ends_though_an_error_stays(desk: Desk) -> None:
    desk.sock.always("accept", Errno(errno.ENOMEM))
    desk.listener.finish()
    assert desk.sock.closed
    assert desk.sock.count("accept") == SPOILED_BUDGET


def test_finish_without_descriptors_tells_those_that_wait(desk: Desk) -> None:
    socks = desk.waiting(3)
    desk.sock.script("accept", OK, EMFILE, OK, OK)
    desk.listener.finish()
    assert desk.accepted == socks[:1]
    assert desk.refused == socks[1:]
    assert desk.sock.closed


def test_finish_without_descriptors_nor_a_reserve_ends(loop: EventLoop, selector: FakeSelector) -> None:
    desk = Desk(loop, selector)
    desk.sock.always("accept", EMFILE)
    desk.listener.finish()
    assert desk.sock.closed
    assert desk.accepted == desk.refused == []


def test_finish_of_a_flood_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventloop.listener, "LAST_BUDGET", 10)
    desk.waiting(20)
    desk.listener.finish()
    assert len(desk.accepted) == 10
    assert desk.sock.closed


def test_an_error_with_one_of_the_last_is_raised_after_the_others(desk: Desk) -> None:
    socks = desk.waiting(3)

    def fail() -> None:
        if len(desk.accepted) == 1:
            raise RuntimeError("a bug")

    desk.on_accepted = fail
    with pytest.raises(RuntimeError, match="a bug"):
        desk.listener.finish()
    assert desk.accepted == socks
    assert [sock.closed for sock in socks] == [True, False, False]
