"""How does one client hold thousands of connections open?

A `Crowd` opens connections to a server, at a steady rate if one is asked for, has one request
served on each and then leaves it idle. Every reply is checked. Ports run out before descriptors
do, so the connections come from several addresses of 127.0.0.0/8.
"""

from __future__ import annotations

import select
import socket
import time
from types import TracebackType

from benchmarks.requests import Variant, repeated

__all__ = ["Crowd", "CrowdFailed"]

HOST = "127.0.0.1"
#: Connections from one source address: well below the 28,000 ports that Linux gives out.
PER_ADDRESS = 5000
#: Opened and not yet served: a burst would overflow small backlogs, and SYNs are sent again after a second.
AT_ONCE = 256
PATIENCE = 30.0


class CrowdFailed(Exception):
    """A connection was refused, closed, or answered wrongly; or it took too long."""


class Crowd:
    """Idle connections to 127.0.0.1:`port`. Leave the context to close them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sockets: list[socket.socket] = []
        self.seconds = 0.0
        self._variant: Variant = repeated()[0]
        self._poll = select.epoll()
        self._waiting: dict[int, tuple[socket.socket, float, bytes]] = {}

    def __len__(self) -> int:
        return len(self.sockets)

    def open(self, count: int, rate: float = 0.0) -> list[float]:
        """Open `count` more, `rate` a second (0: as fast as they are served).

        Returns the seconds from each one's request to its whole reply. `seconds` says afterwards
        how long it took in all.
        """
        began = time.monotonic()
        took: list[float] = []
        opened = 0
        while len(took) < count:
            now = time.monotonic()
            if now - began > PATIENCE + (count / rate if rate else 0):
                raise CrowdFailed(f"only {len(took)} of {count} connections were served in {now - began:.0f} s")
            due = min(count, int((now - began) * rate) + 1) if rate else count
            while opened < due and len(self._waiting) < AT_ONCE:
                sock = self._connect()
                self.sockets.append(sock)
                self._ask(sock)
                opened += 1
            took += self._served(0.001 if rate else 0.05)
        self.seconds = time.monotonic() - began
        return took

    def ask_all(self) -> None:
        """One more request on every connection."""
        until = time.monotonic() + PATIENCE
        for at in range(0, len(self.sockets), AT_ONCE):
            for sock in self.sockets[at : at + AT_ONCE]:
                self._ask(sock)
            while self._waiting:
                if time.monotonic() > until:
                    raise CrowdFailed(f"{len(self._waiting)} connections got no reply")
                self._served(0.05)

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # The port is chosen at connect, for the pair of addresses, not out of all at bind.
        sock.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(PATIENCE)
        try:
            sock.bind((f"127.0.0.{2 + len(self.sockets) // PER_ADDRESS}", 0))
            sock.connect((HOST, self.port))
        except OSError as error:
            sock.close()
            raise CrowdFailed(f"connection {len(self.sockets) + 1} failed: {error}") from error
        return sock

    def _ask(self, sock: socket.socket) -> None:
        began = time.monotonic()
        try:
            sock.sendall(self._variant.request)
        except OSError as error:
            raise CrowdFailed(f"a connection was lost: {error}") from error
        self._waiting[sock.fileno()] = sock, began, b""
        self._poll.register(sock.fileno(), select.EPOLLIN)

    def _served(self, timeout: float) -> list[float]:
        """The seconds of each request with a whole reply by now."""
        took = []
        for descriptor, _ in self._poll.poll(timeout):
            sock, began, before = self._waiting[descriptor]
            try:
                data = sock.recv(65536)
            except OSError as error:
                raise CrowdFailed(f"a connection was lost: {error}") from error
            if not data:
                raise CrowdFailed(f"the server closed a connection after {before!r}")
            data = before + data
            if not _whole(data):
                self._waiting[descriptor] = sock, began, data
                continue
            if not data.endswith(self._variant.content):
                raise CrowdFailed(f"a wrong reply: {data[-200:]!r}")
            del self._waiting[descriptor]
            self._poll.unregister(descriptor)
            took.append(time.monotonic() - began)
        return took

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
        self._waiting.clear()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
        self._poll.close()


def _whole(data: bytes) -> bool:
    """A JSON reply ends where its braces say so; the header's length says where the content begins."""
    if len(data) < 2:
        return False
    content = data[2 + int.from_bytes(data[:2], "big") :]
    return content.endswith(b"}")
