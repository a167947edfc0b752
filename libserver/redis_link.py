"""How does the server talk to Redis without waiting for it?

One connection on our own loop: commands go out as they come, replies come back in their order, each to the
callback of its command. hiredis (the extra `redis`) parses what comes.

    link = RedisLink(loop, endpoints, opened=go_on, lost=print)
    link.connect()
    link.send((b"XADD", b"t", b"*", b"v", b"1"), lambda reply, error: ...)

Rules:

* A command is sent once. When the connection ends, every command without a reply fails with `RedisGone`: it may have
  been carried out.
* An error reply is the command's own: `done(None, error)`.
* A reply that does not come within `timeout` seconds ends the connection: Redis may have vanished without a word.

Not here: when to connect again, and what to say (`libserver.redis_backplane`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from eventloop import Connector, Endpoint, EventLoop, Timer, Transport
from eventloop.transport import close_socket

__all__ = ["Done", "RedisGone", "RedisLink", "encode_command"]

#: Told what a command came to: the reply as hiredis gives it, or the error in its place.
Done = Callable[[Any, Exception | None], object]


class RedisGone(ConnectionError):
    """There is no connection to Redis, or it has ended; the text says why."""


def encode_command(parts: Sequence[bytes]) -> bytes:
    """A command as RESP has it: an array of bulk strings."""
    framed = [b"*%d\r\n" % len(parts)]
    for part in parts:
        framed += (b"$%d\r\n" % len(part), part, b"\r\n")
    return b"".join(framed)


class RedisLink:
    """One connection to Redis. `opened()` and `lost(error)` are called from the loop, `lost` once per `connect`.

    `timeout` seconds for connecting, and for each reply; `send` may give a command more.
    """

    def __init__(
        self,
        loop: EventLoop,
        endpoints: list[Endpoint],
        opened: Callable[[], object],
        lost: Callable[[Exception], object],
        timeout: float = 5.0,
    ) -> None:
        self._loop = loop
        self._endpoints = endpoints
        self._opened = opened
        self._lost = lost
        self._timeout = timeout
        self._connector: Connector | None = None
        self._transport: Transport | None = None
        self._reader: Any = None
        self._awaiting: deque[tuple[Done, float]] = deque()  # each with its patience in seconds
        self._timer: Timer | None = None

    @property
    def connected(self) -> bool:
        """Is there a connection?"""
        return self._transport is not None

    @property
    def has_room(self) -> bool:
        """Is there a connection, and does Redis take what it is sent?"""
        return self._transport is not None and self._transport.has_room

    # --- opening and closing -------------------------------------------------------------

    def connect(self) -> None:
        """Begin to connect."""
        self._connector = Connector(self._loop, self._endpoints, self._connected, self._not_connected, self._timeout)

    def _connected(self, sock: Any) -> None:
        import hiredis

        self._connector = None
        self._reader = hiredis.Reader()
        try:
            self._transport = Transport(self._loop, sock, self)
        except OSError as error:  # the selector has no room for it
            close_socket(sock)
            self._lost(error)
            return
        self._opened()

    def _not_connected(self, errors: list[OSError]) -> None:
        self._connector = None
        self._lost(errors[-1] if errors else RedisGone("no address"))

    def close(self) -> None:
        """End it without a word to `lost`; commands without a reply fail."""
        if self._connector is not None:
            self._connector.cancel()
            self._connector = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._fail_all(RedisGone("the connection to Redis was closed"))

    def _end(self, error: Exception) -> None:
        if self._transport is not None:
            self.close()
            self._lost(error)

    def _fail_all(self, error: Exception) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        awaiting, self._awaiting = self._awaiting, deque()
        for done, _ in awaiting:
            done(None, error)

    # --- commands ------------------------------------------------------------------------

    def send(self, command: Sequence[bytes], done: Done, patience: float = 0.0) -> None:
        """Send a command. `patience`: seconds that Redis may keep the reply back, beside the timeout (BLOCK).

        Raises `RedisGone` without a connection.
        """
        if self._transport is None:
            raise RedisGone("there is no connection to Redis")
        self._awaiting.append((done, patience))
        if len(self._awaiting) == 1:
            self._time()
        self._transport.write(encode_command(command))

    def _time(self) -> None:
        """The oldest command's reply has its time from now on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._awaiting:
            _, patience = self._awaiting[0]
            self._timer = self._loop.call_later(self._timeout + patience, self._silent)

    def _silent(self) -> None:
        self._timer = None
        self._end(RedisGone(f"no reply within {self._timeout:g} s"))

    # --- what the transport tells ----------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while self._transport is not None:
            try:
                reply = self._reader.gets()
            except Exception as error:  # hiredis.ProtocolError: it is no Redis
                self._end(RedisGone(f"it does not speak RESP: {error}"))
                return
            if reply is False:
                return
            if not self._awaiting:
                self._end(RedisGone("it sent a reply to nothing that was asked"))
                return
            done, _ = self._awaiting.popleft()
            self._time()
            if isinstance(reply, Exception):
                done(None, reply)
            else:
                done(reply, None)

    def eof_received(self) -> None:
        self._end(RedisGone("Redis closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or RedisGone("the connection was lost"))

    def buffer_filled(self) -> None:
        """Never asked for."""

    def pause_writing(self) -> None:
        """Its user asks `has_room`."""

    def resume_writing(self) -> None:
        """The same."""

    def kept(self, queued: int) -> None:
        """The reply's time runs already."""

    def flushed(self, queued: int) -> None:
        """The same."""
