"""What is said of subscriptions and events is said in words, whatever a trace holds."""

from __future__ import annotations

import pytest

from protocol.states import DELIVERY
from study.push import _DID, event_in_words, event_of, events_in, named, what_it_did
from study.trace import PART, Event


def test_every_input_of_delivery_has_words_for_what_it_did() -> None:
    assert set(_DID) == set(DELIVERY.inputs)
    assert what_it_did({"input": "ABOVE_HIGH", "topic": "t"}) == "subscription to 't' fell behind"
    assert what_it_did({"input": "ABOVE_HIGH"}) == "a subscription fell behind", "an older trace"
    assert what_it_did({"input": "LATER", "topic": "t"}) == "subscription to 't' moved", "a later one"


def test_a_topic_is_shown_in_printable_characters_and_cut() -> None:
    assert named("room/\N{DOG FACE}") == "'room/\N{DOG FACE}'"
    assert named("\x1b[31m\u202e") == r"'\x1b[31m\u202e'"
    assert len(named("x" * 200)) == 62
    assert named("x" * 200).endswith("...'")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"topic": "t", "seq": 7}, "seq 7 of 't'"),
        ({"topic": "t", "seq": "17-0"}, "seq 17-0 of 't'"),
        ({"topic": "t", "from": 2, "to": 4, "dropped": 3}, "gap: seq 2 to 4 of 't', 3 left out"),
        ({"topic": "t", "from": 1, "to": 4, "dropped": None}, "gap: seq 1 to 4 of 't', nobody knows how many"),
        ({"topic": ["\x1b"], "seq": "\n"}, "seq \\n of '['\\x1b']'"),
        ({"topic": "t"}, None),
        ({"seq": 1}, None),
        (None, None),
        (7, None),
    ],
)
def test_an_event_is_about_messages_of_a_topic(value: object, words: str | None) -> None:
    assert event_in_words(value) == words


def test_events_are_told_from_replies_by_their_headers() -> None:
    def part(kind: str, message: int, value: object) -> Event:
        return Event(0.0, PART, "1", {"part": kind, "message": message, "value": value})

    parts = [
        *(part("prefix", 0, 9), part("header", 0, {}), part("header", 1, {"event": "gap"})),
        *(part("content", 1, {"event": "x"}), part("header", 2, {"event": 7}), part("header", 3, "no object")),
    ]
    assert events_in(parts) == {1: "gap"}
    assert event_of({"part": "header", "value": {"event": "later"}}) == "later"
