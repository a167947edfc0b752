"""`app_client.py echo`: does a raw echo server give back, on many connections at once, what it got?

No framing here: bytes go out and the same bytes must come back. N sockets on one loop; each sends
all messages without waiting, as `multiconn-client.py` of the tutorial does, and compares what comes
back byte for byte as it comes. For UDP each message is a datagram, which may get lost: nothing is
sent again, and what did not come back in time is missing.

Exit codes: 0 all came back, 3 a connection could not be made, 4 something was different or missing.

Not here: messages with headers (`libclient.message`); servers of ours speak echo on `--listen echo://`.
"""

from __future__ import annotations

import argparse
import errno
import socket
from collections.abc import Sequence
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

from eventloop import Address, Connector, Endpoint, EventLoop, Transport
from eventloop.addresses import ECHO_UDP

from .arguments import UsageError, count, echo_target, positive_duration
from .connect import not_connected, raise_descriptor_limit, resolve
from .output import remark, show_text

__all__ = ["add_arguments", "run"]

#: The tutorial's two.
MESSAGES = ("Message 1 from client.", "Message 2 from client.")

#: What fits into a UDP datagram over IPv4.
MAX_DATAGRAM = 65507

NOT_CONNECTED, WRONG = 3, 4

EPILOG = """\
examples:
  ... echo 127.0.0.1:65432                      the tutorial's echo-server.py or multiconn-server.py
  ... echo echo://127.0.0.1:7000 -c 100 hello   100 connections; app_server.py --listen echo://127.0.0.1:7000
  ... echo echo+udp://127.0.0.1:7000 hello      datagrams
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "target", type=echo_target, metavar="TARGET", help="HOST:PORT, echo://HOST:PORT or echo+udp://HOST:PORT"
    )
    parser.add_argument("messages", nargs="*", metavar="MESSAGE", help="what to send (default: the tutorial's two)")
    parser.add_argument(
        "-c", "--connections", type=count, default=1, metavar="N", help="simultaneous sockets (default: 1)"
    )
    parser.add_argument(
        "--timeout",
        type=positive_duration,
        default=10.0,
        metavar="TIME",
        help="how long to wait, once connected, for everything to come back (default: 10s)",
    )
    parser.add_argument(
        "--connect-timeout",
        type=positive_duration,
        default=5.0,
        metavar="TIME",
        help="how long to wait for a connection (default: 5s)",
    )


def run(args: argparse.Namespace) -> int:
    """Raises `UsageError` or `ConnectionFailed` before anything is sent."""
    messages = [text.encode("utf-8", "surrogateescape") for text in args.messages or MESSAGES]
    udp = args.target.scheme == ECHO_UDP
    if not all(messages):
        raise UsageError("an empty message sends nothing: write some text")
    if udp and max(map(len, messages)) > MAX_DATAGRAM:
        raise UsageError(f"a datagram holds at most {MAX_DATAGRAM} bytes")
    raise_descriptor_limit(args.connections)
    loop = EventLoop()
    try:
        many = _Many(loop, args, messages, resolve(args.target))
        many.run()
    finally:
        loop.close()
    return many.report()


class _Many:
    """All connections of one run. Seconds in `args`."""

    def __init__(
        self, loop: EventLoop, args: argparse.Namespace, messages: list[bytes], endpoints: list[Endpoint]
    ) -> None:
        self.loop = loop
        self.address: Address = args.target
        self.messages = messages
        self.expected = b"".join(messages)
        self.patience = loop.fifo(args.timeout, _Echo.expired)
        kind = _Datagrams if args.target.scheme == ECHO_UDP else _Stream
        self.all: list[_Echo] = []
        self.to_do = args.connections
        for number in range(1, args.connections + 1):
            self.all.append(kind(self, number, endpoints, args.connect_timeout))

    def run(self) -> None:
        try:
            while self.to_do:
                self.loop.run_once()
        finally:
            for one in self.all:
                one.close()
            self.loop.run_once(0)  # let the transports tell that they are closed

    def over(self, one: _Echo) -> None:
        self.to_do -= 1
        self.patience.stop(one)

    def report(self) -> int:
        """A line per connection and the total; the exit code."""
        for one in self.all:
            show_text(f"connection {one.number}: {one.outcome()}")
        wrong = [one for one in self.all if one.trouble]
        back = sum(one.matched for one in self.all)
        sent = len(self.all) * len(self.expected)
        total = (
            f"{_plural(len(self.all), 'connection')}, {_plural(len(self.all) * len(self.messages), 'message')}, "
            f"{back} of {sent} bytes came back"
        )
        show_text(f"total: {total}" + (f"; {len(wrong)} failed" if wrong else ", all as sent"))
        if not wrong:
            return 0
        remark(f"app_client.py echo: {len(wrong)} of {len(self.all)} failed; the first: {wrong[0].trouble}")
        return NOT_CONNECTED if any(one.never_connected for one in wrong) else WRONG


class _Echo:
    """One socket. `matched` bytes came back as sent; `trouble` says what went wrong, if it did."""

    never_connected = False

    def __init__(self, many: _Many, number: int, endpoints: Sequence[Endpoint], connect_timeout: float) -> None:
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

    def outcome(self) -> str:
        if self.trouble is not None:
            return f"FAILED: {self.trouble}"
        return f"{_plural(len(self.many.messages), 'message')}, {self.matched} bytes came back as sent"

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


class _Stream(_Echo):
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
            self.finish(f"byte {self.matched + 1} came back different: sent {sent!r}, got {got!r}")
        else:
            self.finish(f"more came back than was sent: {data[same : same + 20]!r}")

    def eof_received(self) -> None:
        self.finish(f"the server closed when {self.so_far()} had come back; is this an echo server?")

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            self.finish(f"the connection broke when {self.so_far()} had come back ({_words(error)})")

    def sink_filled(self) -> None:
        """There is no sink."""

    def pause_writing(self) -> None:
        """Everything was handed over at once."""

    def resume_writing(self) -> None:
        """As above."""

    def flushed(self, queued: int) -> None:
        """What counts is what comes back."""

    def close(self) -> None:
        self.connector.cancel()
        if self.transport is not None:
            self.transport.abort()


class _Datagrams(_Echo):
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
        lost = _plural(len(self.missing), "datagram")
        self.finish(f"{lost} did not come back in time; is this a UDP echo server?")

    def close(self) -> None:
        if self.sock is not None:
            self.many.loop.register(self.sock, 0, self)
            self.sock.close()
            self.sock = None


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
