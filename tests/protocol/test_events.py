"""Events are small records: they hold their fields, compare by them, and take no others."""

from __future__ import annotations

import typing

import pytest

from protocol import events
from protocol.errors import BadContent, BadHeader
from protocol.events import EndOfInput, Event, Failed, HeaderReceived, Notification, Rejected, Request, Response
from protocol.frames import Header

HEADER = Header("text/json", "utf-8", 2)
EVENTS = [
    HeaderReceived(HEADER),
    Request(HEADER, {}),
    Response(HEADER, {}),
    Notification(HEADER, {}),
    Rejected(HEADER, BadContent("no")),
    Failed(None, BadHeader("no")),
    EndOfInput(True),
]


def test_the_union_lists_every_event_there_is():
    assert set(typing.get_args(Event)) == {type(event) for event in EVENTS}
    assert {kind.__name__ for kind in typing.get_args(Event)} | {"Event"} == set(events.__all__)


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: type(e).__name__)
def test_an_event_has_slots_so_a_misspelt_field_is_an_error(event):
    with pytest.raises(AttributeError):
        event.contents = 1


def test_events_of_different_kinds_differ_even_with_equal_fields():
    assert Request(HEADER, {}) == Request(HEADER, {})
    assert Request(HEADER, {}) != Request(HEADER, [])
    assert Request(HEADER, {}) != Response(HEADER, {})
    assert Response(HEADER, {}) != Notification(HEADER, {})


def test_a_request_that_waits_may_keep_its_content_as_it_came():
    small = Request(HEADER, {"a": 1})
    small.undecode()
    assert small.content == {"a": 1}
    assert not small.decode_again()
    large = Request(HEADER, {"a": 1}, b'{"a": 1}')
    assert large == small
    assert repr(large) == repr(small)
    large.undecode()
    assert large.content is None
    assert large.decode_again()
    assert large == small
