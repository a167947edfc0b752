"""How fast is the standard library's `socketserver.ThreadingTCPServer`: a thread per connection?"""

from __future__ import annotations

import contextlib
import socket
import socketserver

from benchmarks.peers.command import BACKLOG, READ_SIZE, announce, arguments
from benchmarks.peers.session import LARGE, BrokenFrame, Session


class Handler(socketserver.BaseRequestHandler):
    request: socket.socket

    def handle(self) -> None:
        session = Session()
        sock = self.request
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


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = BACKLOG
    daemon_threads = True
    block_on_close = False  # it would keep every thread there ever was in a list

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the accepted inherit it
        super().server_bind()


if __name__ == "__main__":
    options = arguments()
    with Server((options.host, options.port), Handler) as server:
        announce(server.socket.getsockname())
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
