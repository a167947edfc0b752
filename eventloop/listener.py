"""How does a server accept connections without starving any, whatever `accept` says?

Rules:

* In batches: one readiness event accepts up to `budget` connections. One at a time, a burst
  of a thousand would wait for a thousand turns of a busy loop.
* Never spin: out of descriptors or memory, the listener leaves the selector and comes back on
  a timer. A reserve descriptor, given up for a moment, lets it tell some waiting clients why.
* Survive: an error that concerns one connection (ECONNABORTED and the network errors that
  Linux hands to accept) costs that connection only, not the rest of the batch. After many in
  one batch it pauses, since an error that stays would come every turn.
* Report a full queue: a batch that took as many connections as may wait came too late for the next one. The
  kernel silently drops its SYN, and its client waits for a second.

Not here: binding and listening (`libserver.listeners`), what an accepted socket becomes.
The traps are libuv's, Redis' and CPython's (joyent/libuv#690, cpython#127529).
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import sys
from collections.abc import Callable
from typing import Any

from .loop import EventLoop
from .transport import close_socket

__all__ = ["ACCEPT_BUDGET", "Listener", "accept_queue"]

#: Connections accepted per event: a few milliseconds' work.
ACCEPT_BUDGET = 256
#: Seconds a listener stays out of the selector when resources ran out.
RETRY_AFTER = 0.1
#: Connections refused with the reserve descriptor per attempt.
REFUSE_BUDGET = 32
#: Errors of single connections in one event, after which the listener pauses.
SPOILED_BUDGET = 64
#: Connections accepted at the end: four times as many as wait with the default backlog. Where nothing keeps
#: new ones from coming, a flood must not keep the end from coming.
LAST_BUDGET = 16 * 1024

_NO_DESCRIPTOR = {errno.EMFILE, errno.ENFILE}
_NO_MEMORY = {errno.ENOBUFS, errno.ENOMEM, getattr(errno, "ENOSR", errno.ENOMEM)}
#: accept(2): "treat them like EAGAIN by retrying", the firewall's EPERM, and "various Linux kernels can return".
_THIS_ONE_ONLY = {
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.EPERM,
    errno.ENETDOWN,
    errno.ENOPROTOOPT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EOPNOTSUPP,
    errno.ENETUNREACH,
    errno.ETIMEDOUT,
    errno.EPROTONOSUPPORT,
    getattr(errno, "ESOCKTNOSUPPORT", errno.EPROTO),
    getattr(errno, "ENONET", errno.EPROTO),
}


def acceptor(listening: Any) -> Callable[[], tuple[Any, Any]]:
    """The same as a listening socket's `accept`, for less.

    `socket.socket.accept` asks the listening socket for its family, its type and its protocol, and
    makes enums of two of them, for each connection: a third of what accepting costs. This asks
    once. `_accept` makes the system call. Subclasses may override `accept`: then theirs serves.
    """
    accept = getattr(listening, "_accept", None)
    if accept is None or type(listening) is not socket.socket:
        whole: Callable[[], tuple[Any, Any]] = listening.accept
        return whole
    kind = listening.family, listening.type, listening.proto

    def accept_alike() -> tuple[Any, Any]:
        descriptor, peer = accept()
        return socket.socket(*kind, fileno=descriptor), peer

    return accept_alike


def accept_queue(listening: Any) -> tuple[int, int] | None:
    """How many connections wait to be accepted, and how many may: Recv-Q and Send-Q of `ss -ltn`.

    None for what is no TCP socket of Linux'.
    """
    if type(listening) is not socket.socket or not sys.platform.startswith("linux"):
        return None
    try:
        info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
    except OSError:
        return None  # a UNIX socket
    # struct tcp_info: of a listening socket these two have another meaning (tcp_diag.c, tcp_get_info)
    waiting, room = info[_UNACKED : _UNACKED + 4], info[_SACKED : _SACKED + 4]
    return int.from_bytes(waiting, sys.byteorder), int.from_bytes(room, sys.byteorder)


#: Where tcpi_unacked and tcpi_sacked stand: behind eight bytes and four numbers.
_UNACKED, _SACKED, _INFO_SIZE = 24, 28, 32


class Listener:
    """A listening socket on a loop.

    `accepted(sock, peer)` gets each connected socket, already non-blocking, and its peer's
    address as accept gave it. `refused(sock)` gets a socket to close at once, accepted
    with the reserve descriptor. The listener calls `starved(error)` when it pauses, and `crowded(sock, taken)` after
    an event that took more connections than `queue`, or its whole budget.
    `open_reserve` and `close_reserve` manage the reserve descriptor.

    Raises `OSError`, the socket still the caller's, if the selector has no room for it.
    """

    __slots__ = (
        "_accept",
        "_accepted",
        "_close_reserve",
        "_crowded",
        "_loop",
        "_open_reserve",
        "_refused",
        "_reserve",
        "_retry",
        "_starved",
        "budget",
        "queue",
        "sock",
    )

    def __init__(
        self,
        loop: EventLoop,
        sock: Any,
        accepted: Callable[[Any, Any], None],
        *,
        refused: Callable[[Any], None] | None = None,
        starved: Callable[[OSError], None] | None = None,
        crowded: Callable[[Any, int], None] | None = None,
        queue: int = sys.maxsize,
        budget: int = ACCEPT_BUDGET,
        open_reserve: Callable[[], int] = lambda: os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC),
        close_reserve: Callable[[int], None] = os.close,
    ) -> None:
        self._loop = loop
        self.sock = sock
        self.budget = budget
        self._accept = acceptor(sock)
        self._accepted = accepted
        self._refused = refused
        self._starved = starved
        self._crowded = crowded
        self.queue = queue
        self._open_reserve = open_reserve
        self._close_reserve = close_reserve
        self._reserve: int | None = None
        self._retry: Any = None
        sock.setblocking(False)
        loop.register(sock, selectors.EVENT_READ, self)
        self._hold_reserve()

    def on_readable(self) -> None:
        spoiled = 0
        for taken in range(self.budget):
            if self.sock is None:
                return  # closed by what an accepted connection did
            try:
                sock, peer = self._accept()
            except (BlockingIOError, InterruptedError):
                if taken > self.queue and self._crowded is not None:
                    self._crowded(self.sock, taken)
                return
            except OSError as error:
                if error.errno in _THIS_ONE_ONLY:
                    spoiled += 1
                    if spoiled < SPOILED_BUDGET:
                        continue
                    self._pause(error)
                    return
                if error.errno in _NO_DESCRIPTOR:
                    self._refuse_some()
                self._pause(error)
                if error.errno not in _NO_DESCRIPTOR | _NO_MEMORY:
                    raise  # paused before: an error that stays would be raised every turn
                return
            sock.setblocking(False)
            self._accepted(sock, peer)
        if self.sock is not None and self._crowded is not None:
            self._crowded(self.sock, self.budget)

    def on_writable(self) -> None:
        """Never asked for."""

    def _refuse_some(self) -> bool:
        """Give up the reserve descriptor to refuse some waiting connections. May more be waiting?"""
        for _ in range(REFUSE_BUDGET):
            if self._reserve is None:
                return False
            self._close_reserve(self._reserve)
            self._reserve = None
            try:
                sock, _peer = self._accept()
            except OSError:
                self._hold_reserve()
                return False
            sock.setblocking(False)
            try:
                if self._refused is not None:
                    self._refused(sock)
            finally:
                close_socket(sock)
            if self.sock is None:
                return False  # closed by `refused`, and needs no reserve any more
            self._hold_reserve()
        return True

    def _hold_reserve(self) -> None:
        if self._reserve is None:
            try:
                self._reserve = self._open_reserve()
            except OSError:
                self._reserve = None  # tried again at the next pause's end

    def _pause(self, error: OSError) -> None:
        if self.sock is None:
            return  # closed by `refused`
        self._loop.register(self.sock, 0, self)
        self._retry = self._loop.call_later(RETRY_AFTER, self._resume)
        if self._starved is not None:
            self._starved(error)

    def _resume(self) -> None:
        self._retry = None
        self._hold_reserve()
        try:
            self._loop.register(self.sock, selectors.EVENT_READ, self)
        except OSError as error:
            self._pause(error)  # no room for it just now; it would be deaf for ever

    @property
    def paused(self) -> bool:
        return self._retry is not None

    def finish(self) -> None:
        """Accept all that wait, then close.

        They are handed over only then: between the last accept and the close, in which the kernel may
        connect another one and resets it, lie two system calls and nothing else.
        """
        waiting: list[tuple[Any, Any]] = []
        spoiled = 0
        while self.sock is not None and len(waiting) < LAST_BUDGET and spoiled < SPOILED_BUDGET:
            try:
                waiting.append(self._accept())
            except (BlockingIOError, InterruptedError):
                break
            except OSError as error:
                spoiled += 1
                if error.errno in _NO_DESCRIPTOR and not self._refuse_some():
                    break
        self.close()
        failure: Exception | None = None
        for sock, peer in waiting:
            try:
                sock.setblocking(False)
                self._accepted(sock, peer)
            except Exception as error:  # the others first
                failure = failure or error
                close_socket(sock)
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Stop accepting; the kernel resets the connections in the backlog."""
        if self.sock is None:
            return
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        else:
            self._loop.register(self.sock, 0, self)
        close_socket(self.sock)
        self.sock = None
        if self._reserve is not None:
            self._close_reserve(self._reserve)
            self._reserve = None
