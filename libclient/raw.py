"""What does one raw connection of the echo client do?

It sends all messages without waiting and compares what comes back, byte for byte, as it comes.
`StreamEcho` does so over TCP, `DatagramEcho` over UDP, where a datagram may get lost or overtaken
by another, and is never sent again.

Not here: how many there are, what is printed (`app_client.py echo`).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any, Protocol

from eventloop import Address, Connector, Endpoint, EventLoop, TimeoutQueue, Transport
from eventloop.connector import close_if_connected_to_itself
from protocol.foreign import HTTP_REPLY, SSH, TLS, looks_like

from .connect import not_connected

__all__ = ["MAX_DATAGRAM", "DatagramEcho", "RawEcho", "StreamEcho", "plural"]

#: What fits into a UDP datagram over IPv4.
MAX_DATAGRAM = 65507


class Many(Protocol):
    """What the connections of one run share. `patience` times out those that are connected."""

    loop: EventLoop
    address: Address
    messages: list[bytes]
    expected: bytes
    patience: TimeoutQueue[RawEcho]

    def over(self, one: RawEcho) -> None:
        """`one` has its outcome."""


class RawEcho:
    """One socket. `matched` bytes came back as sent; `trouble` says what went wrong, if it did."""

    never_connected = False

    def __init__(self, many: Many, number: int, endpoints: Sequence[Endpoint], connect_timeout: float) -> None:
        self.many = many
        self.number = number
        self.matched = 0
        self.trouble: str | None = None
        self.finished = False
        self.begin(endpoints, connect_timeout)

    def begin(self, endpoints: Sequence[Endpoint], connect_timeout: float) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def finish(self, trouble: str | None = None) -> None:
        if not self.finished:
            self.finished = True
            self.trouble = trouble
            self.many.over(self)
            self.close()

    def expired(self) -> None:
        self.finish(f"{self.so_far()} came back in time; is this an echo server?")

    def so_far(self) -> str:
        return f"{self.matched} of {len(self.many.expected)} bytes"


class StreamEcho(RawEcho):
    """TCP: the messages go out as one stream, and one stream comes back. Speaks to a `Transport`."""

    transport: Transport | None = None

    def begin(self, endpoints: Sequence[Endpoint], connect_timeout: float) -> None:
        self.connector = Connector(self.many.loop, endpoints, self.connected, self.failed, connect_timeout)

    def connected(self, sock: Any) -> None:
        self.transport = Transport(self.many.loop, sock, self)
        self.many.patience.start(self)
        self.transport.writelines(self.many.messages)

    def failed(self, errors: list[OSError]) -> None:
        self.never_connected = True
        self.finish(str(not_connected(self.many.address, errors)))

    def data_received(self, data: bytes) -> None:
        if self.finished:
            return
        expected = self.many.expected
        wanted = expected[self.matched : self.matched + len(data)]
        if data == wanted:
            self.matched += len(data)
            if self.matched == len(expected):
                self.finish()
            return
        same = next((n for n, (a, b) in enumerate(zip(data, wanted, strict=False)) if a != b), len(wanted))
        self.matched += same
        if same < len(wanted):
            got, sent = data[same : same + 20], wanted[same : same + 20]
            hint = _other_protocol(data) if not self.matched else ""
            self.finish(f"byte {self.matched + 1} came back different: sent {sent!r}, got {got!r}{hint}")
        else:
            self.finish(f"more came back than was sent: {data[same : same + 20]!r}")

    def eof_received(self) -> None:
        self.finish(f"the server closed when {self.so_far()} had come back; is this an echo server?")

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self.finish(f"the connection broke when {self.so_far()} had come back ({_words(error)})")

    def buffer_filled(self) -> None:
        """There is no sink."""

    def pause_writing(self) -> None:
        """Everything was handed over at once."""

    def resume_writing(self) -> None:
        """As above."""

    def kept(self, queued: int) -> None:
        """Likewise."""

    def flushed(self, queued: int) -> None:
        """What counts is what comes back."""

    def close(self) -> None:
        self.connector.cancel()
        if self.transport is not None:
            self.transport.abort()


class DatagramEcho(RawEcho):
    """UDP: each message is a datagram; they may come back in another order, once each."""

    sock: Any = None

    def begin(self, endpoints: Sequence[Endpoint], connect_timeout: float) -> None:
        self.missing = list(self.many.messages)
        self.outgoing = list(reversed(self.many.messages))
        try:
            self.sock = socket.socket(endpoints[0].family, socket.SOCK_DGRAM)
            self.sock.setblocking(False)
            self.sock.connect(endpoints[0].sockaddr)
        except OSError as error:
            self.never_connected = True
            trouble = str(not_connected(self.many.address, [error]))
            self.many.loop.call_soon(self.finish, trouble)
            return
        if close_if_connected_to_itself(self.sock, endpoints[0].sockaddr):
            self.sock = None
            self.many.loop.call_soon(self.broken, OSError(errno.ECONNREFUSED, "connected to itself"))
            return
        self.many.patience.start(self)
        self.watch()

    def watch(self) -> None:
        """Interest is a fact: writing while there is something to send."""
        self.many.loop.register(self.sock, EVENT_READ | (EVENT_WRITE if self.outgoing else 0), self)

    def on_writable(self) -> None:
        try:
            while self.outgoing and not self.finished:
                self.sock.send(self.outgoing[-1])
                self.outgoing.pop()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.broken(error)
        if not self.finished:
            self.watch()

    def on_readable(self) -> None:
        try:
            while not self.finished:
                self.datagram(self.sock.recv(MAX_DATAGRAM + 1))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self.broken(error)

    def datagram(self, data: bytes) -> None:
        if data not in self.missing:
            self.finish(f"a datagram came back that was not sent: {data[:20]!r}")
            return
        self.missing.remove(data)
        self.matched += len(data)
        if not self.missing:
            self.finish()

    def broken(self, error: OSError) -> None:
        if error.errno == errno.ECONNREFUSED:
            self.never_connected = True
            self.finish(f"nothing receives datagrams on {self.many.address.endpoint}; start the server")
        else:
            self.finish(f"the system would not send or receive ({_words(error)})")

    def expired(self) -> None:
        lost = plural(len(self.missing), "datagram")
        self.finish(f"{lost} did not come back in time; is this a UDP echo server?")

    def close(self) -> None:
        if self.sock is not None:
            self.many.loop.register(self.sock, 0, self)
            self.sock.close()
            self.sock = None


def _other_protocol(data: bytes) -> str:
    """What answers at all, if it is no echo server: the other end of the wrong port."""
    if data[2:3] == b"{":
        return "; it answers in messages: use request, or the server's --listen echo://HOST:PORT"
    what = looks_like(data)
    return f"; it looks like {what}" if what in (HTTP_REPLY, TLS, SSH) else ""


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
