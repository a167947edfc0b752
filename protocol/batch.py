"""How are many whole requests answered in one step?

The walk through RECEIVE, state by state and event by event, is how a message is *understood*.
Most messages need no such care: they arrive whole, between two others, with a header seen
before. `answer_batch` takes each of them from PROTOHEADER through JSONHEADER and CONTENT and
back to PROTOHEADER in one step, hands the decoded value straight to its handler, and collects
the replies so that they can leave in one send.

Rules:

* It stops at the first message that is anything but ordinary (partial, refused, `close`,
  one-shot with more behind it, a deadline, an action that blocks, output enough) and says how
  many bytes it took. The walk goes on from there. So it may always give up, and is never the only way.
* It must equal the walk: same bytes in, same calls, same replies, same state. Tests feed both
  the same bytes whole, bytewise, at every cut and with a tail (tests/protocol/test_batch.py).
* It builds no object per request or reply and calls nothing it could inline: one slotted pair
  per message costs a fifth of the throughput at depth 16.
* With an observer attached it is not used: every transition is then reported by the walk.

The header is looked up by the length that its own prefix gives. Looking it up by a *guessed*
length (the previous one's, say) would be faster and wrong: a short tail could match a longer
header's beginning.

Not here: what a handler does, blocking handlers, logging (`libserver`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .connection import Connection, Frame
from .content import decode_padded, encode_error, encode_result, quote, scan_once
from .errors import BadHeader, ProtocolError
from .frames import Header
from .states import HEADER_READ, LAST_CONTENT_READ, PREFIX_READ, PROTOHEADER, RECEIVE, advance

__all__ = ["BinaryReply", "Handlers", "answer_batch", "can_batch", "send_binary_result"]

BytesLike = bytes | bytearray | memoryview


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
    session: Callable[[], dict[str, Any]],
    failed: Callable[[BaseException], ProtocolError],
    max_requests: int,
    max_output: int,
) -> tuple[int, list[BytesLike], int]:
    """Answer the ordinary whole requests at the front of `data`.

    Returns how many bytes of `data` were taken, the replies' parts in order, and the size of
    the replies' contents in bytes. Requires
    `can_batch(connection)`. `session` makes or gets the session; `failed` turns what a handler
    raised into the error to reply. At most `max_requests` are answered, and none is begun once
    the replies' contents hold `max_output` bytes.
    """
    codec = connection.codec
    headers = codec.headers
    reply_headers = codec.json_reply_headers
    plain = handlers.plain
    with_session = handlers.with_session
    granted = connection.granted
    replies: list[BytesLike] = []
    append = replies.append
    at = 0
    available = len(data)
    output = 0
    for _ in range(max_requests):
        if available - at <= 2:
            break
        start = at + 2 + (data[at] << 8 | data[at + 1])
        framed = data[at:start]
        id = None
        header = headers.get(framed)
        if header is None:
            if start > available or not 0 < start - at - 2 <= codec.limits.max_header:
                break
            around = codec.header_around_id(framed)
            if around is not None and granted and around[0].is_common:
                header, id = around
            else:
                try:
                    header = codec.header(framed)
                except BadHeader:
                    break
        end = start + header.content_length
        if end > available:
            break
        common = granted and header.is_common
        if not common:
            if not header.is_plain or (header.connection is None and not connection.persistent and end != available):
                break
            if header.connection is not None:
                connection.persistent = True

        if header.is_json:
            decode = header.decode
            try:
                text = data[start:end].decode() if decode is None else decode(data[start:end], "strict")[0]
                try:
                    value, scanned = scan_once(text, 0)
                except StopIteration:
                    scanned = -1
                if scanned != len(text):  # white space around it, or something worse
                    value = decode_padded(text)
            except Exception:  # a codec may raise what it likes
                break  # bad content: the walk finds the words for it
            stateful = None
            try:
                action = value["action"]
                handler = plain.get(action)
                if handler is None:
                    stateful = with_session.get(action)
            except (TypeError, KeyError):
                handler = None  # no object, without an action, or that is nothing a dictionary could hold
            if handler is None and stateful is None:
                refusal = handlers.refuse(value)
                if refusal is None:
                    break
                body = encode_error(refusal)
            else:
                try:
                    result = stateful(value, session()) if handler is None else handler(value)  # type: ignore[misc]
                    if result.__class__ is str:
                        try:
                            body = b'{"result": ' + quote(result).encode() + b"}"
                        except UnicodeEncodeError:  # a lone surrogate
                            body = encode_result(result)
                    else:
                        body = encode_result(result)
                except (Exception, SystemExit) as error:  # sys.exit() in a handler must not end the server
                    body = encode_error(failed(error))
            size = len(body)
            if not common:
                connection.in_flight = 1
                append(connection.send_json(header, body)[0])
                granted = connection.granted
            elif id is not None:
                append(codec.json_reply_header_with_id(size, id))
            else:
                try:
                    append(reply_headers[size])
                except KeyError:
                    append(codec.json_reply_header(size))
            append(body)
            output += size
        else:
            frame = _answer_binary(connection, header, data[start:end], handlers, failed)
            if frame is None:
                break
            granted = connection.granted
            replies += frame
            output += len(frame[1])
        at = end
        if not granted:
            for given in (PREFIX_READ, HEADER_READ, LAST_CONTENT_READ):
                advance(connection, RECEIVE, given)
            break
        if output >= max_output:
            break
    return at, replies, output


def _answer_binary(
    connection: Connection,
    header: Header,
    content: bytes,
    handlers: Handlers,
    failed: Callable[[BaseException], ProtocolError],
) -> Frame | None:
    """The reply to a binary request, or None if its handler is not for the batch."""
    binary = handlers.binary
    handler = binary.get(header.content_type, binary.get(""))
    if handler is None:
        return None
    connection.in_flight = 1
    try:
        return send_binary_result(connection, header, handler(content))
    except (Exception, SystemExit) as error:
        return connection.send_error(header, failed(error))


def send_binary_result(connection: Connection, request: Header, result: object) -> Frame:
    """Frame what a binary handler returned: bytes-like in the request's own type, or a `BinaryReply`.

    Raises `TypeError`, with the reply still owed, for anything else.
    """
    content_type = request.content_type
    if isinstance(result, BinaryReply):
        content_type, result = result.content_type, result.content
    if not isinstance(result, (bytes, bytearray, memoryview)):
        raise TypeError(f"a binary handler must return bytes or a BinaryReply, not {type(result).__name__}")
    if isinstance(result, memoryview):
        result = result.cast("B")  # of bytes, as content-length is; refuses (TypeError) what is not contiguous
    return connection.send_binary(request, content_type, result)
