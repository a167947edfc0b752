"""How fast is Twisted: the oldest of the callback frameworks, on its epoll reactor?"""

from __future__ import annotations

import socket

from twisted.internet import reactor  # type: ignore[import-not-found]
from twisted.internet.protocol import Factory, Protocol, connectionDone  # type: ignore[import-not-found]
from twisted.python.failure import Failure  # type: ignore[import-not-found]

from benchmarks.peers.command import announce, arguments, listen
from benchmarks.peers.session import BrokenFrame, Session


class ServerProtocol(Protocol):  # type: ignore[misc]
    """A connection is its own producer: while its output is full, it is not read from."""

    def connectionMade(self) -> None:
        self.session = Session()
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        session = self.session
        try:
            replies = session.receive(data)
        except BrokenFrame:
            self.transport.abortConnection()
            return
        if replies:
            self.transport.write(b"".join(replies))  # in parts, Twisted would join them itself
            if session.finished:
                self.transport.unregisterProducer()
                self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport.unregisterProducer()


if __name__ == "__main__":
    options = arguments()
    listening = listen(options.host, options.port)
    listening.setblocking(False)
    announce(listening.getsockname())
    reactor.adoptStreamPort(listening.detach(), socket.AF_INET, Factory.forProtocol(ServerProtocol))
    reactor.run()
