"""A small server twice: once on the slow path alone, once with the dispatcher in front of it.

`walked` is the reference: `Connection.receive_data` and `send_*`, event by event. `batched`
does what `libserver.message` does: `Dispatcher.serve` takes whole requests, `Connection.receive_part` reads one
that it leaves, and then it is the dispatcher's turn again. Both give an `Outcome`; that those are
equal is the promise of `libserver.dispatcher`. A thread is played by a call that returns at once.

Not here: the streams (test_dispatcher.py, test_properties.py).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from libserver.actions import Action, Actions
from libserver.binary_reply import BinaryReply, binary_reply
from libserver.dispatcher import PARTS, Dispatcher
from libserver.replies import encode
from protocol import SERVER, Codec, Connection, EndOfInput, Failed, Frame, Header, Limits, Rejected, Reply, Request
from protocol.content import encode_result
from protocol.errors import AnswerableError, HandlerFailed, ProtocolError
from tests.protocol.feeding import summary


@dataclass
class Outcome:
    """What a stream led to, as far as anyone outside can tell."""

    replies: bytes = b""
    calls: list[tuple[str, object]] = field(default_factory=list)
    failures: list[tuple[str, object]] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
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
#: Those that a thread runs: of a JSON action, and of a content type.
BLOCKING: dict[str, Callable[[Any], object]] = {
    "slow": lambda request: ["slow", request.get("value")],
    "binary/slow": lambda content: b"slow",
}


class _Noted:
    """The handlers, each noting its calls in the outcome of the endpoint at work.

    Made once: to make them for each of a hundred thousand endpoints took most of the time.
    """

    def __init__(self) -> None:
        self.outcome = Outcome()
        self.actions = Actions(builtin=False)
        for name, call in PLAIN.items():
            self.actions.add(name)(self._noting(name, call))
        for name, with_session in WITH_SESSION.items():
            self.actions.add(name)(self._noting_session(name, with_session))
        for name, call in BINARY.items():
            self.actions.add_binary(name)(self._noting(name, call))
        self.actions.add("slow", blocking=True)(self._noting("slow", BLOCKING["slow"]))
        self.actions.add_binary("binary/slow", blocking=True)(self._noting("binary/slow", BLOCKING["binary/slow"]))

    def _note(self, name: str, content: Any) -> None:
        self.outcome.calls.append((name, bytes(content) if isinstance(content, bytearray) else content))

    def _noting(self, name: str, call: Callable[[Any], object]) -> Callable[[Any], object]:
        def noted(content: Any) -> object:
            self._note(name, content)
            return call(content)

        return noted

    def _noting_session(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def noted(content: Any, session: Any) -> object:
            self._note(name, content)
            return call(content, session)

        return noted


_NOTED = _Noted()
ACTIONS = _NOTED.actions


class Endpoint:
    """One connection, what answers on it, and what came of it. The endpoint made last is the one at work."""

    def __init__(self, codec: Codec | None = None, actions: Actions = ACTIONS, **limits: int) -> None:
        self.outcome = _NOTED.outcome = Outcome()
        self.actions = actions
        self.codec = codec or Codec(SERVER, Limits(**limits))
        self.connection: Connection | None = Connection(self.codec)
        self.dispatcher = Dispatcher(self.codec, actions, self.count, lambda: 0.0)

    def session(self) -> dict[str, Any]:
        return self.outcome.session

    def own_connection(self) -> Connection:
        if self.connection is None:
            self.connection = Connection.kept_alive(self.codec)
        return self.connection

    def rest(self) -> None:
        if self.connection is not None and self.connection.at_rest:
            self.connection = None

    def failure(self, error: BaseException, asked: object) -> ProtocolError:
        self.outcome.failures.append((type(error).__name__, getattr(asked, "content_type", asked)))
        return error if isinstance(error, AnswerableError) else HandlerFailed("the handler failed")

    def count(self, error: ProtocolError) -> None:
        self.outcome.counted.append(error.code)

    def hand_over(self, action: Action, request: Request, deadline: float | None) -> Frame:
        """A thread that has done it before anybody looks."""
        return self.frame(request, action)

    def reply(self, header: Header, outcome: object, asked: object, more: bool) -> Frame:
        return encode(self.connection, self.codec, header, outcome, partial(self.failure, asked=asked))

    def serve(self, event: object) -> None:
        """One event's reply, as the dispatcher makes it."""
        if isinstance(event, Rejected):
            self.send(self.dispatcher.reject(self, event.header, event.error, False))
        elif isinstance(event, Request):
            self.send(self.dispatcher.respond(self, event, None, False))
        else:
            self.answer(event)

    # --- event by event --------------------------------------------------------------

    def answer(self, event: object) -> None:
        """One event's reply, said without a thought for speed."""
        if isinstance(event, (Rejected, Failed)):
            if isinstance(event, Rejected):
                self.count(event.error)
            self.send(self.own_connection().send_error(event.header, event.error))
        elif isinstance(event, Request):
            self.send(self.frame(event))

    def frame(self, event: Request, action: Action | None = None) -> Frame:
        header, connection = event.header, self.own_connection()
        try:
            action = action or self.actions.find(header, event.content)
            result = action.call(event.content, self.session)
            if header.is_json:
                return connection.send_json(header, encode_result(result))
            reply = binary_reply(header, result)
            return connection.send_binary(header, reply.content_type, reply.content)
        except Exception as error:
            return connection.send_error(header, self.failure(error, event.content if header.is_json else header))

    def send(self, parts: Iterable[Any]) -> None:
        self.outcome.replies += b"".join(parts)

    def finished(self, eof: bool) -> Outcome:
        if eof:
            assert isinstance(self.own_connection().receive_eof()[-1], EndOfInput)
        self.outcome.connection = summary(self.own_connection())
        return self.outcome


def walked(parts: list[bytes], codec: Codec | None = None, *, eof: bool = False, **limits: int) -> Outcome:
    """The parts of a stream through the walk alone."""
    endpoint = Endpoint(codec, **limits)
    for part in parts:
        for event in endpoint.own_connection().receive_data(part):
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
    """The parts of a stream through the dispatcher, and event by event where it leaves something."""
    endpoint = Endpoint(codec, **limits)

    def dispatched(data: bytes) -> int:
        taken, replies, size = endpoint.dispatcher.serve(endpoint, data, max_requests, max_output)
        endpoint.send(replies)
        assert size == sum(map(len, replies[1::PARTS]))
        assert len(replies) // PARTS <= max_requests
        assert bool(taken) == bool(replies)
        return taken

    for data in parts:
        while True:
            endpoint.rest()
            connection = endpoint.connection
            if data and (connection is None or connection.between_messages) and (taken := dispatched(data)):
                data = data[taken:]
                continue
            event, data = endpoint.own_connection().receive_part(data)
            if event is None:
                break
            endpoint.serve(event)
    return endpoint.finished(eof)
