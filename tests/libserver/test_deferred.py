"""Tests of actions that answer later, from the loop: in order, once, and whatever happens meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from libserver import ActionError, Actions, Session
from tests.support.server import turned
from tests.support.wire import ask, keep, request


class Later:
    """An action whose answers the test gives."""

    def __init__(self, **more: Any) -> None:
        self.actions = Actions()
        self.answers: list[Any] = []

        @self.actions.add("later", deferred=True)
        def later(request: dict[str, Any], session: Session, answer: Any) -> None:
            self.answers.append(answer)


def test_it_answers_when_it_knows_and_replies_stay_in_order() -> None:
    later = Later()
    with turned(later.actions) as home:
        peer = home.peer()
        peer.send(keep("later", id=1), keep("ping", id=2), keep("later", id=3))
        home.until(lambda: len(later.answers) == 2)
        later.answers[1]("second")
        peer.silent()
        later.answers[0]({"first": True})
        replies = peer.replies(3)
        assert [(reply.header["id"], reply.result) for reply in replies] == [
            (1, {"first": True}),
            (2, "pong"),
            (3, "second"),
        ]


def test_it_may_know_at_once() -> None:
    actions = Actions()

    @actions.add("now", deferred=True)
    def now(request: dict[str, Any], session: Session, answer: Any) -> None:
        answer(request["value"])

    with turned(actions) as home:
        peer = home.peer()
        peer.send(*(keep("now", number) for number in range(5)), ask("now", "last", connection="close"))
        replies = peer.replies(6)
        assert [reply.result for reply in replies] == [0, 1, 2, 3, 4, "last"]
        assert replies[-1].connection == "close"
        peer.eof()


def test_a_one_shot_gets_its_reply_and_fin() -> None:
    later = Later()
    with turned(later.actions) as home:
        peer = home.peer()
        peer.send(ask("later"))
        home.until(lambda: later.answers)
        later.answers[0]("late")
        assert peer.reply().result == "late"
        peer.eof()
        assert home.ended() == {"served": 1}


@pytest.mark.parametrize("raised", [False, True])
def test_an_error_is_the_answer_whether_it_is_raised_or_given(raised: bool) -> None:
    actions = Actions()

    @actions.add("refuse", deferred=True)
    def refuse(request: dict[str, Any], session: Session, answer: Any) -> None:
        error = ActionError("busy", "not now")
        if raised:
            raise error
        answer(None, error)

    with turned(actions) as home:
        peer = home.peer()
        assert [reply.code for reply in (peer.ask(keep("refuse")), peer.ask(keep("refuse")))] == ["busy", "busy"]


def test_what_it_raises_is_logged_and_told_as_any_handler_s() -> None:
    actions = Actions()

    @actions.add("fail", deferred=True)
    def fail(request: dict[str, Any], session: Session, answer: Any) -> None:
        raise LookupError("inside")

    with turned(actions) as home:
        reply = home.peer().ask(keep("fail"))
        assert reply.code == "handler-failed"
        assert any("action 'fail' failed: LookupError: inside" in text for text in home.log.texts())


def test_what_it_raises_after_its_answer_is_logged_and_the_answer_stands() -> None:
    actions = Actions()

    @actions.add("both", deferred=True)
    def both(request: dict[str, Any], session: Session, answer: Any) -> None:
        answer("fine")
        raise LookupError("too late")

    with turned(actions) as home:
        assert home.peer().ask(keep("both")).result == "fine"
        assert any("too late" in text for text in home.log.texts())


def test_it_answers_once() -> None:
    later = Later()
    with turned(later.actions) as home:
        peer = home.peer()
        peer.send(keep("later"))
        home.until(lambda: later.answers)
        later.answers[0]("once")
        with pytest.raises(RuntimeError, match="action 'later' has answered already"):
            later.answers[0]("twice")
        assert peer.reply().result == "once"


def test_an_answer_for_one_that_has_gone_is_dropped() -> None:
    later = Later()
    with turned(later.actions) as home:
        peer = home.peer()
        peer.send(keep("later"))
        home.until(lambda: later.answers)
        peer.reset()
        home.until(lambda: not home.server.connections)
        later.answers[0]("for nobody")
        home.quiet()


def test_a_deadline_that_has_come_meanwhile_is_told() -> None:
    later = Later()
    with turned(later.actions) as home:
        peer = home.peer()
        peer.send(request({"action": "later"}, connection="keep-alive", deadline_ms=100))
        home.until(lambda: later.answers)
        home.clock.advance(0.2)
        later.answers[0]("too late")
        assert peer.reply().code == "deadline-exceeded"


def test_a_drain_waits_for_the_answer() -> None:
    later = Later()
    with turned(later.actions) as home:
        peer = home.peer()
        peer.send(keep("later"))
        home.until(lambda: later.answers)
        home.server.drain()
        home.quiet()
        later.answers[0]("in time")
        reply = peer.reply()
        assert (reply.result, reply.connection) == ("in time", "close")
        peer.eof()


@pytest.mark.parametrize("function", [lambda request: None, lambda request, session: None])
def test_a_handler_of_another_shape_is_refused_when_it_is_registered(function: Any) -> None:
    with pytest.raises(TypeError, match=r"must take \(request, session, answer\)"):
        Actions().add("x", deferred=True)(function)
