"""How is a connection made without waiting for it?

A non-blocking `connect` returns at once; the socket becomes writable when the attempt is over,
and SO_ERROR says how it went. A name may have several addresses: they are tried in turn.

Not here: resolving the name, what the connected socket is used for.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .loop import EventLoop
from .timers import Timer
from .transport import close_socket

__all__ = ["Connector", "Endpoint"]

#: The attempt goes on without us. Not EWOULDBLOCK: that is a UNIX socket whose backlog is full,
#: and nothing is under way.
_UNDER_WAY = {errno.EINPROGRESS, errno.EINTR}


class Endpoint(NamedTuple):
    """One address that a name stands for, as `getaddrinfo` tells it."""

    family: int
    sockaddr: Any
    source: Any = None  #: a local address to bind to first, or None


def open_socket(endpoint: Endpoint) -> Any:
    """A non-blocking stream socket of the endpoint's family, small writes sent at once."""
    sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if endpoint.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        close_socket(sock)
        raise
    return sock


class Connector:
    """Tries `endpoints` in turn, each for at most `timeout` seconds.

    Exactly one of `connected(sock)` and `failed(errors)` is called, later: never from inside
    the constructor. `errors` has one `OSError` per endpoint tried (a timeout is `ETIMEDOUT`).
    `cancel` calls neither.
    """

    __slots__ = (
        "_connected",
        "_endpoints",
        "_errors",
        "_failed",
        "_index",
        "_loop",
        "_open",
        "_sock",
        "_timeout",
        "_timer",
    )

    def __init__(
        self,
        loop: EventLoop,
        endpoints: Sequence[Endpoint],
        connected: Callable[[Any], None],
        failed: Callable[[list[OSError]], None],
        timeout: float = 5.0,
        open_socket: Callable[[Endpoint], Any] = open_socket,
    ) -> None:
        self._loop = loop
        self._endpoints = endpoints
        self._connected = connected
        self._failed = failed
        self._timeout = timeout
        self._open = open_socket
        self._errors: list[OSError] = []
        self._index = 0
        self._sock: Any = None
        self._timer: Timer | None = None
        loop.call_soon(self._try_next)

    def _try_next(self) -> None:
        while self._index < len(self._endpoints):
            endpoint = self._endpoints[self._index]
            self._index += 1
            try:
                sock = self._open(endpoint)
            except OSError as error:
                self._errors.append(error)
                continue
            try:
                if endpoint.source is not None:
                    sock.bind(endpoint.source)
                code = sock.connect_ex(endpoint.sockaddr)
                if code in _UNDER_WAY:
                    self._loop.register(sock, selectors.EVENT_WRITE, self)
            except OSError as error:  # of `register` too: an attempt nobody watches would never end
                code = error.errno or errno.EINVAL
            if code == 0:
                self._connected(sock)
                return
            if code in _UNDER_WAY:
                self._sock = sock
                self._timer = self._loop.call_later(self._timeout, self._timed_out)
                return
            self._errors.append(OSError(code, os.strerror(code)))
            close_socket(sock)
        if self._index == len(self._endpoints):  # else: cancelled
            self._failed(self._errors)

    def on_readable(self) -> None:
        """Never asked for."""

    def on_writable(self) -> None:
        if self._sock is None:
            return  # stale: cancelled or timed out earlier in this turn
        try:
            code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code == 0:
            self._connected(self._release())
        else:
            self._give_up_on_this(OSError(code, os.strerror(code)))

    def _timed_out(self) -> None:
        self._give_up_on_this(OSError(errno.ETIMEDOUT, f"no answer within {self._timeout:g} s"))

    def _give_up_on_this(self, error: OSError) -> None:
        self._errors.append(error)
        close_socket(self._release())
        self._try_next()

    def _release(self) -> Any:
        """Take the socket out of the loop's hands."""
        sock, self._sock = self._sock, None
        self._loop.register(sock, 0, self)
        assert self._timer is not None  # it comes and goes with the socket
        self._timer.cancel()
        self._timer = None
        return sock

    def cancel(self) -> None:
        """Give up; neither callback is called."""
        self._index = len(self._endpoints) + 1
        if self._sock is not None:
            close_socket(self._release())
