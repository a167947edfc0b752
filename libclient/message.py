"""What becomes of one outgoing connection?

`Message` is the tutorial's word for it (elsewhere: connection). It connects, sends requests,
matches replies to them in order, and owns the connection's LIFECYCLE. It stands between a
`Transport`, which moves bytes, and a `protocol.Connection`, which knows what they mean.

    shared = Shared(loop, timeout=10.0)             # one for all connections of an owner
    message = Message(shared, owner, endpoints)     # begins to connect at once
    message.send(action_request("echo", 1), context)        # may be called before it is open

and the owner (see `Owner`) hears, always from the loop and never from inside its own call:

    owner.opened(message)                           # at most once
    owner.response(message, context, value, header) # per reply, in the order of the requests
    owner.closed(message, ending)                   # exactly once, the last

Rules:

* One request is in flight until a reply grants keep-alive; from then on all that are queued
  leave at once. Requests handed over in one call, and those sent from inside `response` while
  one read is being served, leave in one send.
* A peer that never grants keep-alive is one-shot, as the tutorial's is: after its reply
  `usable` is False and the message ends with ONE_SHOT (or LAST_REPLY), which is a success. The
  owner opens another for the next request, at once or on `closed`. Requests that were still
  queued come back in `Ending.unsent`.
* After the last reply we wait for the peer's FIN before closing, so that TIME_WAIT stays on
  the side that has ports to spare.
* A reply's `value` is the decoded JSON; bytes-like for other types; or, if the frame was whole
  and the content can't be decoded, the `protocol.ProtocolError` that says why. An error reply
  (`{"error": ...}`) is a reply like any other here.
* The reply timer watches the oldest request: a whole reply must come within `timeout` seconds
  of its being sent or of the reply before it. What is still being sent, and each further
  64 KiB of a large reply, begin the time anew; smaller trickles don't.
* Every change of LIFECYCLE is a row of `protocol.states`; RECEIVE's come over by `COUPLED`.
  The first cause of an end is its reason.

Not here: reconnecting, retrying (`libclient.pool`), sentences for people (`libclient.connect`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from eventloop import Connector, Endpoint, Transport
from eventloop.transport import close_socket
from protocol import (
    CLOSE,
    KEEP_ALIVE,
    Connection,
    EndOfInput,
    Event,
    Failed,
    Header,
    HeaderReceived,
    Notification,
    Rejected,
    Response,
)
from protocol.limits import DIRECT_CONTENT
from protocol.states import (
    ABORTED,
    CLOSED,
    CONNECTED,
    CONNECTING,
    COUPLED,
    DRAINING,
    ENDED,
    FINISHED,
    LIFECYCLE,
    LOST,
    OPEN,
    RELEASED,
    SETTLED_AFTER_EOF,
    SHUTDOWN,
    Observer,
    advance,
    begin,
)

from .outgoing import JOIN_BELOW, BytesLike, Outgoing
from .owner import Ending, Pair, Shared, UnaskedReply
from .reasons import EndReason
from .replies import whole_replies

__all__ = ["Ending", "Message", "Owner", "Pair", "Shared"]


class Owner(Protocol):
    """What a message tells its owner. `context` is what was handed to `send` with the request."""

    def opened(self, message: Message) -> None:
        """Connected."""

    def response(self, message: Message, context: Any, value: object, header: Header) -> None:
        """The reply to one request. `message.send`, `close` and `abort` may be called from here."""

    def closed(self, message: Message, ending: Ending) -> None:
        """It is over; nothing follows."""


class Message:
    """One outgoing connection.

    `state` is LIFECYCLE's. `reason` is why it ends, once that is known. `tag` is the owner's to
    use. `keep_alive=False` never asks for keep-alive: the one request goes out exactly as the
    tutorial's client sends it.

    `take_replies(message, data)`, if there is one, is asked first what to do with bytes that came
    on a kept-alive connection between two replies: it returns how many bytes of whole replies it has
    taken, and says before by `replies_taken` or `take_reply` which of `awaiting` they answer.
    """

    __slots__ = (
        "_awaiting",
        "_connector",
        "_corked",
        "_errors",
        "_in_sink",
        "_keep_alive",
        "_notified",
        "_queue",
        "_take_replies",
        "_timed",
        "connection",
        "owner",
        "reason",
        "shared",
        "state",
        "tag",
        "transport",
    )

    state: str

    def __init__(
        self,
        shared: Shared,
        owner: Owner,
        endpoints: Sequence[Endpoint],
        *,
        keep_alive: bool = True,
        tag: Any = None,
        take_replies: Callable[[Message, bytes], int] | None = None,
        notified: Callable[[Notification], object] | None = None,
    ) -> None:
        self.shared = shared
        self.owner = owner
        self.tag = tag
        self._take_replies = take_replies
        self._notified = notified
        self.connection = Connection(shared.codec, shared.observe())
        self.transport: Transport | None = None
        self.reason: EndReason | None = None
        self._keep_alive = keep_alive
        self._queue: deque[Pair] = deque()  # handed over and not begun to leave
        self._awaiting: deque[Pair] = deque()  # sent, in the order the replies will come
        self._errors: list[Exception] = []
        self._corked = False  # a read is being served: requests leave together after it
        self._timed = False  # the reply timer runs
        self._in_sink = 0  # bytes of a large reply seen so far
        begin(self, LIFECYCLE, CONNECTING)
        self._connector: Connector | None = Connector(
            shared.loop,
            endpoints,
            self._connected,
            self._not_connected,
            shared.connect_timeout,
            shared.socket_maker(self),
        )

    @property
    def observer(self) -> Observer | None:
        return self.connection.observer

    # --- facts -----------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Will a request handed over now be sent, as far as one can know?

        A one-shot connection takes one; with keep-alive asked for, and not yet granted, more may
        be queued at the risk of coming back `unsent`.
        """
        return self.state is OPEN or self.state is CONNECTING

    @property
    def granted(self) -> bool:
        """The peer has granted keep-alive: everything handed over leaves at once."""
        return self.connection.persistent

    @property
    def awaiting(self) -> Sequence[Pair]:
        """The requests sent and not answered, in order."""
        return self._awaiting

    @property
    def reads_whole(self) -> bool:
        """Are whole replies read in one step? On a connection kept alive, between two of those awaited, unobserved."""
        connection = self.connection
        return (
            bool(self._awaiting)
            and connection.persistent
            and connection.observer is None
            and connection.between_messages
        )

    @property
    def in_flight(self) -> int:
        """Requests sent and not answered."""
        return len(self._awaiting)

    @property
    def expected(self) -> int:
        """Replies that the peer is to give, which guards of LIFECYCLE's rows ask for."""
        return self.in_flight

    @property
    def queued(self) -> int:
        """Requests handed over and not begun to leave."""
        return len(self._queue)

    def gauges(self) -> dict[str, Any]:
        """Its levels, for a trace: bytes in and out, requests in flight and waiting, timers, why it ends."""
        return {
            "buffered": self.connection.buffered,
            "queued": self.transport.queued if self.transport is not None else 0,
            "in_flight": len(self._awaiting),
            "waiting": len(self._queue),
            "timers": [
                name for name, runs in (("reply", self._timed), ("linger", self in self.shared.linger_timer)) if runs
            ],
            "reason": self.reason.value if self.reason is not None else None,
        }

    # --- requests out ------------------------------------------------------------------

    def send(self, request: Outgoing, context: Any = None) -> None:
        """Send a request now if it may go now, else when it may; `context` comes back with its reply.

        On a message that is no longer `usable` it waits to come back in `Ending.unsent`; once
        `closed` was called that is a `RuntimeError`.
        """
        if self.state is CLOSED:
            self._refuse_if_over()
        self._queue.append((request, context))
        if not self._corked:
            self._flush()

    def send_all(self, pairs: Iterable[Pair]) -> None:
        """`send` for several, in one go."""
        if self.state is CLOSED:
            self._refuse_if_over()
        self._queue.extend(pairs)
        if not self._corked:
            self._flush()

    def _refuse_if_over(self) -> None:
        if self.transport is None and self._connector is None:
            raise RuntimeError("this message has ended: make another one")

    def _flush(self) -> None:
        """Let go what may leave now."""
        if not self._queue or self.state is not OPEN:
            return
        assert self.transport is not None
        if self.transport.closed:
            return  # lost, and about to be told so: what did not leave comes back `unsent`
        if not self.connection.persistent:
            self._send_first()
        else:
            while self._queue and self.transport.has_room and self.state is OPEN:
                self._send_batch()
        self._time_reply()

    def _send_first(self) -> None:
        """Whether the peer keeps connections alive is not known: one at a time."""
        connection = self.connection
        if not connection.can_send:
            return
        request, _ = pair = self._queue.popleft()
        frame = connection.send_request(
            request.content_type,
            request.content_encoding,
            request.content,
            connection=KEEP_ALIVE if self._keep_alive else None,
            id=request.id,
            deadline_ms=request.deadline_ms,
        )
        self._awaiting.append(pair)
        self._write(frame, len(frame[0]) + len(frame[1]))

    def _send_batch(self) -> None:
        """As many as fill the output to its high-water mark, in one send."""
        queue, awaiting, high = self._queue, self._awaiting, self.shared.marks.high
        parts: list[BytesLike] = []
        size = 0
        while queue and size <= high:
            pair = queue.popleft()
            awaiting.append(pair)
            request = pair[0]
            parts += request.framed
            size += request.size
        # Not by send_request: the header of a kept-alive request never changes, so it was built once.
        self._write(parts, size)

    def _write(self, parts: Sequence[BytesLike], size: int) -> None:
        assert self.transport is not None
        self.shared.bytes_sent += size
        if size < JOIN_BELOW:
            self.transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
        else:
            self.transport.writelines(parts)

    def pause_writing(self) -> None:
        """Above the high-water mark: `_flush` looks at the transport itself."""

    def resume_writing(self) -> None:
        self._flush()

    def kept(self, queued: int) -> None:
        """The reply's time runs already."""

    def flushed(self, queued: int) -> None:
        """Sending makes progress: the reply's time begins anew."""
        self._time_reply(anew=True)

    # --- replies in ----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self.shared.bytes_received += len(data)
        replies: list[tuple[Header, object]] = []
        whole = self.reads_whole
        if whole and self._take_replies is not None:
            data = self._take(data)
            if not data:
                return
            whole = self.reads_whole
        if whole:
            replies, taken = whole_replies(self.shared.codec, data, len(self._awaiting))
            data = data[taken:]
        self.connection.feed(data)
        self._read(replies)

    def _take(self, data: bytes) -> bytes:
        """Let the owner take the replies that it knows by their bytes; returns what is left."""
        assert self._take_replies is not None
        self._corked = True
        try:
            taken = self._take_replies(self, data)
        finally:
            self._corked = False
        if taken == len(data):  # between two replies, as before: nothing to walk or to settle
            self._time_reply(anew=True)
            self._flush()
            if self.state is DRAINING:
                self._settle()
        return data[taken:]

    def replies_taken(self, count: int) -> None:
        """From `take_replies`: so many replies were taken off, which are the owner's to make something of."""
        popleft = self._awaiting.popleft
        for _ in range(count):
            popleft()

    def take_reply(self, header: Header, value: object) -> None:
        """From `take_replies`: one reply it has read, to go the ordinary way to the owner."""
        self._reply(header, value)

    def buffer_filled(self) -> None:
        filled = self.connection.buffered
        self.shared.bytes_received += filled - self._in_sink
        if filled // DIRECT_CONTENT != self._in_sink // DIRECT_CONTENT:
            self._time_reply(anew=True)
        self._in_sink = filled
        self._read()

    def eof_received(self) -> None:
        self.connection.feed_eof()
        self._read()

    def _read(self, replies: Iterable[tuple[Header, object]] = ()) -> None:
        """Take the `replies`, then every event that is complete; then send what was asked for meanwhile."""
        connection = self.connection
        before = len(self._awaiting)
        self._corked = True
        rest = iter(replies)
        try:
            for header, value in rest:
                if self.state is CLOSED:
                    break
                self._reply(header, value)
            while self.state is not CLOSED:  # the owner may abort from inside a callback
                was = connection.state
                event = connection.next_event()
                if event is None:
                    break
                if connection.state is not was and connection.state in COUPLED:
                    advance(self, LIFECYCLE, COUPLED[connection.state])
                self._handle(event)
        except BaseException:  # of a callback: whoever catches it and turns the loop again gets what came behind
            self.shared.loop.call_soon(self._read, rest)
            raise
        finally:
            self._corked = False
        self._time_reply(anew=len(self._awaiting) != before)
        self._flush()
        self._settle()

    def _handle(self, event: Event) -> None:
        if isinstance(event, Response):
            self._reply(event.header, event.content)
        elif isinstance(event, Rejected):
            self._reply(event.header, event.error)
        elif isinstance(event, HeaderReceived):
            self._header_received(event.header)
        elif isinstance(event, Failed):
            self._fail(EndReason.BAD_FRAMING, event.error)
        elif isinstance(event, EndOfInput):
            self._set_close_reason(EndReason.TRUNCATED if event.truncated else EndReason.PEER_CLOSED)
        elif self._notified is not None:
            assert isinstance(event, Notification)
            self._notified(event)
        # else a Notification that was not asked for

    def _header_received(self, header: Header) -> None:
        if header.content_length >= DIRECT_CONTENT:
            assert self.transport is not None
            self._in_sink = self.connection.buffered
            self.transport.read_into(self.connection)

    def _reply(self, header: Header, value: object) -> None:
        if self.connection.state is FINISHED:
            self._set_close_reason(EndReason.LAST_REPLY if header.connection == CLOSE else EndReason.ONE_SHOT)
        if not self._awaiting:
            self.reason = None  # not a success, whatever else it says
            refused = isinstance(value, dict) and isinstance(value.get("error"), dict)
            self._fail(EndReason.REFUSED if refused else EndReason.MISMATCH, UnaskedReply(value))
            return
        request, context = self._awaiting.popleft()
        if header.id is not None and header.id != request.id:
            self._awaiting.appendleft((request, context))
            self.reason = None
            self._fail(EndReason.MISMATCH, UnaskedReply(value))
            return
        self.owner.response(self, context, value, header)

    # --- timers --------------------------------------------------------------------------

    def _time_reply(self, anew: bool = False) -> None:
        """Have the reply timer run while a reply is awaited."""
        if self._awaiting and (self.state is OPEN or self.state is DRAINING):
            if anew or not self._timed:
                self._timed = True
                self.shared.reply_timer.start(self)
        elif self._timed:
            self._timed = False
            self.shared.reply_timer.stop(self)

    def reply_expired(self) -> None:
        """The oldest request waited too long; those behind it can't be told apart from it any more."""
        self._timed = False
        self.abort(EndReason.REPLY_TIMEOUT)

    def linger_expired(self) -> None:
        """The last reply came and the FIN does not."""
        self.abort()

    # --- beginning and ending --------------------------------------------------------------

    def _connected(self, sock: Any) -> None:
        try:
            self.transport = Transport(self.shared.loop, sock, self, self.shared.marks)
        except OSError as error:  # the selector has no room for it
            close_socket(sock)
            self._not_connected([error])
            return
        self._connector = None
        advance(self, LIFECYCLE, CONNECTED)
        self._corked = True
        try:
            self.owner.opened(self)
        finally:
            self._corked = False
        self._flush()
        self._settle()

    def _not_connected(self, errors: list[OSError]) -> None:
        self._connector = None
        self._set_close_reason(EndReason.NOT_CONNECTED)
        self._errors += errors
        advance(self, LIFECYCLE, LOST)
        self._tell()

    def _set_close_reason(self, reason: EndReason) -> None:
        """The first cause is the reason."""
        if self.reason is None:
            self.reason = reason

    def _fail(self, reason: EndReason, error: Exception) -> None:
        self._errors.append(error)
        self.abort(reason)

    def _settle(self) -> None:
        """On the way out, take the next step once nothing is owed."""
        if self.state is not DRAINING:
            return
        assert self.transport is not None
        if self.connection.state is ENDED:
            advance(self, LIFECYCLE, SETTLED_AFTER_EOF)
            self.transport.abort()  # what is still kept has no reader
        elif self.connection.state is FINISHED:
            self.shared.linger_timer.start(self)
        elif not self._awaiting:
            self._set_close_reason(EndReason.DONE)
            advance(self, LIFECYCLE, RELEASED)
            self.transport.abort()  # everything is answered: what may still be kept has no reader

    def close(self) -> None:
        """Send nothing more, and close once all that was sent is answered; at once if it is."""
        if self.state is CONNECTING:
            self.abort(EndReason.DONE)
        elif self.state is OPEN:
            advance(self, LIFECYCLE, SHUTDOWN)
            if not self._corked:
                self._settle()

    def abort(self, reason: EndReason = EndReason.ABORTED) -> None:
        """Close now. Nothing happens if it is closed."""
        if self.state is CLOSED:
            return
        self._set_close_reason(reason)
        advance(self, LIFECYCLE, ABORTED)
        if self.transport is not None:
            self.transport.abort()
        elif self._connector is not None:
            self._connector.cancel()
            self.shared.loop.call_soon(self._tell)

    def connection_lost(self, error: Exception | None) -> None:
        """The transport has closed: the last thing that happens here."""
        if self.state is not CLOSED:
            self._set_close_reason(EndReason.RESET)
            advance(self, LIFECYCLE, LOST)
        if error is not None:
            self._errors.append(error)
        self._tell()

    def _tell(self) -> None:
        self._time_reply()
        self.shared.linger_timer.stop(self)
        self._connector = None
        self.transport = None
        unanswered, unsent = list(self._awaiting), list(self._queue)
        self._awaiting.clear()
        self._queue.clear()
        assert self.reason is not None
        self.owner.closed(self, Ending(self.reason, self._errors, unanswered, unsent))

    def __repr__(self) -> str:
        return f"<Message {self.state} in_flight={self.in_flight} {self.connection!r} {self.transport!r}>"
