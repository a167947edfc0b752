"""What the application is told of connections, and what the books say of those that never spoke."""

from __future__ import annotations

from typing import Any

import pytest

from libserver import Actions, Session
from tests.support.server import ANY_PORT, Turned, turned
from tests.support.wire import ask, framed, keep


class Told:
    """A registry, and what it was told in order."""

    def __init__(self) -> None:
        self.actions = Actions()
        self.seen: list[tuple[str, ...]] = []
        self.sessions: list[Session] = []

        @self.actions.on_connect
        def came(session: Session) -> None:
            session["came"] = True
            self.sessions.append(session)
            self.seen.append(("came", session.peer))

        @self.actions.on_disconnect
        def went(session: Session, reason: str) -> None:
            assert session.closed
            assert session["came"]
            self.seen.append(("went", session.peer, reason))

        @self.actions.add("look")
        def look(request: Any, session: Session) -> bool:
            return session is self.sessions[-1] and not session.closed


def name(peer: Any) -> str:
    host, port = peer.sock.getsockname()
    return f"{host}:{port}"


def test_the_application_is_told_who_comes_before_the_first_request_and_who_goes_and_why() -> None:
    told = Told()
    with turned(told.actions) as home:
        first, second = home.peer(), home.peer()
        here, there = name(first), name(second)
        assert told.seen == [("came", here), ("came", there)]
        second.send(keep("look"))
        assert second.reply().result is True
        first.reset()
        second.finish()
        home.ended()
    assert sorted(told.seen[2:]) == sorted([("went", here, "silent"), ("went", there, "peer-closed")])


def test_who_is_cut_and_who_is_served_at_once_is_told_too_and_who_is_refused_is_not() -> None:
    told = Told()
    with turned(told.actions, max_connections=1) as home:
        stays = home.peer()
        here = name(stays)
        refused = home.peer()
        assert refused.reply().code == "overloaded"
        refused.close()
        home.until(lambda: not home.server.refused)
        home.server.stop()
        home.ended()
    assert told.seen == [("came", here), ("went", here, "cut")]
    told = Told()
    with turned(told.actions) as home:
        peer = home.peer()
        here = name(peer)
        peer.send(ask("look"))
        assert peer.reply().result is True
        peer.close()
        home.ended()
    assert told.seen == [("came", here), ("went", here, "served")]


def test_a_handler_may_have_the_end_of_its_own_connection_told_and_no_other_one_costs_a_session() -> None:
    actions = Actions()
    told: list[tuple[str, ...]] = []

    @actions.add("watch")
    def watch(request: Any, session: Session) -> None:
        session.on_close(lambda session, reason: told.append((session.peer, reason, str(session.closed))))
        session.on_close(lambda session, reason: told.append(("twice",)))

    with turned(actions) as home:
        watched, other = home.peer(), home.peer()
        here = name(watched)
        for peer in (watched, other):
            peer.send(keep("watch" if peer is watched else "ping"))
            assert peer.reply().code is None
        assert [message.end_is_awaited for message in home.server.connections] == [True, False]
        for peer in (watched, other):
            peer.finish()
        home.ended()
    assert told == [(here, "peer-closed", "True"), ("twice",)]


def test_what_such_a_function_raises_is_logged_and_changes_nothing() -> None:
    actions = Actions()
    told: list[str] = []

    @actions.add("watch")
    def watch(request: Any, session: Session) -> None:
        session.on_close(lambda session, reason: 1 // 0)
        session.on_close(lambda session, reason: told.append(reason))

    with turned(actions) as home:
        peer = home.peer()
        peer.send(keep("watch"))
        peer.reply()
        peer.finish()
        home.ended()
        assert [type(error) for error in home.log.raised()] == [ZeroDivisionError]
    assert told == ["peer-closed"]


def test_an_echo_connection_is_none_of_the_applications() -> None:
    told = Told()
    with turned(told.actions, ("echo://127.0.0.1:0",)) as home:
        home.peer().close()
        home.ended()
    assert told.seen == []


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit, GeneratorExit])
def test_what_these_raise_is_logged_and_changes_nothing(kind: type[BaseException]) -> None:
    actions = Actions()
    told: list[str] = []

    @actions.on_connect
    def came(session: Session) -> None:
        raise kind("at the door")

    actions.on_connect(lambda session: told.append(session.peer))

    @actions.on_disconnect
    def went(session: Session, reason: str) -> None:
        raise kind("on the way out")

    actions.on_disconnect(lambda session, reason: told.append(reason))
    with turned(actions) as home:
        peer = home.peer()
        here = name(peer)
        peer.send(keep("echo", 1))
        assert peer.reply().result == 1
        peer.close()
        assert home.ended() == {"peer-closed": 1}
        assert told == [here, "peer-closed"]
        first, second = home.log.records
    assert f"came failed: {kind.__name__}: at the door" in first.getMessage()
    assert f"went failed: {kind.__name__}: on the way out" in second.getMessage()
    assert vars(first)["event"] == "callback-failed"
    assert vars(first)["peer"] == here


def test_a_connection_has_no_session_unless_somebody_asked_to_be_told() -> None:
    with turned() as home:
        home.peer()
        assert home.only.requests == 0  # no `ActiveState`, so no session


@pytest.mark.parametrize(
    "function", [lambda: None, lambda one, two: None, lambda *, named: None], ids=["none", "two", "named"]
)
def test_a_function_of_another_shape_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=r"must take \(session\)"):
        Actions().on_connect(function)


def test_an_async_one_is_refused() -> None:
    async def went(session: Session, reason: str) -> None: ...

    with pytest.raises(TypeError, match="async"):
        Actions().on_disconnect(went)
    with pytest.raises(TypeError, match=r"must take \(session, reason\)"):
        Actions().on_disconnect(lambda session: None)


# --- those that never spoke -----------------------------------------------------------------


def leave(home: Turned, sent: bytes, how: str) -> str:
    peer = home.peer()
    if sent:
        peer.send(sent)
        home.quiet()
    getattr(peer, how)()
    home.until(lambda: not home.server.connections)
    (reason,) = home.reasons
    return reason


@pytest.mark.parametrize("how", ["close", "reset", "finish"])
@pytest.mark.parametrize(
    ("sent", "closed", "reset"),
    [
        (b"", "silent", "silent"),
        (b"\0", "truncated", "reset"),
        (keep("echo")[:50], "truncated", "reset"),
        (keep("echo")[:-1], "truncated", "reset"),
        (keep("echo"), "peer-closed", "reset"),
        (keep("echo") * 2, "peer-closed", "reset"),
        (keep("echo") + b"\0", "truncated", "reset"),
    ],
    ids=["nothing", "a byte", "half a header", "half a content", "a request", "two", "one and a byte"],
)
def test_who_never_sent_a_byte_is_silent_however_it_goes(how: str, sent: bytes, closed: str, reset: str) -> None:
    with turned() as home:
        found = leave(home, sent, how)
        if how == "close" and sent:  # with a reply that nobody has read the kernel makes a RST of it
            assert found in (closed, reset)
        else:
            assert found == (reset if how == "reset" else closed)


def test_who_says_nothing_until_its_time_is_up_met_a_limit() -> None:
    with turned(header_timeout=5.0) as home:
        peer = home.peer()
        home.advance(6.0)
        peer.eof()
        assert home.reasons == {"header-timeout": 1}
        (record,) = home.log.records
    assert record.getMessage() == "it never sent a byte (--header-timeout)"


def test_ping_is_answered() -> None:
    with turned(listen=(ANY_PORT,)) as home:
        peer = home.peer()
        peer.send(ask("ping"))
        assert peer.reply().body == {"result": "pong"}


# --- the counts ------------------------------------------------------------------------------


def test_requests_and_errors_are_counted_by_code_whichever_way_they_are_answered() -> None:
    actions = Actions()
    actions.add("crash")(lambda request: 1 / 0)
    actions.add("crash in a thread", blocking=True)(lambda request: 1 / 0)
    with turned(actions) as home:
        expected: dict[str, int] = {}
        for one_by_one in (False, True):
            peer = home.peer()
            for data, code in [
                (keep("echo"), None),
                (ask("none"), "unknown-action"),
                (ask("crash"), "handler-failed"),
                (ask("crash in a thread"), "handler-failed"),
                (keep("echo")[:-1] + b"?", "bad-content"),
                (keep("echo", deadline_ms=0), "deadline-exceeded"),
                (framed(b"{}"), "bad-header"),
            ]:
                for part in (data[:-1], data[-1:]) if one_by_one else (data,):
                    peer.send(part)
                    home.quiet()
                assert peer.reply().code == code
                if code is not None:
                    expected[code] = expected.get(code, 0) + 1
            assert home.server.errors == expected
            peer.close()
        home.ended()
        assert home.server.requests == 12


def test_a_handler_that_makes_codes_as_it_likes_does_not_fill_the_memory() -> None:
    from libserver import ActionError
    from libserver.server import CODES_COUNTED

    actions = Actions()

    @actions.add("refuse")
    def refuse(request: Any) -> None:
        raise ActionError(f"code-{request['value']}", "no")

    with turned(actions) as home:
        peer = home.peer()
        for n in range(CODES_COUNTED + 20):
            peer.send(keep("refuse", n))
            peer.reply()
        assert len(home.server.errors) == CODES_COUNTED + 1
        assert home.server.errors["others"] == 20
        peer.send(keep("refuse", 0))
        peer.reply()
        assert home.server.errors["code-0"] == 2
