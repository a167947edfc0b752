"""Which other connections stand beside the measured load?

Neither is part of any number; both are there to see what they do to the numbers of the others.

* `--idle N`: connections that ask one thing, so that the server keeps them, and then are silent.
* `--hostile KIND=N`: peers that misbehave, each over and over again:

    trickle       sends its request a byte at a time
    never-read    pipelines requests and never reads a reply
    half-close    sends a request and FIN at once, and waits for the reply
    reset         sends half a request and resets the connection
    garbage       sends bytes that are no message
    connect-only  connects and is silent

A peer whose connection the server ends comes back after `BACK_AFTER`.

Not here: good traffic. What a server may do to such peers (the server's limits).
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from eventloop import Connector, Endpoint, EventLoop, Timer, Transport
from libclient.message import Message
from libclient.owner import Ending, Shared
from protocol import JSON_ENCODING, JSON_TYPE, KEEP_ALIVE, Header
from protocol.frames import encode_header

from ..config import Config
from .dialler import Dialler
from .source_addresses import bound_endpoints
from .workload import Workload

__all__ = ["KINDS", "BackgroundPeers"]

TRICKLE, NEVER_READ, HALF_CLOSE, RESET, GARBAGE, CONNECT_ONLY = (
    "trickle",
    "never-read",
    "half-close",
    "reset",
    "garbage",
    "connect-only",
)
KINDS = (TRICKLE, NEVER_READ, HALF_CLOSE, RESET, GARBAGE, CONNECT_ONLY)

#: Seconds after which a peer that was thrown out comes back: a nuisance, no flood.
BACK_AFTER = 0.25
#: Seconds between two bytes of a trickle: slower than any minimum rate, faster than most timeouts.
TRICKLE_EVERY = 0.2
#: Seconds between half a request and the reset.
RESET_AFTER = 0.05
#: Bytes of garbage: more than the two that say how long a header is.
GARBAGE_BYTES = 512
#: Requests that one write of a peer which never reads has.
FLOOD = 64


class BackgroundPeers:
    """The connections beside the load."""

    def __init__(
        self,
        config: Config,
        loop: EventLoop,
        shared: Shared,
        endpoints: Sequence[Endpoint],
        workload: Workload,
    ) -> None:
        self.loop = loop
        self._choices = cycle(bound_endpoints(endpoints, config.source_ips))
        self.connect_timeout = config.connect_timeout
        request = workload.requests[0].outgoing
        self.request = request
        head = encode_header(JSON_TYPE, JSON_ENCODING, len(request.content), connection=KEEP_ALIVE)
        self.frame = head + bytes(request.content)
        self.random = random.Random(f"hostile {config.seed} {config.share[0]}")
        # Their bytes are not the load's.
        self.shared = Shared(
            loop, timeout=config.timeout, connect_timeout=config.connect_timeout, open_socket=shared.open_socket
        )
        self.idle_open = 0
        self.hostile_open = 0
        self._closed = False
        self._peers: list[_Idle | _Hostile] = [_Idle(self) for _ in range(config.idle)]
        for kind, count in config.hostile:
            self._peers += [_Hostile(self, kind) for _ in range(count)]
        self._dialler: Dialler[_Idle | _Hostile] = Dialler(loop, config.connect_rate, _connect)

    def count_idle(self, change: int) -> None:
        """So many more idle connections are open, or fewer."""
        self.idle_open += change

    def count_hostile(self, change: int) -> None:
        """The same of hostile ones."""
        self.hostile_open += change

    def next_endpoints(self) -> list[Endpoint]:
        """Where the next connection goes: the source addresses take turns."""
        return next(self._choices)

    def begin(self) -> None:
        self._dialler.add(self._peers)

    def back_later(self, peer: _Idle | _Hostile) -> None:
        if not self._closed:
            self.loop.call_later(BACK_AFTER, self._back, peer)

    def _back(self, peer: _Idle | _Hostile) -> None:
        if not self._closed:
            self._dialler.add((peer,))

    def close(self) -> None:
        """Leave, at once."""
        self._closed = True
        self._dialler.close()
        for peer in self._peers:
            peer.leave()


def _connect(peer: _Idle | _Hostile) -> None:
    peer.connect()


class _Idle:
    """Asks one thing and is silent."""

    def __init__(self, all: BackgroundPeers) -> None:
        self._all = all
        self._message: Message | None = None
        self._open = False

    def connect(self) -> None:
        self._message = Message(self._all.shared, self, self._all.next_endpoints())
        self._message.send(self._all.request)

    def opened(self, message: Message) -> None:
        self._open = True
        self._all.count_idle(1)

    def response(self, message: Message, context: object, value: object, header: Header) -> None:
        """That it came is enough: the server knows us now."""

    def closed(self, message: Message, ending: Ending) -> None:
        self._message = None
        self._all.count_idle(-self._open)
        self._open = False
        self._all.back_later(self)

    def leave(self) -> None:
        if self._message is not None:
            self._message.abort()


class _Hostile:
    """One misbehaving peer: speaks to a `Transport`, below everything that would keep it from misbehaving."""

    def __init__(self, all: BackgroundPeers, kind: str) -> None:
        self.kind = kind
        self._all = all
        self._connector: Connector | None = None
        self._transport: Transport | None = None
        self._timer: Timer | None = None
        self._sent = 0  # bytes of a trickle

    def connect(self) -> None:
        b = self._all
        self._connector = Connector(
            b.loop, b.next_endpoints(), self._connected, self._failed, b.connect_timeout, b.shared.open_socket
        )

    def _failed(self, errors: list[OSError]) -> None:
        self._connector = None
        self._all.back_later(self)

    def _connected(self, sock: Any) -> None:
        self._connector = None
        self._all.count_hostile(1)
        transport = self._transport = Transport(self._all.loop, sock, self)
        frame = self._all.frame
        if self.kind == TRICKLE:
            self._sent = 0
            self._trickle()
        elif self.kind == NEVER_READ:
            transport.pause_reading()
            self.resume_writing()
        elif self.kind == HALF_CLOSE:
            transport.write(frame)
            transport.write_eof()
        elif self.kind == RESET:
            transport.write(frame[: len(frame) // 2])
            self._timer = self._all.loop.call_later(RESET_AFTER, self._reset)
        elif self.kind == GARBAGE:
            transport.write(self._all.random.randbytes(GARBAGE_BYTES))

    def _trickle(self) -> None:
        if self._transport is not None:
            frame = self._all.frame
            at = self._sent % len(frame)
            self._sent += 1
            self._transport.write(frame[at : at + 1])
            self._timer = self._all.loop.call_later(TRICKLE_EVERY, self._trickle)

    def _reset(self) -> None:
        if self._transport is not None and not self._transport.closed:  # closed, and not yet heard of
            self._transport.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def resume_writing(self) -> None:
        """Never read: as much as the water marks allow, for ever."""
        transport = self._transport
        while self.kind == NEVER_READ and transport is not None and not transport.above_high and not transport.closing:
            transport.write(self._all.frame * FLOOD)

    def pause_writing(self) -> None:
        """`resume_writing` looks at the transport itself."""

    def data_received(self, data: bytes) -> None:
        """Ignored."""

    def buffer_filled(self) -> None:
        """There is no sink."""

    def kept(self, queued: int) -> None:
        """What is not taken can wait."""

    def flushed(self, queued: int) -> None:
        """Nor are we in a hurry."""

    def eof_received(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._all.count_hostile(-1)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._all.back_later(self)

    def leave(self) -> None:
        if self._connector is not None:
            self._connector.cancel()
            self._connector = None
        if self._transport is not None:
            self._transport.abort()
