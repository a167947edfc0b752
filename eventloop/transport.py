"""How do bytes get from a socket to a protocol and back, without ever waiting?

`Transport` owns one connected, non-blocking stream socket. It speaks asyncio's verbs, so the
protocol above it could live on asyncio or uvloop as well.

Rules:

* Write: send at once, keep what the kernel refused, and be registered for writing only while
  something is kept. (Redis does the same. Without it .70 / .85 of the throughput is left at
  64 connections and depth 1 / 16.)
* Water marks: above `high` bytes kept the protocol hears `pause_writing`, once; when they
  have drained to `low` (not to zero) it hears `resume_writing`.
* Facts decide the selector's interest each time: reading if reading is not paused and the peer
  has not finished, writing if bytes are kept. No other place stores it.
* Ending, from gentle to abrupt: `write_eof` (half-close once all is sent), `linger` (the same,
  then read and discard until the peer finishes), `close` (once all is sent), `abort` (now).
* After the socket is closed every verb is a no-op, and the protocol hears `connection_lost`
  exactly once, in a later callback: never from inside its own call.

Why `linger`: closing a socket with unread input sends a RST, which may overtake and destroy
what was sent last. FIN first, then reading until the peer's own FIN, can't.

Facts only: which life a connection is in, and for how long it may linger, is for its protocol
to know. Not here: connecting (`eventloop.connector`), accepting (`eventloop.listener`).
"""

from __future__ import annotations

import select
import selectors
import socket
import sys
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from .addresses import endpoint_text, host_of
from .loop import EventLoop

__all__ = ["StreamProtocol", "Transport", "WaterMarks", "close_socket"]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

#: Bytes asked of one recv. Larger ones did not pay; a turn's work stays small this way.
RECV_SIZE = 64 * 1024
#: Buffers given to one sendmsg; Linux takes 1024 (IOV_MAX), and this many is a fair share.
SEND_BUFFERS = 64

#: Has the kernel wait for what follows (send(2)): the last bytes and the FIN leave in one packet, and the peer is
#: woken once. Where there is no such flag they leave in two.
_MORE = getattr(socket, "MSG_MORE", 0)

_can_poll = hasattr(select, "poll")  # Windows has none

Buffer = bytes | bytearray | memoryview

# Facts about a transport, as bits of one small integer. The two of an idle one come first:
# Python keeps the integers to 256 once for all, and others cost 32 bytes each.
_READING = 1  # reading is not paused
_STARTED = 2  # the loop may know of it
_PEER_EOF = 4  # the peer has finished sending
_EOF_WANTED = 8  # half-close once all is sent
_EOF_SENT = 16  # half-closed
_DISCARDING = 32  # what is read is thrown away
_CLOSE_WANTED = 64  # close once all is sent
_CLOSED = 128  # the socket is gone
_ABOVE_HIGH = 256  # `pause_writing` was called

_NOT_READABLE = _READING | _PEER_EOF | _CLOSED
_UNWATCHED = _READING | _PEER_EOF | _CLOSED | _STARTED
_NOT_WRITABLE = _CLOSED | _EOF_WANTED | _CLOSE_WANTED
_WITHOUT_ROOM = _CLOSED | _ABOVE_HIGH
_NOT_OFFERED = _NOT_WRITABLE | _ABOVE_HIGH


def close_socket(sock: Any) -> None:
    """Close it, whatever `close` says: the descriptor is gone even then (close(2), "Dealing with error returns")."""
    try:
        sock.close()
    except OSError:
        pass


def _unread(sock: Any) -> int:
    ask = getattr(sock, "unread", None)  # what only stands for a socket answers itself
    if ask is not None:
        return int(ask())
    try:
        import fcntl  # here: rarely needed, and Windows has none
        import termios

        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)
    except (ImportError, OSError):
        return 0


def peer_name(sock: Any) -> str:
    """`HOST:PORT` of a socket's peer, for people; `unix`, or `?` where it has gone."""
    try:
        name = sock.getpeername()
    except OSError:
        return "?"
    return endpoint_text(host_of(name), name[1]) if isinstance(name, tuple) else "unix"


def _has_input(sock: Any) -> bool:
    """Is there a byte to be read, or an error to be met? A byte may be taken to know."""
    try:
        if _can_poll and type(sock) is socket.socket:
            # Mostly nothing is there, and of a recv in vain the exception is the most expensive part.
            asked = select.poll()
            asked.register(sock, select.POLLIN)
            if not asked.poll(0):
                return False
        return bool(sock.recv(1))
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True


def _is_broken(sock: Any) -> bool:
    try:
        if _can_poll and type(sock) is socket.socket:
            asked = select.poll()
            asked.register(sock, 0)  # poll reports errors and hang-ups unasked
            return bool(asked.poll(0))
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    except OSError:
        return True


class WaterMarks(NamedTuple):
    """Bytes kept in a transport at which its protocol pauses, and resumes, writing.

    The numbers are asyncio's idea; their size is ours (asyncio: 64 KiB and 16 KiB).
    """

    high: int = 256 * 1024
    low: int = 64 * 1024


class ByteSink(Protocol):
    """The buffer that large contents go straight into."""

    def get_buffer(self) -> memoryview | None: ...

    def buffer_updated(self, count: int) -> None: ...


class StreamProtocol(Protocol):
    """What a transport calls. The names are asyncio's, but for `buffer_filled`, `kept` and `flushed`.

    `data_received` brings bytes, never none. `eof_received`: the peer has finished sending. `pause_writing` and
    `resume_writing` come once each time the kept bytes pass a water mark. `connection_lost` comes once, and last,
    with the error that broke the connection, or None.
    """

    def data_received(self, data: bytes) -> None: ...

    def buffer_filled(self) -> None:
        """More bytes arrived in the sink of `read_into`."""

    def eof_received(self) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def kept(self, queued: int) -> None:
        """The kernel did not take all bytes: `queued` are kept."""

    def flushed(self, queued: int) -> None:
        """Kept bytes have left; `queued` are still kept."""

    def connection_lost(self, error: Exception | None) -> None: ...


DEFAULT_MARKS = WaterMarks()


class _Busy:
    """What a transport remembers only while bytes are kept, or received straight into a sink."""

    __slots__ = ("parts", "queued", "sink")

    def __init__(self) -> None:
        self.parts: deque[Buffer] = deque()  # kept, in order
        self.queued = 0  # bytes in them
        self.sink: ByteSink | None = None


class Transport:
    """A connected non-blocking stream socket on a loop, with asyncio's verbs; it registers itself for reading.

    It calls `protocol` (`StreamProtocol`). `marks`: bytes kept at which the protocol pauses writing, and
    resumes. With `watch=False` the loop does not watch it until `watch`. `sock` may be anything with a socket's `recv`,
    `recv_into`, `send`, `sendmsg`, `shutdown`, `close` and `fileno`; one without a descriptor has an `unread` too,
    which gives the bytes that wait for `recv`.

    Raises `OSError`, the socket still the caller's, if the selector has no room for it. Later that loses the
    connection: an unwatched one would never end.
    """

    __slots__ = ("_busy", "_facts", "loop", "marks", "protocol", "sock")

    def __init__(
        self,
        loop: EventLoop,
        sock: Any,
        protocol: StreamProtocol,
        marks: WaterMarks = DEFAULT_MARKS,
        watch: bool = True,
    ) -> None:
        self.loop = loop
        self.sock = sock
        self.protocol = protocol
        self.marks = marks
        self._busy: _Busy | None = None
        self._facts = _READING
        if watch:
            self._facts |= _STARTED
            loop.selector.register(sock, READ, self)

    def watch(self) -> None:
        """Have the loop watch it, unless it is closed by now. (To read at once, call `on_readable` before.)"""
        if not self._facts & _CLOSED:
            self._facts |= _STARTED
            self._register()

    # --- facts ---------------------------------------------------------------------

    @property
    def queued(self) -> int:
        """Bytes written that the kernel has not taken."""
        return 0 if self._busy is None else self._busy.queued

    @property
    def reading(self) -> bool:
        """Reading is not paused."""
        return bool(self._facts & _READING)

    @property
    def peer_eof(self) -> bool:
        """The peer has finished sending."""
        return bool(self._facts & _PEER_EOF)

    @property
    def eof_sent(self) -> bool:
        """We have half-closed."""
        return bool(self._facts & _EOF_SENT)

    @property
    def closing(self) -> bool:
        """Closed, or will be once all is sent."""
        return bool(self._facts & (_CLOSED | _CLOSE_WANTED))

    @property
    def above_high(self) -> bool:
        """The kept bytes passed the high-water mark, and have not drained to the low one."""
        return bool(self._facts & _ABOVE_HIGH)

    @property
    def has_room(self) -> bool:
        """Not closed, and not `above_high`: there is room for the next write."""
        return not self._facts & _WITHOUT_ROOM

    @property
    def closed(self) -> bool:
        """The socket is closed: every verb does nothing, and `connection_lost` was called or is about to be."""
        return bool(self._facts & _CLOSED)

    def interest(self) -> int:
        """The selector mask that the facts call for; 0 means: not in the selector."""
        facts = self._facts
        mask = READ if facts & _UNWATCHED == _READING | _STARTED else 0
        if self.queued and facts & _STARTED:
            mask |= WRITE
        return mask

    def peer_name(self) -> str:
        """`HOST:PORT` of the peer, for people. Asked of the kernel each time: an idle one should cost little."""
        return peer_name(self.sock)

    # --- reading -------------------------------------------------------------------

    def on_readable(self) -> None:
        if self._facts & _NOT_READABLE != _READING:
            return  # stale: paused or closed earlier in this turn
        busy = self._busy
        if busy is not None and busy.sink is not None:
            self._receive_into(busy.sink)
            return
        try:
            data = self.sock.recv(RECV_SIZE)
        except (BlockingIOError, InterruptedError):
            return  # spurious readiness
        except OSError as error:
            self._lose(error)
            return
        if not data:
            self._end_of_input()
        elif not self._facts & _DISCARDING:
            self.protocol.data_received(data)

    def _receive_into(self, sink: ByteSink) -> None:
        space = sink.get_buffer()
        if not space:  # nor into no room at all: recv_into would say 0, which reads as EOF
            self.read_into(None)
            self.on_readable()
            return
        try:
            count = self.sock.recv_into(space)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        finally:
            space.release()
        if not count:
            self._end_of_input()
            return
        sink.buffer_updated(count)
        self.protocol.buffer_filled()

    def _end_of_input(self) -> None:
        self._facts |= _PEER_EOF
        try:
            self.protocol.eof_received()  # which mostly closes: then there is nothing left to register
        finally:
            self._register()

    def is_broken(self) -> bool:
        """Has TCP ended the connection, by a RST or a timeout, without a read or a write?

        For a connection that the loop does not watch (`interest` is 0). A FIN is no such end: the peer may read on.
        """
        return not self._facts & _CLOSED and _is_broken(self.sock)

    def nothing_unread(self) -> bool:
        """Has it read every byte that has come? Then closing now sends FIN, not a RST.

        Ask only when nothing further will be served: it may read a byte, and throw it away, to know.
        """
        if self._facts & _NOT_READABLE != _READING:
            return bool(self._facts & _PEER_EOF)
        return not _has_input(self.sock)

    def unread(self) -> int:
        """How many unread bytes the kernel has (FIONREAD); it keeps them."""
        return 0 if self._facts & _CLOSED else _unread(self.sock)

    def read_into(self, sink: ByteSink | None) -> None:
        """Receive straight into `sink` for as long as it offers space."""
        if not self._facts & (_DISCARDING | _CLOSED):
            self._make_busy().sink = sink
            self._rest()

    def pause_reading(self) -> None:
        """Read no more: what arrives stays in the kernel, and TCP makes the peer wait."""
        if self._facts & _READING:
            self._facts &= ~_READING
            self._register()

    def resume_reading(self) -> None:
        """Read on. Bytes a protocol has buffered itself come with no event: it must look there first."""
        if not self._facts & (_READING | _CLOSE_WANTED):  # `close` ended reading for good
            self._facts |= _READING
            self._register()

    # --- writing -------------------------------------------------------------------

    def write(self, data: Buffer, last: bool = False) -> None:
        """Send `data` as far as the kernel takes it and keep the rest. It never waits.

        Kept, not copied: a `bytearray` belongs to the transport from here on. A `memoryview` must be one of bytes
        (format B): its length counts. `last`: if nothing is kept, `close` or `write_eof` follows at once, and the
        kernel may wait for it (MSG_MORE).
        """
        if self._facts & _NOT_WRITABLE:
            return
        if self._busy is None or not self._busy.parts:
            try:
                sent = self.sock.send(data, _MORE) if last else self.sock.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._lose(error)
                return
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        self._keep((data,))
        self._watch_output()

    def offer(self, data: Buffer) -> bool:
        """`write`, unless more is kept than the high-water mark: False, and nothing of it is taken.

        For what goes to many transports one after the other: one call for the question and the answer.
        """
        facts = self._facts
        if facts & _NOT_OFFERED:
            return bool(facts & _NOT_WRITABLE)  # which is a `write` that does nothing
        if self._busy is not None:
            self.write(data)
            return True
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._lose(error)
            return True
        if sent != len(data):
            self._keep((memoryview(data)[sent:],))
            self._watch_output()
        return True

    def writelines(self, parts: Iterable[Buffer]) -> None:
        """`write` for several parts, without joining them: for large ones."""
        if self._facts & _NOT_WRITABLE:
            return
        before = self.queued
        self._keep(parts)
        if not before and self.queued:
            self._flush()
        self._watch_output()

    def _make_busy(self) -> _Busy:
        if self._busy is None:
            self._busy = _Busy()
        return self._busy

    def _rest(self) -> None:
        busy = self._busy
        if busy is not None and not busy.parts and busy.sink is None:
            self._busy = None

    def _keep(self, parts: Iterable[Buffer]) -> None:
        busy = self._make_busy()
        for part in parts:
            if len(part):
                busy.parts.append(part)
                busy.queued += len(part)
        self._rest()

    def _watch_output(self) -> None:
        if not self.queued:
            return
        self._register()
        if not self._facts & _CLOSED:
            self.protocol.kept(self.queued)
        if self.queued > self.marks.high and not self._facts & _ABOVE_HIGH:
            self._facts |= _ABOVE_HIGH
            self.protocol.pause_writing()

    def on_writable(self) -> None:
        if not self.queued:
            return  # stale: closed earlier in this turn
        before = self.queued
        self._flush()
        if self._facts & _CLOSED or self.queued == before:
            return
        self._register()
        if self._facts & _CLOSED:
            return
        if self._facts & _ABOVE_HIGH and self.queued <= self.marks.low:
            self._facts &= ~_ABOVE_HIGH
            self.protocol.resume_writing()
            if self._facts & _CLOSED:
                return
        self.protocol.flushed(self.queued)
        self._end_if_flushed()

    def _flush(self) -> None:
        """One system call's worth: a connection that takes much must not hold up the others."""
        busy = self._busy
        assert busy is not None
        parts = busy.parts
        try:
            if len(parts) == 1:
                sent = self.sock.send(parts[0])
            else:
                sent = self.sock.sendmsg([parts[i] for i in range(min(len(parts), SEND_BUFFERS))])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        busy.queued -= sent
        while sent:
            first = parts[0]
            if sent < len(first):
                parts[0] = memoryview(first)[sent:]
                break
            sent -= len(first)
            parts.popleft()
        self._rest()

    # --- ending --------------------------------------------------------------------

    def write_eof(self) -> None:
        """Half-close once all is sent: the peer sees FIN and we still read."""
        self._facts |= _EOF_WANTED
        self._end_if_flushed()

    def linger(self) -> None:
        """Half-close once all is sent, and from now on read and throw away (nginx: lingering close).

        It ends when the peer finishes; the owner bounds the time, and calls `abort`.
        """
        self.read_into(None)
        self._facts |= _DISCARDING
        self.resume_reading()
        self.write_eof()

    def close(self) -> None:
        """Close once all is sent. Reading ends now."""
        if self._facts & _CLOSED:
            return
        self._facts |= _CLOSE_WANTED
        if self.queued:
            self.pause_reading()
        else:
            self._lose(None)

    def abort(self) -> None:
        """Close now, and lose the kept bytes."""
        self._lose(None)

    def _end_if_flushed(self) -> None:
        facts = self._facts
        if facts & _CLOSED or self.queued:
            return
        if facts & _CLOSE_WANTED:
            self._lose(None)
        elif facts & _EOF_WANTED and not facts & _EOF_SENT:
            self._facts |= _EOF_SENT
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                self._lose(error)  # the peer has reset: nothing is left to end gently

    def _lose(self, error: OSError | None) -> None:
        if self._facts & _CLOSED:
            return
        if self._facts & _STARTED:
            self.loop.register(self.sock, 0, self)
        self._facts |= _CLOSED
        self._busy = None
        close_socket(self.sock)
        self.loop.call_soon(self.protocol.connection_lost, error)
        # The two know each other; a cycle would wait for the collector, thousands of them at once.
        del self.protocol

    def _register(self) -> None:
        if self._facts & (_STARTED | _CLOSED) == _STARTED:
            try:
                self.loop.register(self.sock, self.interest(), self)
            except OSError as error:  # epoll's limit of watches, or no memory
                self._lose(error)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"interest={self.interest()} queued={self.queued}"
        return f"<Transport {state}>"
