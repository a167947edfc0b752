"""What may handlers remember of a connection, and know of it?

A dictionary per connection, made on first use, with two facts beside what handlers put there:

    @actions.add("who-am-i")
    def who_am_i(request, session):
        return session.peer                     # 127.0.0.1:51234

    @actions.add("watch", blocking=True)
    def watch(request, session):
        while not session.closed: ...           # nobody waits any more: stop

Not here: when it is made and when it is closed (`libserver.message`).
"""

from __future__ import annotations

from typing import Any

__all__ = ["Session"]


class Session(dict[str, Any]):
    """The handlers' dictionary of one connection.

    `peer` is the peer's address as text: `HOST:PORT`, `[HOST]:PORT` for IPv6, `unix` for a UNIX socket, or `?` if the
    peer had gone before it was asked for. `closed` becomes True, once and for good, when the connection has ended; a
    handler in a thread may look at it at any time.
    """

    __slots__ = ("closed", "peer")

    def __init__(self, peer: str) -> None:
        super().__init__()
        self.peer = peer
        self.closed = False
