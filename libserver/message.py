"""What becomes of one accepted connection?

`Message` is the tutorial's word for it (elsewhere: connection). It stands between a
`Transport`, which moves bytes, and a `protocol.Connection`, which knows what they mean; it asks
the server's `Actions` for answers and owns the connection's LIFECYCLE.

    Transport.on_readable -> data_received -> Together:     at rest: with those of others, later in the turn
                                           -> Dispatcher.serve: whole requests, together
                                           -> _walk:        everything else, event by event
                          <- write         <- all replies of one read, in one send

Rules:

* Replies leave in request order (`libserver.replies`), whatever finishes first.
* Serving stops, and reading with it, while this connection's output is above its high-water
  mark, the handler pool is full, too many replies are owed, or it had its share of this turn.
  Serving goes on from the bytes already here before the socket is asked for more.
* Every change of LIFECYCLE is a row of `protocol.states`; RECEIVE's come over by `COUPLED`.
* The first cause of an end is its reason. An end in good order that was not reached is none, and
  whoever cuts a connection that still owes replies is its reason, whatever came before.
* A kept-alive connection between messages is at rest and owns next to nothing: all of them
  share the server's one `resting` Connection, and have no `ActiveState`.

Not here: how long a message may take to arrive (`libserver.receive_timeouts`), listeners, timers' queues
and counters (`libserver.server`), handlers' threads (`libserver.pool`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from eventloop import Transport
from protocol import (
    Connection,
    EndOfInput,
    Event,
    Failed,
    Header,
    HeaderReceived,
    ProtocolError,
    Rejected,
    Request,
)
from protocol.collecting import Uncollected
from protocol.errors import (
    FatalError,
    Overloaded,
    ShuttingDown,
    TimedOut,
)
from protocol.limits import DIRECT_CONTENT, UNCOLLECTED
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
    begin,
)

from .actions import Action, ActionError
from .binary_reply import BytesLike
from .dispatcher import PARTS, check_deadline, outlived
from .limits import LIGHT, MAX_IN_FLIGHT, STALLED
from .pool import NoThread
from .reasons import IN_GOOD_ORDER, CloseReason
from .replies import Owed, Replies, encode
from .session import Session
from .slowness import SLOW

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Message"]

#: Replies up to this size together, or each below the other size on average, are joined into one
#: buffer; larger ones are sent in place (sendmsg), without copying them.
JOIN_BELOW = 64 * 1024
SMALL_PART = 4 * 1024

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


class ActiveState:
    """What a connection has to remember while it is not at rest, and how many requests it has answered.

    It stands where that number stood (`Message.requests`), and counts on like one.
    """

    __slots__ = ("deadline", "held", "replies", "requests", "session", "yielded")

    def __init__(self, requests: int = 0) -> None:
        self.requests = requests
        self.replies = Replies()  # owed
        self.held: Request | None = None  # a request for which the pool has no room yet
        self.deadline: float | None = None  # of the message being read
        self.session: Session | None = None
        self.yielded = False  # it had its share of this turn

    @property
    def empty(self) -> bool:
        return not (self.replies or self.held or self.session is not None or self.yielded)

    def __iadd__(self, requests: int) -> ActiveState:
        self.requests += requests
        return self

    __add__ = __iadd__  # as which mypy takes += where it may be an int; nobody says +

    def __int__(self) -> int:
        return self.requests


def _call_in_time(clock: Callable[[], float], deadline: float | None, handler: Any, *arguments: Any) -> object:
    """In a thread: it may have waited for one, and what nobody waits for any more must not be done."""
    check_deadline(clock, deadline)
    return handler(*arguments)


class Message:
    """One accepted connection.

    `state` is LIFECYCLE's; `last_active` is when bytes last arrived, or a reply that had to wait
    left, on the loop's clock, to a quarter of a second. `int(requests)` is how many whole requests
    it has served, whatever the answer.
    """

    __slots__ = ("connection", "last_active", "requests", "server", "state", "transport")

    state: str
    #: The number, or the `ActiveState` that has it: a slot for each would cost each idle connection 16 bytes.
    requests: int | ActiveState

    def __init__(self, server: Server, sock: Any, observer: Observer | None = None) -> None:
        self.server = server
        self.connection = Connection(server.codec, observer)
        self.last_active = server.loop.coarse_now
        self.requests = 0
        begin(self, LIFECYCLE, OPEN)
        if observer is not None and server.tap is not None:
            sock = server.tap(self, sock)
        self.transport = Transport(server.loop, sock, self, server.marks, watch=False)

    def start(self) -> None:
        """Serve what has already come; without that, the first message's time runs from now."""
        self.transport.start()
        if self.state is OPEN and not (self.connection.mid_message or self.connection.persistent):
            self.server.receive_timeouts.expect(self)

    @property
    def observer(self) -> Observer | None:
        return self.connection.observer

    @property
    def reason(self) -> CloseReason | None:
        """Why it ends, once that is known. The server has it: a slot would cost each idle connection 16 bytes."""
        return self.server.ending.get(self)

    @property
    def _pending(self) -> ActiveState | None:
        requests = self.requests
        return requests if isinstance(requests, ActiveState) else None

    @property
    def pending(self) -> ActiveState:
        """Made on first need, given back by `_rest`."""
        requests = self.requests
        if not isinstance(requests, ActiveState):
            requests = self.requests = ActiveState(requests)
        return requests

    def session(self) -> Session:
        """The handlers' dictionary of this connection, made on first use."""
        pending = self.pending
        if pending.session is None:
            pending.session = Session(self.transport.peer_name())
            pending.session.closed = self.state is CLOSED
        return pending.session

    # --- bytes in ----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        server = self.server
        loop = server.loop
        self.last_active = loop.coarse_now
        if server.max_requests:
            self._wind_down_before_the_last()
        connection = self.connection
        together = server.together
        if connection is server.resting:
            if loop.ready > 1 or together.waiting or together.deferred:
                together.add(self, data)
            else:
                self.write(*self.answer(data))
            return
        if together.waiting:
            together.hurry()
        # For a small one `stalled` would look at the clock once more than whoever answered last has.
        if together.spent if len(data) >= LIGHT else server.slowness.looked > loop.now + STALLED:
            self.wait_its_turn(data)
            return
        if not connection.clear:
            connection.feed(data)
            self._serve([], 0)
            return
        taken, replies, size = self._answer_batch(data)
        connection = self.connection
        if taken < len(data):
            if taken:
                server.receive_timeouts.stop(self)  # a message was completed: the next has its own time
            connection.feed(data[taken:])
            self._serve(replies, size)
        elif connection.clear:
            self.write(replies, size)
            self._rest()
        else:
            self._go_on_after(replies, size)

    def answer(self, data: bytes) -> tuple[list[BytesLike], int]:
        """Of a connection at rest: the replies to all of `data`, and their contents' size.

        There are none left to send if it is at rest no more.
        """
        taken, replies, size = self._answer_batch(data)
        if taken < len(data):
            self.own_connection().feed(data[taken:])
            self._serve(replies, size)
            return [], 0
        if self.connection is not self.server.resting:
            self._go_on_after(replies, size)
            return [], 0
        return replies, size

    def _go_on_after(self, replies: list[BytesLike], size: int) -> None:
        """All that came was taken, and there is more to do: a thread runs the last of it, or it ends the connection."""
        connection = self.connection
        if connection.state is FINISHED and not connection.in_flight:
            self._finish(replies, size)
            return
        if connection.state is FINISHED:
            self._set_close_reason(CloseReason.SERVED)
            advance(self, LIFECYCLE, COUPLED[FINISHED])
        self._serve(replies, size)

    def wait_its_turn(self, data: bytes) -> None:
        """Serve `data` when the others had their turn."""
        self.own_connection().feed(data)
        self._yield()
        self._serve([], 0)

    def sink_filled(self) -> None:
        self.last_active = self.server.loop.coarse_now
        if self.server.max_requests:
            self._wind_down_before_the_last()
        self._serve([], 0)

    def eof_received(self) -> None:
        connection = self.own_connection()
        connection.feed(self.server.together.take(self))  # it may be among those that wait
        connection.feed_eof()
        self._serve([], 0)

    def _answer_batch(self, data: bytes, most: int = 0) -> tuple[int, list[BytesLike], int]:
        """Answer the whole requests at the front of `data`: bytes taken, replies, their size.

        At most `most`, which is what is left of its share of the turn (0: all of it). Then it waits for the next.
        """
        server = self.server
        limits = server.limits
        if len(data) >= UNCOLLECTED and gc.isenabled():
            with Uncollected():
                return self._answer_batch(data, most)
        most = most or limits.requests_per_event
        batch = server.dispatcher.serve(self, data, most, limits.write_high)
        loop = server.loop
        slowness = server.slowness
        now = loop.clock()
        if now - loop.now > SLOW:
            slowness.answered(self, data[: batch[0]])
        slowness.looked = now
        answered = len(batch[1]) // PARTS
        self.requests += answered
        if answered >= most:
            self._yield()
        return batch

    def _finish(self, replies: list[BytesLike], size: int) -> None:
        """The batch took all, and it was the last: the reply and the FIN, in one packet if it can be."""
        transport = self.transport
        self._set_close_reason(CloseReason.SERVED)
        advance(self, LIFECYCLE, COUPLED[FINISHED])
        self.write(replies, size, last=True)
        if not transport.queued:
            transport.write_eof()  # before we look: a RST would take with it what the kernel still holds
            if transport.nothing_unread():
                # Its request was all it sent: nothing more is expected, so it need not linger.
                advance(self, LIFECYCLE, RELEASED)
                transport.close()
                return
        self.server.receive_timeouts.stop(self)
        self._settle()

    def own_connection(self) -> Connection:
        """A Connection of its own, for what is not answered at once."""
        if self.connection is self.server.resting:
            self.connection = Connection.kept_alive(self.server.codec)
        return self.connection

    def _rest(self) -> None:
        """If it is at rest now, give back what only a busy connection needs."""
        if self.connection.at_rest:
            self.server.receive_timeouts.stop(self)
            self.connection = self.server.resting
            pending = self._pending
            if pending is not None and pending.empty:
                self.requests = pending.requests

    # --- serving what is buffered --------------------------------------------------------

    def _serve(self, replies: list[BytesLike], size: int, its_turn: bool = False) -> None:
        """Serve what is here as far as it may be served now, and prepare for the rest.

        `replies`, of `size` bytes, were made by the dispatcher and are still to be sent. `its_turn`: it
        has waited for this while others were served.
        """
        together = self.server.together
        together.hurry()
        if self._pending is not None and self._pending.replies:
            self._release(self._pending.replies)
        undecoded = self.connection.undecoded
        if undecoded < UNCOLLECTED:
            if undecoded and not its_turn and together.stalled:
                self._yield()
            completed, header_size = self._walk(replies, size)
        elif not its_turn and together.spent:
            self._yield()
            completed, header_size = self._walk(replies, size)  # what was made leaves
        else:
            with Uncollected():
                completed, header_size = self._walk(replies, size)
            if undecoded > DIRECT_CONTENT:  # more than one read: a large content, or as much that was put off
                together.spend()
        if completed:
            self.server.receive_timeouts.stop(self)  # the next has its own time
        self._settle()
        if self.state is OPEN or self.state is DRAINING:
            if self._may_serve():
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()
                if self._pending is not None and self._pending.held is not None and self.server.pool.full:
                    self.server.wait_for_pool(self)
            self._look_after()
            self._time_input(header_size)
            self._rest()

    def _may_serve(self) -> bool:
        """Is there room for the next reply, and is it this connection's turn?"""
        transport = self.transport
        pending = self._pending
        if transport.above_high or transport.closed or self.connection.in_flight >= MAX_IN_FLIGHT:
            return False
        return pending is None or not (
            pending.yielded
            or (pending.held is not None and self.server.pool.full)
            or pending.replies.size >= self.server.limits.write_high
        )

    def _walk(self, replies: list[BytesLike], size: int) -> tuple[bool, int]:
        """Event by event; returns whether a message was completed, and the size of a header that was, behind it.

        `replies` were made of the same read and leave with what is made here, in one send.
        Behind a message that came in parts, or was wrong, whole ones may follow: the dispatcher is
        asked for them, and once more after each that it took something of.
        """
        connection = self.connection
        high = self.server.limits.write_high
        # One count for the turn: what was answered of this read before is part of it.
        budget = self.server.limits.requests_per_event - len(replies) // PARTS
        batch_pays = True
        completed, header_size = False, 0
        while True:
            if size >= high:  # it may be more than the connection may have waiting
                self.write(replies, size)
                replies, size = [], 0
            if not self._may_serve():
                break
            before, held = connection.state, connection.buffered
            late = connection.all_begun_read
            event = self._next_event()
            if event is None:
                break
            if connection.state is not before and connection.state in COUPLED:
                advance(self, LIFECYCLE, COUPLED[connection.state])
            if isinstance(event, HeaderReceived):
                if late:
                    self._fail_input(ShuttingDown("the server is shutting down"), CloseReason.SHUTDOWN, replies)
                else:
                    self._header_received(event.header)
                    header_size = held - connection.buffered
                continue
            completed, header_size = True, 0
            made = len(replies)
            self._handle(event, replies)
            self._give_up_if_last()
            size += sum(map(len, replies[made:]))
            budget -= 1
            if budget <= 0:
                self._yield()
            elif batch_pays and not (connection.in_flight or connection.observer or connection.closing):
                data = connection.unread()
                taken, more, its_size = self._answer_batch(data, budget)
                budget -= len(more) // PARTS
                connection.feed(data[taken:])
                replies += more
                size += its_size
                batch_pays = taken > 0
        self.write(replies, size)
        return completed, header_size

    def _next_event(self) -> Event | None:
        pending = self._pending
        if pending is not None and pending.held is not None:
            held, pending.held = pending.held, None
            if held.decode_again():
                self.server.together.spend()
            return held
        return self.connection.next_event()

    def _yield(self) -> None:
        """It had its share of this turn, or the turn is over: the others first."""
        if not self.pending.yielded:
            self.pending.yielded = True
            self.server.together.later(self, self.connection.undecoded)

    def pool_has_room(self) -> None:
        """Serve on where serving had stopped for want of a thread."""
        if self.state is not CLOSED:
            self._serve([], 0)

    def go_on(self) -> None:
        """Serve on where serving had stopped: the others had their turn."""
        if self.state is not CLOSED:
            self.pending.yielded = False
            self._serve([], 0, its_turn=True)

    # --- one event -----------------------------------------------------------------------

    def _header_received(self, header: Header) -> None:
        if header.deadline_ms is not None:
            self.pending.deadline = self.server.loop.clock() + header.deadline_ms / 1000
        if header.content_length >= DIRECT_CONTENT:
            self.transport.read_into(self.connection)

    def _handle(self, event: Event, replies: list[BytesLike]) -> None:
        if self.connection.state is FINISHED:
            self._set_close_reason(CloseReason.SERVED)
        if isinstance(event, Request):
            self._request(event, replies)
        elif isinstance(event, Rejected):
            self.requests += 1
            self._take_deadline()
            self.server.count_error(event.error)
            self._reply(event.header, event.error, replies)
        elif isinstance(event, Failed):
            self._set_close_reason(CloseReason.BAD_FRAMING)
            self.server.count_error(event.error)
            if event.error.looks_like is not None:
                self.server.sent_foreign(self, event.error.looks_like)
            else:
                self._met_limit(CloseReason.BAD_FRAMING, f"{event.error.code}: {event.error}")
            self._reply(event.header, event.error, replies)
        elif isinstance(event, EndOfInput):
            gone = CloseReason.PEER_CLOSED if int(self.requests) else CloseReason.SILENT
            self._set_close_reason(CloseReason.TRUNCATED if event.truncated else gone)
            if self.state is CLOSED:
                self.transport.abort()  # it lingered, and they have finished

    def _request(self, event: Request, replies: list[BytesLike]) -> None:
        outcome: object
        asked = event.content if event.header.is_json else event.header
        deadline = self._take_deadline()
        try:
            check_deadline(self.server.loop.clock, deadline)
            action = self.server.actions.find(event.header, event.content)
            if action.blocking:
                replies += self.hand_over(action, event, deadline)
                self.requests += 1
                return
            outcome = action.call(event.content, self.session)
        except BaseException as error:  # its handler's own, whatever that is, must not end the server
            outcome = self.failure(error, asked)
        now = self.server.loop.clock()
        if now - self.server.loop.now > SLOW:
            self.server.slowness.handled(self, asked)
        self.server.slowness.looked = now
        self.requests += 1
        self._reply(event.header, outcome, replies, asked)

    def _take_deadline(self) -> float | None:
        if self._pending is None:
            return None
        deadline, self._pending.deadline = self._pending.deadline, None
        return deadline

    def failure(self, error: BaseException, asked: object) -> ProtocolError:
        """What its peer is told of what a handler raised that was asked this (see `libserver.failures`)."""
        return self.server.failure(error, self, asked)

    # --- blocking handlers -----------------------------------------------------------------

    def hand_over(self, action: Action, event: Request, deadline: float | None) -> list[BytesLike]:
        """Let the pool run it; or hold it, and everything behind it, until the pool has room.

        Returns a reply if it can do neither; raises what is to be answered.
        """
        pool = self.server.pool
        pending = self.pending
        if self.connection.state is FINISHED:
            self._set_close_reason(CloseReason.SERVED)
        if pool.full:
            if self.server.may_wait_for_pool(self):
                event.undecode()
                pending.held = event
                pending.deadline = deadline
                pending.requests -= 1  # whoever has called counts it, and so it is counted again when it is run
                return []
            return self._turn_away(event)
        owed = Owed(event.header, deadline)
        arguments = (event.content, self.session()) if action.wants_session else (event.content,)
        clock = self.server.loop.clock
        call = partial(_call_in_time, clock, deadline, action.function, *arguments)
        try:
            pool.submit(call, self._handler_returned, action, owed)
        except NoThread as error:
            text = "%s is not run: %s (ulimit -u, or the pids limit of its cgroup)"
            self.server.notices.tell("no-thread", text, action, error, facts=self.facts)
            raise ActionError("overloaded", "the server has no thread for this just now; try again later") from None
        pending.replies.owe(owed)
        return []

    def _turn_away(self, event: Request) -> list[BytesLike]:
        """Too many wait for a thread already: say so, and serve nothing more here."""
        self._set_close_reason(CloseReason.OVERLOADED)
        if self.connection.state is not FINISHED:
            self._give_up()
        error = Overloaded("all handler threads are busy and enough requests wait for one; try again later")
        replies: list[BytesLike] = []
        self._reply(event.header, error, replies)
        return replies

    def _look_after(self) -> None:
        """If the loop does not watch it any more, have it looked at."""
        if not self.transport.interest() and self not in self.server.unwatched_timer:
            self.server.unwatched_timer.start(self)

    def look_for_break(self) -> None:
        """Nobody reads or writes here, so nobody would hear of its end: is there still a connection?"""
        if not self.transport.interest():
            if self.transport.is_broken():
                self.transport.abort()
            else:
                self.server.unwatched_timer.start(self)

    def _handler_returned(self, action: Action, owed: Owed, result: object, error: Exception | None) -> None:
        self.server.handler_returned()
        if self.state is CLOSED:
            return
        self.last_active = self.server.loop.coarse_now
        if error is None:
            error = outlived(self.server.loop.clock, owed.deadline)
        if error is not None:
            result = self.failure(error, action)
        self.pending.replies.settle(owed, result, partial(self.failure, asked=action))
        self._serve([], 0)

    # --- replies out -----------------------------------------------------------------------

    def _reply(self, header: Header | None, outcome: object, replies: list[BytesLike], asked: object = None) -> None:
        """Reply now, or after those that are owed before. `asked` is what a handler was asked whose result it is."""
        failure = partial(self.failure, asked=asked)
        if self._pending is None or not self._pending.replies:
            self._end_with(1)
            replies += encode(self.connection, header, outcome, failure)
            return
        owed = Owed(header)
        self._pending.replies.owe(owed)
        self._pending.replies.settle(owed, outcome, failure)

    def _release(self, owed: Replies) -> None:
        """Send what is ready of what is owed, as far as the water mark lets it."""
        while not (self.transport.above_high or self.transport.closed):
            if owed and self.connection.winding_down and owed.size < self.server.limits.write_high and owed.all_ready:
                self._end_with(len(owed))
            parts = owed.release(self.connection, self.server.limits.write_high)
            if not parts:
                break
            self._give_up_if_last()
            self.write(parts)

    def write(self, replies: Sequence[BytesLike], size: int | None = None, last: bool = False) -> None:
        """Send replies in one go; `size` is that of their contents, if it is known.

        `last`: if the kernel takes all, the end follows at once.
        """
        if not replies:
            return
        if size is None:
            size = sum(map(len, replies))
        transport = self.transport
        if size >= JOIN_BELOW and size >= len(replies) * SMALL_PART:
            transport.writelines(replies)
        else:
            transport.write(b"".join(replies), last)

    def kept(self, queued: int) -> None:
        """The peer does not read as fast as it asks: it has so much time, and so much room."""
        limit = self.server.limits.output_limit
        if limit and queued > limit:
            self._met_limit(CloseReason.OUTPUT_LIMIT, "cut: it reads too slowly for what it asks (--output-limit)")
            self.abort(CloseReason.OUTPUT_LIMIT)
        elif self not in self.server.send_timer:
            self.server.send_timer.start(self)

    def pause_writing(self) -> None:
        """Above the high-water mark: this connection's requests wait, and the time of its input stands still."""
        self.transport.pause_reading()
        self.server.receive_timeouts.hold(self)

    def resume_writing(self) -> None:
        self._serve([], 0)

    def flushed(self, queued: int) -> None:
        if queued:
            self.server.send_timer.start(self)  # progress: the time begins anew
        else:
            self.server.send_timer.stop(self)
            self.last_active = self.server.loop.coarse_now
            self._settle()
            if not self.transport.closed:
                self._look_after()

    # --- timers --------------------------------------------------------------------------------

    def _time_input(self, header_size: int) -> None:
        """Have time run for the message that is arriving, if there is one, while we read it."""
        connection = self.connection
        if connection.mid_message:
            self.server.receive_timeouts.note(self, connection.buffered, header_size, self.transport.reading)
        else:
            self.server.receive_timeouts.stop(self)

    def input_overdue(self, reason: CloseReason) -> None:
        if self.connection.mid_message:
            self._met_limit(reason, f"{OVERDUE[reason]} ({LIMIT_OF[reason]})")
            self._time_out(OVERDUE[reason], reason)
        else:
            self._met_limit(reason, f"it never sent a byte ({LIMIT_OF[reason]})")
            self.release(reason)  # it never sent a byte: FIN alone

    def _time_out(self, words: str, reason: CloseReason) -> None:
        replies: list[BytesLike] = []
        self._fail_input(TimedOut(words), reason, replies)
        self.write(replies)
        self._settle()

    def send_expired(self) -> None:
        self._met_limit(CloseReason.SEND_TIMEOUT, "cut: it takes no bytes of its replies (--send-timeout)")
        self.abort(CloseReason.SEND_TIMEOUT)

    @property
    def idle(self) -> bool:
        """Between messages, with nothing owed either way, and not kept from being read by others who come first."""
        return (
            self.state is OPEN
            and not self.transport.closed  # lost, and about to be told so
            and not self.connection.mid_message
            and not self.connection.in_flight
            and not self.transport.queued
            and self not in self.server.together
        )

    # --- ending ----------------------------------------------------------------------------------

    def _set_close_reason(self, reason: CloseReason) -> None:
        """The first cause is the reason."""
        self.server.ending.setdefault(self, reason)

    def _cut_short(self, reason: CloseReason) -> None:
        """It ends here and now. Good order is reached when all that is owed has left, not before."""
        if self.state is DRAINING and self.reason in IN_GOOD_ORDER:
            del self.server.ending[self]
        self._set_close_reason(reason)

    def _fail_input(self, error: FatalError, reason: CloseReason, replies: list[BytesLike]) -> None:
        """Serve nothing more: `error` is the last reply, after those owed before it."""
        self._set_close_reason(reason)
        header = self.connection.header
        self.connection.owe_error()
        self.server.count_error(error)
        self._give_up()
        self._reply(header, error, replies)

    def _give_up(self) -> None:
        self.connection.give_up()
        advance(self, LIFECYCLE, COUPLED[self.connection.state])

    def _end_with(self, replies: int) -> None:
        """If so many replies are all that is owed, and nothing more has come, the last of them says `close`.

        What has come and is not read counts: a client that pipelines has sent it before it could know.
        """
        connection = self.connection
        if (
            connection.winding_down
            and connection.in_flight == replies
            and self.state is OPEN
            and not connection.mid_message
            and not self.transport.unread()
        ):
            self._set_close_reason(CloseReason.SHUTDOWN if self.server.draining else CloseReason.RETIRED)
            connection.start_drain()
            advance(self, LIFECYCLE, SHUTDOWN)

    def _give_up_if_last(self) -> None:
        """After the reply that said `close`, as the last, nothing is read, not even to be refused."""
        if self.connection.all_begun_read and not self.connection.in_flight:
            self._give_up()

    def refuse(self, error: Overloaded) -> None:
        """One connection too many: say so, linger briefly, close."""
        self._met_limit(CloseReason.OVERLOADED, f"refused: {error}")
        replies: list[BytesLike] = []
        self._fail_input(error, CloseReason.OVERLOADED, replies)
        self.write(replies)
        self._settle()
        self.transport.start()

    def _settle(self) -> None:
        """If everything owed has left, take the next step towards the end."""
        connection = self.connection
        if self.state is not DRAINING or connection.in_flight or self.transport.queued or self.transport.closed:
            return  # closed: it was lost with what it kept, and will be told so
        if connection.all_begun_read:
            self._give_up()
        if connection.state is ENDED:
            advance(self, LIFECYCLE, SETTLED_AFTER_EOF)
            self.transport.close()
        elif connection.state is FINISHED or connection.state is FAILED:
            advance(self, LIFECYCLE, SETTLED)
            self.server.receive_timeouts.stop(self)
            self.transport.linger()
            self.server.linger(self)

    def linger_expired(self) -> None:
        advance(self, LIFECYCLE, LINGER_EXPIRED)
        self.transport.abort()

    def wind_down(self) -> None:
        """Serve on; the next reply behind which nothing more has come says `close`, and is the last."""
        if self.state is OPEN and not self.connection.closing:
            if self.server.together:
                self.server.together.answer()  # it may be among those that wait
            self.own_connection().wind_down()

    def _wind_down_before_the_last(self) -> None:
        """If the next request is the last of `max_requests`, have its reply say `close`."""
        if int(self.requests) + 1 >= self.server.max_requests:
            self.wind_down()

    def drain(self) -> None:
        """The server shuts down: finish what was begun, or close at once if nothing was.

        What has arrived and was not read yet has begun too: closing on it would be a RST, which
        can cost the peer replies that are already on their way.
        """
        unread = self.transport.unread()
        if self.idle and not unread:
            self.release(CloseReason.SHUTDOWN)
        elif self.state is not CLOSED:
            self._set_close_reason(CloseReason.SHUTDOWN)
            self.own_connection().start_drain(unread)
            advance(self, LIFECYCLE, SHUTDOWN)
            self._serve([], 0)

    def release(self, reason: CloseReason) -> None:
        """Close between messages: FIN alone."""
        self._set_close_reason(reason)
        advance(self, LIFECYCLE, RELEASED)
        self.transport.close()

    def abort(self, reason: CloseReason) -> None:
        """Close now; what is kept is lost."""
        if self.state is CLOSED:
            return
        transport = self.transport
        owes = self.connection.in_flight > 0
        words = b""
        if owes and reason is CloseReason.CUT and not (transport.queued or transport.closed):
            words = self._last_words()
        if owes or transport.queued:
            self.server.ending.pop(self, None)
        self._cut_short(reason)
        advance(self, LIFECYCLE, ABORTED)
        if words:
            transport.write(words, last=True)
            transport.write_eof()
        transport.abort()

    def _last_words(self) -> bytes:
        """What the oldest request that awaits its reply is told instead; all before it has left."""
        connection = self.connection
        pending = self.pending
        oldest = pending.held if pending.held is not None and not pending.replies else pending.replies.oldest
        if connection.state not in (FINISHED, FAILED, ENDED):
            self._give_up()
        owed, connection.in_flight = connection.in_flight, 1  # it says `close`, since none follows
        error = ShuttingDown("the server has stopped before this was answered; it may have been carried out")
        words = b"".join(connection.send_error(oldest.header if oldest is not None else None, error))
        connection.in_flight = owed  # a handler may have asked for the end of its own connection, and returns
        return words

    @property
    def _silent(self) -> bool:
        """Not a byte has come."""
        connection = self.connection
        busy = connection.mid_message or connection.in_flight or self.state is not OPEN
        return not (busy or int(self.requests) or (self._pending is not None and self._pending.held is not None))

    def connection_lost(self, error: Exception | None) -> None:
        """The transport has closed: the last thing that happens here."""
        if self.state is not CLOSED:
            self._cut_short(CloseReason.SILENT if self._silent else CloseReason.RESET)
            advance(self, LIFECYCLE, LOST)
        together = self.server.together
        if together.waiting or together.deferred:
            together.take(self)
        server = self.server
        requests = self.requests
        if isinstance(requests, ActiveState):
            if requests.session is not None:
                requests.session.closed = True
            server.forget(self, server.ending.pop(self))  # whoever entered CLOSED said why
            self.requests = requests.requests
        else:
            server.forget(self, server.ending.pop(self))

    # --- for people --------------------------------------------------------------------------------

    def facts(self) -> dict[str, object]:
        """What a line of the log says of it: its number, peer, age in seconds, requests and bytes."""
        return self.server.facts(self, int(self.requests))

    def _met_limit(self, reason: CloseReason, words: str) -> None:
        self.server.notices.tell(reason.value, words, facts=self.facts, reason=reason.value)

    def describe(self, since: float, now: float) -> dict[str, object]:
        """For the connection list: peer, states, age and idle seconds, bytes buffered, requests."""
        connection = self.connection
        return {
            "peer": self.transport.peer_name(),
            "state": f"{self.state}/{connection.state}",
            "age": round(now - since, 1),
            "idle": round(now - self.last_active, 1),
            "in": connection.buffered,
            "out": self.transport.queued,
            "in-flight": connection.in_flight,
            "requests": int(self.requests),
        }

    def gauges(self) -> dict[str, Any]:
        """Its levels, for a trace: bytes in and out, requests in flight, the timers that run, why it ends."""
        server = self.server
        reason = self.reason
        arriving = server.receive_timeouts.part(self)
        timers = {
            "header": arriving == "header",
            "content": arriving == "content",
            "send": self in server.send_timer,
            "linger": self in server.linger_timer or self in server.refused_timer,
        }
        return {
            "buffered": self.connection.buffered,
            "queued": self.transport.queued,
            "in_flight": self.connection.in_flight,
            "timers": [name for name, runs in timers.items() if runs],
            "reason": reason.value if reason is not None else None,
        }

    def __repr__(self) -> str:
        return f"<Message {self.state} {self.connection!r} {self.transport!r}>"
