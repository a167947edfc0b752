"""Tests of the ways out: what each says last, which cause wins, and what is left of those that have ended.

Every row of LIFECYCLE that a server takes has its scenario in test_lifecycle; drain and cut have files of their own.
"""

from __future__ import annotations

import pytest

from libserver import CloseReason, Message
from libserver.ending import LIMIT_OF, OVERDUE
from protocol.states import CLOSED
from tests.support.server import Turned, turned
from tests.support.wire import ask, keep


def only(home: Turned) -> Message:
    (message,) = home.server.connections
    assert isinstance(message, Message)
    return message


def test_the_first_cause_is_the_reason() -> None:
    with turned() as home:
        home.peer()
        message, ending = only(home), home.server.ending
        ending.set_reason(message, CloseReason.RETIRED)
        ending.set_reason(message, CloseReason.SHUTDOWN)
        assert message.reason is CloseReason.RETIRED
        message.abort(CloseReason.INTERNAL_ERROR)
        home.quiet()
        assert home.server.closed_by == {CloseReason.RETIRED: 1}


def test_nothing_happens_to_one_that_is_closed() -> None:
    with turned() as home:
        home.peer()
        message = only(home)
        message.release(CloseReason.IDLE_TIMEOUT)
        assert message.state is CLOSED
        message.abort(CloseReason.CUT)
        message.drain()
        message.wind_down()
        home.quiet()
        assert home.server.closed_by == {CloseReason.IDLE_TIMEOUT: 1}


def test_nothing_is_remembered_of_those_that_have_ended() -> None:
    with turned() as home:
        for _ in range(3):
            peer = home.peer()
            assert peer.ask(ask("ping")).result == "pong"
            peer.eof()
        home.peer().reset()
        home.until(lambda: not home.server.connections)
        assert home.server.ending.reasons == {}


@pytest.mark.parametrize("reason", OVERDUE)
def test_an_overdue_message_is_told_why_and_the_log_says_which_option(reason: CloseReason) -> None:
    with turned() as home:
        peer = home.peer()
        assert peer.ask(keep("ping")).result == "pong"
        peer.send(keep("ping")[:10])
        home.quiet()
        only(home).input_overdue(reason)
        told = peer.reply()
        assert (told.code, told.connection) == ("timeout", "close")
        assert OVERDUE[reason] in told.result
        peer.eof()
        peer.close()
        home.until(lambda: not home.server.connections)
        assert home.server.closed_by == {reason: 1}
        assert any(LIMIT_OF[reason] in text for text in home.log.texts())


def test_one_that_never_sent_a_byte_gets_fin_alone() -> None:
    with turned() as home:
        peer = home.peer()
        only(home).input_overdue(CloseReason.HEADER_TIMEOUT)
        peer.eof()
        assert any("it never sent a byte" in text for text in home.log.texts())
