"""Servers that do exactly what a test says, right or wrong: a thread per connection, on port 0.

A behaviour is called with a `Peer` for each connection; it reads requests and sends what it likes.
Everything is closed and every thread joined when the `with` block ends.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable

from libclient.load.workload import ENTRIES
from protocol import CLOSE, KEEP_ALIVE, SERVER, Codec, Connection, Request, encode_json
from protocol.frames import encode_header

CODEC = Codec(SERVER)


class Gone(Exception):
    """The client has closed its end."""


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: ScriptedServer, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number  # of this connection, from 0
        self.served = 0
        self.waiting: list[dict] = []
        self.connection = Connection(CODEC)

    def request(self) -> dict:
        """The next request's content. Raises `Gone` at the client's end of input."""
        while not self.waiting:
            data = self.sock.recv(65536)
            if not data:
                raise Gone
            for event in self.connection.receive_data(data):
                if isinstance(event, Request):
                    self.waiting.append(event.content)
        with self.server.lock:
            self.server.requests += 1
        self.served += 1
        return self.waiting.pop(0)

    def right(self, request: dict) -> dict:
        """The right answer to the request just read."""
        value = request["value"]
        if request["action"] == "search":
            return {"result": ENTRIES.get(value, f"No match for '{value}'.")}
        if request["action"] == "confirm":
            return {"result": f"Received: {value}", "count": self.served}
        return {"result": value}

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self, content: dict, connection: str | None = KEEP_ALIVE) -> None:
        self.send(framed(encode_json(content), connection))

    def reset(self) -> None:
        """Close so that the client sees a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def framed(content: bytes, connection: str | None = KEEP_ALIVE, content_type: str = "text/json") -> bytes:
    return encode_header(content_type, "utf-8", len(content), connection=connection) + content


class ScriptedServer:
    """Listens on loopback; `requests` and `connections` count what came."""

    def __init__(self, behaviour: Callable[[Peer], None], path: str | None = None) -> None:
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
                self.behaviour(Peer(self, sock, number))
        except (Gone, OSError):
            pass  # the client closed first, or the test ended
        except BaseException as error:
            self.failures.append(error)

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


def correct(peer: Peer) -> None:
    while True:
        peer.reply(peer.right(peer.request()))


def one_shot(peer: Peer) -> None:
    """The tutorial's server: one reply that grants nothing, then the end."""
    peer.reply(peer.right(peer.request()), connection=None)


def closing_after(count: int) -> Callable[[Peer], None]:
    """Keeps the connection for `count` requests and says when it is over."""

    def behave(peer: Peer) -> None:
        for left in range(count, 0, -1):
            peer.reply(peer.right(peer.request()), connection=KEEP_ALIVE if left > 1 else CLOSE)

    return behave


def wrong_once_in(count: int) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        while True:
            answer = peer.right(peer.request())
            peer.reply({"result": "something else"} if peer.served % count == 0 else answer)

    return behave


def raw_after(good: int, data: bytes) -> Callable[[Peer], None]:
    """Answers `good` requests rightly, the next one with `data`, and closes."""

    def behave(peer: Peer) -> None:
        for _ in range(good):
            peer.reply(peer.right(peer.request()))
        peer.request()
        peer.send(data)

    return behave


def reset_after(good: int) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        for _ in range(good):
            peer.reply(peer.right(peer.request()))
        peer.request()
        peer.reset()

    return behave


def silent_after(good: int) -> Callable[[Peer], None]:
    """Answers `good` requests and then reads on without a word."""

    def behave(peer: Peer) -> None:
        for _ in range(good):
            peer.reply(peer.right(peer.request()))
        while True:
            peer.request()

    return behave


def complaining(peer: Peer) -> None:
    while True:
        peer.request()
        peer.reply({"result": "Error: no", "error": {"code": "handler-failed", "message": "no"}})
