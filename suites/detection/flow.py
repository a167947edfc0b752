"""Which mistakes do servers make with time, with ends, and with peers that don't read?

Not here: what is read (`framing`) and what is answered (`replies`).
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any

from eventloop import Transport
from eventloop.transport import READ, WRITE
from libserver import ending, message, receive_timeouts
from libserver.pool import HandlerPool
from libserver.reasons import CloseReason
from protocol.errors import TimedOut

from .registry import broken

#: Seconds after which a variant that blocks gives up, so that it can't outlive its test.
BLOCKED = 20.0

#: Timers that a test can wait for.
SHORT = ("--header-timeout", "1s", "--idle-timeout", "1s")

#: A server with an action that takes its time.
BLOCKING = ("--app", "suites.detection.slow:actions")

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def reset(sock: Any) -> None:
    """Have the next close of `sock` send a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


# --- time ----------------------------------------------------------------------------------------


@broken(
    "timer-per-byte",
    "each byte of a header restarts the header's time",
    "every timeout on a single recv (socket.settimeout, SO_RCVTIMEO): what Slowloris lives on",
    "SL1",
    options=SHORT,
)
def timer_per_byte() -> None:
    note = receive_timeouts.ReceiveTimeouts.note

    def anew(self: receive_timeouts.ReceiveTimeouts[Any], connection: Any, *arguments: Any) -> None:
        self.stop(connection)
        note(self, connection, *arguments)

    receive_timeouts.ReceiveTimeouts.note = anew  # type: ignore[method-assign]


@broken(
    "timeout-unsaid",
    "a message that came too slowly is cut without a word",
    "servers whose timeout is a close",
    "SL1.2",
    options=SHORT,
)
def timeout_unsaid() -> None:
    ending.Ending.time_out = lambda self, one, words, reason: self.abort(one, reason)  # type: ignore[method-assign]


@broken(
    "idle-told",
    "an idle connection gets an error reply that answers nothing, which the next request takes for its own",
    "servers that treat all timeouts alike (HTTP's unasked 408, which browsers took for an answer)",
    "SL3",
    options=SHORT,
    verdict="NON-STRICT",
)
def idle_told() -> None:
    release = message.Message.release

    def told(self: message.Message, reason: CloseReason) -> None:
        if reason is CloseReason.IDLE_TIMEOUT:
            self.own_connection()
            self.server.ending.time_out(self, "idle for too long", reason)
        else:
            release(self, reason)

    message.Message.release = told  # type: ignore[method-assign]


@broken(
    "timeout-forgives",
    "after the error about a header that came too slowly the connection is simply kept",
    "servers that log a timeout and go on",
    "SL1.2",
    options=SHORT,
)
def timeout_forgives() -> None:
    def forgive(self: ending.Ending[Any], message: message.Message, words: str, reason: CloseReason) -> None:
        message.own_connection().owe_error()
        message.write(message.reply(None, TimedOut(words)))

    ending.Ending.time_out = forgive  # type: ignore[method-assign]


# --- ends ----------------------------------------------------------------------------------------


@broken(
    "reset-for-linger",
    "after an error the socket is closed at once, whatever is unread",
    "close() with unread input is a RST, which overtakes the reply: RFC 9112, 9.6, nginx's lingering_close",
    "HC7",
)
def reset_for_linger() -> None:
    Transport.linger = Transport.close  # type: ignore[method-assign]


@broken(
    "half-close-is-goodbye",
    "a peer that half-closes gets nothing any more",
    "proxies and servers to whom EOF means that nobody listens (nginx's 499)",
    "HC1",
)
def half_close_is_goodbye() -> None:
    data_received, wait = message.Message.data_received, 0.05
    held: dict[message.Message, bytes] = {}

    def later(self: message.Message, data: bytes) -> None:
        if self not in held:
            self.server.loop.call_later(wait, serve, self)
        held[self] = held.get(self, b"") + data

    def serve(self: message.Message) -> None:
        data = held.pop(self, b"")
        if data and not self.transport.closed:
            data_received(self, data)

    def goodbye(self: message.Message) -> None:
        held.pop(self, None)
        self.abort(CloseReason.PEER_CLOSED)

    message.Message.data_received = later  # type: ignore[method-assign]
    message.Message.eof_received = goodbye  # type: ignore[method-assign]


@broken(
    "half-close-resets",
    "a peer that half-closes is reset, together with what was on its way to it",
    "SO_LINGER of 0, recommended wherever somebody fears TIME_WAIT",
    "HC2.2",
)
def half_close_resets() -> None:
    def goodbye(self: message.Message) -> None:
        reset(self.transport.sock)
        self.abort(CloseReason.PEER_CLOSED)

    message.Message.eof_received = goodbye  # type: ignore[method-assign]


@broken(
    "fin-forgotten",
    "after the reply to a half-closed peer the connection stays open",
    "servers that stop watching a socket at EOF and then never hear of it again",
    "HC2.2",
)
def fin_forgotten() -> None:
    message.Message.eof_received = lambda self: None  # type: ignore[method-assign]


@broken(
    "reset-ends-the-server",
    "a peer that resets ends the server",
    "an exception of one connection that leaves the loop: the tutorial's multi-connection echo server",
    "HC5.2",
    after=("HC5",),
)
def reset_ends_the_server() -> None:
    lose = Transport._lose

    def fatal(self: Transport, error: OSError | None) -> None:
        lose(self, error)
        if error is not None:
            self.loop.stop()

    Transport._lose = fatal  # type: ignore[method-assign]


@broken(
    "descriptor-leak",
    "a connection that is reset keeps its descriptor",
    "an except branch that returns before the close",
    "AF2",
    after=("HC11",),
    slow=True,
)
def descriptor_leak() -> None:
    lose = Transport._lose

    def leak(self: Transport, error: OSError | None) -> None:
        if error is not None and not self.closed:
            os.dup(self.sock.fileno())
        lose(self, error)

    Transport._lose = leak  # type: ignore[method-assign]


@broken(
    "blocks-the-loop",
    "an action that takes its time is run in the loop",
    "a blocking call in an event loop: DNS, a file, a database, time.sleep",
    "PL5.2",
    options=BLOCKING,
)
def blocks_the_loop() -> None:
    def right_here(self: HandlerPool, function: Any, done: Any, *args: Any) -> None:
        self.outstanding += 1
        self._hand_back(done, *args, function(), None)

    HandlerPool.submit = right_here  # type: ignore[method-assign]


# --- peers that don't read -----------------------------------------------------------------------


@broken(
    "always-writable",
    "every connection is watched for writing, so the loop never sleeps",
    "the tutorial's own multiconn-server.py, and the first loop of many",
    "HC6",
    slow=True,
)
def always_writable() -> None:
    interest = Transport.interest
    Transport.interest = lambda self: interest(self) and READ | WRITE  # type: ignore[method-assign]
    watch = Transport.watch

    def watch_for_both(self: Transport) -> None:
        watch(self)
        self._register()

    Transport.watch = watch_for_both  # type: ignore[method-assign]


@broken(
    "spins-on-paused",
    "that a peer has reset while it was not being read is taken for `not just now`",
    "an except around send that is too wide; epoll reports the hang-up again and again",
    "HC6",
    slow=True,
)
def spins_on_paused() -> None:
    flush = Transport._flush

    def not_now(self: Transport) -> None:
        lose, self_class = Transport._lose, Transport
        self_class._lose = lambda self, error: None  # type: ignore[method-assign]
        try:
            flush(self)
        finally:
            self_class._lose = lose  # type: ignore[method-assign]

    Transport._flush = not_now  # type: ignore[method-assign]


@broken(
    "mask-of-zero",
    "a connection that is paused stays in the selector with a mask of 0",
    "modify(fd, 0): epoll reports a hang-up to any mask, for ever",
    "BA1",
    options=BLOCKING,
)
def mask_of_zero() -> None:
    register = Transport._register

    def keep(self: Transport) -> None:
        if not self.closed and not self.interest() and self.sock.fileno() in self.loop.selector.get_map():
            self.loop.selector.modify(self.sock, 0, self)
        else:
            register(self)

    Transport._register = keep  # type: ignore[method-assign]


@broken(
    "no-backpressure",
    "whoever never reads is served on and on, and memory holds the replies",
    "write() whose answer nobody looks at: Node's streams, asyncio without drain()",
    "HC6",
)
def no_backpressure() -> None:
    def register_only(self: Transport) -> None:
        if self.queued:
            self._register()

    Transport._watch_output = register_only  # type: ignore[method-assign]


@broken(
    "blocking-send",
    "a peer that does not read stops the server for all",
    "sendall in a single thread, as in every simple server",
    "FL1",
    slow=True,
)
def blocking_send() -> None:
    def write(self: Transport, data: Any) -> None:
        if self.closed:
            return
        self.sock.settimeout(BLOCKED)
        try:
            self.sock.sendall(data)
            self.sock.setblocking(False)
        except OSError as error:
            self._lose(error)

    def writelines(self: Transport, parts: Any) -> None:
        write(self, b"".join(parts))

    Transport.write = write  # type: ignore[method-assign]
    Transport.writelines = writelines  # type: ignore[method-assign]


@broken(
    "partial-send-lost",
    "what the kernel does not take at once is lost",
    "send() whose return value nobody looks at",
    "HC2.4",
)
def partial_send_lost() -> None:
    def write(self: Transport, data: Any) -> None:
        if not self.closed:
            try:
                self.sock.send(data)
            except BlockingIOError:
                pass
            except OSError as error:
                self._lose(error)

    Transport.write = write  # type: ignore[method-assign]
    Transport.writelines = lambda self, parts: write(self, b"".join(parts))  # type: ignore[method-assign]
