"""Which functions can be handlers, and which one answers?"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from libserver import ActionError, Actions, BinaryReply, Reply
from libserver.actions import ANY_TYPE
from protocol import Header
from protocol.errors import BadRequest, UnknownAction
from tests.libserver.conftest import OpenHouse
from tests.libserver.test_message import doors
from tests.support.peer import Peer
from tests.support.wire import ask, binary, keep


def json_header() -> Header:
    return Header("text/json", "utf-8", 0)


def answer(actions: Actions, content: object, session: dict[str, Any] | None = None) -> object:
    made: dict[str, Any] = {} if session is None else session
    return actions.find(json_header(), content).call(content, lambda: made)


# --- shapes --------------------------------------------------------------------------------


class Holder:
    def one(self, request: Any) -> str:
        return "one"

    def two(self, request: Any, session: Any) -> str:
        return f"two {session}"

    @classmethod
    def of_class(cls, request: Any) -> str:
        return "class"

    @staticmethod
    def static(request: Any, session: Any) -> str:
        return f"static {session}"

    def __call__(self, request: Any) -> str:
        return "called"


def with_default(request: Any, limit: int = 10) -> str:
    return f"limit {limit}"


def all_defaults(request: Any = None, limit: int = 10) -> str:
    return f"limit {limit}"


def any_number(*args: Any) -> str:
    return f"{len(args)} arguments"


def request_and_any_number(request: Any, *rest: Any, flag: bool = False) -> str:
    return f"{1 + len(rest)} arguments"


def keywords(request: Any, **options: Any) -> str:
    return f"{options}"


def keyword_only_default(request: Any, session: Any, *, flag: bool = False) -> str:
    return f"flag {flag}"


SHAPES: dict[str, tuple[Callable[..., Any], object]] = {
    "lambda of one": (lambda request: request["action"], "x"),
    "lambda of two": (lambda request, session: session, {}),
    "lambda with a default": (lambda request, n=1: n, 1),
    "default": (with_default, "limit 10"),
    "all defaults": (all_defaults, "limit 10"),
    "any number": (any_number, "2 arguments"),
    "one and any number": (request_and_any_number, "2 arguments"),
    "keywords": (keywords, "{}"),
    "keyword-only with a default": (keyword_only_default, "flag False"),
    "bound method of one": (Holder().one, "one"),
    "bound method of two": (Holder().two, "two {}"),
    "class method": (Holder.of_class, "class"),
    "static method": (Holder.static, "static {}"),
    "callable object": (Holder(), "called"),
    "partial": (functools.partial(with_default, limit=3), "limit 3"),
    "builtin with a signature": (len, 1),
    "builtin without one": (str, "{'action': 'x'}"),
    "class": (list, ["action"]),
}


@pytest.mark.parametrize(("function", "result"), SHAPES.values(), ids=SHAPES.keys())
def test_whatever_can_be_called_with_a_request_and_perhaps_a_session_is_a_handler(
    function: Callable[..., Any], result: object
) -> None:
    actions = Actions()
    assert actions.add("x")(function) is function
    assert answer(actions, {"action": "x"}) == result


async def coroutine(request: Any) -> None: ...


async def generator(request: Any) -> AsyncIterator[int]:
    yield 1


class AsyncCallable:
    async def __call__(self, request: Any) -> None: ...


REFUSED: dict[str, tuple[Any, str]] = {
    "no parameter": (lambda: 1, "must take"),
    "three": (lambda a, b, c: 1, "must take"),
    "three and any number": (lambda a, b, c, *d: 1, "must take"),
    "keyword-only": (lambda a, *, b: 1, "must take"),
    "any number and keyword-only": (lambda *a, b: 1, "must take"),
    "only keywords": (lambda **a: 1, "must take"),
    "method that is not bound": (Holder.two, "must take"),
    "coroutine": (coroutine, "async"),
    "async generator": (generator, "async"),
    "partial of a coroutine": (functools.partial(coroutine), "async"),
    "async callable": (AsyncCallable(), "async"),
    "no function at all": (5, "callable"),
}


@pytest.mark.parametrize(("function", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_any_other_shape_is_refused_when_it_is_registered(function: Any, words: str) -> None:
    actions = Actions(builtin=False)
    with pytest.raises(TypeError, match=words):
        actions.add("x")(function)
    with pytest.raises(TypeError, match=words):
        actions.add_binary("x/y")(function)
    assert actions.names == []
    with pytest.raises(UnknownAction):
        actions.find(json_header(), {"action": "x"})


def test_a_decorator_without_its_name_is_refused_with_the_right_way_to_write_it() -> None:
    actions = Actions()
    with pytest.raises(TypeError, match=r'@actions.add\("name"\)'):

        @actions.add  # type: ignore[arg-type]
        def greet(request: Any) -> None: ...

    with pytest.raises(TypeError, match=r"@actions.add_binary\(\)"):

        @actions.add_binary  # type: ignore[arg-type]
        def keep_it(content: Any) -> bytes:
            return b""


# --- names -----------------------------------------------------------------------------------


def test_a_built_in_may_be_replaced_once() -> None:
    actions = Actions()
    actions.add("search")(lambda request: "mine")
    assert answer(actions, {"action": "search", "value": "ring"}) == "mine"
    with pytest.raises(ValueError, match="'search'"):
        actions.add("search")(lambda request: "again")


def test_two_handlers_of_one_name_are_refused() -> None:
    actions = Actions()
    actions.add("x")(lambda request: 1)
    actions.add_binary("a/b")(lambda content: b"")
    with pytest.raises(ValueError, match="already"):
        actions.add("x", blocking=True)(lambda request: 2)
    with pytest.raises(ValueError, match="already"):
        actions.add_binary("a/b")(lambda content: b"")
    assert answer(actions, {"action": "x"}) == 1


def test_text_json_is_no_binary_type() -> None:
    with pytest.raises(ValueError, match="actions"):
        Actions().add_binary("text/json")


def test_names_are_in_order_of_registration() -> None:
    actions = Actions()
    actions.add("greet")(lambda request: 1)
    assert actions.names == ["search", "ping", "echo", "confirm", "greet"]


def test_a_registry_of_ones_own_has_nothing_built_in(house: OpenHouse) -> None:
    home = house(Actions(builtin=False))
    peer = home.peer()
    peer.send(keep("echo", 1), binary(b"1"), binary(b"1", "a/b", id=3))
    replies = peer.replies(3)
    assert [reply.code for reply in replies] == ["unknown-action"] * 3
    assert "binary/echo" in replies[1].result
    assert replies[2].header["id"] == 3


@pytest.mark.parametrize("content", [{}, [], 0, "", None, False, {"action": None}, {"action": ["x"]}, ["action"]])
def test_what_is_no_request_is_a_bad_request(content: object) -> None:
    with pytest.raises(BadRequest):
        Actions().find(json_header(), content)


def test_an_unhashable_or_strange_action_is_answered(house: OpenHouse) -> None:
    peer = house().peer()
    peer.send(keep("x" * 10_000), ask(""))
    assert [reply.code for reply in peer.replies(2)] == ["unknown-action"] * 2


# --- what handlers return -------------------------------------------------------------------------


def test_a_reply_sends_fields_of_its_own(house: OpenHouse) -> None:
    actions = Actions()
    actions.add("both")(lambda request: Reply({"result": 1}, count=2))
    actions.add("none")(lambda request: Reply())
    peer = house(actions).peer()
    peer.send(keep("both"), keep("none"))
    assert [reply.body for reply in peer.replies(2)] == [{"result": 1, "count": 2}, {}]


@pytest.mark.parametrize(
    ("result", "content_type"),
    [
        (b"abc", "a/b"),
        (bytearray(b"abc"), "a/b"),
        (memoryview(b"abc"), "a/b"),
        (BinaryReply(b"abc", "c/d"), "c/d"),
        (BinaryReply(memoryview(b"abc"), "c/d"), "c/d"),
    ],
)
@pytest.mark.parametrize("blocking", [False, True])
def test_a_binary_handler_returns_bytes_in_the_requests_type_or_its_own(
    house: OpenHouse, result: Any, content_type: str, blocking: bool
) -> None:
    actions = Actions()
    actions.add_binary("a/b", blocking=blocking)(lambda content: result)
    peer = house(actions).peer()
    peer.send(binary(b"", "a/b", id=4))
    reply = peer.reply()
    assert (reply.content, reply.header["content-type"], reply.header["id"]) == (b"abc", content_type, 4)
    assert reply.header["content-encoding"] == "binary"


@pytest.mark.parametrize("result", [None, "text", 5, BinaryReply("text", "a/b"), BinaryReply(b"", "x" * 2000)])  # type: ignore[arg-type]
@pytest.mark.parametrize("blocking", [False, True])
def test_what_is_no_bytes_is_a_failed_handler(house: OpenHouse, result: Any, blocking: bool) -> None:
    actions = Actions()
    actions.add_binary("a/b", blocking=blocking)(lambda content: result)
    peer = house(actions).peer()
    peer.send(binary(b"", "a/b", connection="keep-alive"), binary(b"next"))
    assert peer.reply().code == "handler-failed"
    assert peer.reply().content == b"next"


def test_a_session_is_a_connections_own_and_shared_by_its_handlers(house: OpenHouse) -> None:
    actions = Actions()
    actions.add("set")(lambda request, session: session.update(value=request["value"]))
    actions.add("get")(lambda request, session: session.get("value"))
    actions.add("get blocking", blocking=True)(lambda request, session: session.get("value"))
    actions.add_binary("a/get")(lambda content, session: str(session.get("value")).encode())
    home = house(actions)
    one, two = home.peer(), home.peer()
    one.send(keep("set", 1))
    two.send(keep("set", 2))
    for peer, value in ((one, 1), (two, 2)):
        peer.send(keep("get"), keep("get blocking"), binary(b"", "a/get"))
        replies = peer.replies(4)
        assert [reply.result for reply in replies[:3]] == [None, value, value]
        assert replies[3].content == str(value).encode()


def test_a_session_is_made_only_if_a_handler_wants_it() -> None:
    def no_session() -> dict[str, Any]:
        raise AssertionError("nobody wants it")

    actions = Actions()
    assert actions.find(json_header(), {"action": "echo"}).call({"value": 1}, no_session) == 1


def test_an_action_error_carries_any_code() -> None:
    error = ActionError("teapot", "short and stout")
    assert (error.code, str(error)) == ("teapot", "short and stout")


# --- which handler answers -----------------------------------------------------------------------------


def test_a_blocking_handler_for_a_type_is_not_passed_over_for_the_one_for_all_others(house: OpenHouse) -> None:
    with doors() as d:
        home = house(d.actions)
        peer = home.peer()
        peer.send(keep("echo", 1), binary(b"slow", "binary/wait"), binary(b"0123456789abc", "other/type"))
        assert peer.reply().result == 1
        home.until(lambda: d.begun)
        d.open(b"slow")
        assert peer.reply().content == b"slow"
        assert peer.reply().content == b"First 10 bytes of request: 0123456789"


def test_the_handler_for_all_other_types_may_be_ones_own_and_blocking(house: OpenHouse) -> None:
    actions = Actions()
    actions.add_binary(blocking=True)(lambda content: b"mine: " + content)
    peer = house(actions).peer()
    peer.send(binary(b"x", "any/thing", connection="keep-alive"), binary(b"y"))
    assert [reply.content for reply in peer.replies(2)] == [b"mine: x", b"y"]
    assert ANY_TYPE == ""


def test_a_built_in_replaced_by_a_blocking_or_session_handler_is_really_replaced(house: OpenHouse) -> None:
    actions = Actions()
    actions.add("echo", blocking=True)(lambda request: "blocking")
    actions.add("search")(lambda request, session: "session")
    actions.add("confirm")(lambda request: "plain")
    actions.add_binary("binary/echo", blocking=True)(lambda content: b"blocking")
    peer = house(actions).peer()
    peer.send(keep("echo"), keep("search"), keep("confirm"), binary(b""))
    assert [peer.reply().result for _ in range(3)] == ["blocking", "session", "plain"]
    assert peer.reply().content == b"blocking"


def test_handlers_registered_while_serving_are_found(house: OpenHouse) -> None:
    home = house()
    peer = home.peer()
    peer.send(keep("late"))
    assert peer.reply().code == "unknown-action"
    home.server.actions.add("late")(lambda request: "here now")
    peer.send(keep("late"))
    assert peer.reply().result == "here now"


# --- the sample of the contract, word for word ---------------------------------------------------------------

SAMPLE = """
from libserver import ActionError, Actions, Reply

actions = Actions()

@actions.add("greet")
def greet(request, session):            # request: the decoded object; session: a dict per connection, made on first use
    if "name" not in request:
        raise ActionError("bad-request", "greet needs a name")
    return f"Hello, {request['name']}!"  # becomes {"result": "Hello, ..."}; Reply(fields) sends other fields
"""


def test_the_sample_of_the_contract_works_as_it_stands(house: OpenHouse) -> None:
    namespace: dict[str, Any] = {}
    exec(SAMPLE, namespace)
    peer: Peer = house(namespace["actions"]).peer()
    from tests.support.wire import json_message

    peer.send(json_message({"action": "greet", "name": "Ada"}, connection="keep-alive"), keep("greet"), keep("echo", 1))
    good, bad, builtin = peer.replies(3)
    assert good.body == {"result": "Hello, Ada!"}
    assert bad.body == {
        "result": "Error: greet needs a name",
        "error": {"code": "bad-request", "message": "greet needs a name"},
    }
    assert builtin.result == 1


@pytest.mark.parametrize("words", [(5, "message"), ("code", object()), (None, None)])
def test_an_action_error_takes_strings_alone(words: tuple[object, object]) -> None:
    with pytest.raises(TypeError, match="both strings"):
        ActionError(*words)  # type: ignore[arg-type]


# --- whose code is it ----------------------------------------------------------------------


def test_the_name_of_what_runs_is_found_by_its_code() -> None:
    actions = Actions()
    actions.add("plain")(with_default)
    actions.add("partly")(functools.partial(lambda limit, request: limit, 1))
    actions.add("called")(Holder())
    actions.add("method")(Holder().one)
    actions.add("c")(len)
    actions.add_binary("x/y")(all_defaults)
    codes = {
        "plain": with_default.__code__,
        "partly": actions._json["partly"].function.func.__code__,  # type: ignore[attr-defined]
        "called": Holder.__call__.__code__,
        "method": Holder.one.__code__,
        "x/y": all_defaults.__code__,
    }
    assert {name: actions.name_of(code) for name, code in codes.items()} == {name: name for name in codes}
    assert actions.name_of(any_number.__code__) is None
