"""`python -m benchmarks.restart.served BOOKS [what app_server.py takes]`: the server, with books.

It is `app_server.py` with an action `mark`, and a note of each connection that `accept` returned: a
connection whose client was reset and that is not noted never left the kernel's accept queue. The
books are two files, written at the end: BOOKS.accepted (pairs of peer port and time) and BOOKS.carried
(the values of `mark`), all as 64-bit integers, times in nanoseconds of the monotonic clock, which
all processes of a machine share.
"""

from __future__ import annotations

import socket
import sys
import time
from array import array
from functools import partial
from typing import Any

from eventloop import Address
from libserver import Actions, Server
from libserver.limits import ServerLimits
from libserver.listeners import Bound, listen
from libserver.system import System
from multiconn.commands import server

__all__ = ["ACCEPTED", "CARRIED", "actions", "main"]

ACCEPTED = ".accepted"
CARRIED = ".carried"

accepted = array("q")
carried = array("q")
actions = Actions()


@actions.add("mark")
def mark(request: dict[str, Any], session: object) -> int:
    """Its value is carried out, here and now; the reply says so."""
    value: int = request["value"]
    carried.append(value)
    return value


class NotingSocket(socket.socket):
    """A listening socket that notes whom it accepted."""

    def accept(self) -> tuple[socket.socket, Any]:
        sock, peer = super().accept()
        accepted.extend((peer[1], time.monotonic_ns()))
        return sock, peer


def _listen(address: Address, limits: ServerLimits) -> list[Bound]:
    return [bound._replace(sock=NotingSocket(fileno=bound.sock.detach())) for bound in listen(address, limits)]


def main(argv: list[str]) -> int:
    books, *arguments = argv
    server.Server = partial(Server, system=System(listen=_listen))  # type: ignore[misc, assignment]
    try:
        return server.main([*arguments, "--app", "benchmarks.restart.served:actions"])
    finally:
        for name, noted in ((ACCEPTED, accepted), (CARRIED, carried)):
            with open(books + name, "wb") as file:
                noted.tofile(file)


if __name__ == "__main__":
    # The module that `--app` names is this one, with this one's books, not a second copy.
    sys.modules["benchmarks.restart.served"] = sys.modules["__main__"]
    sys.exit(main(sys.argv[1:]))
