"""Which server does exactly what a test says, right or wrong?

    def behave(peer: Caller) -> None:
        while True:
            peer.reply(peer.right(peer.request()))

    with ScriptedServer(behave) as server:
        ...  # and a client of `server.target`

A thread per connection, on port 0. A behaviour is called with a `Caller` for each connection; it reads
requests and sends what it likes. When the `with` block ends everything is closed, every thread is
joined, and what a behaviour raised is raised.

Not here: the bytes (`wire`), and whether a request is right (the conformance suite).
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from suites.conformance.wire import DOG, MORPHEUS, RING
from tests.support.peer import PATIENCE
from tests.support.wire import JSON, message, take

__all__ = [
    "ENTRIES",
    "Caller",
    "Gone",
    "ScriptedServer",
    "closing_after",
    "complaining",
    "correct",
    "one_shot",
    "raw_after",
    "reset_after",
    "silent_after",
    "unused_port",
    "written",
    "wrong_once_in",
]

ENTRIES = {"morpheus": MORPHEUS, "ring": RING, "\N{DOG FACE}": DOG}


class Gone(Exception):
    """The client has closed its end."""


class Caller:
    """The client's connection, from the server's end. `header` and `raw` are of the request that was read last."""

    def __init__(self, server: ScriptedServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number  # of this connection, from 0
        self.served = 0
        self.header: dict[str, Any] = {}
        self.raw = b""
        self.unread = bytearray()

    def request(self) -> Any:
        """The next request's content, JSON decoded. Raises `Gone` at the client's end of input."""
        while (taken := take(self.unread)) is None:
            data = self.sock.recv(65536)
            if not data:
                raise Gone
            self.unread += data
        head, self.header, content = taken
        self.raw = head + content
        with self.server.lock:
            self.server.requests += 1
        self.served += 1
        if self.header["content-type"] != JSON:
            return content
        return json.loads(content.decode(self.header["content-encoding"]))

    def right(self, request: dict[str, Any]) -> dict[str, Any]:
        """The right answer to the request just read."""
        value = request["value"]
        if request["action"] == "search":
            return {"result": ENTRIES.get(value, f"No match for '{value}'.")}
        if request["action"] == "confirm":
            return {"result": f"Received: {value}", "count": self.served}
        return {"result": value}

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self, content: dict[str, Any], connection: str | None = "keep-alive") -> None:
        self.send(written(content, connection))

    def reset(self) -> None:
        """Close so that the client sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def written(content: dict[str, Any], connection: str | None = "keep-alive") -> bytes:
    """A reply as our server would write it: its text as it is, unless UTF-8 has no bytes for it."""
    try:
        data = json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        data = json.dumps(content).encode()
    return message(data, **({} if connection is None else {"connection": connection}))


class ScriptedServer:
    """Listens on loopback, or at a UNIX path; `requests` and `connections` count what came."""

    def __init__(self, behaviour: Callable[[Caller], None], path: str | None = None) -> None:
        self.behaviour = behaviour
        self.lock = threading.Lock()
        self.requests = 0
        self.connections = 0
        self.failures: list[BaseException] = []
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        if path is not None:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            self._listener.listen()
            self.target = f"unix:{path}"
        else:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
            self.port = self._listener.getsockname()[1]
            self.target = f"127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(sock, self.connections))
            with self.lock:
                self.connections += 1
                self._peers.append(sock)
                self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            with sock:
                self.behaviour(Caller(self, sock, number))
        except (Gone, OSError):
            pass  # the client closed first, or the test ended
        except BaseException as error:
            self.failures.append(error)

    def finish(self) -> None:
        """Wait until each behaviour has come to its end: a test that looks at what one noted last must not cut it."""
        deadline = time.monotonic() + PATIENCE
        with self.lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), "a behaviour does not end by itself"

    def stop(self) -> None:
        """Die: no further connection, and those there are cut."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept; closing does not
        except OSError:
            pass
        self._listener.close()
        with self.lock:
            peers = list(self._peers)
        for sock in peers:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self) -> ScriptedServer:
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._acceptor.join()
        self.stop()  # what was accepted in the meantime
        for thread in self._threads:
            thread.join()
        if self.failures:
            raise self.failures[0]


def unused_port() -> int:
    """A port of loopback that refuses: it was ours a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


# --- behaviours ----------------------------------------------------------------------


def correct(peer: Caller) -> None:
    while True:
        peer.reply(peer.right(peer.request()))


def one_shot(peer: Caller) -> None:
    """The tutorial's server: one reply that grants nothing, then the end."""
    peer.reply(peer.right(peer.request()), connection=None)


def closing_after(count: int) -> Callable[[Caller], None]:
    """Keeps the connection for `count` requests and says when it is over."""

    def behave(peer: Caller) -> None:
        for left in range(count, 0, -1):
            peer.reply(peer.right(peer.request()), connection="keep-alive" if left > 1 else "close")

    return behave


def wrong_once_in(count: int) -> Callable[[Caller], None]:
    def behave(peer: Caller) -> None:
        while True:
            answer = peer.right(peer.request())
            peer.reply({"result": "something else"} if peer.served % count == 0 else answer)

    return behave


def raw_after(good: int, data: bytes) -> Callable[[Caller], None]:
    """Answers `good` requests rightly, the next one with `data`, and closes."""

    def behave(peer: Caller) -> None:
        for _ in range(good):
            peer.reply(peer.right(peer.request()))
        peer.request()
        peer.send(data)

    return behave


def reset_after(good: int) -> Callable[[Caller], None]:
    def behave(peer: Caller) -> None:
        for _ in range(good):
            peer.reply(peer.right(peer.request()))
        peer.request()
        peer.reset()

    return behave


def silent_after(good: int) -> Callable[[Caller], None]:
    """Answers `good` requests and then reads on without a word."""

    def behave(peer: Caller) -> None:
        for _ in range(good):
            peer.reply(peer.right(peer.request()))
        while True:
            peer.request()

    return behave


def complaining(peer: Caller) -> None:
    while True:
        peer.request()
        peer.reply({"result": "Error: no", "error": {"code": "handler-failed", "message": "no"}})
