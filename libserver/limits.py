"""How long may things take, how many may there be, and whose numbers are these?

Everything with time or sockets; the sizes of a message are in `protocol.limits`. Times are
seconds, sizes bytes. Command line, `Server` arguments and this file use the same names.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass, fields

__all__ = ["DESCRIPTORS_KEPT_BACK", "ServerLimits", "raise_descriptor_limit"]

#: Descriptors that connections may not use: listeners, the selector, the waker, log files,
#: the reserve, and what a handler opens (Redis keeps back 32 too).
DESCRIPTORS_KEPT_BACK = 32

#: Seconds a connection may linger in all after its last reply (wire.md; nginx: 5 s between bytes).
LINGER = 5.0
#: Refused connections that may linger at once, and for how long: enough to tell a newcomer
#: what happened, little enough that a flood of them costs nothing.
REFUSED_LINGERING = 32
REFUSED_LINGER = 1.0
#: Requests of one connection that may await their replies; beyond it the connection waits.
MAX_IN_FLIGHT = 1024
#: Connections that may wait for a handler thread, each with one request and nothing more of it decoded. The next one is
#: told `overloaded`: a reply in an hour is none, and what waits is memory.
MAX_WAITING_FOR_POOL = 1024
#: Seconds within which a connection that is not watched, since it waits for a handler, is found to be broken.
BROKEN_WITHIN = 1.0
#: Seconds that a message has before its data rate is judged (Kestrel's).
RATE_GRACE = 5.0
#: Seconds that a data rate is judged over, at least: the default of `content_timeout`, so that a peer that stops for
#: a while, which that allows, is not too slow as well; twice that at most.
RATE_WINDOW = 60.0
#: Seconds of one turn of the loop in which what it brought is answered; then it asks who else is ready. Long
#: enough for the ordinary requests of a thousand connections, so that a busy server rarely asks in vain.
TURN = 0.02
#: Bytes of one read from which on it waits when a turn is over (a small request is answered before): in time
#: that its size bounds, but for handlers (`STALLED`).
LIGHT = 1024
#: Seconds after which a turn must have met a handler that holds up the loop. Then small requests wait too: eighty such
#: handlers in one turn would have everybody wait for their sum.
STALLED = 0.1
#: Replies up to this size together, or each below the other size on average, are joined into one
#: buffer; larger ones are sent in place (sendmsg), without copying them.
JOIN_BELOW = 64 * 1024
SMALL_PART = 4 * 1024
#: How much later than its time an idle connection may be closed, as a part of that time.
IDLE_SLACK = 1 / 16


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a server allows. 0 turns a limit off where that is safe.

    Raises `ValueError`, naming the limit, for a value that can't hold.
    """

    max_connections: int = 10_000  #: Redis `maxclients`
    max_connections_per_ip: int = 0  #: of one source address, nginx `limit_conn`
    header_timeout: float = 10.0  #: absolute, nginx `client_header_timeout`
    content_timeout: float = 60.0  #: without progress, nginx `client_body_timeout`
    min_data_rate: int = 240  #: bytes a second while a message arrives, Kestrel `MinRequestBodyDataRate`
    idle_timeout: float = 300.0  #: between messages on a kept-alive connection
    send_timeout: float = 60.0  #: without progress towards a peer that does not read
    write_high: int = 256 * 1024  #: above it this connection's requests wait (asyncio's water marks)
    write_low: int = 64 * 1024  #: at or below it they go on
    output_limit: int = 128 * 1024 * 1024  #: hard, Redis `client-output-buffer-limit`
    requests_per_event: int = 1024  #: served in one turn of a connection (memcached `-R`)
    handler_threads: int = 4  #: for actions declared blocking
    drain_timeout: float = 10.0  #: after SIGTERM: finish what was begun, then cut
    drain_grace: float = 1.0  #: of that: an idle connection may still ask so long, and is answered with `close`
    max_requests: int = 0  #: of one connection, which then ends (nginx `keepalive_requests`)
    max_age: float = 0.0  #: of a connection, which then ends with its next reply (gRPC `MAX_CONNECTION_AGE`)
    backlog: int = 4096  #: connections the kernel may hold for us to accept
    tcp_keepalive: float = 300.0  #: idle seconds before the kernel probes a silent peer (Redis)
    nagle: bool = False  #: leave Nagle's algorithm on
    history: int = 100  #: messages of a topic that are remembered
    history_bytes: int = 1024 * 1024  #: of a topic, at most
    max_topics: int = 10_000  #: beyond it those without subscribers are forgotten
    max_subscriptions: int = 100  #: of one connection
    push_queue: int = 64 * 1024 * 1024  #: bytes of messages that wait for slow subscribers; beyond it they are cut
    reuse_port: bool = False  #: SO_REUSEPORT: several servers on one port
    unix_mode: int = 0  #: permissions of UNIX sockets' files, such as 0o660; 0: what the umask leaves
    unix_owner: tuple[int, int] | None = None  #: their user and group id, -1 leaves one as it is

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, (int, float)) and value < 0:
                raise ValueError(f"{field.name} must not be negative")
        for name in ("max_connections", "write_high", "requests_per_event", "handler_threads", "backlog", "max_topics"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: without it the server could do nothing, or anything")
        if self.unix_mode > 0o777:
            raise ValueError("unix_mode must be file permissions of at most 0o777")
        if self.write_low > self.write_high:
            raise ValueError("write_low must not be above write_high")
        if self.output_limit and self.output_limit < self.write_high:
            raise ValueError("output_limit must not be below write_high")


def raise_descriptor_limit() -> int:
    """Raise the soft limit on open descriptors to the hard one; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # macOS refuses "unlimited"
        return soft
    return hard
