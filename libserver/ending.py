"""How does an accepted connection end, and why?

Whatever the cause, an end takes one of these ways, from gentle to abrupt:

    finish    its last reply and the FIN leave in one packet, if nothing more was sent to us
    settle    once all that is owed has left: FIN, then read and discard for a while (linger), lest close be a RST
    drain     the server shuts down: what was begun is finished, and nothing is begun
    release   between messages: FIN alone
    abort     now: what is kept is lost

Rules:

* Every change of LIFECYCLE on the way out is a row of `protocol.states`; RECEIVE's come over by `COUPLED`.
* The first cause of an end is its reason. An end in good order that was not reached is none, and what cuts a
  connection that still owes replies is its reason, whatever came before.
* What a peer can still be told, it is told: an overdue message `timeout`, a request that is cut `shutting-down`.

`Ending` is one for all connections of a server: it keeps why each is on its way out, since a slot for that would cost
each idle connection 16 bytes. Not here: serving (`libserver.message`), how long a connection may take
(`libserver.receive_timeouts`, `libserver.server`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from protocol import Frame, Header
from protocol.errors import FatalError, Overloaded, ProtocolError, ShuttingDown, TimedOut
from protocol.shown import shown
from protocol.states import (
    ABORTED,
    CLOSED,
    COUPLED,
    DRAINING,
    ENDED,
    FAILED,
    FINISHED,
    LIFECYCLE,
    LINGER_EXPIRED,
    LOST,
    OPEN,
    RELEASED,
    SETTLED,
    SETTLED_AFTER_EOF,
    SHUTDOWN,
    Observer,
    advance,
)

from .active_state import ActiveState
from .binary_reply import BytesLike
from .notices import Notices
from .reasons import IN_GOOD_ORDER, CloseReason
from .receive_timeouts import ReceiveTimeouts
from .request_batch import RequestBatch, Waiting

__all__ = ["Endable", "Ending"]

#: What is said to a peer whose message is overdue.
OVERDUE = {
    CloseReason.HEADER_TIMEOUT: "the header did not arrive in time",
    CloseReason.CONTENT_TIMEOUT: "the content stopped arriving",
    CloseReason.SLOW: "the message arrives too slowly",
}

#: Which option says so.
LIMIT_OF = {
    CloseReason.HEADER_TIMEOUT: "--header-timeout",
    CloseReason.CONTENT_TIMEOUT: "--content-timeout",
    CloseReason.SLOW: "--min-data-rate",
}


class Endable(Waiting, Protocol):
    """A connection that ends: a `libserver.message.Message`."""

    state: str

    @property
    def observer(self) -> Observer | None: ...

    @property
    def active(self) -> ActiveState | None:
        """What it has to remember, if it is not at rest."""

    @property
    def idle(self) -> bool:
        """Between messages, with nothing owed either way."""

    @property
    def mid_message(self) -> bool:
        """A byte of a message has come that is not answered, handed over or refused."""

    @property
    def in_flight(self) -> int:
        """Requests that await their reply."""

    def reply(self, header: Header | None, outcome: object, asked: object = None, more: bool = False) -> Frame:
        """What is to be sent now of the reply to `header`'s request."""

    def serve_rest(self) -> None:
        """Serve what is here, and prepare for the rest."""


E = TypeVar("E", bound=Endable)


class Ending(Generic[E]):
    """The ways out. `reasons` has each connection that is on one, with its reason.

    `linger(connection)` starts the time that it may linger; `is_draining()`: the server shuts down.
    """

    __slots__ = ("_batch", "_count_error", "_is_draining", "_linger", "_notices", "_receive_timeouts", "reasons")

    def __init__(
        self,
        batch: RequestBatch[E],
        receive_timeouts: ReceiveTimeouts[E],
        notices: Notices,
        count_error: Callable[[ProtocolError], None],
        linger: Callable[[E], None],
        is_draining: Callable[[], bool],
    ) -> None:
        self._batch = batch
        self._receive_timeouts = receive_timeouts
        self._notices = notices
        self._count_error = count_error
        self._linger = linger
        self._is_draining = is_draining
        self.reasons: dict[E, CloseReason] = {}

    # --- why -----------------------------------------------------------------------------

    def set_reason(self, message: E, reason: CloseReason) -> None:
        """The first cause is the reason."""
        self.reasons.setdefault(message, reason)

    def _cut_short(self, message: E, reason: CloseReason) -> None:
        """It ends here and now. Good order is reached when all that is owed has left, not before."""
        if message.state is DRAINING and self.reasons.get(message) in IN_GOOD_ORDER:
            del self.reasons[message]
        self.set_reason(message, reason)

    def met_limit(self, message: E, reason: CloseReason, words: str) -> None:
        """Tell the log, if that is not told too much of it."""
        self._notices.tell(reason.value, words, facts=message.facts, reason=reason.value)

    # --- input ends ----------------------------------------------------------------------

    def fail_input(self, message: E, error: FatalError, reason: CloseReason, replies: list[BytesLike]) -> None:
        """Serve nothing more: `error` is the last reply, after those owed before it."""
        self.set_reason(message, reason)
        connection = message.own_connection()
        header = connection.header
        connection.owe_error()
        self._count_error(error)
        self.give_up(message)
        replies += (*message.reply(header, error), b"")

    def _refuse_input(self, message: E, error: FatalError, reason: CloseReason) -> None:
        """`fail_input`, and send what that makes."""
        replies: list[BytesLike] = []
        self.fail_input(message, error, reason, replies)
        message.write(replies)
        self.settle(message)

    def give_up(self, message: E) -> None:
        """Read no request any more: what comes is thrown away."""
        connection = message.own_connection()
        connection.give_up()
        if message.active is not None:
            message.active.unserved = b""
        advance(message, LIFECYCLE, COUPLED[connection.state])

    def give_up_if_last(self, message: E) -> None:
        """After the reply that said `close`, as the last, nothing is read, not even to be refused."""
        connection = message.connection
        if message.state is CLOSED:
            return  # by its own handler
        if connection is not None and connection.all_begun_read and not connection.in_flight:
            self.give_up(message)

    def end_with(self, message: E, replies: int, more: bool) -> None:
        """If so many replies are all that is owed, and nothing more has come, the last of them says `close`.

        What has come and is not read counts: a client that pipelines has sent it before it could know.
        """
        connection = message.own_connection()
        if (
            connection.winding_down
            and connection.in_flight == replies
            and message.state is OPEN
            and connection.state is not FINISHED
            and not (more or message.mid_message)
            and not message.transport.unread()
        ):
            self.set_reason(message, CloseReason.SHUTDOWN if self._is_draining() else CloseReason.RETIRED)
            connection.start_drain()
            advance(message, LIFECYCLE, SHUTDOWN)

    # --- limits --------------------------------------------------------------------------

    def refuse(self, message: E, error: Overloaded) -> None:
        """One connection too many: say so, linger briefly, close."""
        self.met_limit(message, CloseReason.OVERLOADED, f"refused: {error}")
        self._refuse_input(message, error, CloseReason.OVERLOADED)
        message.transport.on_readable()
        message.transport.watch()

    def input_overdue(self, message: E, reason: CloseReason) -> None:
        """Its message, or the first byte of one, did not come in time."""
        if message.mid_message:
            self.met_limit(message, reason, f"{OVERDUE[reason]} ({LIMIT_OF[reason]})")
            self.time_out(message, OVERDUE[reason], reason)
        else:
            self.met_limit(message, reason, f"it never sent a byte ({LIMIT_OF[reason]})")
            self.release(message, reason)  # FIN alone

    def time_out(self, message: E, words: str, reason: CloseReason) -> None:
        """Say `timeout`, after what is owed before."""
        self._refuse_input(message, TimedOut(words), reason)

    def send_expired(self, message: E) -> None:
        """It takes no bytes."""
        self.met_limit(message, CloseReason.SEND_TIMEOUT, "cut: it takes no bytes of its replies (--send-timeout)")
        self.abort(message, CloseReason.SEND_TIMEOUT)

    def above_output_limit(self, message: E) -> None:
        """It asks for more than it reads."""
        words = "cut: it reads too slowly for what it asks (--output-limit)"
        self.met_limit(message, CloseReason.OUTPUT_LIMIT, words)
        self.abort(message, CloseReason.OUTPUT_LIMIT)

    def overrun(self, message: E, topic: str) -> None:
        """It reads too slowly for its subscription: cut it, and say so where it can still be told.

        One that is on its way out hears no more events, and has an end of its own.
        """
        if message.state is not OPEN:
            return
        said = f"it reads too slowly for its subscription to {shown(topic)}"
        self.met_limit(message, CloseReason.SLOW_CONSUMER, f"cut: {said}")
        held = message.active is not None and message.active.held is not None
        if message.transport.queued or held:  # a request that waits for a thread is to be answered before the error
            self.abort(message, CloseReason.SLOW_CONSUMER)
        else:
            error = Overloaded(f"{said}: subscribe with another `slow`, or read faster")
            self._refuse_input(message, error, CloseReason.SLOW_CONSUMER)

    # --- in good order -------------------------------------------------------------------

    def finish(self, message: E, replies: Sequence[BytesLike], size: int) -> None:
        """All was answered, and it was the last: the reply and the FIN, in one packet if it can be."""
        transport = message.transport
        message.write(replies, size, last=True)
        if not transport.queued and message.state is DRAINING:
            transport.write_eof()  # before we look: a RST would take with it what the kernel still holds
            if transport.nothing_unread():
                # Its request was all it sent: nothing more is expected, so it need not linger.
                advance(message, LIFECYCLE, RELEASED)
                transport.close()
                return
        self._receive_timeouts.stop(message)
        self.settle(message)

    def settle(self, message: E) -> None:
        """If everything owed has left, take the next step towards the end."""
        if message.state is not DRAINING or message.in_flight:
            return
        transport = message.transport
        if transport.queued or transport.closed:
            return  # closed: it was lost with what it kept, and will be told so
        connection = message.own_connection()
        if connection.all_begun_read:
            self.give_up(message)
        if connection.state is ENDED:
            advance(message, LIFECYCLE, SETTLED_AFTER_EOF)
            transport.close()
        elif connection.state is FINISHED or connection.state is FAILED:
            advance(message, LIFECYCLE, SETTLED)
            self._receive_timeouts.stop(message)
            transport.linger()
            self._linger(message)

    def linger_expired(self, message: E) -> None:
        """It had its seconds to read the last reply."""
        advance(message, LIFECYCLE, LINGER_EXPIRED)
        message.transport.abort()

    def drain(self, message: E) -> None:
        """The server shuts down: finish what was begun, or close at once if nothing was.

        What has arrived and was not read yet has begun too: closing on it would be a RST, which
        can cost the peer replies that are already on their way.
        """
        unread = message.transport.unread()
        if message.idle and not unread:
            self.release(message, CloseReason.SHUTDOWN)
        elif message.state is not CLOSED:
            self.set_reason(message, CloseReason.SHUTDOWN)
            if data := self._batch.take(message):
                message.pending.unserved += data
            unserved = len(message.active.unserved) if message.active is not None else 0
            message.own_connection().start_drain(unread + unserved)
            advance(message, LIFECYCLE, SHUTDOWN)
            message.serve_rest()

    def release(self, message: E, reason: CloseReason) -> None:
        """Close between messages: FIN alone."""
        self.set_reason(message, reason)
        advance(message, LIFECYCLE, RELEASED)
        message.transport.close()

    # --- at once -------------------------------------------------------------------------

    def abort(self, message: E, reason: CloseReason) -> None:
        """Close now; what is kept is lost. Nothing happens if it is closed."""
        if message.state is CLOSED:
            return
        transport = message.transport
        owes = message.in_flight > 0
        words = b""
        if owes and reason is CloseReason.CUT and not (transport.queued or transport.closed):
            words = self._last_words(message)
        if owes or transport.queued:
            self.reasons.pop(message, None)
        self._cut_short(message, reason)
        advance(message, LIFECYCLE, ABORTED)
        if words:
            transport.write(words, last=True)
            transport.write_eof()
        transport.abort()

    def _last_words(self, message: E) -> bytes:
        """What the oldest request that awaits its reply is told instead; all before it has left."""
        connection = message.own_connection()
        pending = message.pending
        oldest = pending.held if pending.held is not None and not pending.replies else pending.replies.oldest
        if connection.state not in (FINISHED, FAILED, ENDED):
            self.give_up(message)
        owed, connection.in_flight = connection.in_flight, 1  # it says `close`, since none follows
        error = ShuttingDown("the server has stopped before this was answered; it may have been carried out")
        words = b"".join(connection.send_error(oldest.header if oldest is not None else None, error))
        connection.in_flight = owed  # a handler may have asked for the end of its own connection, and returns
        return words

    def lost(self, message: E) -> CloseReason:
        """Its socket is closed: why that is."""
        if message.state is not CLOSED:
            self._cut_short(message, CloseReason.SILENT if self._is_silent(message) else CloseReason.RESET)
            advance(message, LIFECYCLE, LOST)
        return self.reasons.pop(message)  # what entered CLOSED said why

    def _is_silent(self, message: E) -> bool:
        """Not a byte has come."""
        busy = message.mid_message or message.in_flight or message.state is not OPEN or message in self._batch
        active = message.active
        return not (busy or int(message.requests) or (active is not None and active.held is not None))
