"""Does the chronicle keep what was published, and notice a number that can't be?"""

from __future__ import annotations

import json

from suites.simulation.chronicle import Chronicle, token_of
from suites.simulation.tracks import Place


def chronicle() -> tuple[Chronicle, list[str]]:
    wrong: list[str] = []
    return Chronicle(wrong.append), wrong


def value(token: str) -> bytes:
    return json.dumps({"token": token}).encode()


def test_a_message_is_found_by_the_token_of_its_value() -> None:
    told, wrong = chronicle()
    told.publish("t", Place("e", 1), value("x"), None)
    told.publish("t", Place("e", 2), value("y"), "ann")
    assert told.published["x"].content == {"topic": "t", "seq": 1, "value": {"token": "x"}}
    assert told.published["y"].content == {"topic": "t", "seq": 2, "value": {"token": "y"}, "from": "ann"}
    assert told.places == {"t": Place("e", 2)}
    assert wrong == []


def test_a_number_that_is_left_out_or_given_twice_is_wrong() -> None:
    told, wrong = chronicle()
    told.publish("t", Place("e", 1), value("x"), None)
    told.publish("t", Place("e", 1), value("y"), None)
    told.publish("t", Place("e", 3), value("z"), None)
    assert wrong == ["a message of t gets the number 1 behind 1", "a message of t gets the number 3 behind 1"]


def test_another_epoch_begins_anew() -> None:
    told, wrong = chronicle()
    told.publish("t", Place("e", 1), value("x"), None)
    told.begun("t", "e")
    assert told.places["t"] == Place("e", 1)
    told.begun("t", "f")
    assert told.places["t"] == Place("f", 0)
    told.publish("t", Place("g", 1), value("y"), None)
    assert wrong == []
    assert told.new_epoch() != told.new_epoch()


def test_a_value_that_comes_twice_is_the_crowd_s_mistake() -> None:
    told, wrong = chronicle()
    for seq in (1, 2):
        told.publish("t", Place("e", seq), value("x"), None)
    assert wrong == ["'x' was published twice to t"]


def test_a_moment_knows_the_topics_that_are_there() -> None:
    told, _ = chronicle()
    told.begun("t", "e")
    told.begun("u", "f")
    assert told.moment({"u"}) == {"u": Place("f", 0)}
    assert told.names == {"t", "u"}


def test_what_is_no_value_of_the_crowd_has_no_token() -> None:
    assert [token_of(value) for value in ({"token": 7}, {}, "x", None)] == [7, None, None, None]
