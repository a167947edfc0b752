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
* A kept-alive connection between messages is at rest and owns next to nothing: no `Connection` and no `ActiveState`.
* A watched connection goes the same way; its requests are served one at a time, and its `Connection` takes the rows.

Not here: how a connection ends (`libserver.ending`), how long a message may take to arrive
(`libserver.receive_timeouts`), listeners, timers' queues and counters (`libserver.server`), handlers' threads
(`libserver.pool`).
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
    Overloaded,
    ShuttingDown,
)
from protocol.limits import DIRECT_CONTENT, UNCOLLECTED
from protocol.states import (
    CLOSED,
    COUPLED,
    DRAINING,
    ENDED,
    FAILED,
    FINISHED,
    LIFECYCLE,
    OPEN,
    OVER,
    PROTOHEADER,
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
from .reasons import CloseReason
from .replies import PendingReply, ReplyQueue, encode
from .session import Session
from .slowness import SLOW
from .subscription import Subscription

__all__ = ["Message"]


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
        return self.server.ending.reasons.get(self)

    @property
    def active(self) -> ActiveState | None:
        """What it has to remember, if it is not at rest."""
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

    @property
    def end_is_awaited(self) -> bool:
        """Has a handler asked to hear of its end (`Session.on_close`)?"""
        active = self.active
        return active is not None and active.session is not None and bool(active.session.endings)

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
            self.server.ending.set_reason(self, CloseReason.SERVED)
            advance(self, LIFECYCLE, COUPLED[FINISHED])
            if not connection.in_flight:
                self.server.ending.finish(self, replies, size)
                return [], 0
        elif taken == len(data) and connection.at_rest:
            self._forget_connection()
            return replies, size
        elif taken and connection.closing:  # else what comes late is yet to be told so
            self.server.ending.give_up_if_last(self)
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
        connection, pending = self.connection, self.active
        return (connection is not None and connection.mid_message) or (pending is not None and bool(pending.unserved))

    @property
    def in_flight(self) -> int:
        """Requests that await their reply."""
        return self.connection.in_flight if self.connection is not None else 0

    @property
    def buffered(self) -> int:
        """Bytes held that belong to no request yet."""
        connection, pending = self.connection, self.active
        unserved = len(pending.unserved) if pending is not None else 0
        return unserved + (connection.buffered if connection is not None else 0)

    # --- serving -------------------------------------------------------------------------

    def serve_rest(self) -> None:
        """Serve what is here, as far as it may be served now, and prepare for what is to come."""
        self._serve(b"", [], 0)

    def _serve(self, data: bytes, replies: list[BytesLike], size: int, its_turn: bool = False) -> None:
        """Serve what waited, then `data`, as far as it may be served now, and prepare for the rest.

        `replies`, of `size` bytes, are still to be sent. `its_turn`: it has waited for this while others were served.
        """
        batch = self.server.batch
        if batch.waiting or batch.deferred:
            data = batch.take(self) + data  # whoever has it served on, what it has sent comes before what it sends
        if batch.unsent:
            batch.send_unsent()
        pending = self.active
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
        self.server.ending.settle(self)
        if self.state is OPEN or self.state is DRAINING:
            if self._may_serve():
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()
                if self.active is not None and self.active.held is not None and self.server.pool.full:
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
            connection, pending = self.connection, self.active
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
                        error = ShuttingDown("the server is shutting down")
                        self.server.ending.fail_input(self, error, CloseReason.SHUTDOWN, replies)
                    else:
                        self._header_received(event.header)
                        header_size = here - len(data) - connection.buffered
                    continue
                self._handle(event, replies, bool(data))
            completed, header_size = True, 0
            self.server.ending.give_up_if_last(self)
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
            and not (connection.in_flight or (self.active is not None and self.active.sends_on))
        ):
            self.server.ending.finish(self, replies, size)
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
                self.server.ending.set_reason(self, CloseReason.SERVED)
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

    def _rest(self) -> None:
        """If it is at rest now, give back what only a busy connection needs."""
        pending = self.active
        if self.connection is not None and self.connection.at_rest and not (pending is not None and pending.unserved):
            self._forget_connection()
        elif pending is not None and self.connection is None and pending.empty:
            self.requests = pending.requests

    def _forget_connection(self) -> None:
        """It is at rest: there is nothing in it that another would not have."""
        self.server.receive_timeouts.stop(self)
        self.connection = None
        pending = self.active
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
            self.server.ending.set_reason(self, CloseReason.BAD_FRAMING)
            self.server.count_error(event.error)
            if event.error.looks_like is not None:
                self.server.sent_foreign(self, event.error.looks_like)
            else:
                self.server.ending.met_limit(self, CloseReason.BAD_FRAMING, f"{event.error.code}: {event.error}")
            replies += (*self.reply(event.header, event.error), b"")
        elif isinstance(event, EndOfInput):
            gone = CloseReason.PEER_CLOSED if int(self.requests) else CloseReason.SILENT
            self.server.ending.set_reason(self, CloseReason.TRUNCATED if event.truncated else gone)
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
        if self.active is None:
            return None
        deadline, self.active.deadline = self.active.deadline, None
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
            self.server.ending.set_reason(self, CloseReason.SERVED)
        if action.deferred:
            return self._defer(action, event, deadline)
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

    def _defer(self, action: Action, event: Request, deadline: float | None) -> Frame:
        """Run a handler that answers later, from the loop."""
        reply = PendingReply(event.header, deadline)
        self.pending.replies.append(reply)
        answered = False

        def answer(result: object = None, error: Exception | None = None) -> None:
            nonlocal answered
            if answered:
                raise RuntimeError(f"{action} has answered already")
            answered = True
            # In a call of its own: the handler may know at once, and then the reply is not owed yet.
            self.server.loop.call_soon(self._answered, action, reply, result, error)

        try:
            action.function(event.content, self.session(), answer)
        except Exception as error:
            if answered:
                self.failure(error, action)  # which tells the log; its answer stands
            else:
                answer(None, error)
        self._hold_events(reply)  # also those of what it has just now subscribed to
        return b"", b""

    def _turn_away(self, event: Request) -> Frame:
        """Too many wait for a thread already: say so, and serve nothing more here."""
        self.server.ending.set_reason(self, CloseReason.OVERLOADED)
        if self.own_connection().state is not FINISHED:
            self.server.ending.give_up(self)
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
        self._answered(action, reply, result, error)

    def _answered(self, action: Action, reply: PendingReply, result: object, error: Exception | None) -> None:
        """The outcome of a handler that has run elsewhere, or later."""
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
        connection, pending = self.connection, self.active
        if connection is None or pending is None or not pending.replies:
            if connection is not None and connection.closing:
                self.server.ending.end_with(self, 1, more)
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
                self.server.ending.end_with(self, len(queue), more)
            parts = queue.release(connection, high)
            if not parts:
                break
            self.server.ending.give_up_if_last(self)
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
        pending = self.active
        return pending.subscriptions if pending is not None else None

    @subscriptions.setter
    def subscriptions(self, subscriptions: dict[str, Subscription] | None) -> None:
        if subscriptions is not None or self.active is not None:
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
        return self.state is OPEN and self.transport.has_room and not self.owes_reply_first

    @property
    def owes_reply_first(self) -> bool:
        """Must a reply leave before any event?"""
        pending = self.active
        return pending is not None and pending.events_after is not None

    def _hold_events(self, reply: PendingReply) -> None:
        """What was or will be published may be caused by the request of `reply`, which is to leave before it."""
        pending = self.active
        if pending is None or reply not in pending.replies:
            return
        if pending.events_after is None or pending.replies.is_behind(reply, pending.events_after):
            pending.events_after = reply  # also for what is yet to be subscribed to
        for subscription in (pending.subscriptions or {}).values():
            subscription.wait_for_reply()

    def _release_events(self) -> None:
        """If the reply that events wait for has left, let them go."""
        pending = self.active
        if pending is None or pending.events_after is None or pending.events_after in pending.replies:
            return
        pending.events_after = None
        if self.server.topics is not None:
            self.server.topics.send_on(self)

    # --- room ------------------------------------------------------------------------------

    def kept(self, queued: int) -> None:
        """The peer does not read as fast as it asks: it has so much time, and so much room."""
        limit = self.server.limits.output_limit
        if limit and queued > limit:
            self.server.ending.above_output_limit(self)
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
            self.server.ending.settle(self)
            if not self.transport.closed:
                self._look_after()

    # --- timers --------------------------------------------------------------------------------

    def _time_input(self, header_size: int) -> None:
        """Have time run for the message that is arriving, if there is one, while we read it."""
        if self.mid_message:
            self.server.receive_timeouts.note(self, self.buffered, header_size, self.transport.reading)
        else:
            self.server.receive_timeouts.stop(self)

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

    def input_overdue(self, reason: CloseReason) -> None:
        self.server.ending.input_overdue(self, reason)

    def send_expired(self) -> None:
        self.server.ending.send_expired(self)

    def linger_expired(self) -> None:
        self.server.ending.linger_expired(self)

    def overrun(self, topic: str) -> None:
        if self.server.topics is not None:
            self.server.topics.forget(self)  # what comes next must not meet a subscription that is over
        self.server.ending.overrun(self, topic)

    def refuse(self, error: Overloaded) -> None:
        self.server.ending.refuse(self, error)

    def drain(self) -> None:
        self.server.ending.drain(self)

    def release(self, reason: CloseReason) -> None:
        self.server.ending.release(self, reason)

    def abort(self, reason: CloseReason) -> None:
        self.server.ending.abort(self, reason)

    def wind_down(self) -> None:
        """Serve on; the next reply behind which nothing more has come says `close`, and is the last."""
        if self.state is OPEN:
            self.own_connection().wind_down()

    def _wind_down_before_the_last(self) -> None:
        """If the next request is the last of `max_requests`, have its reply say `close`."""
        if int(self.requests) + 1 >= self.server.max_requests:
            self.wind_down()

    def connection_lost(self, error: Exception | None) -> None:
        """The transport has closed: the last thing that happens here."""
        server = self.server
        reason = server.ending.lost(self)
        batch = server.batch
        if batch.waiting or batch.deferred:
            batch.take(self)
        requests = self.requests
        if isinstance(requests, ActiveState):
            if requests.subscriptions and server.topics is not None:
                server.topics.forget(self)
            if requests.session is not None:
                requests.session.closed = True
        server.forget(self, reason)
        self.requests = int(requests)

    # --- for people --------------------------------------------------------------------------------

    def facts(self) -> dict[str, object]:
        """What a line of the log says of it: its number, peer, age in seconds, requests and bytes."""
        return self.server.facts(self, int(self.requests))

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
        """Its levels, for a trace: bytes in and out, requests in flight, the timers that run, why it ends.

        Of one that subscribes also to how much, and how many messages wait for it.
        """
        server = self.server
        reason = self.reason
        arriving = server.receive_timeouts.part(self)
        timers = {
            "header": arriving == "header",
            "content": arriving == "content",
            "send": self in server.send_timer,
            "linger": self in server.linger_timer or self in server.refused_timer,
        }
        levels = {
            "buffered": self.buffered,
            "queued": self.transport.queued,
            "in_flight": self.in_flight,
            "timers": [name for name, runs in timers.items() if runs],
            "reason": reason.value if reason is not None else None,
        }
        waiting = [len(one) for one in (self.subscriptions or {}).values() if one.state is not OVER]
        if waiting:
            levels |= {"subscriptions": len(waiting), "undelivered": sum(waiting)}
        return levels

    def __repr__(self) -> str:
        return f"<Message {self.state} {self.connection!r} {self.transport!r}>"
