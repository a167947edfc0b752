"""Does the simulated socket behave as the real one does?

Every test runs twice, over this machine's kernel and over the simulated one, in the same words. What
the simulation finds is worth as much as these tests say. Where systems differ, Linux' way is meant.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from suites.simulation.clock import SimClock
from suites.simulation.faults import NONE, Faults
from suites.simulation.kernel import Kernel, Process
from suites.simulation.schedule import Schedule
from suites.simulation.selector import SimSelector
from suites.simulation.trace import Trace

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
BOTH = READ | WRITE

#: linux/tcp.h: TCP_REPAIR_QUEUE's values, and TCP_REPAIR's "off, and say nothing to the peer". Python names none.
TCP_REPAIR, TCP_REPAIR_QUEUE = 19, 20
SEND_QUEUE, OFF_IN_SILENCE = 2, -1

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux' sockets are what is simulated")


class RealMachine:
    """Sockets of this machine, small of buffer."""

    def __init__(self) -> None:
        self._opened = contextlib.ExitStack()

    def socket(self) -> Any:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._opened.callback(sock.close)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        return sock

    def adopt(self, sock: Any) -> Any:
        self._opened.callback(sock.close)
        sock.setblocking(False)
        return sock

    def pair(self) -> tuple[Any, Any]:
        one, other = socket.socketpair()
        return self.adopt(one), self.adopt(other)

    def selector(self) -> Any:
        return self._opened.enter_context(selectors.EpollSelector())

    def lose(self, sock: Any, data: bytes) -> None:
        """`sock` sends `data`, which is lost on its way: what is sent in repair mode counts as sent (TCP_REPAIR)."""
        try:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except OSError as error:
            pytest.skip(f"TCP_REPAIR needs CAP_NET_ADMIN and a kernel that has it: {error}")
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND_QUEUE)
        assert sock.send(data) == len(data)
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, OFF_IN_SILENCE)

    def until(self, done: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 10
        while not done():
            assert time.monotonic() < deadline, what
            time.sleep(0.001)  # for the kernel to act; what is waited for is a fact, not this

    def settle(self) -> None:
        """What has not happened by now on one machine is not going to."""
        time.sleep(0.005)

    def close(self) -> None:
        self._opened.close()


class SimulatedMachine:
    """The same, of the simulation, with nothing going wrong."""

    def __init__(self) -> None:
        self.clock = SimClock()
        self.schedule = Schedule(self.clock)
        self.kernel = Kernel(self.clock, self.schedule, Faults(Random(1), NONE), Trace(self.clock))
        self.kernel.rooms = (16 * 1024, 16 * 1024)
        self.process = Process("program")

    def socket(self) -> Any:
        return self.kernel.socket(self.process)

    def adopt(self, sock: Any) -> Any:
        return sock

    def pair(self) -> tuple[Any, Any]:
        return self.kernel.pair(self.process)

    def selector(self) -> Any:
        def wait(selector: SimSelector, timeout: float | None) -> Any:
            self.schedule.run_due()
            return selector.poll()

        return SimSelector(self.kernel, self.process, wait)

    def lose(self, sock: Any, data: bytes) -> None:
        """`sock` sends `data`, which is lost on its way: the connection breaks in front of it."""
        sock.tx.reset_at = sock.tx.sent
        assert sock.send(data) == len(data)

    def until(self, done: Callable[[], object], what: str) -> None:
        while not done():
            due = self.schedule.next_due()
            assert due is not None, what
            self.clock.reach(due)
            self.schedule.run_due()

    def settle(self) -> None:
        while (due := self.schedule.next_due()) is not None:
            self.clock.reach(due)
            self.schedule.run_due()

    def close(self) -> None:
        pass


@pytest.fixture(params=[RealMachine, SimulatedMachine], ids=["real", "simulated"])
def machine(request: pytest.FixtureRequest) -> Iterator[Any]:
    built = request.param()
    yield built
    built.close()


def listening(machine: Any, backlog: int = 16) -> Any:
    sock = machine.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(backlog)
    return sock


def connected(machine: Any, listener: Any = None) -> tuple[Any, Any]:
    """Both ends of a connection: who connected, and who was accepted."""
    listener = listener or listening(machine)
    client = machine.socket()
    assert client.connect_ex(listener.getsockname()) == errno.EINPROGRESS
    found: list[Any] = []

    def accepted() -> bool:
        with contextlib.suppress(BlockingIOError):
            found.append(machine.adopt(listener.accept()[0]))
        return bool(found)

    machine.until(accepted, "nothing to accept")
    machine.until(lambda: ready(machine, client) & WRITE, "not connected")
    return client, found[0]


def number_of(call: Callable[[], object]) -> int:
    """The errno that a call fails with."""
    with pytest.raises(OSError) as caught:  # noqa: PT011
        call()
    return caught.value.errno or 0


def ready(machine: Any, sock: Any, events: int = BOTH) -> int:
    """What a selector says of `sock` now; 0 if nothing."""
    selector = machine.selector()
    selector.register(sock, events)
    told = selector.select(0)
    selector.unregister(sock)
    selector.close()
    return int(told[0][1]) if told else 0


def received(machine: Any, sock: Any, count: int) -> bytes:
    got = bytearray()

    def all_here() -> bool:
        with contextlib.suppress(BlockingIOError):
            got.extend(sock.recv(count - len(got)))
        return len(got) == count

    machine.until(all_here, f"{count} bytes")
    return bytes(got)


def fill(machine: Any, sock: Any) -> int:
    """Send until the kernel takes no more; returns how many bytes it took."""
    sent = 0
    for _ in range(10_000):
        try:
            sent += sock.send(b"x" * 4096)
        except BlockingIOError:
            machine.settle()
            if not ready(machine, sock, WRITE):
                return sent
    raise AssertionError("it is never full")


def reset(sock: Any) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# --- data ------------------------------------------------------------------------------------------


def test_bytes_arrive_in_order_however_they_were_cut(machine: Any) -> None:
    client, server = connected(machine)
    assert client.send(b"ab") == 2
    assert client.sendmsg([b"cd", bytearray(b"e"), memoryview(b"fg")]) == 5
    assert received(machine, server, 7) == b"abcdefg"


@pytest.mark.parametrize("follows", ["send", "shutdown", "close"])
def test_more_to_come_leaves_with_what_follows(machine: Any, follows: str) -> None:
    client, server = connected(machine)
    assert client.send(b"ab", socket.MSG_MORE) == 2
    if follows == "send":
        client.send(b"cd")
        assert received(machine, server, 4) == b"abcd"
    else:
        client.shutdown(socket.SHUT_WR) if follows == "shutdown" else client.close()
        assert received(machine, server, 2) == b"ab"
        machine.until(lambda: ready(machine, server, READ) == READ, "the FIN")
        assert server.recv(1) == b""


def test_recv_takes_no_more_than_was_asked_for_and_leaves_the_rest(machine: Any) -> None:
    client, server = connected(machine)
    client.send(b"abcdef")
    machine.until(lambda: ready(machine, server, READ) == READ, "data")
    machine.settle()
    assert server.recv(2) == b"ab"
    assert ready(machine, server, READ) == READ  # level-triggered
    assert server.recv(100) == b"cdef"
    assert ready(machine, server, READ) == 0


def test_recv_into_fills_the_front_of_the_buffer(machine: Any) -> None:
    client, server = connected(machine)
    client.send(b"abc")
    machine.until(lambda: ready(machine, server, READ) == READ, "data")
    buffer = bytearray(b"12345")
    with memoryview(buffer) as view:
        assert server.recv_into(view) == 3
    assert buffer == b"abc45"


def test_nothing_to_read_is_EAGAIN(machine: Any) -> None:
    client, server = connected(machine)
    assert number_of(lambda: server.recv(1)) == errno.EAGAIN
    assert number_of(lambda: client.recv_into(bytearray(1))) == errno.EAGAIN


def test_nothing_is_sent_of_nothing(machine: Any) -> None:
    client, _ = connected(machine)
    assert client.send(b"") == 0


def test_an_unread_connection_fills_up_and_says_EAGAIN_and_is_writable_once_it_is_read(machine: Any) -> None:
    client, server = connected(machine)
    sent = fill(machine, client)
    assert number_of(lambda: client.send(b"x")) == errno.EAGAIN
    assert number_of(lambda: client.sendmsg([b"x", b"y"])) == errno.EAGAIN
    assert ready(machine, client) == 0
    assert received(machine, server, sent) == b"x" * sent
    machine.until(lambda: ready(machine, client) == WRITE, "room to send")
    assert client.send(b"y") == 1
    assert received(machine, server, 1) == b"y"


def test_a_send_larger_than_the_room_is_taken_in_part(machine: Any) -> None:
    client, _ = connected(machine)
    assert 0 < client.send(bytes(64 * 1024 * 1024)) < 64 * 1024 * 1024


def test_sendmsg_takes_at_most_1024_buffers(machine: Any) -> None:
    client, server = connected(machine)
    assert client.sendmsg([b"x"] * 1024) == 1024
    assert number_of(lambda: client.sendmsg([b"x"] * 1025)) == errno.EMSGSIZE
    assert received(machine, server, 1024) == b"x" * 1024


# --- ending ----------------------------------------------------------------------------------------


def test_after_a_half_close_the_peer_reads_the_rest_then_EOF_for_ever_and_still_sends(machine: Any) -> None:
    client, server = connected(machine)
    client.send(b"last")
    client.shutdown(socket.SHUT_WR)
    assert received(machine, server, 4) == b"last"
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    assert server.recv(10) == b""
    assert server.recv(10) == b""
    assert ready(machine, server) == BOTH
    assert server.send(b"reply") == 5
    assert received(machine, client, 5) == b"reply"


def test_after_ones_own_half_close_sending_is_EPIPE_and_it_counts_as_writable(machine: Any) -> None:
    client, _ = connected(machine)
    client.shutdown(socket.SHUT_WR)
    assert number_of(lambda: client.send(b"x")) == errno.EPIPE
    assert ready(machine, client) == WRITE


def test_a_close_is_EOF_to_the_peer_after_everything_that_was_sent(machine: Any) -> None:
    client, server = connected(machine)
    client.send(b"bye")
    client.close()
    assert received(machine, server, 3) == b"bye"
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    assert server.recv(1) == b""


def test_a_FIN_goes_out_behind_what_waits_for_room(machine: Any) -> None:
    client, server = connected(machine)
    sent = fill(machine, client)
    client.close()
    assert received(machine, server, sent) == b"x" * sent
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    assert server.recv(1) == b""


def test_close_with_unread_input_is_a_RST(machine: Any) -> None:
    client, server = connected(machine)
    server.send(b"unread")
    machine.until(lambda: ready(machine, client, READ) == READ, "data")
    client.close()
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert number_of(lambda: server.recv(1)) == errno.ECONNRESET


def test_a_byte_for_a_closed_socket_is_answered_with_a_RST(machine: Any) -> None:
    client, server = connected(machine)
    client.close()
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    assert server.send(b"too late") == 8
    machine.settle()
    assert number_of(lambda: server.send(b"again")) == errno.EPIPE
    assert server.recv(1) == b""  # the FIN came first


def test_linger_zero_closes_with_a_RST_and_loses_what_was_not_sent(machine: Any) -> None:
    client, server = connected(machine)
    reset(client)
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert number_of(lambda: server.recv(1)) == errno.ECONNRESET
    assert server.recv(1) == b""  # the error is told once


def test_what_came_before_a_RST_can_still_be_read(machine: Any) -> None:
    client, server = connected(machine)
    client.send(b"before")
    machine.until(lambda: ready(machine, server, READ) == READ, "data")
    reset(client)
    machine.settle()
    assert server.recv(100) == b"before"
    assert number_of(lambda: server.recv(1)) == errno.ECONNRESET


def received_until_it_breaks(machine: Any, sock: Any) -> bytes:
    """Everything up to ECONNRESET."""
    got = bytearray()

    def broken() -> bool:
        try:
            while data := sock.recv(1 << 16):
                got.extend(data)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        raise AssertionError("EOF without a reset")

    machine.until(broken, "RST")
    return bytes(got)


def test_no_byte_arrives_behind_a_gap(machine: Any) -> None:
    for _ in range(20):  # who comes first, the RST or what was sent behind the gap, is chance
        client, server = connected(machine)
        client.send(b"before")
        got = received(machine, server, 6)
        machine.lose(client, b"GAP")
        client.send(b"behind it")
        reset(client)
        got += received_until_it_breaks(machine, server)
        assert b"beforeGAPbehind it".startswith(got)  # a real kernel may have had the time to send it again
        assert server.recv(100) == b""


def test_nothing_is_received_after_a_reset(machine: Any) -> None:
    client, server = connected(machine)
    sent = fill(machine, client)
    reset(client)
    got = received_until_it_breaks(machine, server)
    assert len(got) < sent  # what still waited in the sender is lost
    for _ in range(3):
        machine.settle()
        assert server.recv(100) == b""
    assert ready(machine, server) == BOTH


def test_after_a_RST_sending_tells_the_error_once_and_then_EPIPE(machine: Any) -> None:
    client, server = connected(machine)
    reset(client)
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert number_of(lambda: server.send(b"x")) == errno.ECONNRESET
    assert number_of(lambda: server.send(b"x")) == errno.EPIPE
    assert server.recv(1) == b""


def test_after_a_RST_there_is_nothing_to_shut_down_and_no_peer(machine: Any) -> None:
    client, server = connected(machine)
    reset(client)
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert number_of(lambda: server.shutdown(socket.SHUT_WR)) == errno.ENOTCONN
    assert number_of(server.getpeername) == errno.ENOTCONN


def test_SO_ERROR_tells_a_RST_once(machine: Any) -> None:
    client, server = connected(machine)
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    reset(client)
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
    assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_a_closed_socket_has_no_number_and_is_EBADF_and_closes_twice(machine: Any) -> None:
    client, _ = connected(machine)
    client.close()
    client.close()
    assert client.fileno() == -1
    for call in (lambda: client.recv(1), lambda: client.send(b"x"), lambda: client.shutdown(socket.SHUT_WR)):
        assert number_of(call) == errno.EBADF


# --- accepting and connecting ------------------------------------------------------------------------


def test_accept_without_anybody_waiting_is_EAGAIN(machine: Any) -> None:
    listener = listening(machine)
    assert number_of(listener.accept) == errno.EAGAIN
    assert ready(machine, listener, READ) == 0


def test_a_listener_is_readable_while_somebody_waits(machine: Any) -> None:
    listener = listening(machine)
    client = machine.socket()
    client.connect_ex(listener.getsockname())
    machine.until(lambda: ready(machine, listener, READ) == READ, "a connection")
    machine.adopt(listener.accept()[0])
    assert ready(machine, listener, READ) == 0


def test_both_ends_know_each_others_names(machine: Any) -> None:
    listener = listening(machine)
    client, server = connected(machine, listener)
    assert client.getpeername() == server.getsockname() == listener.getsockname()
    assert server.getpeername() == client.getsockname()


def test_port_0_is_a_port_of_its_own(machine: Any) -> None:
    one, other = listening(machine).getsockname(), listening(machine).getsockname()
    assert one[1] != 0
    assert one != other


def test_what_was_sent_before_the_accept_is_there_after_it(machine: Any) -> None:
    listener = listening(machine)
    client = machine.socket()
    client.connect_ex(listener.getsockname())
    machine.until(lambda: ready(machine, client, WRITE) == WRITE, "connected")
    client.send(b"early")
    machine.settle()
    server = machine.adopt(listener.accept()[0])
    assert received(machine, server, 5) == b"early"


def test_a_connection_reset_before_the_accept_is_accepted_and_then_says_so(machine: Any) -> None:
    listener = listening(machine)
    client = machine.socket()
    client.connect_ex(listener.getsockname())
    machine.until(lambda: ready(machine, client, WRITE) == WRITE, "connected")
    machine.until(lambda: ready(machine, listener, READ) == READ, "a connection")
    reset(client)
    machine.settle()
    server = machine.adopt(listener.accept()[0])
    assert number_of(lambda: server.recv(1)) == errno.ECONNRESET


def test_connecting_where_nobody_listens_ends_readable_writable_and_ECONNREFUSED(machine: Any) -> None:
    gone = listening(machine)
    address = gone.getsockname()
    gone.close()
    client = machine.socket()
    assert client.connect_ex(address) == errno.EINPROGRESS
    machine.until(lambda: ready(machine, client) == BOTH, "the refusal")
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_what_waits_in_the_queue_of_a_listener_that_closes_is_reset(machine: Any) -> None:
    listener = listening(machine)
    client = machine.socket()
    client.connect_ex(listener.getsockname())
    machine.until(lambda: ready(machine, client, WRITE) == WRITE, "connected")
    listener.close()
    machine.until(lambda: ready(machine, client) == BOTH, "RST")
    assert number_of(lambda: client.recv(1)) == errno.ECONNRESET


def test_a_fresh_socket_is_not_connected(machine: Any) -> None:
    sock = machine.socket()
    assert number_of(lambda: sock.recv(1)) == errno.ENOTCONN
    assert number_of(lambda: sock.send(b"x")) == errno.EPIPE
    assert number_of(lambda: sock.shutdown(socket.SHUT_WR)) == errno.ENOTCONN
    assert number_of(sock.getpeername) == errno.ENOTCONN
    assert ready(machine, sock, WRITE) == WRITE


def test_a_socket_pair_wakes_at_once(machine: Any) -> None:
    one, other = machine.pair()
    assert ready(machine, other, READ) == 0
    assert one.send(b"\0") == 1
    assert ready(machine, other, READ) == READ
    assert other.recv(4096) == b"\0"


# --- selecting ---------------------------------------------------------------------------------------


def test_only_what_was_asked_for_is_told(machine: Any) -> None:
    client, server = connected(machine)
    server.send(b"x")
    machine.until(lambda: ready(machine, client, READ) == READ, "data")
    assert ready(machine, client, WRITE) == WRITE
    assert ready(machine, client) == BOTH


def test_a_reset_connection_is_ready_for_everything_that_was_asked(machine: Any) -> None:
    client, server = connected(machine)
    reset(client)
    machine.until(lambda: ready(machine, server, READ) == READ, "RST")
    assert ready(machine, server, WRITE) == WRITE
    assert ready(machine, server) == BOTH


def test_closed_in_both_directions_is_a_hang_up(machine: Any) -> None:
    client, server = connected(machine)
    client.shutdown(socket.SHUT_WR)
    server.shutdown(socket.SHUT_WR)
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    machine.settle()
    assert ready(machine, server, WRITE) == WRITE
    assert server.recv(1) == b""


def test_a_mask_of_0_can_only_be_modified_to_and_is_woken_by_a_hang_up_for_ever(machine: Any) -> None:
    client, server = connected(machine)
    selector = machine.selector()
    with pytest.raises(ValueError, match="Invalid events"):
        selector.register(server, 0)
    selector.register(server, READ, "data")
    selector.modify(server, 0, "data")
    client.send(b"x")
    machine.settle()
    assert selector.select(0) == []
    reset(client)
    machine.settle()
    for _ in range(3):
        ((key, events),) = selector.select(0)
        assert (key.data, events) == ("data", 0)  # woken, for nothing: the spin that `EventLoop.register` avoids


def test_a_half_closed_connection_wakes_who_reads_and_nobody_else(machine: Any) -> None:
    client, server = connected(machine)
    fill(machine, server)
    client.shutdown(socket.SHUT_WR)
    machine.until(lambda: ready(machine, server, READ) == READ, "FIN")
    assert ready(machine, server, WRITE) == 0


def test_a_descriptor_closed_while_registered_is_silent_and_can_still_be_unregistered(machine: Any) -> None:
    client, server = connected(machine)
    selector = machine.selector()
    selector.register(server, READ)
    client.send(b"x")
    machine.settle()
    server.close()
    assert selector.select(0) == []
    assert len(selector.get_map()) == 1
    selector.unregister(server)
    assert len(selector.get_map()) == 0


def test_registering_is_refused_twice_for_a_number_and_once_for_a_closed_one(machine: Any) -> None:
    client, server = connected(machine)
    selector = machine.selector()
    selector.register(server, READ)
    with pytest.raises(KeyError):
        selector.register(server, WRITE)
    client.close()
    with pytest.raises(ValueError, match="Invalid file"):
        selector.register(client, READ)
    for forgotten in (selector.unregister, lambda sock: selector.modify(sock, READ)):
        with pytest.raises((KeyError, ValueError)):
            forgotten(client)


def test_the_map_knows_sockets_by_object_and_by_number_until_the_selector_is_closed(machine: Any) -> None:
    _, server = connected(machine)
    selector = machine.selector()
    key = selector.register(server, READ, "data")
    assert selector.get_map()[server] == selector.get_map()[server.fileno()] == key
    assert selector.get_map().get(10**6) is None
    assert selector.modify(server, BOTH, "more") == (server, server.fileno(), BOTH, "more")
    selector.close()
    assert selector.get_map() is None


def test_a_number_that_is_free_again_is_given_out_again(machine: Any) -> None:
    one, other = connected(machine)
    number = one.fileno()
    assert number < other.fileno() or other.fileno() < number
    one.close()
    reused = machine.socket()
    assert reused.fileno() == number


def test_without_a_free_number_accept_says_EMFILE_and_the_connection_waits(machine: Any) -> None:
    listener = listening(machine)
    client = machine.socket()
    client.connect_ex(listener.getsockname())
    machine.until(lambda: ready(machine, listener, READ) == READ, "a connection")
    with no_descriptors(machine):
        assert number_of(listener.accept) == errno.EMFILE
    assert number_of(lambda: machine.adopt(listener.accept()[0]).recv(1)) == errno.EAGAIN


@contextlib.contextmanager
def no_descriptors(machine: Any) -> Iterator[None]:
    """No number is free."""
    if isinstance(machine, SimulatedMachine):
        limit, machine.process.limit = machine.process.limit, len(machine.process.files)
        yield
        machine.process.limit = limit
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)  # the lowest free number
    os.close(free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
