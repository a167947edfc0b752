"""How does a test talk to a server? In a raw socket, as a peer that can wait without sleeping for luck.

Not here: the bytes (`wire`), servers (`server`), and a peer that plays the server (`scripted`).
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from tests.support.wire import Reply, take_reply

__all__ = ["PATIENCE", "Peer", "arrived", "connected", "dialled", "small_buffers"]

#: Real seconds after which a test gives up waiting for what must happen.
PATIENCE = 20.0


class Peer:
    """A raw socket. What it waits for, it waits for by `pump`, which lets the server work.

    Without one the server works by itself, and the wait is for bytes.
    """

    def __init__(self, sock: socket.socket, pump: Callable[[], object] | None = None) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.pump = self._wait_for_bytes if pump is None else pump
        self.received = bytearray()
        self.ended = False

    def _wait_for_bytes(self) -> None:
        select.select([self.sock], [], [], 0.01)

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

    def ask(self, request: bytes) -> Reply:
        self.send(request)
        return self.reply()

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

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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


def dialled(port: int) -> Peer:
    """One that is connected to a server on loopback, in a thread or a process of its own."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Peer(sock)


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
