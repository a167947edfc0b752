"""How fast is a bare Python loop of sends?

On each message it goes over its sockets and sends. There are no topics, no limits, no queues and no replies, and a
subscriber whose socket is full is cut: what a server in Python adds to that is what it costs.

A message is four bytes of length and its content. An empty one subscribes, and is confirmed by an empty one.
"""

from __future__ import annotations

import contextlib
import selectors
import socket

from benchmarks.peers.command import READ_SIZE, announce, arguments, listen


class Server:
    def __init__(self, listener: socket.socket) -> None:
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, None)
        self.listener = listener
        self.rests: dict[socket.socket, bytes] = {}  # of messages whose end has not come
        self.subscribers: dict[socket.socket, None] = {}

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                sock = key.fileobj
                if sock is self.listener:
                    self.accept()
                elif isinstance(sock, socket.socket) and sock in self.rests:  # else it was cut in this turn
                    self.receive(sock)

    def accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self.listener.accept()
                sock.setblocking(False)
                self.selector.register(sock, selectors.EVENT_READ)
                self.rests[sock] = b""

    def receive(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(READ_SIZE)
        except ConnectionError:
            data = b""
        if not data:
            self.close(sock)
            return
        data = self.rests[sock] + data
        at = 0
        while len(data) >= at + 4:
            end = at + 4 + int.from_bytes(data[at : at + 4], "big")
            if end > len(data):
                break
            if end == at + 4:
                self.subscribers[sock] = None
                sock.send(data[at:end])
            else:
                self.deliver(data[at:end])
            at = end
        self.rests[sock] = data[at:]

    def deliver(self, message: bytes) -> None:
        slow = []
        for subscriber in self.subscribers:
            try:
                if subscriber.send(message) == len(message):
                    continue
            except OSError:  # full, or gone
                pass
            slow.append(subscriber)
        for subscriber in slow:
            self.close(subscriber)

    def close(self, sock: socket.socket) -> None:
        self.selector.unregister(sock)
        self.rests.pop(sock)
        self.subscribers.pop(sock, None)
        sock.close()


if __name__ == "__main__":
    options = arguments()
    listening = listen(options.host, options.port)
    listening.setblocking(False)
    announce(listening.getsockname())
    with contextlib.suppress(KeyboardInterrupt):
        Server(listening).serve()
