"""Tests of events: which bytes say them, what a client makes of them, and which names topics may have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol import CLIENT, KEEP_ALIVE, Codec, Connection, Notification
from protocol.content import encode_json
from protocol.push import (
    Gap,
    Published,
    encode_gap,
    encode_published,
    is_pattern,
    is_topic,
    matches,
    overlap,
    read_event,
)
from tests.support.wire import granting, json_message, message, take

# --- bytes out ------------------------------------------------------------------------------


def parts(frame: bytes) -> tuple[dict[str, Any], Any]:
    taken = take(bytearray(frame))
    assert taken is not None
    _, header, content = taken
    return header, json.loads(content)


def test_a_message_is_an_ordinary_frame_with_an_event_in_its_header() -> None:
    header, content = parts(encode_published("room/lobby", 7, encode_json({"text": "h\u00e9"}), "ann"))
    assert header.pop("byteorder") in ("little", "big")
    assert header.pop("content-length") > 0
    assert header == {"content-type": "text/json", "content-encoding": "utf-8", "event": "message"}
    assert content == {"topic": "room/lobby", "seq": 7, "value": {"text": "h\u00e9"}, "from": "ann"}
    assert list(content) == ["topic", "seq", "value", "from"]


def test_without_a_sender_there_is_no_from() -> None:
    _, content = parts(encode_published("t", 1, b"null"))
    assert content == {"topic": "t", "seq": 1, "value": None}


@pytest.mark.parametrize("word", ['quo"te', "back\\slash", "\U0001f430", "\udc80"])
def test_names_of_any_characters_are_quoted(word: str) -> None:
    _, content = parts(encode_published(word, 1, b"1", word))
    assert (content["topic"], content["from"]) == (word, word)


def test_a_backplane_s_seq_is_text() -> None:
    _, content = parts(encode_published("t", "1700-0", b"1"))
    assert content["seq"] == "1700-0"


def test_a_gap_says_which_are_missing_and_how_many() -> None:
    header, content = parts(encode_gap(Gap("t", 3, 9, 7)))
    assert header["event"] == "gap"
    assert content == {"topic": "t", "from": 3, "to": 9, "dropped": 7}
    _, content = parts(encode_gap(Gap("t", 1, 9, None)))
    assert content["dropped"] is None


# --- events in ------------------------------------------------------------------------------


def notified(*frames: bytes) -> list[Notification]:
    connection = Connection(Codec(CLIENT))
    connection.send_request("text/json", "utf-8", b"{}", connection=KEEP_ALIVE)
    events = connection.receive_data(granting("subscribed") + b"".join(frames))
    return [event for event in events if isinstance(event, Notification)]


def test_what_was_encoded_is_read_as_it_was() -> None:
    said, gap = notified(encode_published("t", 7, b'{"a": 1}', "ann"), encode_gap(Gap("t", 8, 9, 2)))
    assert read_event(said) == Published("t", 7, {"a": 1}, "ann")
    assert read_event(gap) == Gap("t", 8, 9, 2)


def event(name: str, content: object) -> bytes:
    return json_message(content, event=name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("weather", {"topic": "t", "seq": 1, "value": 1}),
        ("message", ["t", 1, 1]),
        ("message", {"seq": 1, "value": 1}),
        ("message", {"topic": 1, "seq": 1, "value": 1}),
        ("message", {"topic": "t", "value": 1}),
        ("message", {"topic": "t", "seq": 1.5, "value": 1}),
        ("message", {"topic": "t", "seq": True, "value": 1}),
        ("message", {"topic": "t", "seq": 1}),
        ("message", {"topic": "t", "seq": 1, "value": 1, "from": 2}),
        ("gap", {"topic": "t", "from": 1, "to": 2, "dropped": -1}),
        ("gap", {"topic": "t", "from": 1, "to": 2, "dropped": True}),
        ("gap", {"topic": "t", "from": None, "to": 2, "dropped": 1}),
        ("gap", {"topic": "t", "from": 1, "dropped": 1}),
    ],
)
def test_what_is_not_as_it_should_be_is_skipped(name: str, content: object) -> None:
    (notification,) = notified(event(name, content))
    assert read_event(notification) is None


def test_an_event_that_can_not_be_decoded_is_skipped() -> None:
    (notification,) = notified(message(b"\xff", event="message"))
    assert read_event(notification) is None


def test_records_are_equal_by_their_fields_and_show_them() -> None:
    assert Published("t", 1, 2) == Published("t", 1, 2)
    assert Published("t", 1, 2) != Published("t", 1, 2, "ann")
    assert Gap("t", 1, 2, 2) == Gap("t", 1, 2, 2)
    assert Gap("t", 1, 2, 2) != Gap("t", 1, 2, None)
    assert Published("t", 1, 2) != Gap("t", 1, 2, 2)
    assert Gap("t", 1, 2, 2) != Published("t", 1, 2)
    assert repr(Published("t", 1, 2, "ann")) == "Published('t', 1, 2, sender='ann')"
    assert repr(Published("t", 1, 2)) == "Published('t', 1, 2)"
    assert repr(Gap("t", 1, 2, None)) == "Gap('t', 1, 2, dropped=None)"


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["t", "a/b/c", "a b", "\u00e9", "x" * 200, "a*b", "*a", "//"])
def test_a_topic_s_name_has_1_to_200_printable_characters(name: str) -> None:
    assert is_topic(name)
    assert not is_pattern(name)


@pytest.mark.parametrize(
    "name", ["", "x" * 201, "a\nb", "a\x1bb", "a\x00", 7, None, ["t"], "*", "a/*", "a/**", "a/*/b"]
)
def test_what_is_no_topic(name: object) -> None:
    assert not is_topic(name)


@pytest.mark.parametrize("name", ["a/*", "a/**", "a/b/*", "\u00e9/**"])
def test_a_pattern_ends_in_one_level_or_all(name: str) -> None:
    assert is_pattern(name)


@pytest.mark.parametrize(
    "name", ["*", "**", "/*", "a*", "a/***", "a/*/b", "a/*/*", "a/\n/*", "x" * 199 + "/*", 7, None]
)
def test_what_is_no_pattern(name: object) -> None:
    assert not is_pattern(name)


@pytest.mark.parametrize(
    ("pattern", "topic", "taken"),
    [
        ("a/*", "a/b", True),
        ("a/*", "a/b/c", False),
        ("a/*", "a", False),
        ("a/*", "a/", False),
        ("a/*", "ab/c", False),
        ("a/**", "a/b", True),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("a/b/*", "a/b/c", True),
        ("a/b/*", "a/c", False),
    ],
)
def test_a_pattern_takes_one_level_below_or_all(pattern: str, topic: str, taken: bool) -> None:
    assert matches(pattern, topic) is taken


NAMES = ["a", "a/b", "a/c", "a/b/c", "b", "a/*", "a/**", "a/b/*", "a/b/**", "b/*", "ab/**"]
TOPICS = [*(n for n in NAMES if not is_pattern(n)), "a/x", "a/b/x", "a/b/x/y", "a/x/y", "b/x", "ab/x", "ab/x/y"]


@pytest.mark.parametrize("one", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_two_overlap_exactly_if_there_is_a_topic_that_both_take(one: str, other: str) -> None:
    def takes(name: str, topic: str) -> bool:
        return matches(name, topic) if is_pattern(name) else name == topic

    assert overlap(one, other) is any(takes(one, topic) and takes(other, topic) for topic in TOPICS)
