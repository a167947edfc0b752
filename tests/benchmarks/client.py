"""What did a server answer, bytes and all?

A blocking client that knows nothing but wire.md's framing. Every wait is bounded.
"""

from __future__ import annotations

import json
import socket
from typing import Any, NamedTuple

__all__ = ["Client", "Reply"]

PATIENCE = 10.0


class Reply(NamedTuple):
    """A reply's prefix and header as they came, the header's fields, and the content."""

    head: bytes
    header: dict[str, Any]
    content: bytes


class Client:
    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def ask(self, request: bytes) -> Reply:
        self.sock.sendall(request)
        return self.reply()

    def reply(self) -> Reply:
        prefix = self.file.read(2)
        assert len(prefix) == 2, "the server closed the connection"
        raw = self.file.read(int.from_bytes(prefix, "big"))
        header = json.loads(raw)
        content = self.file.read(header["content-length"])
        assert len(content) == header["content-length"], "the server closed the connection in a reply"
        return Reply(prefix + raw, header, content)

    def at_end(self) -> bool:
        """Has the server finished, with nothing more to say?"""
        return self.file.read(1) == b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()
        self.sock.close()
