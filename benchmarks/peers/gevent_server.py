"""How fast is gevent: blocking code in greenlets on libev?

Its own sockets are imported instead of patching the standard library: this program has nothing
else to patch.
"""

from __future__ import annotations

import contextlib
from typing import Any

from gevent.server import StreamServer  # type: ignore[import-untyped]
from gevent.socket import socket  # type: ignore[import-untyped]

from benchmarks.peers.command import READ_SIZE, announce, arguments, listen
from benchmarks.peers.session import LARGE, BrokenFrame, Session


def handle(sock: Any, address: object) -> None:
    session = Session()
    with contextlib.suppress(OSError, BrokenFrame):
        while not session.finished and (data := sock.recv(READ_SIZE)):
            replies = session.receive(data)
            if not replies:
                continue
            if len(replies[-1]) < LARGE:
                sock.sendall(b"".join(replies))
            else:
                for part in replies:
                    sock.sendall(part)
    # StreamServer closes the socket when this returns.


if __name__ == "__main__":
    options = arguments()
    listening = listen(options.host, options.port)
    announce(listening.getsockname())
    listening.setblocking(False)
    with contextlib.suppress(KeyboardInterrupt):
        StreamServer(socket(fileno=listening.detach()), handle).serve_forever()
