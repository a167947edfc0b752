"""`app_client.py echo`: does a raw echo server return the same bytes on many connections at once?

No framing here: bytes go out and the same bytes must come back. N sockets on one loop; each sends
all messages without waiting, as `multiconn-client.py` of the tutorial does, and compares what comes
back byte for byte as it comes. For UDP each message is a datagram, which may get lost: the client
sends none again, and reports those that did not come back in time as missing.

An interrupted run (Ctrl-C, SIGTERM, a terminal that closes) reports the echoes so far.

Exit codes: 0 all came back, 3 a connection failed, 4 an echo was different or missing.

Not here: one connection (`libclient.raw`), messages with headers (`libclient.message`). A server of
ours speaks echo on `--listen echo://`.
"""

from __future__ import annotations

import argparse

from eventloop import Address, Endpoint, EventLoop
from eventloop.addresses import ECHO_UDP
from libclient.connect import raise_descriptor_limit, resolve
from libclient.raw import MAX_DATAGRAM, DatagramEcho, RawEcho, StreamEcho, plural

from . import DONE, ERROR_REPLY, NOT_CONNECTED, UsageError
from .arguments import count, positive_duration
from .client_options import add_connect_timeout, echo_target
from .client_signals import ended_by_signals, woken_by_signals
from .output import remark, show_text

__all__ = ["add_arguments", "run"]

#: The tutorial's two.
MESSAGES = ("Message 1 from client.", "Message 2 from client.")

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
    parser.add_argument(
        "messages", nargs="*", default=[], metavar="MESSAGE", help="what to send (default: the tutorial's two)"
    )
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
    add_connect_timeout(parser)


def run(args: argparse.Namespace) -> int:
    """Raises `UsageError` or `ConnectionFailed` before it sends anything."""
    messages = [text.encode("utf-8", "surrogateescape") for text in args.messages or MESSAGES]
    udp = args.target.scheme == ECHO_UDP
    if not all(messages):
        raise UsageError("an empty message sends nothing: write some text")
    if udp and max(map(len, messages)) > MAX_DATAGRAM:
        raise UsageError(f"a datagram holds at most {MAX_DATAGRAM} bytes")
    raise_descriptor_limit(args.connections)
    loop = EventLoop()
    try:
        with ended_by_signals():
            woken_by_signals(loop)
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
        self.patience = loop.timeout_queue(args.timeout, _expired)
        kind = DatagramEcho if args.target.scheme == ECHO_UDP else StreamEcho
        self.all: list[RawEcho] = []
        self.to_do = args.connections
        for number in range(1, args.connections + 1):
            self.all.append(kind(self, number, endpoints, args.connect_timeout))

    def run(self) -> None:
        try:
            while self.to_do:
                self.loop.run_once()
        except (KeyboardInterrupt, SystemExit):
            for one in self.all:
                one.finish(f"interrupted when {one.so_far()} had come back")
            self.tell()
            raise
        finally:
            for one in self.all:
                one.close()
            self.loop.run_once(0)  # let the transports tell that they are closed

    def over(self, one: RawEcho) -> None:
        self.to_do -= 1
        self.patience.stop(one)

    def tell(self) -> list[RawEcho]:
        """Print a line per connection and the total; returns the failed connections."""
        for one in self.all:
            came_back = f"{plural(len(self.messages), 'message')}, {one.matched} bytes came back as sent"
            show_text(f"connection {one.number}: {came_back if one.trouble is None else f'FAILED: {one.trouble}'}")
        wrong = [one for one in self.all if one.trouble]
        back = sum(one.matched for one in self.all)
        sent = len(self.all) * len(self.expected)
        total = (
            f"{plural(len(self.all), 'connection')}, {plural(len(self.all) * len(self.messages), 'message')}, "
            f"{back} of {sent} bytes came back"
        )
        show_text(f"total: {total}" + (f"; {len(wrong)} failed" if wrong else ", all as sent"))
        return wrong

    def report(self) -> int:
        """Print the results; the exit code."""
        wrong = self.tell()
        if not wrong:
            return DONE
        remark(f"app_client.py echo: {len(wrong)} of {len(self.all)} failed; the first: {wrong[0].trouble}")
        return NOT_CONNECTED if any(one.never_connected for one in wrong) else ERROR_REPLY


def _expired(one: RawEcho) -> None:
    one.expired()  # not RawEcho.expired: each kind has its own words
