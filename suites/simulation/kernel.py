"""Which programs does the machine run, who listens where, and how does a connection come about?

The part of the simulated machine that is no single socket and no single process: the handshake, the accept
queue, and what may go wrong there.

Rules:

* A handshake is done by the kernel alone: a connection may be established, written to and reset
  before anybody accepts it. A full accept queue drops the SYN, which is sent again after 1, 2, 4 s.
* `on_call` is asked at each call of a process, with the number of calls it made: that is where a
  signal arrives "at any moment".

Not here: a socket's own behaviour (`sockets`), descriptors (`process`), readiness (`selector`), whose turn it is
(`world`).
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random
from typing import Any

from .clock import SimClock
from .faults import Faults
from .process import Process, failure
from .schedule import Schedule
from .sockets import CONNECTED, CONNECTING, SimSocket, Stream
from .trace import Trace

__all__ = ["Kernel"]

#: SYNs sent again, each after twice the time, before the kernel gives up (tcp_syn_retries; ours is shorter).
SYN_TRIES = 5


class Kernel:
    """One machine. `progress` is set by every call that changed something, and taken back by whoever asks."""

    def __init__(self, clock: SimClock, schedule: Schedule, faults: Faults, trace: Trace) -> None:
        self.clock = clock
        self.schedule = schedule
        self.faults = faults
        self.trace = trace
        self.progress = False
        self.processes: list[Process] = []
        self.rooms = (64 * 1024, 64 * 1024)  # bytes a send buffer has, and a receive buffer
        self.delay = 0.0001  # seconds to the peer, at the least
        self.on_call: Callable[[Process], None] | None = None
        self.on_connection: Callable[[SimSocket, SimSocket], None] | None = None
        self._listeners: dict[tuple[str, int], SimSocket] = {}
        #: when a listener was closed, how many waited in its queue, and what accept had said last
        self.left_waiting: list[tuple[float, int, int]] = []
        self.last_refusal = 0
        self._ports = 40_000
        self._unborn = 0

    def start_process(self, name: str, limit: int = 1024) -> Process:
        """`limit`: descriptor numbers that it may have."""
        process = Process(name, limit)
        self.processes.append(process)
        return process

    def socket(self, process: Process, luck: Random | None = None) -> SimSocket:
        """`luck` goes with the connection, to its other end too; None: the world's."""
        return SimSocket(self, process, luck)

    def pair(self, process: Process) -> tuple[SimSocket, SimSocket]:
        """`socket.socketpair`: no network in between."""
        one, other = SimSocket(self, process), SimSocket(self, process)
        self._join(one, other, (64 * 1024, 64 * 1024), -1.0)
        return one, other

    def next_name(self, process: Process | None, fd: int) -> str:
        """For the trace: `server#7` is descriptor 7; one that is not accepted yet has no number."""
        if process is not None:
            return f"{process.name}#{fd}"
        self._unborn += 1
        return f"unborn{self._unborn}"

    def called(self, sock: SimSocket) -> None:
        self.clock.tick()
        process = sock.process
        if process is not None:
            process.calls += 1
            if self.on_call is not None:
                self.on_call(process)

    def latency(self, base: float, luck: Random) -> float:
        """Seconds for one segment over a way that takes `base`."""
        seconds = base * (1 + luck.random())
        if self.faults.hit("segment: delayed", luck):
            seconds += luck.choice((0.01, 0.2, 1.0, 5.0)) * luck.random()
        return seconds

    # --- listening ---------------------------------------------------------------------

    def start_listening(self, sock: SimSocket) -> None:
        host, port = sock.address or ("127.0.0.1", 0)
        if port == 0:
            self._ports += 1
            port = self._ports
        if (host, port) in self._listeners:
            raise failure(errno.EADDRINUSE)
        sock.address = (host, port)
        self._listeners[host, port] = sock

    def stop_listening(self, sock: SimSocket) -> None:
        assert sock.address is not None
        del self._listeners[sock.address]
        self.left_waiting.append((self.clock.now, len(sock.queue), self.last_refusal))
        for waiting in sock.queue:
            assert waiting.tx is not None
            waiting.closed = True
            waiting.tx.send_rst()
        sock.queue.clear()

    def accept(self, listener: SimSocket) -> tuple[SimSocket, Any]:
        process = listener.process
        assert process is not None
        if not listener.queue:
            raise self._refused(listener, errno.EAGAIN)
        for number in (errno.EPROTO, errno.ENOBUFS, errno.ENOMEM):
            if self.faults.hit(f"accept: {errno.errorcode[number]}"):
                if number == errno.EPROTO:
                    self._abort(listener.queue.popleft())
                self.progress = True
                raise self._refused(listener, number)
        sock = listener.queue[0]
        if sock.dead and self.faults.hit("accept: ECONNABORTED"):
            listener.queue.popleft()
            self.progress = True
            raise self._refused(listener, errno.ECONNABORTED)
        try:
            number = process.open(sock)  # the number first: without one the connection stays in the queue
        except OSError:
            self.faults.count("accept: EMFILE")
            raise self._refused(listener, errno.EMFILE) from None
        listener.queue.popleft()
        sock.process = process
        sock.fd = number
        was, sock.name = sock.name, self.next_name(process, number)
        self.progress = True
        self.trace.note(listener, "accept", was, "as", sock)
        if sock.tap is not None:
            sock.tap.accepted(sock)
        return sock, sock.peer_address

    def _refused(self, listener: SimSocket, number: int) -> OSError:
        self.last_refusal = number
        self.trace.note(listener, "accept", errno.errorcode[number])
        return failure(number)

    @staticmethod
    def _abort(sock: SimSocket) -> None:
        """The kernel gives up a connection that nobody has accepted."""
        assert sock.tx is not None
        sock.closed = True
        sock.tx.send_rst()

    # --- connecting ----------------------------------------------------------------------

    def connect(self, sock: SimSocket, address: tuple[str, int]) -> None:
        if sock.address is None:
            self._ports += 1
            sock.address = (f"127.0.0.{1 + self._ports % 3}", self._ports)
        sock.peer_address = address
        if self.faults.hit("connect: SYN swallowed", sock.luck):
            return  # a firewall that says nothing
        first = 1.0 if self.faults.hit("connect: first SYN lost", sock.luck) else 0.0
        self.schedule.after(first + self.latency(self.delay, sock.luck), self._syn, sock, address, 1)

    def _syn(self, sock: SimSocket, address: tuple[str, int], tries: int) -> None:
        if sock.closed:
            return
        listener = self._listeners.get(address)
        if listener is None:
            self.schedule.after(self.latency(self.delay, sock.luck), sock.reset)
        elif len(listener.queue) < listener.backlog and not listener.deaf:
            self._establish(sock, listener)
        elif tries < SYN_TRIES:
            why = "the listener is about to close" if listener.deaf else "accept queue full"
            self.faults.count(f"connect: {why}")
            seconds = 2.0 ** (tries - 1) * (0.8 + 0.4 * sock.luck.random())  # not all at once again
            self.schedule.after(seconds, self._syn, sock, address, tries + 1)

    def _establish(self, sock: SimSocket, listener: SimSocket) -> None:
        other = SimSocket(self, None, sock.luck)
        other.address, other.peer_address = listener.address, sock.address
        self._join(sock, other, self.rooms, self.delay)
        sock.state = CONNECTING  # until the SYN-ACK has come back
        random, faults = sock.luck, self.faults
        for stream in (sock.tx, sock.rx):
            assert stream is not None
            rate = faults.rates.get("connection: reset at a byte")
            if rate is not None and random.random() < rate:  # it is counted when it happens
                stream.reset_at = random.choice((0, 1, 2, 50, 400, 4000, 40_000)) + random.randrange(100)
            if faults.hit("connection: stalled for seconds", random):
                stream.arrives = self.clock.now + random.choice((1.0, 8.0, 70.0)) * random.random()
        if self.on_connection is not None:
            self.on_connection(sock, other)
        self.trace.note("kernel", sock, "is connected to", other)
        listener.queue.append(other)
        listener.changed()
        self.schedule.after(self.latency(self.delay, sock.luck), self._established, sock)

    @staticmethod
    def _established(sock: SimSocket) -> None:
        if sock.state is CONNECTING and not sock.dead:
            sock.state = CONNECTED
            if sock.closed:
                assert sock.tx is not None
                sock.tx.send_rst()
            sock.changed()

    def _join(self, one: SimSocket, other: SimSocket, rooms: tuple[int, int], delay: float) -> None:
        one.tx = other.rx = Stream(self, one, other, rooms, delay)
        other.tx = one.rx = Stream(self, other, one, rooms, delay)
        one.state = other.state = CONNECTED

    def break_connection(self, stream: Stream) -> None:
        """Something in between resets both ends, each after its own time."""
        self.trace.note("kernel", "connection", stream.sender, stream.receiver, "breaks")
        for end in (stream.sender, stream.receiver):
            assert end.tx is not None
            end.tx.cut_off()
            self.schedule.after(self.latency(stream.delay, end.luck), end.reset)
