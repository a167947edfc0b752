"""Which faults must a soak find? The project's server with one of each.

It counts no truncated connection, keeps a descriptor of each reset one and eight megabytes of each that
lost its framing, closes without lingering, answers one search in ten wrongly, never sleeps again
after its first header timeout, and exits with 3.
"""

from __future__ import annotations

import itertools
import os
import sys
from typing import Any

from eventloop import Transport
from libserver import CloseReason, Server, builtin
from multiconn.commands import server

KEPT: list[object] = []
NUMBERS = itertools.count(1)

forget_in_order = Server.forget
search = builtin.search


def forget(server: Server, accepted: Any, reason: CloseReason) -> None:
    forget_in_order(server, accepted, reason)
    if reason is CloseReason.TRUNCATED:
        server.closed_by[reason] -= 1
    elif reason is CloseReason.RESET:
        KEPT.append(os.dup(0))
    elif reason is CloseReason.BAD_FRAMING:
        KEPT.append(bytearray(8 << 20))
    elif reason is CloseReason.HEADER_TIMEOUT:
        server.loop.call_soon(spin, server)


def spin(server: Server) -> None:
    server.loop.call_soon(spin, server)


def search_or_not(request: dict[str, Any]) -> str:
    return search(request) if next(NUMBERS) % 10 else "something else"


if __name__ == "__main__":
    Server.forget = forget  # type: ignore[method-assign]
    Transport.linger = Transport.abort  # type: ignore[method-assign]
    builtin.JSON_HANDLERS["search"] = search_or_not
    server.main()
    sys.exit(3)
