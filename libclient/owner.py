"""What do a message and its owner know of each other?

`Shared` is what all messages of one owner have in common, `Pair` what the owner hands to one of them,
`Ending` the last thing that a message tells.

Not here: what a message does, and when it tells its owner what (`libclient.message`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from eventloop import Endpoint, EventLoop, TimeoutQueue, WaterMarks
from eventloop.connector import open_socket as open_stream_socket
from protocol import CLIENT, Codec, Limits
from protocol.states import IsolatedObserver, Observer, Subject

from .outgoing import Outgoing
from .reasons import EndReason

__all__ = ["Ending", "Pair", "Shared", "UnaskedReply"]


#: A request and the owner's own token for it.
Pair = tuple[Outgoing, Any]


class Ending(NamedTuple):
    """How a message ended.

    `errors`: one `OSError` per address that failed (NOT_CONNECTED), the one that broke the
    connection (RESET), or the `ProtocolError` about a reply; else empty. `unanswered`: requests of
    which at least a byte may have left, in order; whether they were carried out nobody knows.
    `unsent`: requests that never began to leave; they were certainly not carried out.
    """

    reason: EndReason
    errors: list[Exception]
    unanswered: list[Pair]
    unsent: list[Pair]


class Timed(Protocol):
    """What the timers ask of a message whose time is up."""

    def reply_expired(self) -> None:
        """The reply that it awaits did not come."""

    def linger_expired(self) -> None:
        """The peer's FIN did not come after the last reply."""


class Shared:
    """What all connections of one owner share.

    Seconds: `timeout` per reply, `connect_timeout` per address, `linger` to wait for the peer's FIN
    after its last reply; 0 waits for ever (but for `connect_timeout`). `limits` bound a reply.
    `open_socket` makes the sockets. `observer` makes an observer (or None) for each connection, and
    `tap` is given each observed message with every socket made for it and gives back the one to
    use. `bytes_sent` (handed to the transport) and `bytes_received` count all of them together.
    """

    __slots__ = (
        "_make_observer",
        "_tap",
        "_usual_timer",
        "bytes_received",
        "bytes_sent",
        "codec",
        "connect_timeout",
        "linger_timer",
        "loop",
        "marks",
        "open_socket",
        "reply_timer",
    )

    def __init__(
        self,
        loop: EventLoop,
        *,
        timeout: float = 10.0,
        connect_timeout: float = 5.0,
        linger: float = 5.0,
        limits: Limits | None = None,
        marks: WaterMarks | None = None,
        open_socket: Callable[[Endpoint], Any] = open_stream_socket,
        observer: Callable[[], Observer | None] | None = None,
        tap: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        self.loop = loop
        self.codec = Codec(CLIENT, limits)
        self.connect_timeout = connect_timeout
        self.reply_timer = self._usual_timer = self._reply_timer(timeout)
        self.linger_timer = loop.timeout_queue(linger, _linger_expired)
        self.marks = marks or WaterMarks()
        self.open_socket = open_socket
        self._make_observer = observer
        self._tap = tap
        self.bytes_sent = 0
        self.bytes_received = 0

    def observe(self) -> Observer | None:
        """An observer for one more connection."""
        observer = self._make_observer() if self._make_observer is not None else None
        return IsolatedObserver(observer, _observer_failed) if observer is not None else None

    def socket_maker(self, message: Subject) -> Callable[[Endpoint], Any]:
        """What makes the sockets that `message` tries its addresses with."""
        tap, open_socket = self._tap, self.open_socket
        if tap is None or message.observer is None:
            return open_socket
        return lambda endpoint: tap(message, open_socket(endpoint))

    def wait_for_replies(self, seconds: float | None) -> None:
        """Give each reply so long from now on; None: `timeout` again. Only while no message awaits a reply."""
        self.reply_timer = self._usual_timer if seconds is None else self._reply_timer(seconds)

    def _reply_timer(self, seconds: float) -> TimeoutQueue[Timed]:
        return self.loop.timeout_queue(seconds, _reply_expired)


def _observer_failed(error: Exception) -> None:
    import logging  # hardly ever needed, and it takes longer than a request

    log = logging.getLogger("multiconn.client")
    log.error("an observer failed; its connection goes on without it", exc_info=error)


def _reply_expired(message: Timed) -> None:
    message.reply_expired()


def _linger_expired(message: Timed) -> None:
    message.linger_expired()


class UnaskedReply(Exception):
    """The peer sent a reply to nothing that was asked; `value` is what it said."""

    def __init__(self, value: object) -> None:
        super().__init__("the peer sent a reply that answers no request of ours")
        self.value = value
