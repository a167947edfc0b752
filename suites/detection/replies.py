"""Which mistakes do servers make when they answer?

Not here: reading (`framing`), when and for how long (`flow`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from libserver import dispatcher, message, request_batch
from libserver.reasons import CloseReason
from libserver.replies import encode
from protocol import Frame, connection, content, frames
from protocol.errors import AnswerableError, ProtocolError
from protocol.events import Event, Request
from protocol.states import OPEN
from suites.conformance.wire import in_frames

from .registry import broken, replace, slow_path_only


def change_headers(change: Callable[[frames.Header], None]) -> None:
    """Have `change` see every request's header once it is validated."""
    parse = frames.parse_header

    def changed(raw: bytes, role: str) -> frames.Header:
        header = parse(raw, role)
        change(header)
        return header

    replace(parse, changed)


def write_otherwise(change: Callable[[message.Message, list[Any]], list[Any]]) -> None:
    """Have `change` see all replies that leave in one send, each of them whole."""
    write = message.Message.write

    def changed(self: message.Message, replies: list[Any], size: int | None = None, last: bool = False) -> None:
        whole = [head + content for head, content in in_frames(b"".join(replies))]
        write(self, change(self, whole), last=last)

    message.Message.write = changed  # type: ignore[method-assign]
    message.JOIN_BELOW = request_batch.JOIN_BELOW = 0  # small replies don't go around it


def claim_length(length: Callable[[bytes], int]) -> None:
    """Have JSON replies claim `length(content)` bytes."""
    slow_path_only()
    send_json = connection.Connection.send_json

    def claimed(self: connection.Connection, request: Any, content: bytes) -> Any:
        return send_json(self, request, bytes(length(content)))[0], content

    connection.Connection.send_json = claimed  # type: ignore[method-assign]


@broken("length-one-less", "content-length is one byte short", "off by one: a terminator counted, or not", "FR1")
def length_one_less() -> None:
    claim_length(lambda content: len(content) - 1)


@broken("length-one-more", "content-length is one byte long", "off by one: a terminator counted, or not", "FR1")
def length_one_more() -> None:
    claim_length(lambda content: len(content) + 1)


@broken(
    "length-in-characters",
    "content-length counts characters, not bytes",
    "len(text); Node's manual warns of text.length where Buffer.byteLength is meant",
    "EN14.3",
)
def length_in_characters() -> None:
    claim_length(lambda content: len(content.decode()))


@broken(
    "swapped-replies",
    "two replies that leave together leave in the wrong order",
    "servers that hand each pipelined request to a worker and write as they finish",
    "PL1",
)
def swapped_replies() -> None:
    write_otherwise(lambda self, replies: replies[1:2] + replies[:1] + replies[2:])


@broken(
    "overtakes",
    "a reply that is ready overtakes one that is not",
    "thread pools behind a pipeline, each writing when it is done",
    "PL5",
    options=("--app", "suites.detection.slow:actions"),
)
def overtakes() -> None:
    def at_once(self: message.Message, header: Any, outcome: object, asked: object = None, more: bool = False) -> Frame:
        return encode(self.connection, self.server.codec, header, outcome, partial(self.failure, asked=asked))

    message.Message.reply = at_once  # type: ignore[method-assign]


@broken("answers-twice", "every reply is sent twice", "a retry after a partial send that starts anew", "PL1")
def answers_twice() -> None:
    write_otherwise(lambda self, replies: replies * 2)


@broken(
    "reply-withheld",
    "a reply on a kept-alive connection leaves with the next one",
    "buffered writers that nobody flushes",
    "PL18",
)
def reply_withheld() -> None:
    held: dict[message.Message, list[Any]] = {}

    def late(self: message.Message, replies: list[Any]) -> list[Any]:
        replies = held.pop(self, []) + replies
        connection = self.connection
        if (connection is None or (connection.persistent and not connection.closing)) and len(replies) == 1:
            held[self] = replies
            return []
        return replies

    write_otherwise(late)


@broken(
    "second-request-lost",
    "of the requests that come in one segment only the first is answered",
    "one recv, one request: the tutorial's server, and every demo like it",
    "PL1",
)
def second_request_lost() -> None:
    data_received = message.Message.data_received

    def first_only(self: message.Message, data: bytes) -> None:
        end = 2 + int.from_bytes(data[:2], "big")
        try:
            end += self.server.codec.header(data[:end]).content_length
        except ProtocolError:
            end = len(data)
        data_received(self, data[:end])

    message.Message.data_received = first_only  # type: ignore[method-assign]


@broken("ids-dropped", "replies carry no id", "servers written against clients that never sent one", "HV18")
def ids_dropped() -> None:
    change_headers(lambda header: setattr(header, "id", None))


@broken("ids-as-text", "an id that is an integer comes back as a string", "ids kept in a table keyed by text", "HV18.4")
def ids_as_text() -> None:
    change_headers(lambda header: setattr(header, "id", header.id if header.id is None else str(header.id)))


@broken(
    "keep-alive-forgotten",
    "keep-alive holds for the request that says it, and no longer",
    "servers that look at each request alone, as HTTP/1.0 did",
    "PL6",
)
def keep_alive_forgotten() -> None:
    slow_path_only()
    understand = connection.Connection._message

    def by_itself(self: connection.Connection, header: frames.Header, content: Any) -> Event:
        self.persistent = header.connection == frames.KEEP_ALIVE
        return understand(self, header, content)

    connection.Connection._message = by_itself  # type: ignore[method-assign]


@broken(
    "always-kept-alive",
    "a connection stays open although nobody asked for it",
    "HTTP/1.1 servers before HTTP/1.0 clients, which read to the end",
    "PL8.2",
)
def always_kept_alive() -> None:
    slow_path_only()
    understand = connection.Connection._message

    def for_ever(self: connection.Connection, header: frames.Header, content: Any) -> Event:
        self.persistent = True
        return understand(self, header, content)

    connection.Connection._message = for_ever  # type: ignore[method-assign]


@broken("close-ignored", "connection: close is not obeyed", "servers that know keep-alive and nothing else", "PL7")
def close_ignored() -> None:
    def without(header: frames.Header) -> None:
        if header.connection == frames.CLOSE:
            header.connection = None
            header.is_plain = header.deadline_ms is None

    change_headers(without)


@broken("deadline-ignored", "deadline-ms is read and forgotten", "servers that do what nobody waits for", "HV22")
def deadline_ignored() -> None:
    replace(dispatcher.check_deadline, lambda clock, deadline: None)


@broken(
    "errors-without-code",
    "an error reply has its words and no error.code",
    "servers whose errors are for people alone, so that clients parse sentences",
    "EN11",
)
def errors_without_code() -> None:
    def words_alone(error: ProtocolError) -> bytes:
        return content.encode_json({"result": f"Error: {error}"})

    replace(content.encode_error, words_alone)


@broken(
    "errors-close",
    "after an error that costs nothing the connection is closed",
    "one except around the loop of a connection",
    "EN11",
)
def errors_close() -> None:
    slow_path_only()
    reply = message.Message.reply

    def and_close(self: message.Message, header: Any, outcome: object, *more: Any) -> Frame:
        if isinstance(outcome, AnswerableError) and self.state is OPEN:
            self.server.loop.call_soon(lambda: self.state is OPEN and self.release(CloseReason.BAD_FRAMING))
        return reply(self, header, outcome, *more)

    message.Message.reply = and_close  # type: ignore[method-assign]


@broken(
    "empty-unanswered",
    "a content that is false to Python is never answered",
    "the tutorial's server: `if self.request:`",
    "EN1",
)
def empty_unanswered() -> None:
    slow_path_only()
    request = message.Message._request

    def if_any(self: message.Message, event: Request, replies: list[Any], more: bool) -> None:
        if event.content:
            request(self, event, replies, more)

    message.Message._request = if_any  # type: ignore[method-assign]


@broken(
    "surrogates-fail",
    "a lone surrogate in a result is an internal error",
    "json.dumps(..., ensure_ascii=False).encode(), as the tutorial has it",
    "EN7",
)
def surrogates_fail() -> None:
    replace(content.to_bytes, str.encode)
