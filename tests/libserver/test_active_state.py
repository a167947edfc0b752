"""Tests of what a busy connection remembers: it counts on like the number it stands for."""

from __future__ import annotations

from libserver.active_state import ActiveState
from libserver.replies import PendingReply
from libserver.session import Session
from protocol import KEEP_ALIVE, Header, Request


def test_it_counts_on_where_the_number_stood() -> None:
    state = ActiveState(3)
    same = state
    state += 2
    assert state is same
    assert int(state) == state.requests == 5


def test_it_is_empty_until_it_has_something_to_remember_and_again_when_that_is_gone() -> None:
    state = ActiveState()
    assert state.empty
    header = Header("text/json", "utf-8", 2, connection=KEEP_ALIVE)

    state.replies.append(PendingReply(header))
    assert not state.empty
    state.replies = type(state.replies)()
    assert state.empty

    state.held = Request(header, {}, None)
    assert not state.empty
    state.held = None

    state.unserved = b"x"
    assert not state.empty
    state.unserved = b""

    state.yielded = True
    assert not state.empty
    state.yielded = False

    assert state.empty
    state.session = Session("127.0.0.1:1")
    assert not state.empty, "a handler's dictionary is kept, empty or not"


def test_two_of_them_share_nothing() -> None:
    one, other = ActiveState(), ActiveState()
    one.replies.append(PendingReply(None))
    assert other.empty
