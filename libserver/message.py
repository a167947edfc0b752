"""What becomes of one accepted connection?

`Message` is the tutorial's word for it (elsewhere: connection). It stands between a
`Transport`, which moves bytes, and a `protocol.Connection`, which knows what they mean; it asks
the server's `Actions` for answers and owns the connection's LIFECYCLE.

    Transport.on_readable -> data_received -> RequestBatch -> serve   alone, or in the turn's last part
                             _dispatch     Dispatcher.serve: whole requests, together
                             _read_on      the one message that came in parts, and the dispatcher again behind it
                          <- write         all replies of one read, in one send

Rules:

* Replies leave in request order (`libserver.replies`), whatever finishes first.
* Serving stops, and reading with it, while this connection's output is above its high-water
  mark, the handler pool is full, too many replies are owed, or it had its share of this turn.
  Serving goes on from the bytes already here (`ActiveState.unserved`) before the socket is asked for more.
* Every change of LIFECYCLE is a row of `protocol.states`; RECEIVE's come over by `COUPLED`.
* The first cause of an end is its reason. An end in good order that was not reached is none, and
  whoever cuts a connection that still owes replies is its reason, whatever came before.
* A kept-alive connection between messages is at rest and owns next to nothing: no `Connection` and no `ActiveState`.
* A watched connection goes the same way; its requests are served one at a time, and its `Connection` takes the rows.

Not here: how long a message may take to arrive (`libserver.receive_timeouts`), listeners, timers' queues
and counters (`libserver.server`), handlers' threads (`libserver.pool`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from eventloop import Transport
from protocol import (
    Connection,
    EndOfInput,
    Event,
    Failed,
    Frame,
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
    PROTOHEADER,
    RELEASED,
    SETTLED,
    SETTLED_AFTER_EOF,
    SHUTDOWN,
    Observer,
    advance,
    begin,
)

from .actions import Action, ActionError
from .active_state import ActiveState
from .binary_reply import BytesLike
from .dispatcher import PARTS, check_deadline, outlived
from .host import Host
from .limits import JOIN_BELOW, LIGHT, MAX_IN_FLIGHT, SMALL_PART, TURN
from .pool import NoThread
from .reasons import IN_GOOD_ORDER, CloseReason
from .replies import PendingReply, ReplyQueue, encode
from .session import Session
from .slowness import SLOW
from .subscription import Subscription

__all__ = ["Message"]

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
    #: None: it is at rest, that is kept alive, between messages, with nothing owed.
    connection: Connection | None
    #: The number, or the `ActiveState` that has it: a slot for each would cost each idle connection 16 bytes.
    requests: int | ActiveState

    def __init__(self, server: Host[Message], sock: Any, observer: Observer | None = None) -> None:
        self.server = server
        self.connection = Connection(server.codec, observer)
        self.last_active = server.loop.coarse_now
        self.requests = 0
        begin(self, LIFECYCLE, OPEN)
        if observer is not None and server.tap is not None:
            sock = server.tap(self, sock)
        self.transport = Transport(server.loop, sock, self, server.marks, watch=False)

    def start(self) -> None:
        """Read what has come by now, then have the loop watch for more.

        A client that connects in order to ask has often asked by the time it is accepted, and one that wants one answer
        may be served, and closed, without the selector ever hearing of it (benchmarks: one connection per request).
        """
        self.transport.on_readable()
        if self.state is not CLOSED and not self.server.batch.watches_later(self):
            self.watch()

    def watch(self) -> None:
        """Have the loop watch it; if not a byte has come, the first message's time runs from now."""
        self.transport.watch()
        connection = self.connection
        if connection is not None and self.state is OPEN and not (self.mid_message or connection.persistent):
            self.server.receive_timeouts.expect(self)
            if self in self.server.batch:
                self.server.receive_timeouts.hold(self)

    @property
    def observer(self) -> Observer | None:
        return self.connection.observer if self.connection is not None else None

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
            pending.session = Session(self.transport.peer_name(), self, self.server.topics)
            pending.session.closed = self.state is CLOSED
        return pending.session

    # --- bytes in ----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        server = self.server
        loop = server.loop
        self.last_active = loop.coarse_now
        if server.max_requests:
            self._wind_down_before_the_last()
        batch = server.batch
        if (
            batch.waiting
            or batch.deferred
            or batch.unsent
            or len(data) >= LIGHT
            # One at rest that is alone in this turn is the first to be served. Of new ones many may be served in a turn
            # in which their listener alone was ready.
            or (loop.ready > 1 if self.connection is None else server.slowness.looked > loop.now + TURN)
        ):
            batch.add(self, data)
        else:  # nobody came before it, and nobody else's request could be answered in one step with its own
            replies, size = self.serve(data)
            if size < JOIN_BELOW and replies:  # what `write` would do, without the call
                self.transport.write(b"".join(replies))
            else:
                self.write(replies, size)

    def buffer_filled(self) -> None:
        """More of a large content has come, where it is to be."""
        self.last_active = self.server.loop.coarse_now
        if self.server.max_requests:
            self._wind_down_before_the_last()
        connection = self.connection
        if connection is None or not connection.content_filled:
            self._time_input(0)
            return
        self.transport.read_into(None)  # it is whole
        batch = self.server.batch
        if connection.undecoded or batch.late or batch.spent:
            batch.add(self, b"")
        else:  # nobody decodes it, and it leaves sooner from the processor's cache than from memory
            self._serve(b"", [], 0)

    def eof_received(self) -> None:
        data = self.server.batch.take(self)  # it may be among those that wait
        self.own_connection().feed_eof()
        self._serve(data, [], 0)

    def serve(self, data: bytes, its_turn: bool = False) -> tuple[list[BytesLike], int]:
        """Serve what has come as far as it may be served now. `its_turn`: it has waited while others were served.

        Returns the replies, and their contents' size, if it is at rest again: they may be sent with those of
        others. Else they were sent, or wait.
        """
        connection = self.connection
        if len(data) >= UNCOLLECTED or not (
            connection is None or (connection.needs_input and self.requests.__class__ is int)
        ):
            self._serve(data, [], 0, its_turn)
            return [], 0
        taken, replies, size = self._dispatch(data, self.server.limits.requests_per_event)
        connection = self.connection
        if connection is None:
            if taken == len(data):
                return replies, size
        elif self.state is CLOSED:
            return [], 0
        elif connection.state is FINISHED:
            self._set_close_reason(CloseReason.SERVED)
            advance(self, LIFECYCLE, COUPLED[FINISHED])
            if not connection.in_flight:
                self._finish(replies, size)
                return [], 0
        elif taken == len(data) and connection.at_rest:
            self._forget_connection()
            return replies, size
        elif taken and connection.closing:  # else what comes late is yet to be told so
            self._give_up_if_last()
        self._serve(data[taken:], replies, size)
        return [], 0

    def serve_later(self, data: bytes) -> None:
        """Serve `data` when the others had their turn."""
        self.pending.unserved += data
        self._yield(len(data))
        self._serve(b"", [], 0)

    def serve_on(self) -> None:
        """Serve on where serving had stopped: the others had their turn."""
        if self.state is not CLOSED:
            self.pending.yielded = False
            self._serve(b"", [], 0, its_turn=True)

    def pool_has_room(self) -> None:
        """Serve on where serving had stopped for want of a thread."""
        if self.state is not CLOSED:
            self._serve(b"", [], 0)

    def own_connection(self) -> Connection:
        """Its `Connection`: at rest it has none."""
        if self.connection is None:
            self.connection = Connection.kept_alive(self.server.codec)
        return self.connection

    @property
    def mid_message(self) -> bool:
        """A byte of a message has come that is not answered, handed over or refused."""
        connection, pending = self.connection, self._pending
        return (connection is not None and connection.mid_message) or (pending is not None and bool(pending.unserved))

    @property
    def in_flight(self) -> int:
        """Requests that await their reply."""
        return self.connection.in_flight if self.connection is not None else 0

    @property
    def buffered(self) -> int:
        """Bytes held that belong to no request yet."""
        connection, pending = self.connection, self._pending
        unserved = len(pending.unserved) if pending is not None else 0
        return unserved + (connection.buffered if connection is not None else 0)

    # --- serving -------------------------------------------------------------------------

    def _serve(self, data: bytes, replies: list[BytesLike], size: int, its_turn: bool = False) -> None:
        """Serve what waited, then `data`, as far as it may be served now, and prepare for the rest.

        `replies`, of `size` bytes, are still to be sent. `its_turn`: it has waited for this while others were served.
        """
        batch = self.server.batch
        if batch.waiting or batch.deferred:
            data = batch.take(self) + data  # whoever has it served on, what it has sent comes before what it sends
        if batch.unsent:
            batch.send_unsent()
        pending = self._pending
        if pending is not None:
            if pending.unserved:
                data, pending.unserved = pending.unserved + data, b""
            if pending.replies:
                self._release(pending.replies, bool(data))
        connection = self.connection
        undecoded = len(data) + (connection.undecoded if connection is not None else 0)
        if undecoded and not its_turn and (batch.stalled if undecoded < UNCOLLECTED else batch.spent):
            self._yield(undecoded)
        if undecoded < UNCOLLECTED:
            header_size = self._read_on(data, replies, size)
        else:
            with Uncollected():
                header_size = self._read_on(data, replies, size)
            if undecoded > DIRECT_CONTENT:  # more than one read: a large content, or as much that was put off
                batch.spend()
        self._settle()
        if self.state is OPEN or self.state is DRAINING:
            if self._may_serve():
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()
                if self._pending is not None and self._pending.held is not None and self.server.pool.full:
                    self.server.pool_queue.wait(self)
            self._look_after()
            self._time_input(header_size)
        self._rest()

    def _read_on(self, data: bytes, replies: list[BytesLike], size: int) -> int:
        """Serve what has come and waits, then `data`: whole requests together, one that came in parts by itself.

        `replies` were made before, of the same read, and leave with what is made here. Returns the size of the
        header of the message that is left in parts, if it has become whole now.
        """
        high = self.server.limits.write_high
        # One count for the turn: what was answered of this read before is part of it.
        budget = self.server.limits.requests_per_event - len(replies) // PARTS
        completed, header_size = bool(replies), 0
        while True:
            if size >= high:  # it may be more than the connection may have waiting
                self.write(replies, size)
                replies, size = [], 0
            if not self._may_serve():
                break
            if budget <= 0:
                self._yield(len(data))
                break
            connection, pending = self.connection, self._pending
            before = connection.state if connection is not None else PROTOHEADER
            made = len(replies)
            if pending is not None and pending.held is not None:
                self._run_held(replies, bool(data))
            elif (
                data
                and (connection is None or connection.between_messages)
                and (taken := self._take_whole(data, budget, replies))
            ):
                data = data[taken:]
                connection = self.connection
                if connection is not None and connection.state is FINISHED:
                    self._couple(before)
            elif not data and (connection is None or connection.needs_input):
                break
            else:
                connection = self.own_connection()
                late = connection.all_begun_read
                here = connection.buffered + len(data)
                event, data = connection.receive_part(data)
                if event is None:
                    break
                self._couple(before)
                before = connection.state
                if isinstance(event, HeaderReceived):
                    if late:
                        self._fail_input(ShuttingDown("the server is shutting down"), CloseReason.SHUTDOWN, replies)
                    else:
                        self._header_received(event.header)
                        header_size = here - len(data) - connection.buffered
                    continue
                self._handle(event, replies, bool(data))
            completed, header_size = True, 0
            self._give_up_if_last()
            size += sum(map(len, replies[made:]))
            budget -= (len(replies) - made) // PARTS
        connection = self.connection
        if data and connection is not None and connection.state in (FINISHED, FAILED, ENDED):
            self.pending.sends_on = True
        elif data:
            self.pending.unserved = data
        elif (
            connection is not None
            and connection.state is FINISHED
            and not (connection.in_flight or (self._pending is not None and self._pending.sends_on))
        ):
            self._finish(replies, size)
            return 0
        self.write(replies, size)
        if completed:
            self.server.receive_timeouts.stop(self)  # the next has its own time
        return header_size

    def _take_whole(self, data: bytes, budget: int, replies: list[BytesLike]) -> int:
        """Answer whole requests at the front of `data`; how many bytes that were."""
        taken, more, _ = self._dispatch(data, budget)
        replies += more
        return taken

    def _dispatch(self, data: bytes, most: int) -> tuple[int, list[BytesLike], int]:
        """Have the dispatcher answer at most so many whole requests: bytes taken, replies, their contents' size."""
        server = self.server
        served = server.dispatcher.serve(self, data, most, server.limits.write_high)
        loop = server.loop
        slowness = server.slowness
        now = loop.clock()
        if now - loop.now > SLOW:
            slowness.answered(self, data[: served[0]])
        slowness.looked = now
        answered = len(served[1]) // PARTS
        self.requests += answered
        if answered >= most:
            self._yield(len(data) - served[0])
        return served

    def _couple(self, before: str) -> None:
        """What RECEIVE has come to since it was in the state `before` is LIFECYCLE's business, too."""
        connection = self.connection
        if self.state is CLOSED:
            return  # by its own handler
        if connection is not None and connection.state is not before and connection.state in COUPLED:
            if connection.state is FINISHED:
                self._set_close_reason(CloseReason.SERVED)
            advance(self, LIFECYCLE, COUPLED[connection.state])

    def _may_serve(self) -> bool:
        """Is there room for the next reply, and is it this connection's turn?"""
        connection, requests = self.connection, self.requests
        if not self.transport.has_room or (connection is not None and connection.in_flight >= MAX_IN_FLIGHT):
            return False
        return isinstance(requests, int) or not (
            requests.yielded
            or (requests.held is not None and self.server.pool.full)
            or requests.replies.size >= self.server.limits.write_high
        )

    def _run_held(self, replies: list[BytesLike], more: bool) -> None:
        """The pool has room for the request that waited for it."""
        pending = self.pending
        held, pending.held = pending.held, None
        assert held is not None
        if held.decode_again():
            self.server.batch.spend()
        self._request(held, replies, more)

    def _yield(self, size: int) -> None:
        """It had its share of this turn, or the turn is over: the others first."""
        if not self.pending.yielded:
            self.pending.yielded = True
            self.server.batch.later(self, size)

    def _finish(self, replies: list[BytesLike], size: int) -> None:
        """All was answered, and it was the last: the reply and the FIN, in one packet if it can be."""
        transport = self.transport
        self.write(replies, size, last=True)
        if not transport.queued and self.state is DRAINING:
            transport.write_eof()  # before we look: a RST would take with it what the kernel still holds
            if transport.nothing_unread():
                # Its request was all it sent: nothing more is expected, so it need not linger.
                advance(self, LIFECYCLE, RELEASED)
                transport.close()
                return
        self.server.receive_timeouts.stop(self)
        self._settle()

    def _rest(self) -> None:
        """If it is at rest now, give back what only a busy connection needs."""
        pending = self._pending
        if self.connection is not None and self.connection.at_rest and not (pending is not None and pending.unserved):
            self._forget_connection()
        elif pending is not None and self.connection is None and pending.empty:
            self.requests = pending.requests

    def _forget_connection(self) -> None:
        """It is at rest: there is nothing in it that another would not have."""
        self.server.receive_timeouts.stop(self)
        self.connection = None
        pending = self._pending
        if pending is not None and pending.empty:
            self.requests = pending.requests

    # --- one event -----------------------------------------------------------------------

    def _header_received(self, header: Header) -> None:
        if header.deadline_ms is not None:
            self.pending.deadline = self.server.loop.clock() + header.deadline_ms / 1000
        if header.content_length >= DIRECT_CONTENT and not self.own_connection().content_filled:
            self.transport.read_into(self.connection)

    def _handle(self, event: Event, replies: list[BytesLike], more: bool) -> None:
        if isinstance(event, Request):
            self._request(event, replies, more)
        elif isinstance(event, Rejected):
            self.requests += 1
            self._take_deadline()
            replies += (*self.server.dispatcher.reject(self, event.header, event.error, more), b"")
        elif isinstance(event, Failed):
            self._set_close_reason(CloseReason.BAD_FRAMING)
            self.server.count_error(event.error)
            if event.error.looks_like is not None:
                self.server.sent_foreign(self, event.error.looks_like)
            else:
                self._met_limit(CloseReason.BAD_FRAMING, f"{event.error.code}: {event.error}")
            replies += (*self.reply(event.header, event.error), b"")
        elif isinstance(event, EndOfInput):
            gone = CloseReason.PEER_CLOSED if int(self.requests) else CloseReason.SILENT
            self._set_close_reason(CloseReason.TRUNCATED if event.truncated else gone)
            if self.state is CLOSED:
                self.transport.abort()  # it lingered, and they have finished

    def _request(self, request: Request, replies: list[BytesLike], more: bool) -> None:
        deadline = self._take_deadline()
        replies += (*self.server.dispatcher.respond(self, request, deadline, more), b"")
        self.requests += 1
        loop, slowness = self.server.loop, self.server.slowness
        now = loop.clock()
        if now - loop.now > SLOW:
            slowness.handled(self, request.content if request.header.is_json else request.header)
        slowness.looked = now

    def _take_deadline(self) -> float | None:
        if self._pending is None:
            return None
        deadline, self._pending.deadline = self._pending.deadline, None
        return deadline

    def failure(self, error: BaseException, asked: object) -> ProtocolError:
        """What its peer is told of what a handler raised that was asked this (see `libserver.failures`)."""
        return self.server.failure(error, self, asked)

    # --- blocking handlers -----------------------------------------------------------------

    def hand_over(self, action: Action, event: Request, deadline: float | None) -> Frame:
        """Let the pool run it; or hold it, and everything behind it, until the pool has room.

        Returns a reply if it can do neither; raises what is to be answered.
        """
        pool = self.server.pool
        pending = self.pending
        if self.own_connection().state is FINISHED:
            self._set_close_reason(CloseReason.SERVED)
        if pool.full:
            if self.server.pool_queue.may_wait(self):
                event.undecode()
                pending.held = event
                pending.deadline = deadline
                pending.requests -= 1  # whoever has called counts it, and so it is counted again when it is run
                return b"", b""
            return self._turn_away(event)
        reply = PendingReply(event.header, deadline)
        arguments = (event.content, self.session()) if action.wants_session else (event.content,)
        clock = self.server.loop.clock
        call: Callable[[], object] = partial(_call_in_time, clock, deadline, action.function, *arguments)
        if self.server.topics is not None:
            call = self.server.topics.on_behalf(partial(self._hold_events, reply), call)
        try:
            pool.submit(call, self._handler_returned, action, reply)
        except NoThread as error:
            text = "%s is not run: %s (ulimit -u, or the pids limit of its cgroup)"
            self.server.notices.tell("no-thread", text, action, error, facts=self.facts)
            raise ActionError("overloaded", "the server has no thread for this just now; try again later") from None
        pending.replies.append(reply)
        return b"", b""

    def _turn_away(self, event: Request) -> Frame:
        """Too many wait for a thread already: say so, and serve nothing more here."""
        self._set_close_reason(CloseReason.OVERLOADED)
        if self.own_connection().state is not FINISHED:
            self._give_up()
        error = Overloaded("all handler threads are busy and enough requests wait for one; try again later")
        return self.reply(event.header, error)

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

    def _handler_returned(self, action: Action, reply: PendingReply, result: object, error: Exception | None) -> None:
        self.server.pool_queue.handler_returned()
        if self.state is CLOSED:
            return
        self.last_active = self.server.loop.coarse_now
        if error is None:
            error = outlived(self.server.loop.clock, reply.deadline)
        if error is not None:
            result = self.failure(error, action)
        self.pending.replies.settle(reply, result, partial(self.failure, asked=action))
        self._serve(b"", [], 0)

    # --- replies out -----------------------------------------------------------------------

    def reply(self, header: Header | None, outcome: object, asked: object = None, more: bool = False) -> Frame:
        """What is to be sent now of the reply to `header`'s request: nothing if others are owed before it.

        `asked` is what a handler was asked whose result `outcome` is; `more`: something has come behind the request.
        """
        failure = partial(self.failure, asked=asked)
        connection, pending = self.connection, self._pending
        if connection is None or pending is None or not pending.replies:
            if connection is not None and connection.closing:
                self._end_with(1, more)
            return encode(connection, self.server.codec, header, outcome, failure)
        reply = PendingReply(header)
        pending.replies.append(reply)
        pending.replies.settle(reply, outcome, failure)
        if self.server.topics is not None and self.server.topics.unsent:
            self._hold_events(reply)
        return b"", b""

    def _release(self, queue: ReplyQueue, more: bool) -> None:
        """Send what is ready of `queue`, as far as the water mark lets it; `more`: something came behind it."""
        connection = self.own_connection()
        high = self.server.limits.write_high
        while self.transport.has_room:
            if queue and connection.winding_down and queue.size < high and queue.all_ready:
                self._end_with(len(queue), more)
            parts = queue.release(connection, high)
            if not parts:
                break
            self._give_up_if_last()
            self.write(parts)
            self._release_events()

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
            data = b"".join(replies)
            if data:
                transport.write(data, last)

    # --- events ----------------------------------------------------------------------------

    @property
    def subscriptions(self) -> dict[str, Subscription] | None:
        """What it listens to, by topic or pattern; None: nothing."""
        pending = self._pending
        return pending.subscriptions if pending is not None else None

    @subscriptions.setter
    def subscriptions(self, subscriptions: dict[str, Subscription] | None) -> None:
        if subscriptions is not None or self._pending is not None:
            self.pending.subscriptions = subscriptions

    @property
    def keeps_alive(self) -> bool:
        """Will it be kept alive after the reply that is being made, with no end ahead?"""
        connection = self.connection
        if self.state is not OPEN or connection is None:
            return self.state is OPEN
        return connection.persistent and connection.state is not FINISHED

    @property
    def delivers(self) -> bool:
        """May an event be sent now? It is open, has room, and no reply must leave first."""
        if self.state is not OPEN or not self.transport.has_room:
            return False
        pending = self._pending
        return pending is None or pending.events_after is None

    def _hold_events(self, reply: PendingReply) -> None:
        """What was or will be published may be caused by the request of `reply`, which is to leave before it."""
        pending = self._pending
        if pending is not None and pending.subscriptions and reply in pending.replies:
            pending.events_after = reply
            for subscription in pending.subscriptions.values():
                subscription.wait_for_reply()

    def _release_events(self) -> None:
        """If the reply that events wait for has left, let them go."""
        pending = self._pending
        if pending is None or pending.events_after is None or pending.events_after in pending.replies:
            return
        pending.events_after = None
        if self.server.topics is not None:
            self.server.topics.send_on(self)

    def overrun(self, topic: str) -> None:
        """It reads too slowly for its subscription: cut it, and say so where it can still be told."""
        said = f"it reads too slowly for its subscription to {shown(topic)}"
        self._met_limit(CloseReason.SLOW_CONSUMER, f"cut: {said}")
        if self.state is not OPEN or self.transport.queued:
            self.abort(CloseReason.SLOW_CONSUMER)
            return
        replies: list[BytesLike] = []
        self._fail_input(
            Overloaded(f"{said}: subscribe with another `slow`, or read faster"), CloseReason.SLOW_CONSUMER, replies
        )
        self.write(replies)
        self._settle()

    # --- room ------------------------------------------------------------------------------

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
        self._serve(b"", [], 0)
        if self.subscriptions is not None and self.server.topics is not None:
            self.server.topics.send_on(self)

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
        if self.mid_message:
            self.server.receive_timeouts.note(self, self.buffered, header_size, self.transport.reading)
        else:
            self.server.receive_timeouts.stop(self)

    def input_overdue(self, reason: CloseReason) -> None:
        if self.mid_message:
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
            and not self.mid_message
            and not self.in_flight
            and not self.transport.queued
            and self not in self.server.batch
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
        connection = self.own_connection()
        header = connection.header
        connection.owe_error()
        self.server.count_error(error)
        self._give_up()
        replies += (*self.reply(header, error), b"")

    def _give_up(self) -> None:
        connection = self.own_connection()
        connection.give_up()
        if self._pending is not None:
            self._pending.unserved = b""
        advance(self, LIFECYCLE, COUPLED[connection.state])

    def _end_with(self, replies: int, more: bool) -> None:
        """If so many replies are all that is owed, and nothing more has come, the last of them says `close`.

        What has come and is not read counts: a client that pipelines has sent it before it could know.
        """
        connection = self.own_connection()
        if (
            connection.winding_down
            and connection.in_flight == replies
            and self.state is OPEN
            and connection.state is not FINISHED
            and not (more or self.mid_message)
            and not self.transport.unread()
        ):
            self._set_close_reason(CloseReason.SHUTDOWN if self.server.draining else CloseReason.RETIRED)
            connection.start_drain()
            advance(self, LIFECYCLE, SHUTDOWN)

    def _give_up_if_last(self) -> None:
        """After the reply that said `close`, as the last, nothing is read, not even to be refused."""
        connection = self.connection
        if self.state is CLOSED:
            return  # by its own handler
        if connection is not None and connection.all_begun_read and not connection.in_flight:
            self._give_up()

    def refuse(self, error: Overloaded) -> None:
        """One connection too many: say so, linger briefly, close."""
        self._met_limit(CloseReason.OVERLOADED, f"refused: {error}")
        replies: list[BytesLike] = []
        self._fail_input(error, CloseReason.OVERLOADED, replies)
        self.write(replies)
        self._settle()
        self.transport.on_readable()
        self.transport.watch()

    def _settle(self) -> None:
        """If everything owed has left, take the next step towards the end."""
        if self.state is not DRAINING or self.in_flight or self.transport.queued or self.transport.closed:
            return  # closed: it was lost with what it kept, and will be told so
        connection = self.own_connection()
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
        if self.state is OPEN:
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
            if data := self.server.batch.take(self):
                self.pending.unserved += data
            unserved = len(self._pending.unserved) if self._pending is not None else 0
            self.own_connection().start_drain(unread + unserved)
            advance(self, LIFECYCLE, SHUTDOWN)
            self._serve(b"", [], 0)

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
        owes = self.in_flight > 0
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
        connection = self.own_connection()
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
        busy = self.mid_message or self.in_flight or self.state is not OPEN or self in self.server.batch
        return not (busy or int(self.requests) or (self._pending is not None and self._pending.held is not None))

    def connection_lost(self, error: Exception | None) -> None:
        """The transport has closed: the last thing that happens here."""
        if self.state is not CLOSED:
            self._cut_short(CloseReason.SILENT if self._silent else CloseReason.RESET)
            advance(self, LIFECYCLE, LOST)
        server = self.server
        batch = server.batch
        if batch.waiting or batch.deferred:
            batch.take(self)
        requests = self.requests
        if isinstance(requests, ActiveState):
            if requests.subscriptions and server.topics is not None:
                server.topics.forget(self)
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
            "state": f"{self.state}/{connection.state if connection is not None else PROTOHEADER}",
            "age": round(now - since, 1),
            "idle": round(now - self.last_active, 1),
            "in": self.buffered,
            "out": self.transport.queued,
            "in-flight": self.in_flight,
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
            "buffered": self.buffered,
            "queued": self.transport.queued,
            "in_flight": self.in_flight,
            "timers": [name for name, runs in timers.items() if runs],
            "reason": reason.value if reason is not None else None,
        }

    def __repr__(self) -> str:
        return f"<Message {self.state} {self.connection!r} {self.transport!r}>"
