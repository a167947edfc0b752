"""How fast could any Python loop over `selectors` be?

Not a server: it understands the first request of a connection, notes how long it was and what
the next reply would be, and from then on sends that reply once for every so many bytes received,
whatever they are. What is left is select, recv, a division, send. No Python server that looks at
its requests gets here; it takes part only where one request is repeated.
"""

from __future__ import annotations

import contextlib
import selectors
import socket

from benchmarks.peers.command import READ_SIZE, announce, arguments, listen
from benchmarks.peers.session import Session


class Connection:
    __slots__ = ("left", "length", "reply", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.length = 0  # of a request; 0 until the first has come
        self.reply = b""
        self.left = 0  # bytes of a request that has not come whole

    def on_readable(self) -> bool:
        """Returns whether the connection is still there."""
        data = self.sock.recv(READ_SIZE)
        if len(data) == self.length and data:
            self.sock.send(self.reply)
            return True
        if not data:
            return False
        if not self.length:
            session = Session()
            self.sock.send(b"".join(session.receive(data)))  # generators send one whole request first
            self.length = len(data)
            self.reply = b"".join(session.receive(data))
            return True
        count, self.left = divmod(self.left + len(data), self.length)
        if count:
            self.sock.sendall(self.reply * count)
        return True


def serve(listener: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, _ in selector.select():
            connection = key.data
            if connection is None:
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sock, _ = listener.accept()
                        selector.register(sock, selectors.EVENT_READ, Connection(sock))
                continue
            try:
                alive = connection.on_readable()
            except ConnectionError:
                alive = False
            if not alive:
                selector.unregister(connection.sock)
                connection.sock.close()


if __name__ == "__main__":
    options = arguments()
    listening = listen(options.host, options.port)
    listening.setblocking(False)
    announce(listening.getsockname())
    with contextlib.suppress(KeyboardInterrupt):
        serve(listening)
