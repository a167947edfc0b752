"""The connector: exactly one of its two callbacks, later, whatever happens on the way."""

from __future__ import annotations

import errno
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventloop import Connector, Endpoint, EventLoop
from eventloop.connector import close_if_connected_to_itself, open_socket
from eventloop.loop import WRITE
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_socket import Errno, FaultySocket
from tests.fakes.selector import FakeSelector

UNDER_WAY = Errno(errno.EINPROGRESS)
REFUSED = Errno(errno.ECONNREFUSED)
SO_ERROR = (socket.SOL_SOCKET, socket.SO_ERROR)


class Attempt:
    """A connector and what came of it. Its sockets are made up, one per endpoint: `socks`."""

    def __init__(
        self,
        loop: EventLoop,
        selector: FakeSelector,
        *steps: Errno | None,
        sources: bool = False,
        timeout: float = 5.0,
        family: int = socket.AF_INET,
    ) -> None:
        """`steps`: what connecting to each endpoint answers; None: success at once."""
        self.loop = loop
        self.selector = selector
        self.socks: list[FaultySocket] = []
        self.steps = steps
        self.cannot_open: set[int] = set()
        self.results: list[Any] = []
        self.on_result: Callable[[], object] = lambda: None
        endpoints = [Endpoint(family, ("to", i), "source" if sources else None) for i in range(len(steps))]
        self.connector = Connector(loop, endpoints, self._note, self._note, timeout, open_socket=self._open)
        assert self.results == []
        assert self.socks == []

    def _note(self, result: Any) -> None:
        self.results.append(result)
        self.on_result()

    def _open(self, endpoint: Endpoint) -> FaultySocket:
        at = endpoint.sockaddr[1]
        if at in self.cannot_open:
            raise OSError(errno.EMFILE, "no descriptor")
        sock = FaultySocket()
        step = self.steps[at]
        if step is not None:
            sock.script("connect_ex", step)
        self.socks.append(sock)
        return sock

    def start(self) -> None:
        self.loop.run_once(0)

    def writable(self, error: int = 0) -> None:
        """The attempt that is under way is over, with this SO_ERROR."""
        self.socks[-1].options[SO_ERROR] = error
        self.selector.ready(self.socks[-1], WRITE)
        self.loop.run_once(0)

    def errnos(self) -> list[int | None]:
        (errors,) = self.results
        return [error.errno for error in errors]

    def nothing_is_left(self) -> bool:
        """No socket but a connected one is open or registered, and no timer is set."""
        self.loop.run_once(1000.0)
        open_ones = [sock for sock in self.socks if not sock.closed]
        registered = [sock for sock in open_ones if self.selector.interest(sock)]
        return open_ones == self.results[:1][: len(open_ones)] and not registered and "timers=0" in repr(self.loop)


@pytest.fixture
def attempt(loop: EventLoop, selector: FakeSelector) -> Callable[..., Attempt]:
    return lambda *steps, **options: Attempt(loop, selector, *steps, **options)


# --- with real sockets ---------------------------------------------------------------


@pytest.fixture
def unix_path() -> Iterator[str]:
    # Not pytest's tmp_path: a UNIX socket's path is short.
    with tempfile.TemporaryDirectory() as directory:
        yield str(Path(directory) / "s")


def wait_for(loop: EventLoop, results: list[Any]) -> Any:
    while not results:
        assert loop.run_once(10.0)
    (result,) = results
    return result


def test_a_tcp_connection_is_made(real_loop: EventLoop) -> None:
    results: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        Connector(real_loop, [Endpoint(socket.AF_INET, listening.getsockname())], results.append, results.append)
        assert results == []
        with wait_for(real_loop, results) as sock, listening.accept()[0] as accepted:
            assert sock.getpeername() == listening.getsockname()
            assert accepted.getpeername() == sock.getsockname()
            assert not sock.getblocking()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock not in real_loop.selector.get_map()


def test_a_unix_connection_is_made_at_once_but_told_later(real_loop: EventLoop, unix_path: str) -> None:
    results: list[Any] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(unix_path)
        listening.listen()
        Connector(real_loop, [Endpoint(socket.AF_UNIX, unix_path)], results.append, results.append)
        assert results == []
        real_loop.run_once(0)
        (sock,) = results
        with sock:
            assert sock.getpeername() == unix_path


def test_a_refused_connection_is_told_with_its_error(real_loop: EventLoop) -> None:
    results: list[Any] = []
    with socket.socket() as bound:  # bound but not listening: nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        Connector(real_loop, [Endpoint(socket.AF_INET, bound.getsockname())], results.append, results.append)
        (error,) = wait_for(real_loop, results)
    assert error.errno == errno.ECONNREFUSED
    assert isinstance(error, ConnectionRefusedError)


def test_a_unix_socket_with_a_full_backlog_is_waited_for(real_loop: EventLoop, unix_path: str) -> None:
    results: list[Any] = []
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as first:
        listening.bind(unix_path)
        listening.listen(0)
        first.connect(unix_path)
        Connector(real_loop, [Endpoint(socket.AF_UNIX, unix_path)], results.append, results.append, timeout=60.0)
        real_loop.run_once(0)
        assert results == []
        listening.accept()[0].close()
        with wait_for(real_loop, results) as sock:
            assert sock.getpeername() == unix_path


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 has to be configured first")
def test_the_source_address_is_bound_first(real_loop: EventLoop) -> None:
    results: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = Endpoint(socket.AF_INET, listening.getsockname(), ("127.0.0.2", 0))
        Connector(real_loop, [endpoint], results.append, results.append)
        with wait_for(real_loop, results) as sock:
            assert sock.getsockname()[0] == "127.0.0.2"


def test_a_name_that_is_no_address_of_a_unix_socket_is_a_failure(real_loop: EventLoop) -> None:
    """An OSError without an errno: Python's own."""
    results: list[Any] = []
    Connector(real_loop, [Endpoint(socket.AF_UNIX, "/" + "x" * 200)], results.append, results.append)
    real_loop.run_once(0)
    ((error,),) = results
    assert error.errno == errno.EINVAL


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_sockets_are_opened_non_blocking(family: int) -> None:
    with open_socket(Endpoint(family, None)) as sock:
        assert sock.family == family
        assert not sock.getblocking()


def self_connected() -> tuple[socket.socket, Any]:
    """A socket that is its own peer: the kernel makes one as well where it picks the port itself."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.connect(sock.getsockname())
    return sock, sock.getsockname()


def test_a_socket_that_is_its_own_peer_is_closed_and_leaves_the_port_free() -> None:
    sock, name = self_connected()
    assert close_if_connected_to_itself(sock, name)
    assert sock.fileno() == -1
    with socket.socket() as server:
        server.bind(name)  # no TIME_WAIT is in the way, without SO_REUSEADDR too
        server.listen()
        with socket.create_connection(name) as other:
            assert not close_if_connected_to_itself(other, name)
            assert other.fileno() != -1


def test_a_datagram_socket_may_be_its_own_peer_too() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.connect(sock.getsockname())
    assert close_if_connected_to_itself(sock, sock.getsockname())


def test_connected_to_all_addresses_it_is_found_out_by_its_port() -> None:
    sock, (_, port) = self_connected()
    assert close_if_connected_to_itself(sock, ("0.0.0.0", port))


def test_equal_ports_of_two_machines_are_no_connection_to_itself() -> None:
    sock = FaultySocket()
    sock.peername = ("192.0.2.1", 2)
    assert not close_if_connected_to_itself(sock, ("192.0.2.1", 2))
    assert not sock.closed


def test_one_that_was_reset_meanwhile_is_left_to_its_reader() -> None:
    sock = FaultySocket()
    sock.closed = True  # getpeername says so
    assert not close_if_connected_to_itself(sock, sock.getsockname())


def test_a_connection_to_itself_is_a_refused_one(real_loop: EventLoop) -> None:
    """The source is bound to the very port, as the kernel does by chance."""
    results: list[Any] = []
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        name = bound.getsockname()
    Connector(real_loop, [Endpoint(socket.AF_INET, name, name)], results.append, results.append)
    (error,) = wait_for(real_loop, results)
    assert isinstance(error, ConnectionRefusedError)


# --- with sockets that say what the test wants ---------------------------------------


def test_immediate_success_is_told_once(attempt: Callable[..., Attempt]) -> None:
    it = attempt(None)
    it.start()
    assert it.results == it.socks
    assert it.nothing_is_left()
    assert len(it.results) == 1


@pytest.mark.parametrize("code", [errno.EINPROGRESS, errno.EINTR])
def test_success_in_progress_is_told_when_writable(attempt: Callable[..., Attempt], code: int) -> None:
    it = attempt(Errno(code))
    it.start()
    assert it.results == []
    assert it.selector.interest(it.socks[0]) == WRITE
    it.connector.on_readable()  # part of what a handler has to have
    it.writable()
    assert it.results == it.socks
    assert it.nothing_is_left()


def test_a_failure_in_progress_is_read_from_the_socket(attempt: Callable[..., Attempt]) -> None:
    it = attempt(UNDER_WAY)
    it.start()
    it.writable(errno.EHOSTUNREACH)
    assert it.errnos() == [errno.EHOSTUNREACH]
    assert it.socks[0].closed
    assert it.nothing_is_left()


def test_endpoints_are_tried_in_turn_until_one_answers(attempt: Callable[..., Attempt]) -> None:
    it = attempt(REFUSED, UNDER_WAY, None, None)
    it.start()
    assert len(it.socks) == 2
    assert it.socks[0].closed
    it.writable(errno.ECONNREFUSED)
    assert it.results == [it.socks[2]]
    assert len(it.socks) == 3
    assert it.nothing_is_left()


def test_when_all_fail_every_error_is_told_in_order(attempt: Callable[..., Attempt]) -> None:
    it = attempt(REFUSED, UNDER_WAY, Errno(errno.ENETUNREACH), UNDER_WAY, Errno(errno.EAGAIN), None)
    it.cannot_open = {5}
    it.start()
    it.writable(errno.ETIMEDOUT)
    assert it.results == []
    it.loop.run_once(5.0)  # the fourth does not answer
    assert it.errnos() == [
        errno.ECONNREFUSED,
        errno.ETIMEDOUT,
        errno.ENETUNREACH,
        errno.ETIMEDOUT,
        errno.EAGAIN,
        errno.EMFILE,
    ]
    assert all(sock.closed for sock in it.socks)
    assert it.nothing_is_left()


@pytest.mark.parametrize("step", [None, UNDER_WAY], ids=["at once", "in progress"])
def test_behind_a_connection_to_itself_the_next_endpoint_is_tried(
    attempt: Callable[..., Attempt], step: Errno | None
) -> None:
    it = attempt(REFUSED, REFUSED, step, None)  # the third: its port is that of FaultySocket.getsockname
    opened = it._open

    def open_own_peer(endpoint: Endpoint) -> FaultySocket:
        sock = opened(endpoint)
        if len(it.socks) == 3:
            sock.peername = sock.getsockname()
        return sock

    it.connector._open = open_own_peer
    it.start()
    if step is not None:
        it.writable()
    assert it.results == [it.socks[3]]
    assert it.socks[2].closed
    assert it.nothing_is_left()


FULL = Errno(errno.EAGAIN)


def on_unix(attempt: Callable[..., Attempt], *steps: Errno | None, **options: Any) -> Attempt:
    return attempt(*steps, family=socket.AF_UNIX, **options)


def test_a_full_backlog_is_asked_again_more_and_more_seldom(attempt: Callable[..., Attempt], clock: FakeClock) -> None:
    it = on_unix(attempt, FULL, timeout=5.0)
    it.start()
    (sock,) = it.socks
    sock.always("connect_ex", FULL)
    began, asked = clock.now, []
    while not it.results:
        before = sock.count("connect_ex")
        it.loop.run_once()
        if sock.count("connect_ex") > before:
            asked.append(clock.now - began)
    pauses = [round(b - a, 3) for a, b in zip([0.0, *asked], asked, strict=False)]
    assert pauses[:6] == [0.005, 0.01, 0.02, 0.04, 0.08, 0.1]
    assert set(pauses[5:]) == {0.1}
    assert clock.now == began + 5.0
    assert it.errnos() == [errno.EAGAIN]
    assert "was full for 5 s" in str(it.results[0][0])
    assert sock.closed
    assert it.nothing_is_left()


@pytest.mark.parametrize("code", [0, errno.ECONNREFUSED])
def test_what_a_full_backlog_says_later_counts(attempt: Callable[..., Attempt], code: int) -> None:
    it = on_unix(attempt, FULL)
    it.start()
    if code:
        it.socks[0].script("connect_ex", Errno(code))
    it.loop.run_once()
    if code:
        assert it.errnos() == [code]
    else:
        assert it.results == it.socks
    assert it.nothing_is_left()


def test_a_path_that_can_not_be_asked_again_is_a_failure(attempt: Callable[..., Attempt]) -> None:
    it = on_unix(attempt, FULL)
    it.start()

    def refuse(name: Any) -> int:
        raise OSError("AF_UNIX path too long")  # as Python says it, without a number

    it.socks[0].connect_ex = refuse  # type: ignore[method-assign]
    it.loop.run_once()
    assert it.errnos() == [errno.EINVAL]


def test_cancelled_while_it_waits_for_room_it_asks_no_more(attempt: Callable[..., Attempt]) -> None:
    it = on_unix(attempt, FULL, None)
    it.start()
    it.connector.cancel()
    assert it.nothing_is_left()
    assert it.results == []
    assert len(it.socks) == 1


def test_no_endpoint_at_all_is_a_failure_without_errors(attempt: Callable[..., Attempt]) -> None:
    it = attempt()
    it.start()
    assert it.results == [[]]
    assert it.nothing_is_left()


def test_each_endpoint_has_its_own_time(attempt: Callable[..., Attempt], clock: FakeClock) -> None:
    it = attempt(UNDER_WAY, UNDER_WAY, timeout=3.0)
    start = clock.now
    it.start()
    it.loop.run_once(2.75)
    assert len(it.socks) == 1
    it.loop.run_once()
    assert clock.now == start + 3.0
    assert it.socks[0].closed
    assert len(it.socks) == 2
    it.loop.run_once()
    assert clock.now == start + 6.0
    assert it.errnos() == [errno.ETIMEDOUT] * 2
    assert all(isinstance(error, TimeoutError) for error in it.results[0])
    assert "no answer within 3 s" in str(it.results[0][0])
    assert it.nothing_is_left()


def test_an_answer_just_in_time_wins_over_the_timeout_of_the_same_turn(
    attempt: Callable[..., Attempt], clock: FakeClock
) -> None:
    it = attempt(UNDER_WAY, UNDER_WAY, timeout=3.0)
    it.start()
    clock.advance(3.0)
    it.writable()
    assert it.results == it.socks
    assert it.nothing_is_left()


def test_a_source_that_cannot_be_bound_is_that_endpoints_error(attempt: Callable[..., Attempt]) -> None:
    it = attempt(None, None, sources=True)
    opened = it._open

    def open_failing_first(endpoint: Endpoint) -> FaultySocket:
        sock = opened(endpoint)
        if len(it.socks) == 1:
            sock.script("bind", Errno(errno.EADDRNOTAVAIL))
        return sock

    it.connector._open = open_failing_first
    it.start()
    assert it.socks[0].calls[0] == ("bind", Errno(errno.EADDRNOTAVAIL))
    assert it.socks[0].count("connect_ex") == 0
    assert it.socks[0].closed
    assert it.results == [it.socks[1]]
    assert it.socks[1].calls == [("bind", "source"), ("connect_ex", 0)]


def test_sockets_that_cannot_be_opened_are_that_endpoints_error(attempt: Callable[..., Attempt]) -> None:
    it = attempt(None, None)
    it.cannot_open = {0, 1}
    it.start()
    assert it.errnos() == [errno.EMFILE] * 2
    assert it.nothing_is_left()


# --- cancelling ----------------------------------------------------------------------


def test_cancelled_before_it_began_it_tries_nothing(attempt: Callable[..., Attempt]) -> None:
    it = attempt(None)
    it.connector.cancel()
    it.start()
    assert it.socks == []
    assert it.results == []
    assert it.nothing_is_left()


def test_cancelled_under_way_it_closes_its_socket_and_tells_nobody(attempt: Callable[..., Attempt]) -> None:
    it = attempt(UNDER_WAY, None)
    it.start()
    it.connector.cancel()
    it.connector.cancel()
    assert it.socks[0].closed
    assert it.nothing_is_left()
    assert it.results == []
    assert len(it.socks) == 1


def test_cancelled_at_its_second_endpoint_it_tells_nobody(attempt: Callable[..., Attempt]) -> None:
    it = attempt(REFUSED, UNDER_WAY, None)
    it.start()
    it.connector.cancel()
    assert it.nothing_is_left()
    assert it.results == []
    assert all(sock.closed for sock in it.socks)


def test_cancelled_earlier_in_the_batch_its_event_is_ignored(attempt: Callable[..., Attempt]) -> None:
    it = attempt(UNDER_WAY)
    it.start()

    class Canceller:
        def on_readable(self) -> None: ...

        def on_writable(self) -> None:
            it.connector.cancel()

    other = FaultySocket()
    it.loop.register(other, WRITE, Canceller())
    it.selector.ready(other, WRITE)
    it.writable()
    assert it.results == []
    assert it.socks[0].closed
    assert it.socks[0].count("getsockopt") == 0


def test_cancelled_in_the_turn_of_its_timeout_it_tells_nobody(
    attempt: Callable[..., Attempt], loop: EventLoop, clock: FakeClock
) -> None:
    loop.call_later(5.0, lambda: it.connector.cancel())
    it = attempt(UNDER_WAY, None)
    it.start()
    it.loop.run_once()
    it.loop.run_once(10.0)
    assert it.results == []
    assert len(it.socks) == 1


@pytest.mark.parametrize("step", [None, UNDER_WAY], ids=["at once", "in progress"])
def test_cancelled_after_success_it_leaves_the_socket_to_its_owner(
    attempt: Callable[..., Attempt], step: Errno | None
) -> None:
    it = attempt(step)
    it.on_result = lambda: it.connector.cancel()
    it.start()
    if step is not None:
        it.writable()
    it.connector.cancel()
    assert it.results == it.socks
    assert not it.socks[0].closed
    assert it.nothing_is_left()


def test_cancelled_after_failure_it_tells_nothing_more(attempt: Callable[..., Attempt]) -> None:
    it = attempt(REFUSED)
    it.on_result = lambda: it.connector.cancel()
    it.start()
    it.connector.cancel()
    assert it.nothing_is_left()
    assert it.errnos() == [errno.ECONNREFUSED]


def test_nothing_of_it_leaks_descriptors(real_loop: EventLoop) -> None:
    before = len(os.listdir("/dev/fd"))
    results: list[Any] = []
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        endpoints = [Endpoint(socket.AF_INET, bound.getsockname())] * 3
        Connector(real_loop, endpoints, results.append, results.append)
        assert len(wait_for(real_loop, results)) == 3
    assert len(os.listdir("/dev/fd")) == before
