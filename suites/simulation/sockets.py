"""How does a TCP socket behave, towards the program and towards its peer?

`SimSocket` stands where a `socket.socket` does and answers as Linux' does, errno by errno: that is
what its tests hold it to, beside the real one. Between two of them are two `Stream`s, one per
direction: send buffer, bytes under way, receive buffer, and a FIN at the end.

Rules:

* A stream keeps its order and loses nothing, unless the connection is reset. What it loses then it loses to the
  end: no byte arrives behind a gap. Streams know nothing of each other: that is what reorders connections
  against each other.
* Buffers are finite at both ends. What the receiver does not read fills its buffer, then the sender's,
  then `send` says EAGAIN.
* What was sent with MSG_MORE waits for the next send or the FIN: for ever, where Linux waits 200 ms.
* Closing with unread input sends a RST instead of a FIN; so does a byte that arrives after the close.
* Each call takes a moment on the clock, and what changed something tells the kernel (`progress`), so
  that a turn which changed nothing is found out.

Not here: listening and connecting (`kernel`), descriptors (`process`), when something goes wrong (`faults`).
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import deque
from collections.abc import Iterable
from random import Random
from typing import Any, Protocol

from .clock import SimClock
from .faults import Faults
from .process import Process, failure
from .schedule import Schedule
from .trace import Trace

__all__ = ["Network", "SimSocket", "Stream"]

IN, OUT, ERR, HUP = 1, 4, 8, 16  # epoll's bits

NEW, CONNECTING, CONNECTED, LISTENING = "new", "connecting", "connected", "listening"

IOV_MAX = 1024
MSG_MORE = getattr(socket, "MSG_MORE", 0)
#: A socket is reported writable when a third of its send buffer is free (sk_stream_is_writeable).
WRITABLE_SHARE = 3


class Network(Protocol):
    """What sockets ask of their kernel. They set `progress` when a call has changed something."""

    clock: SimClock
    schedule: Schedule
    faults: Faults
    trace: Trace
    progress: bool

    def next_name(self, process: Process | None, fd: int) -> str:
        """What the trace calls a new socket."""

    def called(self, sock: SimSocket) -> None:
        """Its program has made a system call."""

    def latency(self, base: float, luck: Random) -> float:
        """Seconds for one segment over a way that takes `base`."""

    def break_connection(self, stream: Stream) -> None:
        """Something in between resets both ends."""

    def start_listening(self, sock: SimSocket) -> None: ...

    def stop_listening(self, sock: SimSocket) -> None: ...

    def accept(self, listener: SimSocket) -> tuple[SimSocket, Any]: ...

    def connect(self, sock: SimSocket, address: tuple[str, int]) -> None: ...


class Stream:
    """One direction of a connection, from `sender` to `receiver`."""

    __slots__ = (
        "arrives",
        "corked",
        "cut",
        "delay",
        "fin",
        "fin_sent",
        "gone",
        "instant",
        "kernel",
        "read_at",
        "receiver",
        "reset_at",
        "room_in",
        "room_out",
        "sender",
        "sent",
        "under_way",
        "unread",
        "unread_since",
        "unsent",
    )

    def __init__(
        self, kernel: Network, sender: SimSocket, receiver: SimSocket, rooms: tuple[int, int], delay: float
    ) -> None:
        self.kernel = kernel
        self.sender = sender
        self.receiver = receiver
        self.room_out, self.room_in = rooms
        self.delay = delay
        self.instant = delay < 0  # a socket pair's: no network in between
        self.unsent = bytearray()
        self.corked = False  # more is to come
        self.under_way = 0
        self.unread = bytearray()
        self.unread_since = self.read_at = 0.0  # when the first of these came; when some were read
        self.fin = self.fin_sent = self.cut = False
        self.gone = False  # what is sent from here on is lost
        self.arrives = 0.0  # when the last of what is under way does
        self.sent = 0
        self.reset_at = -1  # after so many bytes the connection is reset

    @property
    def free(self) -> int:
        """Bytes that `send` would take."""
        return self.room_out - len(self.unsent)

    def transmit(self) -> None:
        """Send off as much as the receiver has room for; the FIN once everything is off."""
        if self.corked or self.gone:
            return
        faults, luck = self.kernel.faults, self.sender.luck
        while self.unsent and not self.cut:
            room = self.room_in - len(self.unread) - self.under_way
            if room <= 0:
                return
            size = min(len(self.unsent), room)
            if not self.instant and size > 1 and faults.hit("segment: cut small", luck):
                size = luck.randint(1, size)
            if 0 <= self.reset_at <= self.sent + size:
                size = self.reset_at - self.sent
                self.reset_at = -1
                self._off(size)
                faults.count("connection: reset at a byte")
                self.kernel.break_connection(self)
                return
            self._off(size)
        if self.fin and not self.unsent and not self.fin_sent and not self.cut:
            self.fin_sent = True
            self._later(self._fin_arrived)

    def _off(self, size: int) -> None:
        if not size:
            return
        segment = bytes(self.unsent[:size])
        del self.unsent[:size]
        self.sent += size
        self.under_way += size
        self._later(self._arrived, segment)
        self.sender.changed()

    def _later(self, act: Any, *args: Any) -> None:
        if self.instant:
            act(*args)
            return
        when = self.kernel.clock.now + self.kernel.latency(self.delay, self.sender.luck)
        self.arrives = max(self.arrives, when)  # never before what went off earlier
        self.kernel.schedule.at(self.arrives, act, *args)

    def _arrived(self, segment: bytes) -> None:
        self.under_way -= len(segment)
        receiver = self.receiver
        if self.cut or receiver.dead:
            return
        if receiver.closed:
            self.kernel.trace.note("kernel", self.receiver, "is closed: RST for", len(segment), "bytes")
            if receiver.tap is not None:
                receiver.tap.came_too_late()
            self.send_rst_back()
            return
        if not self.unread:
            self.unread_since = self.kernel.clock.now
        self.unread += segment
        receiver.changed()

    def _fin_arrived(self) -> None:
        if not self.cut and not self.receiver.dead:
            self.receiver.fin_arrived = True
            self.receiver.changed()

    def finish(self) -> None:
        """FIN after everything that was taken."""
        self.fin = True
        self.corked = False
        self.transmit()

    def send_rst(self) -> None:
        """To the receiver, behind what is under way; what was not sent is lost."""
        self.cut_off()
        self._later(self.receiver.reset)

    def send_rst_back(self) -> None:
        """The receiver is no more: tell the sender."""
        self.kernel.schedule.after(self.kernel.latency(self.delay, self.sender.luck), self.sender.reset)

    def cut_off(self) -> None:
        """Nothing more leaves, whatever is sent from here on: it would arrive behind what was lost."""
        self.gone = True
        self.unsent.clear()
        self.fin = False
        self.reset_at = -1

    def read(self, count: int) -> bytes:
        data = bytes(self.unread[:count])
        del self.unread[:count]
        self.read_at = self.kernel.clock.now
        self.transmit()  # there is room again
        return data


class SimSocket:
    """A non-blocking TCP socket of `process`, or one that waits to be accepted (`fd` -1)."""

    __slots__ = (
        "address",
        "backlog",
        "closed",
        "dead",
        "deaf",
        "eof_read",
        "error",
        "fd",
        "fin_arrived",
        "kernel",
        "luck",
        "name",
        "options",
        "peer_address",
        "process",
        "queue",
        "rx",
        "shut",
        "shut_at",
        "state",
        "tap",
        "tx",
        "watchers",
    )

    def __init__(self, kernel: Network, process: Process | None, luck: Random | None = None) -> None:
        self.kernel = kernel
        self.process = process
        self.luck = luck or kernel.faults.random
        self.state = NEW
        self.fd = process.open(self) if process is not None else -1
        self.name = kernel.next_name(process, self.fd)
        self.closed = False
        self.dead = False  # the connection was reset
        self.error = 0  # to be told once
        self.fin_arrived = False
        self.eof_read = False
        self.shut = False  # SHUT_WR, or by a reset
        self.shut_at: float | None = None
        self.rx: Stream | None = None
        self.tx: Stream | None = None
        self.tap: Any = None  # who listens to what the program receives and sends
        self.queue: deque[SimSocket] = deque()  # connections that wait to be accepted
        self.backlog = 0
        self.deaf = False  # to a SYN (`eventloop.quiesce`)
        self.address: tuple[str, int] | None = None
        self.peer_address: tuple[str, int] | None = None
        self.options: dict[tuple[int, int], Any] = {}
        self.watchers: list[tuple[Any, int]] = []  # selectors that know it, and its number there

    def __str__(self) -> str:
        return self.name

    # --- readiness -----------------------------------------------------------------

    def changed(self) -> None:
        """It may be ready now: selectors shall look."""
        for selector, number in self.watchers:
            selector.hot[number] = None

    def watched_for(self, events: int) -> bool:
        """Does a selector look at it for one of these? Of one that nobody watches any more it is not known: True."""
        return not self.watchers or any(selector.keys[number].events & events for selector, number in self.watchers)

    def poll(self) -> int:
        """epoll's bits."""
        if self.state is LISTENING:
            return IN if self.queue else 0
        if self.dead:
            return IN | OUT | HUP | (ERR if self.error else 0)
        if self.state is not CONNECTED:
            return OUT | HUP if self.state is NEW else 0
        assert self.rx is not None
        assert self.tx is not None
        bits = IN if self.rx.unread or self.fin_arrived else 0
        if self.shut or self.tx.free * WRITABLE_SHARE >= self.tx.room_out:
            bits |= OUT
        if self.shut and self.fin_arrived:
            bits |= HUP
        return bits

    def fileno(self) -> int:
        return -1 if self.closed else self.fd

    # --- what every call begins with -------------------------------------------------

    def _call(self) -> None:
        self.kernel.called(self)
        if self.closed:
            raise failure(errno.EBADF)

    def _take_error(self) -> int:
        number, self.error = self.error, 0
        return number

    def _note(self, *words: object) -> None:
        self.kernel.trace.note(self.name, *words)

    def _fail(self, call: str, number: int) -> OSError:
        self._note(call, errno.errorcode[number])
        return failure(number)

    # --- receiving -------------------------------------------------------------------

    def recv(self, size: int) -> bytes:
        self._call()
        return self._receive("recv", size)

    def recv_into(self, buffer: Any) -> int:
        self._call()
        data = self._receive("recv_into", len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _receive(self, call: str, size: int) -> bytes:
        rx = self.rx
        if rx is not None and rx.unread and size:
            faults, luck = self.kernel.faults, self.luck
            if not rx.instant and len(rx.unread) > 1 and faults.hit("recv: fewer bytes than there are", luck):
                size = min(size, luck.randint(1, len(rx.unread)))
            data = rx.read(size)
            self.kernel.progress = True
            self._note(call, len(data))
            if self.tap is not None:
                self.tap.received(data)
            return data
        if self.fin_arrived:
            return self._end(call)
        if self.error:
            self.kernel.progress = True
            raise self._fail(call, self._take_error())
        if self.dead:
            return self._end(call)
        if self.state is NEW or self.state is LISTENING:
            raise self._fail(call, errno.ENOTCONN)
        raise self._fail(call, errno.EAGAIN)

    def _end(self, call: str) -> bytes:
        if not self.eof_read:
            self.eof_read = True
            self.kernel.progress = True  # once: who reads it again and again gets nowhere
        self._note(call, "EOF")
        if self.tap is not None:
            self.tap.received(b"")
        return b""

    def unread(self) -> int:
        """FIONREAD: bytes that wait for `recv`."""
        return 0 if self.rx is None else len(self.rx.unread)

    # --- sending ---------------------------------------------------------------------

    def send(self, data: Any, flags: int = 0) -> int:
        self._call()
        return self._send("send", data, more=bool(flags & MSG_MORE))

    def sendmsg(self, buffers: Iterable[Any]) -> int:
        self._call()
        parts = list(buffers)
        if len(parts) > IOV_MAX:
            raise self._fail("sendmsg", errno.EMSGSIZE)
        return self._send("sendmsg", b"".join(parts))

    def _send(self, call: str, data: Any, more: bool = False) -> int:
        if self.error:
            self.kernel.progress = True
            raise self._fail(call, self._take_error())
        if self.shut or self.state is NEW:
            raise self._fail(call, errno.EPIPE)
        if self.state is LISTENING:
            raise self._fail(call, errno.EPIPE)
        if self.state is CONNECTING:
            raise self._fail(call, errno.EAGAIN)
        tx = self.tx
        assert tx is not None
        faults = self.kernel.faults
        if not len(data):
            return 0
        if tx.free <= 0 or (not tx.instant and faults.hit("send: refused (EAGAIN) though there is room", self.luck)):
            self.changed()
            raise self._fail(call, errno.EAGAIN)
        count = min(tx.free, len(data))
        if count > 1 and not tx.instant and faults.hit("send: fewer bytes than there is room", self.luck):
            count = self.luck.randint(1, count)
        taken = bytes(memoryview(data)[:count])
        tx.unsent += taken
        tx.corked = more and count == len(data)
        self.kernel.progress = True
        self._note(call, count, "of", len(data))
        if self.tap is not None:
            self.tap.sent(taken)
        tx.transmit()
        return count

    # --- ending ----------------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        self._call()
        if self.state is not CONNECTED or self.dead:
            raise self._fail("shutdown", errno.ENOTCONN)
        if how != socket.SHUT_WR:
            raise NotImplementedError("only SHUT_WR is simulated")
        self._note("shutdown")
        if not self.shut:
            self.shut = True
            self.shut_at = self.kernel.clock.now
            self.kernel.progress = True
            assert self.tx is not None
            self.tx.finish()
            self.changed()

    def close(self) -> None:
        """FIN after what was sent; a RST if input is unread, or SO_LINGER says 0."""
        if self.closed:
            return
        self.kernel.called(self)
        self.kernel.progress = True
        rude = self.state is CONNECTED and not self.dead and self._closes_rudely()
        self._note("close", "(RST)" if rude else "")
        if self.tap is not None:
            self.tap.closed(rude)
        self.closed = True
        if self.process is not None and self.fd >= 0:
            self.process.release(self.fd)
        self.watchers.clear()
        if self.state is LISTENING:
            self.kernel.stop_listening(self)
        elif self.state is CONNECTED and not self.dead:
            assert self.tx is not None
            if rude:
                self.tx.send_rst()
            else:
                self.tx.finish()
            if self.rx is not None:
                self.rx.unread.clear()

    def _closes_rudely(self) -> bool:
        assert self.rx is not None
        linger = self.options.get((socket.SOL_SOCKET, socket.SO_LINGER))
        return bool(self.rx.unread) or linger == struct.pack("ii", 1, 0)

    def reset(self) -> None:
        """A RST has arrived."""
        if self.dead or self.state is LISTENING:
            return
        if self.state is CONNECTING:
            self.error = errno.ECONNREFUSED
        elif self.fin_arrived and not self.shut:
            self.error = errno.EPIPE
        else:
            self.error = errno.ECONNRESET
        self.dead = self.shut = True
        if self.tx is not None and self.rx is not None:
            self.tx.cut_off()
            self.tx.cut = self.rx.cut = True
            if self.rx.unread and self.kernel.faults.hit("reset: what was unread is lost", self.luck):
                self.rx.unread.clear()
        self._note("is reset")
        if self.tap is not None:
            self.tap.was_reset()
        self.changed()

    # --- listening and connecting -------------------------------------------------------

    def bind(self, address: tuple[str, int]) -> None:
        self._call()
        self.address = address

    def listen(self, backlog: int) -> None:
        self._call()
        self.backlog = max(1, backlog)
        self.kernel.start_listening(self)
        self.state = LISTENING

    def accept(self) -> tuple[SimSocket, Any]:
        self._call()
        if self.state is not LISTENING:
            raise self._fail("accept", errno.EINVAL)
        return self.kernel.accept(self)

    def connect_ex(self, address: tuple[str, int]) -> int:
        self._call()
        if self.state is CONNECTED:
            return errno.EISCONN
        if self.state is CONNECTING:
            return errno.EALREADY
        self.state = CONNECTING
        self.kernel.progress = True
        self._note("connect", address)
        self.kernel.connect(self, address)
        return errno.EINPROGRESS

    # --- the rest -----------------------------------------------------------------------

    def getsockopt(self, level: int, option: int) -> int:
        self._call()
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            return self._take_error()
        return int(self.options.get((level, option), 0))

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        self._call()
        self.options[level, option] = value

    def setblocking(self, flag: bool) -> None:
        if flag:
            raise NotImplementedError("a simulated socket never blocks")

    def getsockname(self) -> tuple[str, int]:
        self._call()
        return self.address or ("0.0.0.0", 0)

    def getpeername(self) -> tuple[str, int]:
        self._call()
        if self.state is not CONNECTED or self.dead or self.peer_address is None:
            raise failure(errno.ENOTCONN)
        return self.peer_address
