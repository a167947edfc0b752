"""Does a subscriber notice what breaks the promise, over several connections too?"""

from __future__ import annotations

import json
from typing import Any

from suites.conformance.wire import framed, take
from suites.simulation.ear import Ear
from suites.simulation.tracks import Place


class Server:
    """What an ear is told, byte for byte."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.ear = Ear("me", self.complaints.append)
        self.ear.connected()

    def says(self, body: dict[str, Any], kind: str = "text/json", **fields: object) -> bytes:
        content = json.dumps(body).encode()
        return framed({"content-type": kind, "content-length": len(content), **fields}, content)

    def answers(self, asked: bytes, **result: Any) -> dict[str, Any]:
        message = take(bytearray(asked))
        assert message is not None
        self.ear.hear(self.says({"result": result}, id=message[1]["id"]))
        content: dict[str, Any] = json.loads(message[2])
        return content

    def subscribes(self, topic: str, epoch: str | None = "e", seq: int | None = 0, **fields: Any) -> dict[str, Any]:
        asked = self.ear.asks("subscribe", topic=topic, **fields)
        return self.answers(asked, topic=topic, epoch=epoch, seq=seq, missed=0)

    def event(self, seq: int, topic: str = "a") -> None:
        self.ear.hear(self.says({"topic": topic, "seq": seq, "value": seq}, event="message"))

    def gap(self, first: int, last: int, dropped: int | None, topic: str = "a") -> None:
        self.ear.hear(self.says({"topic": topic, "from": first, "to": last, "dropped": dropped}, event="gap"))


def test_it_follows_a_topic_from_one_connection_to_the_next() -> None:
    server = Server()
    server.subscribes("a")
    server.event(1)
    server.gap(2, 3, 2)
    server.ear.hear(server.says({"topic": "a", "seq": 4, "value": 4}, event="message")[:50])
    server.ear.connected()
    again = server.answers(server.ear.subscribes_again("a"), topic="a", epoch="e", seq=6, missed=3)
    assert again["since"] == {"epoch": "e", "seq": 3}
    for seq in (4, 5, 6):
        server.event(seq)
    assert server.complaints == []
    assert server.ear.known == {"a": Place("e", 6)}


def test_another_epoch_begins_with_a_gap_and_until_then_it_knows_what_it_knew() -> None:
    server = Server()
    server.subscribes("a", seq=5)
    for _ in range(2):
        server.ear.connected()
        asked = server.answers(server.ear.subscribes_again("a"), topic="a", epoch="f", seq=2, missed=None)
        assert asked["since"] == {"epoch": "e", "seq": 5}
    server.gap(1, 1, None)
    server.event(2)
    assert server.complaints == []
    assert server.ear.known == {"a": Place("f", 2)}
    server.ear.connected()
    server.answers(server.ear.subscribes_again("a"), topic="a", epoch="g", seq=1, missed=None)
    server.event(1)
    assert server.complaints == ["of a: message 1 comes before the gap that stands for another epoch"]


def test_it_complains_of_what_comes_twice_and_of_what_does_not_come() -> None:
    server = Server()
    server.subscribes("a")
    server.event(1)
    server.event(1)
    server.event(3)
    server.gap(3, 3, 1)
    assert [words.partition(" follows ")[0] for words in server.complaints] == [
        "of a: message 1",
        "of a: message 3",
        "of a: a gap from 3 to 3, 1 dropped,",
    ]


def test_a_pattern_may_begin_anywhere_and_goes_on_from_there() -> None:
    server = Server()
    server.subscribes("a/*", epoch=None, seq=None)
    server.event(7, "a/x")
    server.gap(3, 4, 2, "a/y")
    server.event(5, "a/y")
    server.subscribes("a/*", epoch=None, seq=None)
    server.event(8, "a/x")
    assert server.complaints == []
    assert server.ear.known == {}, "nobody says which epoch that is"
    server.event(10, "a/x")
    assert len(server.complaints) == 1


def test_it_hears_only_of_what_it_subscribes_to() -> None:
    server = Server()
    server.event(1)
    server.subscribes("a", seq=1)
    asked = server.ear.asks("unsubscribe", topic="a")
    server.event(2)
    server.answers(asked, topic="a")
    server.event(3)
    assert [words[:15] for words in server.complaints] == ["it hears of a, "] * 2


def test_errors_and_other_replies_are_none_of_its_business() -> None:
    server = Server()
    message = take(bytearray(server.ear.asks("subscribe", topic="a")))
    assert message is not None
    server.ear.hear(server.says({"result": "no", "error": {"code": "overloaded"}}, id=message[1]["id"]))
    server.ear.hear(server.says({"result": 1}) + server.says({"result": 1}, kind="binary/x", id="me-1"))
    assert (server.complaints, server.ear.answered) == ([], {})
