"""What can a client ask for, and which function answers?

    actions = Actions()

    @actions.add("greet")
    def greet(request, session):
        return f"Hello, {request['name']}!"

Plain functions, no base class, no `async`. A handler takes the decoded request, and the
connection's session dictionary if it has a second parameter. It returns a value (sent as
`{"result": value}`), or a `Reply` with fields of its own. A binary handler is registered for
a content type, takes bytes-like content (`bytes`, or the `bytearray` a large content was
received into) and returns bytes-like content, or a `BinaryReply` with another type. To refuse,
raise `ActionError(code, message)`; any other exception reaches the peer as `handler-failed`
without its words, and the log with its traceback.

Not here: the built-in actions (`libserver.builtin`), when and where handlers run
(`libserver.message`, `libserver.pool`).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from protocol import Header, ProtocolError, Reply
from protocol.errors import BadRequest, UnknownAction
from protocol.shown import shown

from .action_error import ActionError
from .binary_reply import BinaryReply
from .builtin import BINARY_HANDLERS, JSON_HANDLERS

if TYPE_CHECKING:
    from .topics import Topics

__all__ = ["Action", "ActionError", "Actions", "BinaryReply", "Reply"]

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)

#: The content type under which the handler for all other binary types is kept.
ANY_TYPE = ""


class Action:
    """A registered handler: the function, whether it may block, whether it wants the session.

    `deferred`: it answers later. `waits`: its reply is not there when it returns, for one reason or the other.
    `str()` says which it is, in a sentence; `registered` is where that was done: `FILE:LINE`.
    """

    __slots__ = (
        "blocking",
        "builtin",
        "deferred",
        "function",
        "name",
        "registered",
        "waits",
        "wants_session",
        "words",
    )

    def __init__(
        self,
        name: str,
        words: str,
        function: Function,
        blocking: bool,
        builtin: bool,
        registered: str,
        deferred: bool = False,
    ) -> None:
        self.name = name
        self.words = words
        self.function = function
        self.blocking = blocking
        self.deferred = deferred
        self.waits = blocking or deferred
        self.builtin = builtin
        self.registered = registered
        if deferred:
            _takes(function, 3, "(request, session, answer)")
        self.wants_session = deferred or _parameters(function) > 1

    def __str__(self) -> str:
        return self.words

    def call(self, content: object, session: Callable[[], dict[str, Any]]) -> object:
        """Run the handler; `session` makes or gets the session, only if it is wanted."""
        if self.wants_session:
            return self.function(content, session())
        return self.function(content)


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _parameters(function: Function) -> int:
    """How many arguments a handler is called with: 2 if it requires two, or takes any number.

    A parameter with a default is its own business. Raises `TypeError` for a function that can't
    be called with one or two arguments, or that is async.
    """
    name = getattr(function, "__name__", repr(function))
    runs = (function, vars(type(function)).get("__call__"))  # also of an object that is called like a function
    if any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in runs):
        raise TypeError(f"the handler {name} is async; handlers here are plain functions")
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a builtin without a signature
        return 1
    required = [p for p in parameters if p.default is p.empty]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p in required for p in positional)
    any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if needed > 2 or not (positional or any_number) or any(p.kind is p.KEYWORD_ONLY for p in required):
        raise TypeError(f"the handler {name} must take (request) or (request, session)")
    return 2 if any_number else max(1, needed)


def _code_of(function: Function) -> CodeType | None:
    """What runs when it is called, if that is Python: of a function, a `functools.partial`, or a callable object."""
    function = getattr(function, "func", function)
    called = function if hasattr(function, "__code__") else vars(type(function)).get("__call__")
    code: CodeType | None = getattr(called, "__code__", None)
    return code


def _takes(function: Function, count: int, shape: str) -> None:
    """Raises `TypeError` for what can't be called with so many arguments, or is async."""
    name = getattr(function, "__name__", repr(function))
    if inspect.iscoroutinefunction(function):
        raise TypeError(f"{name} is async; functions here are plain ones")
    try:
        inspect.signature(function).bind(*[None] * count)
    except ValueError:  # a builtin without a signature
        pass
    except TypeError:
        raise TypeError(f"{name} must take {shape}") from None


class Actions:
    """A registry of handlers. It begins with the built-in ones unless `builtin=False`, and with those of `topics`.

        actions = Actions()

        @actions.add("greet")
        def greet(request, session):
            return f"Hello, {request['name']}!"

    A handler is a plain function of the decoded request, and, if it has a second parameter, of the connection's
    `Session`. It returns any value that JSON can carry, or a `Reply`; it raises `ActionError` to refuse. It runs on
    the loop, so it must be quick, unless it is declared blocking. Replacing a built-in handler is allowed,
    registering one of yours twice is an error.
    """

    def __init__(self, *, builtin: bool = True, topics: Topics | None = None) -> None:
        self._json: dict[str, Action] = {}
        self._binary: dict[str, Action] = {}
        #: called when a connection has come, and when it has gone
        self.connected: list[Callable[..., object]] = []
        self.disconnected: list[Callable[..., object]] = []
        #: is anybody to be told? Asked for every connection, so it is kept
        self.on_either = False
        #: of the JSON actions those that are called at once with the request alone: neither blocking nor with a session
        self.plain: dict[str, Function] = {}
        #: the same of content types; None for one whose handler blocks or wants the session
        self.plain_binary: dict[str, Function | None] = {}
        self.topics = topics
        if topics is not None:
            from .topic_actions import LATER, topic_handlers  # a server without topics loads none of it

            for name, function in topic_handlers(topics).items():
                self.add(name, builtin=True, deferred=topics.shared and name in LATER)(function)
        if builtin:
            for name, function in JSON_HANDLERS.items():
                self.add(name, builtin=True)(function)
            for content_type, function in BINARY_HANDLERS.items():
                self.add_binary(content_type, builtin=True)(function)

    # --- registering ---------------------------------------------------------------

    def add(
        self, name: str, *, blocking: bool = False, deferred: bool = False, builtin: bool = False
    ) -> Callable[[F], F]:
        """Decorator: register a function for the JSON action `name`.

        `blocking=True` runs it in the server's thread pool. `deferred=True` gives it a third argument, `answer`, which
        it calls once, from the loop, when it knows: `answer(result)`, or `answer(None, error)`. `builtin` is the
        package's own. Raises `ValueError` for a name that is taken, `TypeError` for an `async` function or one of
        another shape.
        """
        if not isinstance(name, str):
            raise TypeError('an action has a name: write @actions.add("name")')

        place = _place(sys._getframe(1))

        def register(function: F) -> F:
            action = Action(name, f"action {name!r}", function, blocking, builtin, place, deferred)
            self._register(self._json, action)
            self.plain.pop(name, None)
            if not (action.waits or action.wants_session):
                self.plain[name] = function
            return function

        return register

    def add_binary(
        self, content_type: str = ANY_TYPE, *, blocking: bool = False, builtin: bool = False
    ) -> Callable[[F], F]:
        """Decorator: register a function for a binary content type, or for all that have none of their own.

        It takes the content (`bytes`, or a `bytearray` for a large one) and returns bytes, which go back in the same
        type, or a `BinaryReply`. Raises as `add`, and `ValueError` for `text/json`, which is for actions.
        """
        if not isinstance(content_type, str):
            raise TypeError('write @actions.add_binary("content/type"), or @actions.add_binary() for all others')
        if content_type == "text/json":
            raise ValueError("text/json requests are answered by actions: use add(NAME)")

        place = _place(sys._getframe(1))
        words = f"the handler of {content_type!r}" if content_type else "the handler of binary contents"

        def register(function: F) -> F:
            action = Action(content_type, words, function, blocking, builtin, place)
            self._register(self._binary, action)
            self.plain_binary[content_type] = None if blocking or action.wants_session else function
            return function

        return register

    def on_connect(self, function: F) -> F:
        """Decorator: call `function(session)` when a connection has come, before anything is read of it.

        It runs on the loop, so it must be quick. What it raises is logged, and changes nothing. A connection that is
        refused was never there. Raises `TypeError` for a function of another shape.
        """
        _takes(function, 1, "(session)")
        self.connected.append(function)
        self.on_either = True
        return function

    def on_disconnect(self, function: F) -> F:
        """Decorator: call `function(session, reason)` when a connection has ended; see `on_connect`.

        `reason` is the log's word for it (a value of `CloseReason`), and `session.closed` is True.
        """
        _takes(function, 2, "(session, reason)")
        self.disconnected.append(function)
        self.on_either = True
        return function

    @staticmethod
    def _register(table: dict[str, Action], action: Action) -> None:
        earlier = table.get(action.name)
        if earlier is not None and not earlier.builtin:
            raise ValueError(f"there is a handler for {action.name!r} already, registered at {earlier.registered}")
        table[action.name] = action

    # --- finding -------------------------------------------------------------------

    def find(self, header: Header, content: Any) -> Action:
        """The handler of a request. Raises `BadRequest` or `UnknownAction` if there is none."""
        action = self.of(content if header.is_json else header)
        if action is not None:
            return action
        if header.is_json:
            raise self.refusal(content)
        raise UnknownAction(f"no handler for content type {header.content_type[:64]!r}")

    def of(self, asked: object) -> Action | None:
        """The handler that is given this, a JSON value or the header of bytes; None if there is none."""
        if isinstance(asked, dict):
            name = asked.get("action")
            return self._json.get(name) if isinstance(name, str) else None
        if isinstance(asked, Header):
            return self._binary.get(asked.content_type) or self._binary.get(ANY_TYPE)
        return None

    def refusal(self, content: Any) -> ProtocolError:
        """Why no handler answers this JSON value."""
        name = content.get("action") if isinstance(content, dict) else None
        if not isinstance(name, str):
            return BadRequest("a request must be a JSON object with an 'action' string")
        return UnknownAction(f"invalid action '{shown(name)}'.")

    def name_of(self, code: CodeType) -> str | None:
        """The action, or content type, whose handler runs this code; None if none does."""
        for table in (self._json, self._binary):
            for name, action in table.items():
                if _code_of(action.function) is code:
                    return name
        return None

    @property
    def names(self) -> list[str]:
        """The names of the JSON actions, in order of registration."""
        return list(self._json)
