"""A trace of a conversation with the real server, for tests to read."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterable
from typing import Any

from libserver import Server
from study.recorder import Recorder
from study.trace import Trace, load
from tests.support.wire import request

ASK = request({"action": "search", "value": "morpheus"}, connection="keep-alive")
#: Three requests, the first in pieces, two more at once, and FIN.
CONVERSATION = [ASK[:1], ASK[1:50], ASK[50:], ASK + ASK, None]


class _Kept(io.BytesIO):
    kept = b""

    def close(self) -> None:
        self.kept = self.getvalue()
        super().close()


def record(script: Iterable[bytes | None], *, max_bytes: int = 1 << 20, **limits: Any) -> bytes:
    """What the server's recorder writes when a peer sends `script`, piece by piece; None: SHUT_WR."""
    file = _Kept()
    recorder = Recorder(file, "server", max_bytes=max_bytes)
    options: dict[str, Any] = {"observer": recorder.observer, "tap": recorder.tap, "selector": recorder.selector()}
    with Server(["tcp://127.0.0.1:0"], **options, **limits) as server:
        address, loop = server.addresses[0], server.loop
        with socket.create_connection((address.host, address.port)) as peer:
            loop.run_once(5)
            for piece in script:
                if piece is None:
                    peer.shutdown(socket.SHUT_WR)
                else:
                    peer.sendall(piece)
                loop.run_once(5)
        for _ in range(5):
            loop.run_once(0)
    recorder.close()
    return file.kept


def recorded(script: Iterable[bytes | None], **options: Any) -> Trace:
    return load(io.BytesIO(record(script, **options)))
