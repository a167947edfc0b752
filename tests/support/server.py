"""How does a test have a server? In one of two ways:

* `turned(...)`: its loop is turned by hand in the test's own thread, on a clock that the test
  moves. Nothing sleeps, and what happens happens in one order.
* `serving(...)`: it runs in a thread of its own, as in real life.

Both check at the end that the books balance: every accepted connection ended with exactly one
reason, no timer keeps a closed one, no descriptor is left, nothing failed inside.

Not here: talking to it (`peer`), the command in a subprocess (tests/test_app_server.py).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sized
from typing import Any

from libserver import Actions, Server
from protocol import Limits
from tests.fakes.clock import FakeClock
from tests.support.descriptors import no_descriptor_left
from tests.support.peer import PATIENCE, Peer, connected

ANY_PORT = "tcp://127.0.0.1:0"

# --- the books -------------------------------------------------------------------------


class Caught(logging.Handler):
    """Everything the server logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def texts(self, level: int = logging.NOTSET) -> list[str]:
        return [record.getMessage() for record in self.records if record.levelno >= level]

    def raised(self) -> list[BaseException]:
        return [record.exc_info[1] for record in self.records if record.exc_info and record.exc_info[1]]


@contextlib.contextmanager
def caught() -> Iterator[Caught]:
    logger = logging.getLogger("multiconn")
    handler = Caught()
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


@contextlib.contextmanager
def logging_as_before() -> Iterator[None]:
    """What is set up within is taken down again."""
    logger, root = logging.getLogger("multiconn"), logging.root
    before = [*logger.handlers, *root.handlers]
    levels, propagate, raised = (logger.level, root.level), logger.propagate, logging.raiseExceptions
    try:
        yield
    finally:
        for one, level in zip((logger, root), levels, strict=True):
            one.setLevel(level)
            for handler in [*one.handlers]:
                # pytest's own come and go with each phase of a test
                if handler not in before and type(handler).__module__.partition(".")[0] in ("libserver", "logging"):
                    one.removeHandler(handler)
                    handler.close()
        for other in root.manager.loggerDict.values():
            if isinstance(other, logging.Logger):
                other.disabled = False
        logger.propagate, logging.raiseExceptions = propagate, raised


def check_books(server: Server) -> None:
    """accepted = open + ended, each for exactly one reason."""
    opened = len(server.connections) + len(server.refused)
    assert server.accepted == opened + sum(server.closed_by.values())


def check_closed(server: Server) -> None:
    """Nothing is left of any connection."""
    assert not server.connections
    assert not server.refused
    check_books(server)
    timers: tuple[Sized, ...] = (
        server.receive_timeouts,
        server.send_timer,
        server.linger_timer,
        server.refused_timer,
    )
    assert [len(timer) for timer in timers] == [0] * len(timers)


# --- a server turned by hand -----------------------------------------------------------


class Turned:
    """A server, its clock, its log, and peers of it."""

    def __init__(self, server: Server, clock: FakeClock, log: Caught) -> None:
        self.server = server
        self.clock = clock
        self.log = log
        self.peers: list[Peer] = []

    def turn(self) -> int:
        """One turn; waits a moment (real time) for something to happen if nothing has."""
        served = self.server.loop.run_once(0)
        return served or self.server.loop.run_once(0.002)

    def until(self, done: Callable[[], object], what: str = "it") -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"{what} did not happen"
            self.turn()

    def quiet(self) -> None:
        """Turn until nothing happens any more; a loop that spins never gets there."""
        for _ in range(10_000):
            if not self.turn():
                return
        raise AssertionError("the loop spins")

    def advance(self, seconds: float) -> None:
        """Let time pass, and what it brings about happen."""
        self.quiet()
        self.clock.advance(seconds)
        self.quiet()

    def peer(self, prepare: Callable[[socket.socket], object] | None = None, listener: int = 0) -> Peer:
        """A new connection, accepted by the server."""
        server = self.server
        before = server.accepted
        peer = Peer(connected(server.addresses[listener], prepare), self.turn)
        self.peers.append(peer)
        self.until(lambda: server.accepted > before, "accept")
        return peer

    @property
    def only(self) -> Any:
        """The one connection's Message."""
        (found,) = self.server.connections
        return found

    @property
    def reasons(self) -> dict[str, int]:
        return {reason.value: count for reason, count in self.server.closed_by.items()}

    def ended(self) -> dict[str, int]:
        """Wait until every connection has ended; returns the reasons and how many ended so."""
        self.until(lambda: not (self.server.connections or self.server.refused), "the end of every connection")
        check_books(self.server)
        return self.reasons


@contextlib.contextmanager
def turned(
    actions: Actions | None = None,
    listen: tuple[str, ...] = (ANY_PORT,),
    sizes: Limits | None = None,
    observer: Any = None,
    internal_errors: int = 0,
    observer_errors: int = 0,
    **limits: Any,
) -> Iterator[Turned]:
    """A server to be turned by hand; at its end the books are checked. A drain has no grace unless asked for."""
    limits = {"drain_grace": 0.0, **limits}
    clock = FakeClock()
    with (
        no_descriptor_left(),
        caught() as log,
        Server(listen, actions, sizes, clock=clock, observer=observer, **limits) as server,
    ):
        house = Turned(server, clock, log)
        try:
            yield house
            check_books(server)
        finally:
            for peer in house.peers:
                peer.close()
        server.stop()
        house.until(lambda: not (server.connections or server.refused))
        check_closed(server)
    failures = [text for text in log.texts(logging.ERROR) if "internal error" in text]
    assert len(failures) == internal_errors, log.raised()
    assert sum("an observer failed" in text for text in log.texts(logging.ERROR)) == observer_errors, log.raised()


# --- a server in a thread --------------------------------------------------------------


class Serving:
    """A server that runs in its own thread."""

    def __init__(self, server: Server, log: Caught) -> None:
        self.server = server
        self.log = log
        self.error: BaseException | None = None
        self.peers: list[Peer] = []
        self._thread = threading.Thread(target=self._run, name="server under test")

    def _run(self) -> None:
        try:
            self.server.run()
        except BaseException as error:
            self.error = error

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of `run`."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "run did not end"
        if self.error is not None:
            raise self.error

    def peer(self, prepare: Callable[[socket.socket], object] | None = None, listener: int = 0) -> Peer:
        peer = Peer(connected(self.server.addresses[listener], prepare))
        self.peers.append(peer)
        return peer


@contextlib.contextmanager
def serving(actions: Actions | None = None, listen: tuple[str, ...] = (ANY_PORT,), **options: Any) -> Iterator[Serving]:
    """A server in a thread; stopped at the end if it has not ended by then. A drain has no grace."""
    options = {"drain_grace": 0.0, **options}
    with no_descriptor_left(), caught() as log:
        server = Server(listen, actions, **options)
        house = Serving(server, log)
        house.start()
        try:
            yield house
        finally:
            for peer in house.peers:
                peer.close()
            server.stop()
            house.join()
        check_closed(server)
    assert not [text for text in log.texts(logging.ERROR) if "internal error" in text], log.raised()
