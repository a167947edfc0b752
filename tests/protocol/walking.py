"""A small server twice: once on the walk alone, once with the batch in front of it.

`walked` is the reference: `Connection.receive_data` and `send_*`, event by event. `batched`
does what `libserver.message` does: `answer_batch` first, the walk for what is left, and the
batch again behind each message that needed the walk. Both give an `Outcome`; that those are
equal is the promise of `protocol.batch`.

Not here: the streams (test_batch.py, test_properties.py).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from protocol import (
    SERVER,
    BinaryReply,
    Codec,
    Connection,
    EndOfInput,
    Failed,
    Handlers,
    Limits,
    Rejected,
    Reply,
    Request,
    answer_batch,
    can_batch,
)
from protocol.batch import PARTS, send_binary_result
from protocol.content import encode_result
from protocol.errors import AnswerableError, BadRequest, HandlerFailed, ProtocolError, UnknownAction

from .feeding import summary


@dataclass
class Outcome:
    """What a stream led to, as far as anyone outside can tell."""

    replies: bytes = b""
    calls: list[tuple[str, object]] = field(default_factory=list)
    failures: list[tuple[str, object]] = field(default_factory=list)
    session: dict[str, Any] = field(default_factory=dict)
    connection: dict[str, Any] = field(default_factory=dict)


class Own(AnswerableError):
    """A handler's own word on the wire."""

    code = "own-code"


def _fail(request: object) -> object:
    raise RuntimeError("internals")


def _refuse(request: object) -> object:
    raise Own("no \ud800 and no 🐶")


def _nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


DEEP = _nested(100_000)  # deeper than any encoder's recursion goes


PLAIN: dict[str, Callable[[Any], object]] = {
    "echo": lambda request: request.get("value"),
    "text": lambda request: "plain é 🐶",
    "surrogate": lambda request: "lone \udc80 é",
    "surrogates": lambda request: ["\ud800", {"\udfff": 1}],
    "reply": lambda request: Reply(result="r", count=2),
    "empty reply": lambda request: Reply(),
    "bad reply": lambda request: Reply(result=object()),
    "object": lambda request: object(),
    "bytes": lambda request: b"bytes",
    "nan": lambda request: float("nan"),
    "deep": lambda request: DEEP,
    "fail": _fail,
    "refuse": _refuse,
    "": lambda request: "the empty name",
}


def _confirm(request: Any, session: dict[str, Any]) -> Reply:
    count = session["confirmed"] = session.get("confirmed", 0) + 1
    return Reply(result=f"Received: {request.get('value')}", count=count)


def _session_fail(request: Any, session: dict[str, Any]) -> object:
    session["failed"] = True
    raise ValueError("no")


WITH_SESSION: dict[str, Callable[[Any, dict[str, Any]], object]] = {"confirm": _confirm, "session fail": _session_fail}

BINARY: dict[str, Callable[[Any], object]] = {
    "binary/echo": lambda content: content,
    "binary/view": lambda content: memoryview(content),
    "binary/wide": lambda content: memoryview(array("i", [1, 2, 3])),
    "binary/gaps": lambda content: memoryview(b"abcdef")[::2],
    "binary/long": lambda content: BinaryReply(b"", "x" * 2000),
    "binary/none": lambda content: BinaryReply(b"x", None),  # type: ignore[arg-type]
    "binary/str": lambda content: "not bytes",
    "binary/fail": _fail,
    "binary/refuse": _refuse,
    "": lambda content: BinaryReply(b"First 10 bytes of request: " + bytes(content[:10]), "binary/custom"),
}
#: Has a handler, but not one for the batch.
BLOCKING: dict[str, Callable[[Any], object]] = {"binary/slow": lambda content: b"slow"}


class _Noted:
    """The handlers, each noting its calls in the outcome of the endpoint at work.

    Made once: to make them for each of a hundred thousand endpoints took most of the time.
    """

    def __init__(self) -> None:
        self.outcome = Outcome()
        self.handlers = Handlers(
            plain={name: self._noting(name, call) for name, call in PLAIN.items()},
            with_session={name: self._noting(name, call) for name, call in WITH_SESSION.items()},
            binary={**{name: self._noting(name, call) for name, call in BINARY.items()}, **dict.fromkeys(BLOCKING)},
        )
        self.blocking = {name: self._noting(name, call) for name, call in BLOCKING.items()}

    def _noting(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def noted(content: Any, *session: Any) -> object:
            self.outcome.calls.append((name, bytes(content) if isinstance(content, bytearray) else content))
            return call(content, *session)

        return noted


_NOTED = _Noted()


class Endpoint:
    """One connection, what answers on it, and what came of it. The endpoint made last is the one at work."""

    handlers = _NOTED.handlers
    blocking = _NOTED.blocking

    def __init__(self, codec: Codec | None, **limits: int) -> None:
        self.outcome = _NOTED.outcome = Outcome()
        self.connection = Connection(codec or Codec(SERVER, Limits(**limits)))

    def session(self) -> dict[str, Any]:
        return self.outcome.session

    def failed(self, error: BaseException, asked: object) -> ProtocolError:
        self.outcome.failures.append((type(error).__name__, getattr(asked, "content_type", asked)))
        return error if isinstance(error, AnswerableError) else HandlerFailed("the handler failed")

    # --- the walk --------------------------------------------------------------------

    def answer(self, event: object) -> None:
        """One event's reply, said without a thought for speed."""
        connection = self.connection
        if isinstance(event, (Rejected, Failed)):
            self.send(connection.send_error(event.header, event.error))
        elif isinstance(event, Request):
            try:
                handler = self._find(event)
            except AnswerableError as error:
                self.send(connection.send_error(event.header, error))
                return
            try:
                result = handler()
                if event.header.is_json:
                    frame = connection.send_json(event.header, encode_result(result))
                else:
                    frame = send_binary_result(connection, event.header, result)
            except Exception as error:
                asked = event.content if event.header.is_json else event.header
                frame = connection.send_error(event.header, self.failed(error, asked))
            self.send(frame)

    def _find(self, event: Request) -> Callable[[], object]:
        content: Any = event.content
        if not event.header.is_json:
            kind = event.header.content_type
            call = self.blocking.get(kind) or self.handlers.binary.get(kind) or self.handlers.binary[""]
            return lambda: call(content)
        name = content.get("action") if isinstance(content, dict) else None
        if not isinstance(name, str):
            raise BadRequest("a request must be a JSON object with an 'action' string")
        if name in self.handlers.plain:
            return lambda: self.handlers.plain[name](content)
        if name in self.handlers.with_session:
            return lambda: self.handlers.with_session[name](content, self.session())
        raise UnknownAction(f"invalid action '{name}'.")

    def send(self, parts: Iterable[Any]) -> None:
        self.outcome.replies += b"".join(parts)

    def finished(self, eof: bool) -> Outcome:
        if eof:
            assert isinstance(self.connection.receive_eof()[-1], EndOfInput)
        self.outcome.connection = summary(self.connection)
        return self.outcome


def walked(parts: list[bytes], codec: Codec | None = None, *, eof: bool = False, **limits: int) -> Outcome:
    """The parts of a stream through the walk alone."""
    endpoint = Endpoint(codec, **limits)
    for part in parts:
        for event in endpoint.connection.receive_data(part):
            endpoint.answer(event)
    return endpoint.finished(eof)


def batched(
    parts: list[bytes],
    codec: Codec | None = None,
    *,
    eof: bool = False,
    max_requests: int = 64,
    max_output: int = 2**20,
    **limits: int,
) -> Outcome:
    """The parts of a stream through the batch, and through the walk where the batch gives up."""
    endpoint = Endpoint(codec, **limits)
    connection = endpoint.connection

    def batch(data: bytes) -> bytes:
        while data and can_batch(connection):
            taken, replies, size = answer_batch(
                connection, data, endpoint.handlers, endpoint.session, endpoint.failed, max_requests, max_output
            )
            endpoint.send(replies)
            assert size == sum(map(len, replies[1::PARTS]))
            assert len(replies) // PARTS <= max_requests
            assert bool(taken) == bool(replies)
            if not taken:
                break
            data = data[taken:]
        return data

    for part in parts:
        connection.feed(batch(part))
        while (event := connection.next_event()) is not None:
            endpoint.answer(event)
            connection.feed(batch(connection.unread()))
    return endpoint.finished(eof)
