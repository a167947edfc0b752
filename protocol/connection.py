"""What do these bytes mean, and which bytes say what we mean?

`Connection` is one end of one connection, without the connection: bytes go in and events come
out, replies go in and bytes come out, and no socket, clock or log is in sight.

    connection = Connection(SERVER)
    for event in connection.receive_data(data):       # or feed() and next_event(), one by one
        ...
    head, content = connection.send_json(request.header, b'{"result": 1}')

Rules:

* RECEIVE (`protocol.states`) decides which parser reads next; each state has its own.
* Replies are encoded in the order they are sent, because whether one of them grants
  `keep-alive` or says `close` depends on those before it.
* What can't be a header is refused at its first byte, not when its length has come (`protocol.foreign`).
* Memory: at most the limits' worth of one message, plus what was fed and not yet taken.

Not here: many whole messages at once (`protocol.frames.split`), LIFECYCLE (whoever owns the socket
drives it, by `states.COUPLED`).
The shape (events out of bytes, a parser per state) is h11's and the websockets sans-I/O layer's.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from .content import JSON_ENCODING, JSON_TYPE, decode_json, encode_error
from .errors import (
    AnswerableError,
    BadHeader,
    ContentTooLarge,
    FatalError,
    HeaderTooLarge,
    LocalError,
    ProtocolError,
    bare,
)
from .events import EndOfInput, Event, Failed, HeaderReceived, Notification, Rejected, Request, Response
from .foreign import JSON_SPACE, SAMPLE, looks_like
from .frames import CLOSE, KEEP_ALIVE, PREFIX_LENGTH, SERVER, Codec, Header, encode_header
from .limits import DIRECT_CONTENT, MAX_CONTENT_TYPE
from .states import (
    CONTENT,
    CONTENT_READ,
    ENDED,
    EOF_READ,
    FAILED,
    FINISHED,
    FRAMING_LOST,
    GIVEN_UP,
    HEADER_READ,
    JSONHEADER,
    LAST_CONTENT_READ,
    PREFIX_READ,
    PROTOHEADER,
    RECEIVE,
    Observer,
    advance,
    advance_through,
    begin,
)

__all__ = ["Connection", "Frame"]

#: What RECEIVE is given by a message that came whole, and by one that is the last.
_WHOLE = (PREFIX_READ, HEADER_READ, CONTENT_READ)
_LAST_WHOLE = (PREFIX_READ, HEADER_READ, LAST_CONTENT_READ)

#: What a send returns: prefix with header, then the content; kept apart so that a large
#: content is never copied.
Frame = tuple[bytes, bytes | bytearray | memoryview]


def _no_object(begun: bytearray) -> BadHeader | None:
    """The error for what can't become a header, in one piece or in many; None if it may."""
    first = begun.lstrip(JSON_SPACE)[:1]
    if not first or first == b"{":
        return None
    return BadHeader("the header must be a JSON object, and so begin with '{'")


class Connection:
    """One end of a connection, sans I/O: bytes in, events out; replies in, bytes out (the idea is h11's).

    `codec` has the role, the limits and the caches that all connections of one endpoint share. `observer` hears of
    every transition.

    Attributes: `state` is RECEIVE's. `in_flight` counts requests that await their reply (server; a client has to keep
    what it asked anyway, to know what a reply answers, and knows the number from that). `persistent`: keep-alive was
    asked for (server) or granted (client). `granted`: a reply has said so (server). `asked`: a request was sent
    (client). `closing`: it will not be kept for long (see `wind_down` and `start_drain`).
    """

    __slots__ = (
        "_buffer",
        "_content",
        "_eof",
        "_fence",
        "_filled",
        "_header",
        "_white",
        "asked",
        "closing",
        "codec",
        "granted",
        "in_flight",
        "observer",
        "persistent",
        "state",
    )

    state: str

    def __init__(self, codec: Codec, observer: Observer | None = None) -> None:
        self.codec = codec
        self.observer = observer
        self.in_flight = 0
        self.asked = False
        self.persistent = False
        self.closing = False
        self.granted = False
        self._eof = False
        self._buffer: bytearray | None = None  # bytes fed and not yet taken; None when there are none
        self._header: Header | None = None  # of the message whose content is being read
        self._content: bytearray | None = None  # a large content, received in place
        self._filled = 0  # bytes of _content that have arrived
        self._white = 0  # bytes at the buffer's front that are a prefix and white space, or need no second look
        self._fence: float = 0  # bytes from the buffer's front on that count as begun; inf: whatever comes
        begin(self, RECEIVE, PROTOHEADER)

    # --- bytes in, events out ------------------------------------------------------

    def receive_data(self, data: bytes | bytearray | memoryview) -> list[Event]:
        """Every event that `data` completes: `feed` and `next_event` in one.

        What is wrong with the bytes is an event too (`Rejected`, `Failed`), never an exception.
        """
        self.feed(data)
        return self._events()

    def receive_eof(self) -> list[Event]:
        """The peer has finished sending; the last event is `EndOfInput`."""
        self.feed_eof()
        return self._events()

    def _events(self) -> list[Event]:
        events = []
        while (event := self.next_event()) is not None:
            events.append(event)
        return events

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take a copy of bytes in without looking at them yet. Behind the last message they are thrown away."""
        if self.state is FINISHED or self.state is FAILED or self.state is ENDED:
            return  # not served: thrown away
        if not data:
            return  # an empty buffer would look like a message that has begun
        if self._content is not None:
            size = len(data)
            data = self._fill(data)
            self._pass_fence(size - len(data))
            if not data:
                return
        if self._buffer is None:
            self._buffer = bytearray(data)
        else:
            self._buffer += data

    def feed_eof(self) -> None:
        """The peer has finished sending; takes effect once what it sent was taken."""
        self._eof = True

    def next_event(self) -> Event | None:
        """The next event, or None until more is fed.

        A caller that wants to stop between two messages (because its output is full, say) takes events one by one and
        leaves the rest undecoded.
        """
        while (parse := _PARSERS.get(self.state)) is not None:
            before = self.state
            event = parse(self)
            if event is not None:
                return event
            if self.state is before:
                break
        return self._end_of_input()

    def receive_part(self, data: bytes) -> tuple[Event | None, bytes]:
        """Read on in the one message that is arriving: the next event, and what of `data` stands behind it.

        No byte of the next message is taken, and none where no message is read any more.
        """
        at = 0
        while (parse := _PARSERS.get(self.state)) is not None:
            before = self.state
            missing = self._missing()
            part = data[at : at + missing]
            self.feed(part)
            at += len(part)
            begun = self._buffer
            event = parse(self)
            if event is not None:
                if self._content is not None and at < len(data):  # a large one: copy what belongs to it, and no more
                    with memoryview(data) as view:
                        taken = len(view) - at - len(self._fill(view[at:]))
                    self._pass_fence(taken)
                    at += taken
                rest = data[at:]
                if rest and isinstance(event, Failed) and begun is not None:
                    event.error.looks_like = looks_like(bytes(begun[:SAMPLE]) + rest[:SAMPLE])
                return event, rest
            if self.state is before:
                break
        return self._end_of_input(), data[at:]

    def _missing(self) -> int:
        """Bytes that the part that is being read still lacks."""
        buffer = self._buffer
        here = len(buffer) if buffer is not None else 0
        if self.state is PROTOHEADER:
            return PREFIX_LENGTH - here
        if self.state is JSONHEADER:
            assert buffer is not None
            return PREFIX_LENGTH + int.from_bytes(buffer[:PREFIX_LENGTH], "big") - here
        assert self._header is not None
        return self._header.content_length - (here if self._content is None else self._filled)

    def take_whole(self, header: Header, size: int) -> None:
        """A request of `size` bytes, with this header, came whole and is answered without an event: account for it."""
        if header.connection == KEEP_ALIVE:
            self.persistent = True
        is_last = not self.persistent or header.connection == CLOSE
        if self._fence > 0:
            self._fence -= size
        advance_through(self, RECEIVE, _LAST_WHOLE if is_last else _WHOLE)
        self.in_flight += 1

    def _end_of_input(self) -> Event | None:
        if self._eof and self.state is not ENDED:
            truncated = self.mid_message
            advance(self, RECEIVE, EOF_READ)
            self._forget()
            return EndOfInput(truncated)
        return None

    @property
    def owed(self) -> int:
        """Replies that are ours to give: a server's requests in flight, and the one that has begun to arrive."""
        return self.in_flight + self.mid_message if self.codec.role is SERVER else 0

    @property
    def mid_message(self) -> bool:
        """A message has begun (a byte of it was fed) and is not whole."""
        if self.state is PROTOHEADER:
            return self._buffer is not None
        return self.state is JSONHEADER or self.state is CONTENT

    @property
    def clear(self) -> bool:
        """Between messages, with nothing owed, no observer and no end ahead: what comes may be answered at once."""
        return (
            self.state is PROTOHEADER
            and self._buffer is None
            and self.in_flight == 0
            and self.observer is None
            and not self.closing
        )

    @property
    def between_messages(self) -> bool:
        """Not a byte of the next message was fed, and it may come."""
        return self.state is PROTOHEADER and self._buffer is None

    @property
    def needs_input(self) -> bool:
        """Between messages, and neither a byte nor the end of the next is here."""
        return self.state is PROTOHEADER and self._buffer is None and not self._eof

    @property
    def at_rest(self) -> bool:
        """Kept alive, between messages, nothing owed: all such connections are alike.

        A server needs no `Connection` for one, until it has something to remember (`kept_alive`).
        """
        return self.granted and not self._eof and self.clear

    @classmethod
    def kept_alive(cls, codec: Codec) -> Connection:
        """A connection at rest."""
        connection = cls(codec)
        connection.persistent = connection.granted = True
        return connection

    @property
    def buffered(self) -> int:
        """Bytes held that belong to no event yet."""
        return (len(self._buffer) if self._buffer is not None else 0) + self._filled

    @property
    def undecoded(self) -> int:
        """Bytes at hand that may be decoded now: of a large content none before it is whole, or if it is no JSON."""
        if self._content is None:
            return len(self._buffer) if self._buffer is not None else 0
        header = self._header
        assert header is not None
        return self._filled if header.is_json and self._filled == header.content_length else 0

    @property
    def content_filled(self) -> bool:
        """A large content has come, all of it, and is the next event."""
        return self._content is not None and self._header is not None and self._filled == self._header.content_length

    def give_up(self) -> None:
        """No more input will be served (a timeout, say): whatever comes is thrown away.

        Raises `UnlistedTransition` where none would be: after the last message, a failure, or the end.
        """
        advance(self, RECEIVE, GIVEN_UP)
        self._forget()

    def wind_down(self) -> None:
        """Serve on, and expect an end: it is neither at rest nor clear any more, so that any reply may become the last.

        The owner of the socket calls `start_drain` right before the reply that shall say `close`.
        """
        if not self.closing:
            self.closing = True
            self._fence = math.inf

    @property
    def winding_down(self) -> bool:
        """An end is expected (`wind_down`) and has not begun (`start_drain`)."""
        return self._fence == math.inf

    def start_drain(self, unread: int = 0) -> None:
        """Serve the messages that have begun, and none that begins later.

        A message has begun if a byte of it was fed, or is among the `unread` bytes that are still to be
        fed. The last reply will say `close`; `all_begun_read` tells when all are read.
        """
        self.closing = True
        self._fence = unread + (len(self._buffer) if self._buffer is not None else 0)

    @property
    def all_begun_read(self) -> bool:
        """After `start_drain`: whatever is read from here on began later."""
        return self.closing and self._fence <= 0 and (self.state is PROTOHEADER or self.state is JSONHEADER)

    @property
    def header(self) -> Header | None:
        """The header of the message whose content is being read; None between messages."""
        return self._header

    # --- one parser per state ------------------------------------------------------

    def _read_prefix(self) -> Event | None:
        buffer = self._buffer
        if buffer is None or len(buffer) < PREFIX_LENGTH:
            return None
        length = int.from_bytes(buffer[:PREFIX_LENGTH], "big")
        if length == 0:
            return self._lose_framing(BadHeader("the header is empty"))
        limit = self.codec.limits.max_header
        if length > limit:
            return self._lose_framing(HeaderTooLarge(f"a header of {length} bytes is above the limit of {limit}"))
        self._white = PREFIX_LENGTH
        advance(self, RECEIVE, PREFIX_READ)
        return None

    def _read_header(self) -> Event | None:
        buffer = self._buffer
        assert buffer is not None  # the prefix stays in it until the header is whole
        end = PREFIX_LENGTH + int.from_bytes(buffer[:PREFIX_LENGTH], "big")
        if len(buffer) < end:
            return self._look_at_beginning(buffer, end) if len(buffer) > self._white else None
        try:
            header = self.codec.header(bytes(buffer[:end]))
        except BadHeader as error:
            return self._lose_framing(_no_object(buffer[PREFIX_LENGTH:end]) or bare(error))
        limit = self.codec.content_limit(header)
        if header.content_length > limit:
            # Not shown in full: it may have four thousand digits.
            what = "JSON content" if header.is_json else "content"
            return self._lose_framing(ContentTooLarge(f"the {what} is above the limit of {limit} bytes"), header)
        advance(self, RECEIVE, HEADER_READ)
        if header.connection == KEEP_ALIVE:
            self.persistent = True
        self._header = header
        self._take(end)
        if header.content_length >= DIRECT_CONTENT:
            self._begin_large(header.content_length)
        return HeaderReceived(header)

    def _look_at_beginning(self, buffer: bytearray, end: int) -> Event | None:
        """Of a header that is not whole: can it become one? Each byte is looked at once, however they come."""
        new = buffer[self._white :]
        error = _no_object(new)
        if error is not None:
            return self._lose_framing(error)
        self._white = end if new.lstrip(JSON_SPACE) else len(buffer)  # the end: there is nothing more to look for
        return None

    def _read_content(self) -> Event | None:
        header = self._header
        assert header is not None
        length = header.content_length
        content: bytes | bytearray
        if self._content is not None:
            if self._filled < length:
                return None
            content = self._content
            self._content = None
            self._filled = 0
        else:
            buffer = self._buffer
            if (len(buffer) if buffer is not None else 0) < length:
                return None
            content = bytes(buffer[:length]) if buffer is not None else b""
            self._take(length)
        self._header = None
        return self._message(header, content)

    def _message(self, header: Header, content: bytes | bytearray) -> Event:
        notification = header.event is not None
        last = header.connection == CLOSE or not self.persistent
        advance(self, RECEIVE, LAST_CONTENT_READ if last and not notification else CONTENT_READ)
        if self.state is FINISHED:
            self._forget()
        server = self.codec.role is SERVER
        if server:
            self.in_flight += 1
        value: object = content
        if header.is_json:
            try:
                value = decode_json(content, header.content_encoding)
            except AnswerableError as error:
                if not notification:
                    return Rejected(header, bare(error))
                value = None  # it answers nothing, so there is nobody to tell
        if notification:
            return Notification(header, value)
        if not server:
            return Response(header, value)
        return Request(header, value, content if header.is_json and len(content) >= DIRECT_CONTENT else None)

    def _lose_framing(self, error: FatalError, header: Header | None = None) -> Event:
        assert self._buffer is not None  # what is no message was found in it
        # Not in the error's words: these must not depend on how much has come by now.
        error.looks_like = looks_like(bytes(self._buffer[:SAMPLE]))
        advance(self, RECEIVE, FRAMING_LOST)
        self._forget()
        if self.codec.role is SERVER:
            self.in_flight += 1  # the error is a reply like another: it waits its turn
        return Failed(header, error)

    # --- the buffers ---------------------------------------------------------------

    def _take(self, count: int) -> None:
        """Drop bytes from the front. For a bytearray that is cheap: no copy, the start moves."""
        if count:
            assert self._buffer is not None
            self._pass_fence(count)
            del self._buffer[:count]
            if not self._buffer:
                self._buffer = None

    def _pass_fence(self, count: int) -> None:
        if self._fence > 0:
            self._fence -= count

    def _forget(self) -> None:
        self._buffer = None
        self._header = None
        self._content = None
        self._filled = 0

    def _begin_large(self, length: int) -> None:
        """Receive this content in place. What came with the header moves over.

        The buffer grows as it fills instead of taking the announced size at once, so that what
        a peer can make us hold stays in proportion to what it really sent (`_grow`).
        """
        self._content = bytearray(DIRECT_CONTENT)
        rest = self._buffer
        self._buffer = None
        if rest is not None:
            with memoryview(rest) as view:
                over = bytes(self._fill(view))
            self._pass_fence(len(rest) - len(over))
            if over:
                self._buffer = bytearray(over)

    def _fill(self, data: bytes | bytearray | memoryview) -> memoryview:
        """Copy into the large content what belongs there; return what does not."""
        assert self._header is not None
        view = memoryview(data)
        count = min(len(view), self._header.content_length - self._filled)
        while (space := self.get_buffer()) is not None and count:
            part = min(len(space), count)
            space[:part] = view[:part]
            space.release()
            self._filled += part
            view = view[part:]
            count -= part
        return view

    def get_buffer(self) -> memoryview | None:
        """Where the next bytes may be received straight into, or None (use `feed`).

        Release it before `buffer_updated`, which tells how many bytes were put there.
        """
        content = self._content
        if content is None or self._header is None:
            return None
        length = self._header.content_length
        if self._filled == length:
            return None
        if len(content) < length and len(content) - self._filled < self._filled:
            content = self._grow(content, length)
        return memoryview(content)[self._filled :]

    def _grow(self, content: bytearray, length: int) -> bytearray:
        """Sixteen times what has come, rounded up to a power of two: a megabyte after the first 64 KiB.

        A smaller step copies more often; at the announced size from the start, a peer could
        have us fill memory with zeros for nothing.
        """
        larger = bytearray(min(length, 1 << (16 * self._filled - 1).bit_length()))
        larger[: self._filled] = memoryview(content)[: self._filled]
        self._content = larger
        return larger

    def buffer_updated(self, count: int) -> None:
        """`count` bytes were put where `get_buffer` said."""
        self._filled += count
        self._pass_fence(count)

    # --- replies out (server) ------------------------------------------------------

    def send_json(self, request: Header | None, content: bytes) -> Frame:
        """Frame the JSON `content` as the reply to `request` (None: to a request whose header never came).

        Returns two parts, head and content, to be sent behind each other. Counts one request in flight less. Raises
        `LocalError` for a client, which sends requests.
        """
        if self.codec.role is not SERVER:
            raise LocalError("a client sends requests, not replies")
        connection = self._next_reply()
        id = request.id if request is not None else None
        if connection is None:
            return self.codec.json_reply_header(len(content), id), content
        return encode_header(JSON_TYPE, JSON_ENCODING, len(content), connection=connection, id=id), content

    def send_binary(self, request: Header, content_type: str, content: bytes | bytearray | memoryview) -> Frame:
        """Frame a binary reply to `request`. Raises `LocalError`, nothing sent, for a type too long."""
        if self.codec.role is not SERVER:
            raise LocalError("a client sends requests, not replies")
        if not isinstance(content_type, str) or len(content_type) > MAX_CONTENT_TYPE:
            raise LocalError(f"a content type is a string of at most {MAX_CONTENT_TYPE} characters")
        connection = self._next_reply()
        if connection is None:
            return self.codec.binary_reply_header(content_type, len(content), request.id), content
        head = encode_header(content_type, "binary", len(content), connection=connection, id=request.id)
        return head, content

    def send_error(self, request: Header | None, error: ProtocolError) -> Frame:
        """Frame `error` as the reply to `request`, whatever the request's type was (None: its header never came).

        What happens next follows from the error's type: `AnswerableError` goes on, `FatalError` ends the input.
        """
        return self.send_json(request, encode_error(error))

    def owe_error(self) -> None:
        """Count one reply more than requests: an error that answers no message, such as a timeout."""
        self.in_flight += 1

    def _next_reply(self) -> str | None:
        """Account for one reply and tell what it must say of the connection."""
        if self.in_flight < 1:
            raise LocalError("no request awaits a reply")
        self.in_flight -= 1
        if self.in_flight == 0 and (self.all_begun_read or self.state in (FINISHED, FAILED, ENDED)):
            return CLOSE if self.persistent or self.closing else None
        if self.persistent and not self.granted:
            self.granted = True
            return KEEP_ALIVE
        return None

    # --- requests out (client) -----------------------------------------------------

    def send_request(
        self,
        content_type: str,
        content_encoding: str,
        content: bytes | bytearray | memoryview,
        *,
        connection: str | None = KEEP_ALIVE,
        id: str | int | None = None,
        deadline_ms: int | None = None,
    ) -> Frame:
        """Frame a request. Raises `LocalError` if the peer would not serve it.

        That is: a second request before keep-alive was granted, or one after the last.
        `connection` None says nothing: once keep-alive was granted it sticks; before, it makes
        this request the only one.
        """
        if self.codec.role is SERVER:
            raise LocalError("a server sends replies, not requests")
        if not self.can_send:
            raise LocalError("no further request may be sent on this connection")
        head = encode_header(
            content_type,
            content_encoding,
            len(content),
            connection=connection,
            id=id,
            deadline_ms=deadline_ms,
        )
        self.asked = True  # only now: a header that can't be encoded is not sent
        if connection == CLOSE or (connection != KEEP_ALIVE and not self.persistent):
            self.closing = True
        return head, content

    @property
    def can_send(self) -> bool:
        """May a client send a request now? One at first; any number once keep-alive was granted."""
        if self.closing or self.state in (FINISHED, FAILED, ENDED):
            return False
        return self.persistent or not self.asked

    def __repr__(self) -> str:
        count = f" in_flight={self.in_flight}" if self.codec.role is SERVER else ""
        return f"<Connection {self.codec.role} {self.state}{count}>"


#: Each state picks its parser; a state without one reads nothing.
_PARSERS: dict[str, Callable[[Connection], Event | None]] = {
    PROTOHEADER: Connection._read_prefix,
    JSONHEADER: Connection._read_header,
    CONTENT: Connection._read_content,
}
