"""How are many whole requests answered together?

The walk through RECEIVE, state by state and event by event, is how a message is *understood*.
Most messages need no such care: they arrive whole, between two others, with a header seen
before. `answer_batch` takes each of them from PROTOHEADER through JSONHEADER and CONTENT and
back to PROTOHEADER in one step, and collects the replies so that they can leave in one send:

    _cut             prefixes and headers, up to the first that is not common
    decode_contents  all their contents, in one call of the scanner
    _answer          value -> handler -> reply, in the order of the requests
    _answer_other    the one behind them, if it is ordinary all the same; then from the start

*Common* is JSON whose header was seen before, or differs from one that was by its `id` alone.
*Ordinary* is also a header not seen before, bytes, and the first request of a connection.

`answer_each` does the same for what came on many connections, one common request on each.

Rules:

* It stops at the first message that is anything but ordinary (partial, refused, `close`,
  one-shot with more behind it, a deadline, an action that blocks, output enough) and says how
  many bytes it took. The walk goes on from there. So it may always give up, and is never the only way.
* It must equal the walk: same bytes in, same calls, same replies, same state. Tests feed both
  the same bytes whole, bytewise, at every cut and with a tail (tests/protocol/test_batch.py).
* It builds no object per request or reply and calls nothing that it could do once for all: one
  slotted pair per message costs a fifth of the throughput at depth 16, and so does a scanner
  that is called for each content.
* With an observer attached it is not used: every transition is then reported by the walk.

The header is looked up by the length that its own prefix gives. Looking it up by a *guessed*
length (the previous one's, say) would be faster and wrong: a short tail could match a longer
header's beginning.

Not here: what a handler does, blocking handlers, logging (`libserver`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from .connection import Connection, Frame
from .content import (
    RESULT_TAIL,
    UnsendableResult,
    decode_contents,
    decode_text,
    encode_error,
    encode_result,
    quote,
    to_bytes,
)
from .errors import BadHeader, ProtocolError
from .frames import Codec, Header
from .limits import MAX_CONTENT_TYPE
from .states import HEADER_READ, LAST_CONTENT_READ, PREFIX_READ, PROTOHEADER, RECEIVE, advance_through

__all__ = ["BinaryReply", "Handlers", "answer_batch", "answer_each", "binary_reply", "can_batch", "send_binary_result"]

BytesLike = bytes | bytearray | memoryview

#: Requests that are cut and read together. More would save little, and a peer whose every second
#: content is bad would have the rest of its read cut and read again for each of them.
TOGETHER = 32

Session = Callable[[], dict[str, Any]]

#: Turns what a handler raised into the error to reply. It is given what the handler was asked, too: a JSON
#: value, or the header of bytes.
Failed = Callable[[BaseException, object], ProtocolError]

#: A reply's parts: its head, what it says, and what stands behind that. Joined they are the reply.
PARTS = 3

#: What RECEIVE is given by a message that comes whole, and is the only one.
_ONLY_MESSAGE = (PREFIX_READ, HEADER_READ, LAST_CONTENT_READ)


class BinaryReply:
    """A binary handler's answer with a content type of its own choice."""

    __slots__ = ("content", "content_type")

    def __init__(self, content: BytesLike, content_type: str) -> None:
        self.content = content
        self.content_type = content_type


@dataclass(slots=True)
class Handlers:
    """The handlers that may run right in the batch: those that do not block.

    `plain` and `binary` are called with the content, `with_session` with the content and the
    connection's session dictionary. Keys are actions and content types; the content type `""`
    stands for every type that has no handler of its own. None: there is a handler, but not for
    the batch. `refuse` says why a JSON value with no handler here is answered an error, or None
    if it has a handler elsewhere.
    """

    plain: dict[str, Callable[[Any], object]] = field(default_factory=dict)
    with_session: dict[str, Callable[[Any, dict[str, Any]], object]] = field(default_factory=dict)
    binary: dict[str, Callable[[Any], object] | None] = field(default_factory=dict)
    refuse: Callable[[Any], ProtocolError | None] = lambda value: None


def can_batch(connection: Connection) -> bool:
    """Is the connection between messages, with nothing owed and nobody watching?"""
    return (
        connection.state is PROTOHEADER
        and connection._buffer is None
        and connection.in_flight == 0
        and connection.observer is None
        and not connection.closing
    )


def answer_batch(
    connection: Connection,
    data: bytes,
    handlers: Handlers,
    session: Session,
    failed: Failed,
    max_requests: int,
    max_output: int,
) -> tuple[int, list[BytesLike], int]:
    """Answer the ordinary whole requests at the front of `data`.

    Returns how many bytes of `data` were taken, the replies in `PARTS` parts each, and the bytes
    of output: of all middle parts. Requires `can_batch(connection)`. `session` makes or gets the
    session; `failed` turns whatever a handler raised into the error to reply, or raises it again if
    it is not the handler's (Ctrl-C). At most `max_requests` are answered, and none is begun behind
    `max_output` bytes.
    """
    codec = connection.codec
    granted = connection.granted
    common: dict[bytes, int] = codec.common if granted else {}
    replies: list[BytesLike] = []
    available = len(data)
    at = output = 0
    while max_requests > 0 and available - at > 2:
        start = at + 2 + (data[at] << 8 | data[at + 1])
        framed = data[at:start]
        length, id = common.get(framed), b""
        if length is None:
            if start > available or start - at - 2 > codec.limits.max_header:
                break
            header = codec.headers.get(framed)
            if header is None and granted:
                length, id = codec.common_around_id(framed)
            if length is None and not (granted and header is not None and header.is_common):
                end = _answer_other(connection, framed, data, start, handlers, session, failed, replies)
                if not end:
                    break
                at = end
                output += len(replies[-2])
                max_requests -= 1
                granted = connection.granted
                if not granted or output >= max_output:
                    break
                common = codec.common
                continue
        if length is not None and start + length == available:
            # One, and nothing behind it: what a client sends that awaits each reply.
            try:
                values = [decode_text(data[start:].decode())]
            except (ValueError, RecursionError):
                break  # bad content: the walk finds the words for it
            ids = {0: id} if id else None
            answered, size = _answer(codec, values, ids, handlers, session, failed, replies, max_output - output)
            return (available if answered else at), replies, output + size
        contents, ids, ends, longest = _cut(codec, data, at, min(max_requests, TOGETHER))
        values = decode_contents(contents, longest)
        answered, size = _answer(codec, values, ids, handlers, session, failed, replies, max_output - output)
        if answered:
            at = ends[answered - 1]
        output += size
        max_requests -= answered
        if not answered or answered < len(contents) or output >= max_output:
            break
    return at, replies, output


def answer_each(
    codec: Codec,
    requests: Iterable[bytes],
    handlers: Handlers,
    failed: Failed,
    taken: list[int],
    replies: list[BytesLike],
    clock: Callable[[], float],
    until: float,
) -> None:
    """Answer what came on several connections at rest, with one call of the scanner.

    `requests` is what was read of each. Those that are one common request and nothing else are
    taken, their numbers put into `taken`; of these the first are answered, `PARTS` parts each put
    into `replies`. Not answered, though taken, are those behind bad content, from one on that
    is not for the batch or needs a session, and those left when the clock is beyond `until`.
    Where an interrupt comes between two handlers, or `failed` raises, the replies before it are there,
    and perhaps a part of the next.
    """
    common = codec.common
    headers = codec.headers
    contents: list[bytes] = []
    ids: dict[int, bytes] | None = None
    numbers: list[int] = []
    number = -1
    longest = 0
    for data in requests:
        number += 1
        try:
            start = 2 + data[1]
        except IndexError:
            continue  # not even a prefix
        if data[0]:
            start += data[0] << 8
        framed = data[:start]
        length = common.get(framed)
        if length is None:
            if start > len(data) or framed in headers:
                continue
            length, id = codec.common_around_id(framed)
            if length is None or start + length != len(data):
                continue
            if ids is None:
                ids = {}
            ids[len(contents)] = id
        elif start + length != len(data):
            continue
        contents.append(data[start:])
        numbers.append(number)
        if length > longest:
            longest = length
    if contents:
        values = decode_contents(contents, longest)
        taken += numbers
        _answer(codec, values, ids, handlers, None, failed, replies, sys.maxsize, clock, until)


def _cut(codec: Codec, data: bytes, at: int, most: int) -> tuple[list[bytes], dict[int, bytes] | None, list[int], int]:
    """The contents of the whole common requests at `at`, the ids of those that have one by number, all ends, and the
    length of the longest content."""
    common = codec.common
    available = len(data)
    contents: list[bytes] = []
    ends: list[int] = []
    longest = 0
    ids: dict[int, bytes] | None = None
    for _ in range(most):
        try:
            start = at + 2 + data[at + 1]
        except IndexError:
            break  # not even a prefix
        if data[at]:
            start += data[at] << 8
        framed = data[at:start]
        length = common.get(framed)
        if length is None:
            if start > available:
                break
            header = codec.headers.get(framed)
            if header is None:
                length, id = codec.common_around_id(framed)
                if length is None or start + length > available:
                    break
                if ids is None:
                    ids = {}
                ids[len(contents)] = id
            elif header.is_common:  # in another encoding
                end = start + header.content_length
                if end > available:
                    break
                content, decode = data[start:end], header.decode
                try:
                    if decode is not None:
                        content = decode(content, "strict")[0].encode()
                except Exception:  # a codec may raise what it likes
                    break  # bad content: the walk finds the words for it
                contents.append(content)
                longest = max(longest, len(content))
                ends.append(end)
                at = end
                if at == available:
                    break
                continue
            else:
                break
        end = start + length
        if end > available:
            break
        contents.append(data[start:end])
        if length > longest:
            longest = length
        ends.append(end)
        at = end
        if at == available:
            break
    return contents, ids, ends, longest


def _answer(
    codec: Codec,
    values: list[Any],
    ids: dict[int, bytes] | None,
    handlers: Handlers,
    session: Session | None,
    failed: Failed,
    replies: list[BytesLike],
    max_output: int,
    clock: Callable[[], float] | None = None,
    until: float = 0.0,
) -> tuple[int, int]:
    """Answer the common requests with these values; how many were answered, and the bytes of output.

    It stops behind `max_output` bytes, when the clock is beyond `until`, and before a request whose handler is not for
    the batch.
    """
    heads = codec.json_result_heads
    plain = handlers.plain
    before = len(replies)
    output = 0
    try:
        for value in values:
            try:
                handler = plain[value["action"]]
            except (TypeError, KeyError):
                content = _content(value, handlers, session, failed)
                if content is None:
                    break
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
                    content = encode_error(failed(error, value))
                    size = len(content)
                    head, tail = codec.json_reply_header(size), b""
                replies.append(head)
                replies.append(content)
                replies.append(tail)
            output += size
            if output >= max_output or (clock is not None and clock() > until):
                break
    finally:
        answered = (len(replies) - before) // PARTS
        if ids is not None:
            for number, id in ids.items():
                if number < answered:
                    place = before + PARTS * number
                    made = replies[place]
                    assert isinstance(made, bytes)
                    replies[place] = codec.head_with_id(made, id)
    return answered, output


def _content(
    value: Any,
    handlers: Handlers,
    session: Session | None,
    failed: Failed,
) -> bytes | None:
    """What answers a JSON value; None if its handler is not for the batch."""
    try:
        action = value["action"]
        plain = handlers.plain.get(action)
        with_session = handlers.with_session.get(action)
    except (TypeError, KeyError):  # no object, without an action, or that is nothing a dictionary could hold
        plain = with_session = None
    try:
        if plain is not None:
            return encode_result(plain(value))
        if with_session is not None:
            if session is None:
                return None
            return encode_result(with_session(value, session()))
    except BaseException as error:  # sys.exit() in a handler must not end the server
        return encode_error(failed(error, value))
    refusal = handlers.refuse(value)
    return None if refusal is None else encode_error(refusal)


def _answer_other(
    connection: Connection,
    framed: bytes,
    data: bytes,
    start: int,
    handlers: Handlers,
    session: Session,
    failed: Failed,
    replies: list[BytesLike],
) -> int:
    """Answer a request that is ordinary and not common; where it ends, or 0 if it is not for the batch.

    That is: the first of a connection, one whose header was not seen before, bytes. `framed` is its
    prefix and header; its content stands at `start`.
    """
    try:
        header = connection.codec.header(framed)
    except BadHeader:
        return 0
    end = start + header.content_length
    if end > len(data) or not header.is_plain:
        return 0
    if header.connection is not None:
        connection.persistent = True
    elif not connection.persistent and end != len(data):
        return 0  # one-shot, with more behind it
    if header.is_json:
        decode = header.decode
        try:
            value = decode_text(data[start:end].decode() if decode is None else decode(data[start:end], "strict")[0])
        except Exception:  # a codec may raise what it likes
            return 0  # bad content: the walk finds the words for it
        content = _content(value, handlers, session, failed)
        if content is None:
            return 0
        if connection.granted and header.id is None:
            replies += (connection.codec.json_reply_header(len(content)), content, b"")
        else:
            connection.in_flight = 1
            replies += (*connection.send_json(header, content), b"")
    else:
        frame = _answer_binary(connection, header, data[start:end], handlers, failed)
        if frame is None:
            return 0
        replies += (*frame, b"")
    if not connection.granted:
        advance_through(connection, RECEIVE, _ONLY_MESSAGE)
    return end


def _answer_binary(
    connection: Connection,
    header: Header,
    content: bytes,
    handlers: Handlers,
    failed: Failed,
) -> Frame | None:
    """The reply to a binary request, or None if its handler is not for the batch."""
    binary = handlers.binary
    handler = binary.get(header.content_type, binary.get(""))
    if handler is None:
        return None
    connection.in_flight = 1
    try:
        return send_binary_result(connection, header, handler(content))
    except BaseException as error:
        return connection.send_error(header, failed(error, header))


def send_binary_result(connection: Connection, request: Header, result: object) -> Frame:
    """Frame what a binary handler returned. Raises `UnsendableResult`, with the reply still owed, as `binary_reply`."""
    reply = binary_reply(request, result)
    return connection.send_binary(request, reply.content_type, reply.content)


def binary_reply(request: Header, result: object) -> BinaryReply:
    """What a binary handler returned, bytes-like in the request's own type or a `BinaryReply`, as the latter.

    Its content's length is that in bytes. Raises `UnsendableResult` for anything else.
    """
    content_type, returned = request.content_type, result
    if isinstance(result, BinaryReply):
        content_type, result = result.content_type, result.content
    if not isinstance(result, (bytes, bytearray, memoryview)):
        words = f"a binary handler must return bytes or a BinaryReply, not {type(result).__name__}"
        raise UnsendableResult(words, returned)
    if not isinstance(content_type, str) or len(content_type) > MAX_CONTENT_TYPE:
        raise UnsendableResult(f"a content type is a string of at most {MAX_CONTENT_TYPE} characters", returned)
    if isinstance(result, memoryview):
        try:
            result = result.cast("B")  # of bytes, as content-length is
        except TypeError as error:
            raise UnsendableResult(f"{error}", returned) from error  # it is not contiguous
    return BinaryReply(result, content_type)
