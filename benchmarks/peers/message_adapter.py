"""What does the loop cost, if the protocol above it is the same?

The project's own `Message`, `Server` and protocol, unchanged, on asyncio's loop and (`--uvloop`) on
uvloop's: only what moves the bytes is exchanged. Two small classes stand in for `eventloop`:

* `StreamTransport` has `eventloop.Transport`'s verbs and facts over an asyncio transport. Most of
  the verbs are asyncio's own.
* `BorrowedLoop` has `EventLoop`'s timers and callbacks over an asyncio loop.

Where asyncio knows less than `eventloop` does: it does not say when it has sent what it kept, only
when it keeps too much and when that is over, so `queued` is 0 between those two; it hands
over `bytes`, so large contents are copied into their buffer instead of received there; a
new socket is not read before its turn; and asyncio does not say how long a turn took.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import sys
import termios
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

import libserver.message
from benchmarks.peers.command import BACKLOG, announce, arguments, listen, read_modestly
from eventloop import EventLoop, WaterMarks
from eventloop.loop import COARSE, READ, WRITE
from libserver import Server


class BorrowedLoop(EventLoop):
    """An `EventLoop` that asyncio turns."""

    def __init__(self, loop: asyncio.AbstractEventLoop, together: bool) -> None:
        self.borrowed = loop
        self.clock = time.monotonic
        # asyncio does not say how many are ready. Either no connection waits for others, or all do, as if some were.
        self.ready = 2 if together else 0
        self._tick()

    def _tick(self) -> None:
        """asyncio does not say that a turn begins: it reads the time as often as `coarse_now` wants it."""
        self.now = self.coarse_now = self.clock()
        self.borrowed.call_later(COARSE, self._tick)

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Any:
        return self.borrowed.call_later(seconds, callback, *args)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> Any:
        return self.borrowed.call_later(max(0.0, when - self.clock()), callback, *args)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self.borrowed.call_soon(callback, *args)

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> None:
        self.borrowed.call_soon_threadsafe(callback, *args)

    def close(self) -> None:
        """It is not ours."""


class StreamTransport(asyncio.Protocol):
    """Between an asyncio transport below and a `Message` above."""

    __slots__ = ("_discarding", "_ending", "above_high", "closed", "message", "peer_eof", "reading", "server", "stream")

    stream: asyncio.Transport
    message: Any

    def __init__(self, server: Server) -> None:
        self.server = server
        self.reading = True
        self.above_high = self.closed = self.peer_eof = self._discarding = self._ending = False

    # --- asyncio calls these -------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.stream = cast(asyncio.Transport, transport)  # uvloop's own is no subclass of it
        read_modestly(transport)
        self.server._accept(self)  # makes a Message, which makes its Transport: `adopt`

    def data_received(self, data: bytes) -> None:
        if not self._discarding:
            self.message.data_received(data)

    def eof_received(self) -> bool:
        self.peer_eof = True
        self.message.eof_received()
        return True  # whether to close is for the Message to say

    def pause_writing(self) -> None:
        self.above_high = True
        self.message.pause_writing()

    def resume_writing(self) -> None:
        self.above_high = False
        self.message.resume_writing()
        self.message.flushed(0)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self.above_high = False
        self.message.connection_lost(error)

    # --- the Message calls these ----------------------------------------------------------

    def adopt(self, message: Any, marks: WaterMarks) -> StreamTransport:
        self.message = message
        self.stream.set_write_buffer_limits(marks.high, marks.low)
        return self

    @property
    def sock(self) -> Any:
        return self.stream.get_extra_info("socket")

    @property
    def queued(self) -> int:
        return self.stream.get_write_buffer_size() if self.above_high else 0

    @property
    def has_room(self) -> bool:
        return not (self.above_high or self.closed)

    def write(self, data: Any, last: bool = False) -> None:
        """`last`: asyncio has no word for it, so the data leaves alone."""
        if not self._ending:
            self.stream.write(data)
            if self.above_high:
                self.message.kept(self.queued)

    def writelines(self, parts: Iterable[Any]) -> None:
        if not self._ending:
            for part in parts:  # not writelines: before Python 3.12 asyncio joins what it is given
                self.stream.write(part)
            if self.above_high:
                self.message.kept(self.queued)

    def on_readable(self) -> None:
        """asyncio reads for us."""

    def watch(self) -> None:
        """asyncio has read from the beginning."""

    def interest(self) -> int:
        return (READ if self.reading and not self.closed else 0) | (WRITE if self.above_high else 0)

    def is_broken(self) -> bool:
        try:
            return not self.closed and bool(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except OSError:
            return True

    def nothing_unread(self) -> bool:
        """Nothing may be taken from an asyncio transport's socket to find that out, so the connection lingers."""
        return False

    def unread(self) -> int:
        if self.closed:
            return 0
        try:
            return int.from_bytes(fcntl.ioctl(self.sock.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)
        except OSError:
            return 0

    def read_into(self, sink: object) -> None:
        """`Message.data_received` copies into the sink what is given to it."""

    def pause_reading(self) -> None:
        if self.reading:
            self.reading = False
            self.stream.pause_reading()

    def resume_reading(self) -> None:
        if not self.reading and not self.closed:
            self.reading = True
            self.stream.resume_reading()

    def write_eof(self) -> None:
        self._ending = True
        if not self.closed:
            self.stream.write_eof()

    def linger(self) -> None:
        self._discarding = True
        self.resume_reading()
        self.write_eof()

    def close(self) -> None:
        self._ending = self.closed = True
        self.stream.close()

    def abort(self) -> None:
        self._ending = self.closed = True
        self.stream.abort()

    def peer_name(self) -> str:
        return str(self.stream.get_extra_info("peername"))


def adopt(
    loop: EventLoop, sock: StreamTransport, message: Any, marks: WaterMarks, watch: bool = True
) -> StreamTransport:
    """What `Message` calls where it would make a `Transport` of a socket."""
    return sock.adopt(message, marks)


async def serve(host: str, port: int, together: bool) -> None:
    vars(libserver.message)["Transport"] = adopt
    loop = asyncio.get_running_loop()
    server = Server(listen=(), loop=BorrowedLoop(loop, together), max_connections=19_900)
    sock = listen(host, port)
    accepting = await loop.create_server(lambda: StreamTransport(server), sock=sock, backlog=BACKLOG)
    announce(sock.getsockname())
    async with accepting:
        await accepting.serve_forever()


def main() -> None:
    options = arguments("--uvloop", "--together")
    with contextlib.suppress(KeyboardInterrupt):
        if options.uvloop:
            import uvloop  # type: ignore[import-not-found]  # only where this option is given

            uvloop.run(serve(options.host, options.port, options.together))
        else:
            asyncio.run(serve(options.host, options.port, options.together))


if __name__ == "__main__":
    main()
