"""Which two machines do the same tests run on: this one's kernel, and the simulated one?

What the simulation finds is worth as much as these tests say. Where systems differ, Linux' way is meant.

Not here: what must be the same of both (`test_sockets`, `test_selector`, `test_kernel`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from suites.simulation.clock import SimClock
from suites.simulation.faults import NONE, Faults
from suites.simulation.kernel import Kernel
from suites.simulation.schedule import Schedule
from suites.simulation.selector import SimSelector
from suites.simulation.trace import Trace

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
BOTH = READ | WRITE

#: linux/tcp.h: TCP_REPAIR_QUEUE's values, and TCP_REPAIR's "off, and say nothing to the peer". Python names none.
TCP_REPAIR, TCP_REPAIR_QUEUE = 19, 20
SEND_QUEUE, OFF_IN_SILENCE = 2, -1


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
        self.process = self.kernel.start_process("program")

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


def until_it_says_EAGAIN(machine: Any, send: Callable[[], int]) -> int:
    """Have `send` send until it is refused for want of room; returns how many bytes it had sent."""
    sent = 0

    def refused() -> bool:
        nonlocal sent
        try:
            sent += send()
        except BlockingIOError:  # EAGAIN
            return True
        return False

    machine.until(refused, "EAGAIN")
    return sent


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
