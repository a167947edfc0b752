"""How do the server's tests talk to it?

In raw sockets and bytes built here, never by `protocol`: a bug there must not hide itself by
being on both sides. Two ways to have a server:

* `turned(...)`: its loop is turned by hand in the test's own thread, on a clock that the test
  moves. Nothing sleeps, and what happens happens in one order.
* `serving(...)`: it runs in a thread of its own, as in real life.

Both check at the end that the books balance: every accepted connection ended with exactly one
reason, no timer keeps a closed one, no descriptor is left, nothing failed inside.

Not here: the command in a subprocess (tests/test_app_server.py).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sized
from typing import Any, NamedTuple

from eventloop import EventLoop
from libserver import Actions, Server
from protocol import Limits
from tests.fakes.clock import FakeClock

#: Real seconds after which a test gives up waiting for what must happen.
PATIENCE = 20.0

ANY_PORT = "tcp://127.0.0.1:0"

# --- bytes ---------------------------------------------------------------------------


def frame(header: dict[str, Any] | bytes, content: bytes = b"") -> bytes:
    """Prefix, header, content, whatever they say."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(2, "big") + raw + content


def message(content: bytes, content_type: str, encoding: Any, **fields: Any) -> bytes:
    """A well-formed message; `fields` are optional header fields, `_` for `-`."""
    header = {
        "byteorder": sys.byteorder,
        "content-type": content_type,
        "content-encoding": encoding,
        "content-length": len(content),
    }
    return frame(header | {name.replace("_", "-"): value for name, value in fields.items()}, content)


def jsonish(value: object, encoding: str = "utf-8", **fields: Any) -> bytes:
    return message(json.dumps(value, ensure_ascii=False).encode(encoding), "text/json", encoding, **fields)


def ask(action: str, value: object = None, **fields: Any) -> bytes:
    """A JSON request; one-shot unless `connection` is among the fields."""
    return jsonish({"action": action, "value": value}, **fields)


def keep(action: str, value: object = None, **fields: Any) -> bytes:
    """A JSON request that asks for keep-alive."""
    return ask(action, value, connection="keep-alive", **fields)


def binary(content: bytes, content_type: str = "binary/echo", **fields: Any) -> bytes:
    return message(content, content_type, "binary", **fields)


class Reply(NamedTuple):
    header: dict[str, Any]
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        assert self.header["content-type"] == "text/json"
        assert self.header["content-encoding"] == "utf-8"
        body = json.loads(self.content.decode())
        assert isinstance(body, dict)
        return body

    @property
    def result(self) -> Any:
        return self.body["result"]

    @property
    def code(self) -> str | None:
        """The error's code, None for a success."""
        error = self.body.get("error")
        if error is None:
            return None
        assert set(error) == {"code", "message"}
        assert self.body["result"] == f"Error: {error['message']}"
        return str(error["code"])

    @property
    def connection(self) -> str | None:
        return self.header.get("connection")


def take_reply(buffer: bytearray) -> Reply | None:
    """The first whole message in the buffer, taken out of it."""
    if len(buffer) < 2:
        return None
    (length,) = struct.unpack_from(">H", buffer)
    if len(buffer) < 2 + length:
        return None
    header = json.loads(bytes(buffer[2 : 2 + length]).decode())
    end = 2 + length + header["content-length"]
    if len(buffer) < end:
        return None
    content = bytes(buffer[2 + length : end])
    del buffer[:end]
    return Reply(header, content)


# --- a raw peer ------------------------------------------------------------------------


class Peer:
    """A raw socket. What it waits for, it waits for by `pump`, which lets the server work."""

    def __init__(self, sock: socket.socket, pump: Callable[[], object]) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.pump = pump
        self.received = bytearray()
        self.ended = False

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, f"{what} did not come; received {bytes(self.received[:300])!r}"
            self.pump()

    def send(self, *parts: bytes) -> None:
        """Send everything, letting the server work where the kernel takes no more."""
        view = memoryview(b"".join(parts))

        def sent() -> bool:
            nonlocal view
            with contextlib.suppress(BlockingIOError):
                view = view[self.sock.send(view) :]
            return not view

        self._wait(sent, "room to send")

    def read(self) -> bool:
        """Take what has come; False if nothing had."""
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return False
        self.received += data
        self.ended = self.ended or not data
        return bool(data)

    def reply(self) -> Reply:
        found: Reply | None = None

        def arrived() -> bool:
            nonlocal found
            found = take_reply(self.received)
            while found is None and self.read():
                found = take_reply(self.received)
            if found is None:
                assert not self.ended, f"FIN instead of a reply, after {bytes(self.received)!r}"
            return found is not None

        self._wait(arrived, "a reply")
        assert found is not None
        return found

    def replies(self, count: int) -> list[Reply]:
        return [self.reply() for _ in range(count)]

    def eof(self) -> None:
        """FIN comes, and nothing before it; a RST would raise."""

        def finished() -> bool:
            while self.read():
                assert not self.received, f"more than expected: {bytes(self.received[:300])!r}"
            return self.ended

        self._wait(finished, "FIN")
        assert not self.received

    def silent(self) -> None:
        """Nothing has come, although the server had its turns."""
        for _ in range(5):
            self.pump()
            assert not self.read(), f"unexpected: {bytes(self.received[:300])!r}"
        assert not self.ended

    def gone(self) -> None:
        """FIN or RST, after whatever came."""

        def over() -> bool:
            try:
                while self.read():
                    pass
            except ConnectionError:
                self.ended = True
            return self.ended

        self._wait(over, "the end")

    def finish(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


def arrived(sock: Any, size: int) -> None:
    """Wait until so many bytes have come to it, unread: on a busy machine even the loopback takes a moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(BlockingIOError):
            if len(sock.recv(size, socket.MSG_PEEK)) == size:
                return
        assert time.monotonic() < deadline, f"{size} bytes did not arrive"


def small_buffers(sock: socket.socket) -> None:
    """Little room in the kernel, so that flow control is met soon."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)


def connected(address: Any, prepare: Callable[[socket.socket], object] | None = None) -> socket.socket:
    family = socket.AF_UNIX if address.scheme == "unix" else socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if prepare is not None:
            prepare(sock)
        sock.settimeout(PATIENCE)
        sock.connect(address.path if address.scheme == "unix" else (address.host, address.port))
    except BaseException:
        sock.close()
        raise
    return sock


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
        server.arrivals,
        server.send_timer,
        server.linger_timer,
        server.refused_timer,
    )
    assert [len(timer) for timer in timers] == [0] * len(timers)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


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
    before = descriptors()
    clock = FakeClock()
    with caught() as log:
        loop = EventLoop(clock=clock)
        try:
            with Server(listen, actions, sizes, loop=loop, observer=observer, **limits) as server:
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
        finally:
            loop.close()
    assert descriptors() == before
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
        sock = connected(self.server.addresses[listener], prepare)
        peer = Peer(sock, lambda: select.select([sock], [], [], 0.01))
        self.peers.append(peer)
        return peer


@contextlib.contextmanager
def serving(actions: Actions | None = None, listen: tuple[str, ...] = (ANY_PORT,), **options: Any) -> Iterator[Serving]:
    """A server in a thread; stopped at the end if it has not ended by then. A drain has no grace."""
    options = {"drain_grace": 0.0, **options}
    before = descriptors()
    with caught() as log:
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
    assert descriptors() == before
    assert not [text for text in log.texts(logging.ERROR) if "internal error" in text], log.raised()
