"""How does a client connect without waiting?

A non-blocking `connect` returns at once; the socket becomes writable when the attempt is over,
and SO_ERROR says how it went. A name may have several addresses: we try them in turn.

Two answers of the kernel's are not what they seem:

* Where no server listens on a port of the ephemeral range, TCP may pick that very port for our end, and
  connect the socket to itself (simultaneous open, RFC 9293 3.5): it would echo whatever we send, and keep the
  real server from binding its port. That is a refused connection.
* A UNIX socket with a full queue of waiting connections says EAGAIN where TCP would wait. So we wait, and ask
  again, within the same time.

Not here: resolving the name, what the connected socket is used for.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .loop import EventLoop
from .timers import Timer
from .transport import close_socket

__all__ = ["Connector", "Endpoint", "close_if_connected_to_itself"]

#: The attempt goes on without us. Not EWOULDBLOCK: that is a UNIX socket whose backlog is full,
#: and nothing is under way.
_UNDER_WAY = {errno.EINPROGRESS, errno.EINTR}

#: Seconds until we ask a UNIX socket with a full backlog again: at first, and at most, doubling in between.
_ASK_AGAIN = 0.005
_ASK_AGAIN_AT_MOST = 0.1

#: struct linger: on, for no time. The close is a RST, and leaves no TIME_WAIT that would keep the port.
_AT_ONCE = (1).to_bytes(4, sys.byteorder) + bytes(4)


_AF_UNIX = getattr(socket, "AF_UNIX", None)  # Windows has none


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


def close_if_connected_to_itself(sock: Any, sockaddr: Any) -> bool:
    """Is the INET socket `sock`, connected to `sockaddr`, its own peer? Then it is closed, at once."""
    try:
        own = sock.getsockname()
        # The port first: it tells almost every other connection apart with one system call.
        if own[1] != sockaddr[1] or own != sock.getpeername():
            return False
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    except OSError:
        return False  # reset by now: the next read raises it
    close_socket(sock)
    return True


class Connector:
    """Tries `endpoints` in turn, each for at most `timeout` seconds.

    Exactly one of `connected(sock)` and `failed(errors)` is called, later: never from inside
    the constructor. `errors` has one `OSError` per endpoint tried: a timeout is `ETIMEDOUT`, or `EAGAIN` where
    a UNIX socket's backlog was full all the time. `cancel` calls neither.
    """

    __slots__ = (
        "_again",
        "_connected",
        "_endpoint",
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
        self._endpoint: Endpoint | None = None  # what `_sock` is to be connected to
        self._again: Timer | None = None  # runs while a full backlog is waited for
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
            except OSError as error:  # of `register` too: an unwatched attempt would never end
                code = error.errno or errno.EINVAL
            full = code == errno.EAGAIN and endpoint.family == _AF_UNIX
            if full or code in _UNDER_WAY:
                self._sock, self._endpoint = sock, endpoint
                self._timer = self._loop.call_later(self._timeout, self._timed_out)
                if full:
                    self._wait_for_room(_ASK_AGAIN)
                return
            if code == 0 and self._succeeded(sock, endpoint):
                return
            if code:
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
        self._answered(code)

    def _answered(self, code: int) -> None:
        if code:
            self._give_up_on_this(OSError(code, os.strerror(code)))
            return
        endpoint = self._endpoint
        assert endpoint is not None  # it comes and goes with the socket
        if not self._succeeded(self._release(), endpoint):
            self._try_next()

    def _succeeded(self, sock: Any, endpoint: Endpoint) -> bool:
        """Hand over the connected socket, unless it is its own peer."""
        if endpoint.family != _AF_UNIX and close_if_connected_to_itself(sock, endpoint.sockaddr):
            self._errors.append(OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))
            return False
        self._connected(sock)
        return True

    def _wait_for_room(self, seconds: float) -> None:
        self._again = self._loop.call_later(seconds, self._ask_again, min(2 * seconds, _ASK_AGAIN_AT_MOST))

    def _ask_again(self, seconds: float) -> None:
        self._again = None
        assert self._endpoint is not None  # the timer comes and goes with the socket
        try:
            code = self._sock.connect_ex(self._endpoint.sockaddr)
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code == errno.EAGAIN:
            self._wait_for_room(seconds)
        else:
            self._answered(code)

    def _timed_out(self) -> None:
        if self._again is None:
            error = OSError(errno.ETIMEDOUT, f"no answer within {self._timeout:g} s")
        else:
            error = OSError(errno.EAGAIN, f"its queue of waiting connections was full for {self._timeout:g} s")
        self._give_up_on_this(error)

    def _give_up_on_this(self, error: OSError) -> None:
        self._errors.append(error)
        close_socket(self._release())
        self._try_next()

    def _release(self) -> Any:
        """Take the socket out of the loop's hands."""
        sock, self._sock, self._endpoint = self._sock, None, None
        self._loop.register(sock, 0, self)
        assert self._timer is not None  # it comes and goes with the socket
        self._timer.cancel()
        self._timer = None
        if self._again is not None:
            self._again.cancel()
            self._again = None
        return sock

    def cancel(self) -> None:
        """Give up; neither callback is called."""
        self._index = len(self._endpoints) + 1
        if self._sock is not None:
            close_socket(self._release())
