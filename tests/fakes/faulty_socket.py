"""What if the kernel says no, just here?

`FaultySocket` stands where a socket does and fails as scripted: partial sends, EAGAIN, EINTR,
resets, any errno at the k-th call. SQLite's habit: run a scenario with a fault injected at its
first I/O call, then at its second, and so on, until it runs to its end without meeting it.

Two ways to stand:

* `FaultySocket(real)` wraps a real socket. What no script says is passed on to it, so it works
  with a real selector and a real peer.
* `FaultySocket()` stands alone, for `FakeSelector`. `recv`, `recv_into` and `accept` hand out what
  `feed`, `feed_eof` and `feed_connection` put in (EAGAIN when there is nothing), `send` and
  `sendmsg` take everything, and `connect_ex` succeeds.

What a call does, scripted per method, one step per call:

    sock.script("send", 1, AGAIN, 3, BROKEN_PIPE)   # 1 byte; EAGAIN; 3 bytes; broken; then as usual
    sock.always("send", 1)                          # 1 byte, for ever (once the script has run out)
    sock.fail_at("recv", 3, Errno(errno.EIO))       # at its third call from now, once

A step is a number of bytes to move at most (for `BYTES`), an `Errno`, or `OK`: as usual.

`AGAIN`, `INTERRUPTED`, `RESET` and `BROKEN_PIPE` are the usual ones. `AGAIN` at a `recv` is what
spurious readiness looks like to its caller.

At each call in turn, whatever its method:

    for k in itertools.count(1):
        sock = FaultySocket(real)
        sock.fail_at_call(k, RESET)                 # counts IO_METHODS together, or those `among`
        ...                                         # the scenario, and what must hold
        if not sock.fired:                          # it ended before its k-th call: all were tried
            break

A connection that was reset stays so: pass `stays=True`, and from that call on every call of
IO_METHODS fails (with EPIPE for those that send, as the kernel does; else with the same errno).

`calls` is the log of what was called, in order: `(method, result)`, where the result is the number
of bytes moved, the `Errno`, or what the method returned. `sent` is every byte that was taken.

`connect_ex` returns its errno, as the real one does; all others raise it.

Not here: readiness (that is the selector's, real or fake), time.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from errno import EAGAIN, EBADF, ECONNRESET, EINTR, EPIPE
from typing import Any


@dataclass(frozen=True)
class Errno:
    """A step that fails with `number`."""

    number: int

    def error(self) -> OSError:
        return OSError(self.number, os.strerror(self.number))  # Python picks the subclass by number


class _Ok:
    def __repr__(self) -> str:
        return "OK"


OK = _Ok()
AGAIN = Errno(EAGAIN)
INTERRUPTED = Errno(EINTR)
RESET = Errno(ECONNRESET)
BROKEN_PIPE = Errno(EPIPE)

Step = int | Errno | _Ok


class UsedAfterClose(AssertionError):
    """The real one's number may be another socket's by then, so this is no EBADF, which somebody might swallow."""


#: Methods whose step may be a number of bytes.
BYTES = frozenset({"recv", "recv_into", "send", "sendmsg"})
#: Methods that `fail_at_call` counts: the system calls of a connection's life, but for close.
IO_METHODS = (*sorted(BYTES), "accept", "bind", "connect_ex", "shutdown")
_SENDING = frozenset({"send", "sendmsg", "shutdown"})

#: Numbers for those that stand alone: far above any descriptor that a test process has open.
_numbers = itertools.count(1_000_000)


class FaultySocket:
    """A socket, real or made up, that fails as scripted. See the module's text."""

    def __init__(self, real: Any = None) -> None:
        self.real = real
        self.calls: list[tuple[str, Any]] = []
        self.sent = bytearray()
        self.fired = False  # an injected `fail_at` or `fail_at_call` was met
        self.closed = False
        self.peername: Any = ("127.0.0.1", 1)  # of one that stands alone
        self.options: dict[tuple[int, int], Any] = {}  # of one that stands alone
        self._number = next(_numbers)
        self._steps: dict[str, deque[Step]] = {}
        self._always: dict[str, Step] = {}
        self._fail_at: dict[str, tuple[int, Errno]] = {}
        self._fail_at_call: tuple[int, Errno, bool, Collection[str]] | None = None
        self._dead: Errno | None = None
        self._incoming: deque[bytes] = deque()
        self._eof = False
        self._waiting: deque[Any] = deque()

    # --- the script ----------------------------------------------------------------

    def script(self, method: str, *steps: Step) -> FaultySocket:
        """What the next calls of `method` do, one step each, after what is scripted already."""
        for step in steps:
            self._check(method, step)
        self._steps.setdefault(method, deque()).extend(steps)
        return self

    def always(self, method: str, step: Step) -> FaultySocket:
        """What every call of `method` does once its script has run out. `OK` ends it."""
        self._check(method, step)
        self._always[method] = step
        return self

    def fail_at(self, method: str, call: int, error: Errno) -> FaultySocket:
        """Fail the `call`-th (from 1) call of `method` that is made, once."""
        self._check(method, error)
        self._fail_at[method] = (call, error)
        return self

    def fail_at_call(
        self, call: int, error: Errno, *, stays: bool = False, among: Collection[str] = IO_METHODS
    ) -> FaultySocket:
        """Fail the `call`-th (from 1) call of any method `among` these; with `stays` all later ones too."""
        self._fail_at_call = (call, error, stays, among)
        return self

    def count(self, method: str) -> int:
        """How often `method` was called."""
        return sum(name == method for name, _ in self.calls)

    @staticmethod
    def _check(method: str, step: Step) -> None:
        if method not in IO_METHODS and method not in ("close", "getsockopt"):
            raise ValueError(f"{method} is not scripted here")
        if isinstance(step, int) and (method not in BYTES or step < 1):
            raise ValueError(f"{step} is not a number of bytes that {method} could move (errors are Errno(...))")

    # --- what comes in, for one that stands alone ----------------------------------

    def feed(self, data: bytes) -> None:
        """`recv` finds `data`, no more than one such piece at a time."""
        self._incoming.append(data)

    def feed_eof(self) -> None:
        """`recv` finds the peer's FIN after what was fed."""
        self._eof = True

    def feed_connection(self, sock: Any) -> None:
        """`accept` finds `sock`."""
        self._waiting.append(sock)

    # --- the socket ----------------------------------------------------------------

    def fileno(self) -> int:
        if self.real is not None:
            return int(self.real.fileno())
        return -1 if self.closed else self._number

    def setblocking(self, flag: bool) -> None:
        if self.real is not None:
            self.real.setblocking(flag)

    def recv(self, size: int) -> bytes:
        return self._call("recv", lambda limit: self._recv(min(size, limit or size)), len)

    def recv_into(self, buffer: Any) -> int:
        def receive(limit: int | None) -> int:
            data = self._recv(min(len(buffer), limit or len(buffer)))
            buffer[: len(data)] = data
            return len(data)

        return self._call("recv_into", receive, int)

    def send(self, data: Any, flags: int = 0) -> int:
        return self._call("send", lambda limit: self._send(memoryview(data)[:limit], flags), int)

    def sendmsg(self, buffers: Iterable[Any]) -> int:
        parts = list(buffers)
        if len(parts) > 1024:
            raise OSError(90, "Message too long")  # IOV_MAX of Linux, and its errno

        def send(limit: int | None) -> int:
            return self._send(memoryview(b"".join(parts))[:limit])

        return self._call("sendmsg", send, int)

    def shutdown(self, how: int) -> None:
        self._call("shutdown", lambda _: self.real.shutdown(how) if self.real is not None else None, lambda _: how)

    def accept(self) -> tuple[Any, Any]:
        def accept(_: int | None) -> tuple[Any, Any]:
            if self.real is not None:
                return self.real.accept()  # type: ignore[no-any-return]
            if not self._waiting:
                raise AGAIN.error()
            return self._waiting.popleft(), None

        return self._call("accept", accept, lambda _: OK)

    def bind(self, address: Any) -> None:
        self._call("bind", lambda _: self.real.bind(address) if self.real is not None else None, lambda _: address)

    def connect_ex(self, address: Any) -> int:
        def connect(_: int | None) -> int:
            return int(self.real.connect_ex(address)) if self.real is not None else 0

        try:
            return self._call("connect_ex", connect, int)
        except OSError as error:
            return error.errno or 0

    def getsockopt(self, level: int, option: int) -> Any:
        def get(_: int | None) -> Any:
            if self.real is not None:
                return self.real.getsockopt(level, option)
            return self.options.get((level, option), 0)

        return self._call("getsockopt", get, lambda value: value)

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        if self.real is not None:
            self.real.setsockopt(level, option, value)
        self.options[level, option] = value

    def getpeername(self) -> Any:
        if self.closed:
            raise OSError(EBADF, os.strerror(EBADF))
        return self.real.getpeername() if self.real is not None else self.peername

    def getsockname(self) -> Any:
        return self.real.getsockname() if self.real is not None else ("127.0.0.1", 2)

    def close(self) -> None:
        """Closes the real one even if it is scripted to fail, so that nothing leaks from a test."""
        self.closed = True
        if self.real is not None:
            self.real.close()
        self._call("close", lambda _: None, lambda _: OK)

    def __repr__(self) -> str:
        return f"<FaultySocket {self.real if self.real is not None else self._number}>"

    # --- how it is done ------------------------------------------------------------

    def _call(self, method: str, act: Callable[[int | None], Any], result: Callable[[Any], Any]) -> Any:
        if self.closed and method in IO_METHODS:
            raise UsedAfterClose(method)
        step = self._next_step(method)
        try:
            if isinstance(step, Errno):
                raise step.error()
            value = act(step if isinstance(step, int) else None)
        except OSError as error:
            self.calls.append((method, Errno(error.errno or 0)))
            raise
        self.calls.append((method, result(value)))
        return value

    def _next_step(self, method: str) -> Step:
        if method in IO_METHODS:
            if self._dead is not None:
                return BROKEN_PIPE if method in _SENDING else self._dead
            if self._fail_at_call is not None and method in self._fail_at_call[3]:
                call, error, stays, among = self._fail_at_call
                self._fail_at_call = (call - 1, error, stays, among) if call > 1 else None
                if call == 1:
                    self.fired = True
                    self._dead = error if stays else None
                    return error
        if method in self._fail_at:
            call, error = self._fail_at.pop(method)
            if call == 1:
                self.fired = True
                return error
            self._fail_at[method] = (call - 1, error)
        steps = self._steps.get(method)
        return steps.popleft() if steps else self._always.get(method, OK)

    def _recv(self, size: int) -> bytes:
        if self.real is not None:
            return bytes(self.real.recv(size))
        if not self._incoming:
            if self._eof:
                return b""
            raise AGAIN.error()
        data = self._incoming.popleft()
        if len(data) > size:
            self._incoming.appendleft(data[size:])
        return data[:size]

    def _send(self, data: memoryview, flags: int = 0) -> int:
        count = int(self.real.send(data, flags)) if self.real is not None else len(data)
        self.sent += data[:count]
        return count
