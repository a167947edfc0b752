"""How does a request become a reply?

    frames.split      prefixes and headers, up to the first that is not common
    decode_contents   all their contents, in one call of the scanner
    _answer           value -> handler -> reply, in the order of the requests
    _serve_odd        the one behind them, whatever it asks; then from the start

*Common* is JSON whose header was seen before, or differs from one that was by its `id` alone. Everything else that
is whole is *odd*: the first request of a connection, a header not seen before, bytes, a deadline, `close`, an encoding
that nobody knows. An odd one is answered in its place, and costs its own time alone.

Rules:

* `serve` takes what came of one connection between two messages, with nothing owed and nobody watching
  (`Connection.clear`). It says how many bytes it took: less than all where a message is partial or broken, a
  one-shot has more behind it, or output enough was made. What is left is read by `protocol.connection`.
* It equals that reader: same bytes in, same calls, same replies, same state. Tests feed both the same
  bytes whole, bytewise, at every cut and with a tail (tests/libserver/test_dispatcher.py).
* `serve_each` does the same for what came on many connections, one common request on each.
* A handler's exception costs its own request an error reply. What `failure` raises again (Ctrl-C) leaves the
  replies before it where they are.
* It builds no object per common request or reply and calls nothing that it could do once for all: one
  slotted pair per message costs a fifth of the throughput at depth 16, and so does a scanner
  that is called for each content.

The header is looked up by the length that its own prefix gives. Looking it up by a *guessed*
length (the previous one's, say) would be faster and wrong: a short tail could match a longer
header's beginning.

Not here: which handler there is (`libserver.actions`), what is owed while a thread runs one (`libserver.message`,
`libserver.replies`), who waits for whom in a turn (`libserver.request_batch`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Protocol

from protocol import Connection, Frame, Header, Request
from protocol.content import (
    RESULT_TAIL,
    decode_contents,
    decode_json,
    decode_text,
    encode_error,
    encode_result,
    quote,
    text_codec,
    to_bytes,
)
from protocol.errors import AnswerableError, BadHeader, DeadlineExceeded, ProtocolError, bare
from protocol.frames import CLOSE, KEEP_ALIVE, Codec, split, split_each
from protocol.limits import DIRECT_CONTENT

from .actions import ANY_TYPE, Action, Actions
from .binary_reply import BytesLike, binary_reply

__all__ = ["PARTS", "Asker", "Dispatcher", "check_deadline", "outlived"]

#: Requests that are cut and read together. More would save little, and a peer whose every second
#: content is bad would have the rest of its read cut and read again for each of them.
TOGETHER = 32

#: In place of the value of a content that is not decoded yet, or could not be.
UNREAD = object()

#: A reply's parts: its head, what it says, and what stands behind that. Joined they are the reply.
PARTS = 3


class Asker(Protocol):
    """Who asks: a `libserver.message.Message`, as far as a dispatcher needs it."""

    #: None: it is kept alive, and nothing but whole requests has come of it since its last reply
    connection: Connection | None

    def own_connection(self) -> Connection:
        """Its `Connection`, made if it has none."""

    def session(self) -> dict[str, Any]:
        """The handlers' dictionary of this connection, made on first use."""

    def failure(self, error: BaseException, asked: object) -> ProtocolError:
        """What it is told of what a handler raised that was asked this. Raises `error` again if it is Ctrl-C."""

    def hand_over(self, action: Action, request: Request, deadline: float | None) -> Frame:
        """Run an `action` whose reply comes later. Returns a reply if it can't be; raises what is to be answered."""

    def reply(self, header: Header, outcome: object, asked: object, more: bool) -> Frame:
        """What is to be sent now of the reply to `header`: nothing if others are owed before it.

        `outcome` is a handler's result or an error, `more`: something has come behind this request.
        """


def outlived(clock: Callable[[], float], deadline: float | None) -> DeadlineExceeded | None:
    """The error of a request whose time has come."""
    if deadline is not None and clock() >= deadline:
        return DeadlineExceeded("the request outlived its deadline-ms")
    return None


def check_deadline(clock: Callable[[], float], deadline: float | None) -> None:
    """Raises `DeadlineExceeded` if that time has come."""
    if (error := outlived(clock, deadline)) is not None:
        raise error


@lru_cache(maxsize=64)
def _rejection(encoding: object) -> tuple[AnswerableError, bytes]:
    """Why a content in an encoding that nobody knows can't be read, and what its sender is told."""
    try:
        text_codec(encoding)
    except AnswerableError as error:
        return bare(error), encode_error(error)
    raise ValueError(f"{encoding!a} can be read")


class Dispatcher:
    """The one loop from requests to replies, for all connections of a server.

    `count` is told of each error that is no handler's; `clock` gives the seconds that deadlines are measured by.
    """

    __slots__ = ("_actions", "_clock", "_codec", "_count")

    def __init__(
        self, codec: Codec, actions: Actions, count: Callable[[ProtocolError], object], clock: Callable[[], float]
    ) -> None:
        self._codec = codec
        self._actions = actions
        self._count = count
        self._clock = clock

    # --- of one connection -----------------------------------------------------------------

    def serve(self, asker: Asker, data: bytes, max_requests: int, max_output: int) -> tuple[int, list[BytesLike], int]:
        """Answer the whole requests at the front of `data`.

        Returns how many bytes of `data` were taken, the replies in `PARTS` parts each, and the bytes
        of output: of all middle parts. Requires that `asker` is between two messages. At most `max_requests` are
        answered, and none is begun behind `max_output` bytes; where replies are owed, an observer watches or an end is
        ahead, one: whether the next may be served is the asker's to say.
        """
        codec = self._codec
        connection = asker.connection
        is_clear = connection is None or connection.clear
        # Columns need no `Connection`: of one that is kept alive each reply says the same.
        in_columns = connection is None or (connection.granted and is_clear)
        common: dict[bytes, int] = codec.common if in_columns else {}
        replies: list[BytesLike] = []
        available = len(data)
        at = output = 0
        while max_requests > 0 and available - at > 2:
            start = at + 2 + (data[at] << 8 | data[at + 1])
            framed = data[at:start]
            length, id = common.get(framed), b""
            is_odd, value = False, UNREAD
            if length is None:
                if start > available or start - at - 2 > codec.limits.max_header:
                    break
                header = codec.headers.get(framed)
                if header is None and in_columns:
                    length, id = codec.common_around_id(framed)
                is_odd = length is None and not (in_columns and header is not None and header.is_common)
            if not is_odd:
                ends: Sequence[int]
                if length is not None and start + length == available:
                    # One, and nothing behind it: what a client sends that awaits each reply.
                    try:
                        values = [decode_text(data[start:].decode())]
                    except (ValueError, RecursionError):
                        values = []  # bad content: what is odd has words for it
                    ids, unreadable, ends = {0: id} if id else None, None, (available,)
                else:
                    contents, ids, unreadable, ends, longest = split(codec, data, at, min(max_requests, TOGETHER))
                    values = decode_contents(contents, longest)
                answered, size = self._answer(values, ids, unreadable, (asker,), None, replies, max_output - output)
                if answered:
                    at = ends[answered - 1]
                    output += size
                    max_requests -= answered
                    if at == available or output >= max_output:
                        break
                    if answered == len(ends):
                        continue
                    start = at + 2 + (data[at] << 8 | data[at + 1])
                    framed = data[at:start]
                header = codec.headers.get(framed)
                if answered < len(values):
                    value = values[answered]
            end = self._serve_odd(asker, data, at, start, header, value, is_clear, replies)
            if not end:
                break
            at = end
            output += len(replies[-2])
            max_requests -= 1
            if at == available or output >= max_output:
                break
            connection = asker.connection
            in_columns = connection is None or (connection.granted and connection.clear)
            if not in_columns:
                break
            common = codec.common
        return at, replies, output

    def _serve_odd(
        self,
        asker: Asker,
        data: bytes,
        at: int,
        start: int,
        header: Header | None,
        value: object,
        is_clear: bool,
        replies: list[BytesLike],
    ) -> int:
        """Answer the one request at `at`, with its content at `start`, whatever it asks. Where it ends; 0: left alone.

        That is: it is not whole, it is broken, it is too large, it begins behind the last, or it is the last and has
        more behind it. `header` is what its header says, if it was seen before, and `value` its content, if it was
        decoded; `is_clear`: nothing is owed, and no observer watches.
        """
        codec = self._codec
        if header is None:
            try:
                header = codec.header(data[at:start])
            except BadHeader:
                return 0
        end = start + header.content_length
        available = len(data)
        if end > available or header.content_length > codec.content_limit(header):
            return 0
        connection = asker.connection
        is_last = header.connection == CLOSE or not (
            connection is None or connection.persistent or header.connection == KEEP_ALIVE
        )
        if (is_last and end != available) or (connection is not None and connection.all_begun_read):
            return 0
        content = data[start:end]
        if is_clear and header.is_common and header.decode is None and value is UNREAD:
            # The first of a connection, mostly: nothing but its place is odd.
            try:
                read: Any = decode_text(content.decode())
                value = read  # whoever answers it if no plain handler does need not decode it again
                function = self._actions.plain[read["action"]]
            except (ValueError, RecursionError, TypeError, KeyError):
                pass  # there is more to it
            else:
                try:
                    reply = encode_result(function(read))
                except BaseException as error:  # sys.exit() in a handler must not end the server
                    reply = encode_error(asker.failure(error, read))
                if connection is None and not is_last:
                    replies += (codec.json_reply_header(len(reply), header.id), reply, b"")
                else:
                    if connection is None:
                        connection = asker.own_connection()
                    connection.take_whole(header, end - at)
                    replies += (*connection.send_json(header, reply), b"")
                return end
        if connection is None and header.is_plain and header.id is None and not header.is_json:
            binary = self._actions.plain_binary
            handler = binary.get(header.content_type, binary.get(ANY_TYPE))
            if handler is not None:
                content_type = header.content_type
                try:
                    made = handler(content)
                    if made.__class__ is not bytes:
                        other = binary_reply(header, made)
                        made, content_type = other.content, other.content_type
                except BaseException as error:  # sys.exit() in a handler must not end the server
                    made = encode_error(asker.failure(error, header))
                    replies += (codec.json_reply_header(len(made)), made, b"")
                else:
                    replies += (codec.binary_reply_header(content_type, len(made)), made, b"")
                return end
        if is_last:
            connection = asker.own_connection()
        if connection is not None:
            connection.take_whole(header, end - at)
        replies += (*self._respond_to_content(asker, header, content, value, end != available), b"")
        return end

    def _respond_to_content(self, asker: Asker, header: Header, content: bytes, value: object, more: bool) -> Frame:
        """The reply to one that is bytes, has a deadline, wants a session or a thread, or is wrong."""
        deadline = None if header.deadline_ms is None else self._clock() + header.deadline_ms / 1000
        if not header.is_json:
            value = content
        elif value is UNREAD:
            try:
                value = decode_json(content, header.content_encoding)
            except AnswerableError as error:
                return self.reject(asker, header, error, more)
        encoded = content if header.is_json and len(content) >= DIRECT_CONTENT else None
        return self.respond(asker, Request(header, value, encoded), deadline, more)

    def reject(self, asker: Asker, header: Header, error: AnswerableError, more: bool) -> Frame:
        """The reply to one whose content can't be read."""
        self._count(error)
        return asker.reply(header, bare(error), None, more)

    def respond(self, asker: Asker, request: Request, deadline: float | None, more: bool) -> Frame:
        """The reply to `request`: nothing yet if a thread makes it, or if others are owed before it.

        `deadline` is when it must have begun, on the clock; `more`: something has come behind it.
        """
        header, value = request.header, request.content
        asked = value if header.is_json else header
        outcome: object
        try:
            check_deadline(self._clock, deadline)
            action = self._actions.find(header, value)
            if action.waits:
                if asker.connection is None:
                    asker.own_connection().take_whole(header, 0)
                return asker.hand_over(action, request, deadline)
            outcome = action.call(value, asker.session)
        except BaseException as error:  # sys.exit() in a handler must not end the server
            outcome = asker.failure(error, asked)
        return asker.reply(header, outcome, asked, more)

    # --- of many ---------------------------------------------------------------------------

    def serve_each(
        self,
        askers: Sequence[Asker],
        reads: Iterable[bytes],
        taken: list[int],
        replies: list[BytesLike],
        until: float,
    ) -> None:
        """Answer what came on several connections at rest, with one call of the scanner.

        `reads` is what was read of each of `askers`. Those that are one common request and nothing else are
        taken, their numbers put into `taken`; of these the first are answered, `PARTS` parts each put
        into `replies`. Not answered, though taken, are those behind bad content, from one on that a thread must
        run, and those left when the clock is beyond `until`.
        Where an interrupt comes between two handlers, or `failure` raises, the replies before it are there,
        and perhaps a part of the next.
        """
        contents, ids, numbers, longest = split_each(self._codec, reads)
        if contents:
            values = decode_contents(contents, longest)
            taken += numbers
            self._answer(values, ids, None, askers, numbers, replies, sys.maxsize, until)

    # --- the loop --------------------------------------------------------------------------

    def _answer(
        self,
        values: list[Any],
        ids: dict[int, bytes] | None,
        unreadable: dict[int, Header] | None,
        askers: Sequence[Asker],
        numbers: Sequence[int] | None,
        replies: list[BytesLike],
        max_output: int,
        until: float | None = None,
    ) -> tuple[int, int]:
        """Answer the common requests with these values; how many were answered, and the bytes of output.

        They are those of the one asker, or, with `numbers`, each of the asker with that number. It stops behind
        `max_output` bytes, when the clock is beyond `until`, and before a request that a thread must run.
        """
        codec = self._codec
        heads = codec.json_result_heads
        plain = self._actions.plain
        clock = self._clock
        before = len(replies)
        output = 0
        try:
            for value in values:
                try:
                    handler = plain[value["action"]]
                except (TypeError, KeyError):
                    number = (len(replies) - before) // PARTS
                    if unreadable is not None and number in unreadable:
                        content = self._reject(unreadable[number])
                    else:
                        asker = askers[numbers[number] if numbers is not None else 0]
                        made = self._content(asker, value)
                        if made is None:
                            break
                        content = made
                    size = len(content)
                    replies += (codec.json_reply_header(size), content, b"")
                else:
                    try:
                        result = handler(value)
                        if result.__class__ is str:
                            try:
                                content = quote(result).encode()
                            except UnicodeEncodeError:  # a lone surrogate
                                content = to_bytes(quote(result))
                            size = len(content)
                            try:
                                head = heads[size]
                            except KeyError:
                                head = codec.json_result_head(size)
                            tail = RESULT_TAIL
                        else:
                            content = encode_result(result)
                            size = len(content)
                            head, tail = codec.json_reply_header(size), b""
                    except BaseException as error:  # sys.exit() in a handler must not end the server
                        asker = askers[numbers[(len(replies) - before) // PARTS] if numbers is not None else 0]
                        content = encode_error(asker.failure(error, value))
                        size = len(content)
                        head, tail = codec.json_reply_header(size), b""
                    replies.append(head)
                    replies.append(content)
                    replies.append(tail)
                output += size
                if output >= max_output or (until is not None and clock() > until):
                    break
        finally:
            answered = (len(replies) - before) // PARTS
            if ids is not None:
                for number, id in ids.items():
                    if number < answered:
                        place = before + PARTS * number
                        whose = replies[place]
                        assert isinstance(whose, bytes)
                        replies[place] = codec.head_with_id(whose, id)
        return answered, output

    def _reject(self, header: Header) -> bytes:
        """What answers a JSON content in an encoding that nobody knows."""
        error, content = _rejection(header.content_encoding)
        self._count(error)
        return content

    def _content(self, asker: Asker, value: Any) -> bytes | None:
        """What answers a JSON value that no plain handler does; None if a thread must."""
        try:
            action = self._actions.of(value)
            if action is None:
                # Not raised: that would be half of what it costs.
                return encode_error(asker.failure(self._actions.refusal(value), value))
            if action.waits:
                return None
            return encode_result(action.call(value, asker.session))
        except BaseException as error:  # sys.exit() in a handler must not end the server
            return encode_error(asker.failure(error, value))
