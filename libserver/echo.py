"""What is the simplest server that this loop can run?

The echo protocol of RFC 862, over TCP and UDP: what the tutorial's `echo-client.py` and
`multiconn-client.py` speak. No framing, no state machine of messages: read `EchoConnection`
first if Transport is new to you.
"""

from __future__ import annotations

import selectors
from typing import Any

from eventloop import EventLoop, Transport

from .host import StreamHost
from .reasons import CloseReason

__all__ = ["EchoConnection", "EchoDatagrams"]

#: The largest datagram UDP can carry.
MAX_DATAGRAM = 65535
#: Datagrams answered per event, so that a flood of them leaves room for the others.
DATAGRAMS_PER_EVENT = 64


class EchoConnection:
    """Sends back what it receives; when the peer has finished, so do we.

    To its server it is what a `Message` is: it drains, can be aborted, and ends with a reason.
    """

    __slots__ = ("last_active", "reason", "server", "transport")

    def __init__(self, server: StreamHost[EchoConnection], sock: Any) -> None:
        self.server = server
        self.reason: CloseReason | None = None
        self.last_active = server.loop.coarse_now
        self.transport = Transport(server.loop, sock, self, server.marks, watch=False)

    def start(self) -> None:
        self.transport.on_readable()
        self.transport.watch()

    def data_received(self, data: bytes) -> None:
        self.last_active = self.server.loop.coarse_now
        self.transport.write(data)
        if self.reason is not None:
            self._close_if_all_read()

    def eof_received(self) -> None:
        self._close(CloseReason.PEER_CLOSED)

    def kept(self, queued: int) -> None:
        if self not in self.server.send_timer:
            self.server.send_timer.start(self)

    def pause_writing(self) -> None:
        """The peer does not read what it asked for: read no more until it does."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    def flushed(self, queued: int) -> None:
        if queued:
            self.server.send_timer.start(self)  # progress: the time begins anew
        else:
            self.server.send_timer.stop(self)

    def buffer_filled(self) -> None:
        """Never asked for."""

    def send_expired(self) -> None:
        self.abort(CloseReason.SEND_TIMEOUT)

    #: there are no topics in this protocol
    subscriptions = None

    @property
    def idle(self) -> bool:
        """Nothing is owed: it waits for the peer alone."""
        return not (self.transport.queued or self.transport.closing)

    def release(self, reason: CloseReason) -> None:
        """It has been idle for too long."""
        self._close(reason)

    def wind_down(self) -> None:
        """There is no word for it in this protocol: it echoes on until `drain`."""

    def drain(self) -> None:
        self.reason = self.reason or CloseReason.SHUTDOWN
        self._close_if_all_read()

    def _close_if_all_read(self) -> None:
        """What has come is echoed first; a close on it would be a RST."""
        if not self.transport.unread():
            self.transport.close()

    def _close(self, reason: CloseReason) -> None:
        """Once all is echoed."""
        self.reason = self.reason or reason
        self.transport.close()

    def abort(self, reason: CloseReason) -> None:
        if not self.transport.closed:
            self.reason = reason  # good order was not reached
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None or self.reason is None:
            self.reason = CloseReason.RESET
        self.server.forget(self, self.reason)

    def facts(self) -> dict[str, object]:
        """As `Message.facts`; nothing here is a request."""
        return self.server.facts(self, 0)

    def describe(self, since: float, now: float) -> dict[str, object]:
        """For the connection list, as `Message.describe`: it keeps no input, and nothing here is a request."""
        return {
            "peer": self.transport.peer_name(),
            "state": "ECHO",
            "age": round(now - since, 1),
            "idle": round(now - self.last_active, 1),
            "in": 0,
            "out": self.transport.queued,
            "in-flight": 0,
            "requests": 0,
        }


class EchoDatagrams:
    """Sends each datagram back to where it came from."""

    __slots__ = ("_loop", "sock")

    def __init__(self, loop: EventLoop, sock: Any) -> None:
        self._loop = loop
        self.sock = sock
        loop.register(sock, selectors.EVENT_READ, self)

    def on_readable(self) -> None:
        for _ in range(DATAGRAMS_PER_EVENT):
            if self.sock is None:
                return
            try:
                data, peer = self.sock.recvfrom(MAX_DATAGRAM)
                self.sock.sendto(data, peer)
            except BlockingIOError:
                return  # nothing left to read, or no room to send: UDP may lose
            except OSError:
                return  # of an earlier datagram (its port is closed by now), or one that stays: the others first

    def on_writable(self) -> None:
        """Never asked for."""

    def finish(self) -> None:
        self.on_readable()
        self.close()

    def close(self) -> None:
        if self.sock is not None:
            self._loop.register(self.sock, 0, self)
            self.sock.close()
            self.sock = None
