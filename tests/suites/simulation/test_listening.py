"""Does the oracle judge events and the replies to push.md's actions rightly, on bytes written down by hand?"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from libserver.limits import ServerLimits
from protocol import Limits
from protocol.states import DRAINING, OPEN, PROTOHEADER
from suites.conformance.wire import action, framed, json_message
from suites.simulation.chronicle import Chronicle
from suites.simulation.listening import ONCE, PLACE, Listening
from suites.simulation.oracle import Conversation
from suites.simulation.tracks import Place


class Judged:
    """A conversation as the server has it, and what was wrong with it."""

    def __init__(self, **limits: Any) -> None:
        self.complaints: list[str] = []
        self.broken: list[str] = []  # promises
        self.chronicle = Chronicle(self.complaints.append)
        self.listening = Listening(self.chronicle, ServerLimits(**limits), self.wrong)
        self.talk = Conversation(Limits(max_content=100_000), self.complaints.append, self.listening)
        connection = SimpleNamespace(state=PROTOHEADER, closing=False, winding_down=False)
        self.talk.message = SimpleNamespace(connection=connection, state=OPEN)
        self.count = 0

    def wrong(self, promise: str, words: str) -> None:
        self.broken.append(promise)
        self.complaints.append(words)

    def asks(self, name: str, **fields: Any) -> int:
        self.count += 1
        self.talk.received(json_message({"action": name, **fields}, id=self.count, connection="keep-alive"))
        return self.count

    def says(self, result: object, id: object = None, **fields: object) -> None:
        self.sends({"result": result}, id=self.count if id is None else id, **fields)

    def refuses(self, code: str, **fields: object) -> None:
        self.sends({"result": "no", "error": {"code": code, "message": "no"}}, **{"id": self.count, **fields})

    def sends(self, body: dict[str, Any], **fields: object) -> None:
        content = json.dumps(body).encode()
        self.talk.sent(framed({"content-type": "text/json", "content-length": len(content), **fields}, content))

    def publishes(self, token: str, topic: str = "a", seq: int | None = None, epoch: str = "e") -> None:
        """Somebody does."""
        stands = self.chronicle.places.get(topic)
        seq = seq or (stands.seq if stands is not None else 0) + 1
        self.chronicle.publish(topic, Place(epoch, seq), json.dumps({"token": token}).encode(), None)

    def hears(self, token: str) -> None:
        self.sends(self.chronicle.published[token].content, event="message")

    def gap(self, first: int, last: int, dropped: int | None, topic: str = "a") -> None:
        self.sends({"topic": topic, "from": first, "to": last, "dropped": dropped}, event="gap")

    def subscribes(self, topic: str = "a", **fields: Any) -> None:
        self.asks("subscribe", topic=topic, **fields)
        self.subscribed(topic)
        stands = self.chronicle.places.get(topic)
        epoch, seq = stands if stands is not None else (None, None)
        self.says({"topic": topic, "epoch": epoch, "seq": seq, "missed": 0})

    def subscribed(self, topic: str) -> None:
        """The server makes it."""
        if "*" not in topic:
            self.chronicle.begun(topic, "e")
        self.listening.subscribed(topic, self.chronicle.moment(self.chronicle.names))


@pytest.fixture
def judged() -> Judged:
    return Judged()


def test_what_is_published_after_the_subscription_is_heard_in_order(judged: Judged) -> None:
    judged.publishes("before")
    judged.subscribes()
    for token in ("x", "y"):
        judged.publishes(token)
        judged.hears(token)
    assert judged.complaints == []
    assert judged.chronicle.told == {"message": 2}


def test_an_event_before_the_reply_to_its_subscription_is_wrong(judged: Judged) -> None:
    judged.asks("subscribe", topic="a")
    judged.subscribed("a")
    judged.publishes("x")
    judged.hears("x")
    assert judged.complaints == ["an event of a (message 1) goes to a connection that has no subscription to it"]
    assert judged.broken == [PLACE]


def test_an_event_behind_the_reply_to_unsubscribe_is_wrong(judged: Judged) -> None:
    judged.subscribes()
    judged.publishes("x")
    judged.asks("unsubscribe", topic="a")
    judged.hears("x")
    assert judged.complaints == [], "it had left before the server heard of it"
    judged.says({"topic": "a"})
    judged.publishes("y")
    judged.hears("y")
    assert judged.broken == [PLACE]


def test_an_event_behind_a_reply_that_says_close_is_wrong(judged: Judged) -> None:
    judged.subscribes()
    judged.asks("members", topic="a")
    judged.says({"count": 1, "names": []}, connection="close")
    judged.publishes("x")
    judged.hears("x")
    assert judged.broken == [PLACE]
    assert "follows the last reply (close)" in judged.complaints[0]


def test_an_event_before_the_reply_to_the_request_that_has_caused_it_is_wrong(judged: Judged) -> None:
    judged.subscribes()
    for request in ({"value": {"token": "x"}}, {"values": [{"token": "y"}, {"token": "z"}]}):
        judged.asks("publish" if "value" in request else "say", topic="a", **request)
    judged.publishes("x")
    judged.says({"seq": 1, "subscribers": 1}, id=2)
    judged.hears("x")
    assert judged.broken == []
    judged.publishes("y")
    judged.hears("y")
    assert judged.broken == [PLACE]
    assert "overtakes the reply to the request that has caused it" in judged.complaints[0]


def test_an_event_in_the_midst_of_a_reply_is_wrong(judged: Judged) -> None:
    judged.subscribes()
    judged.publishes("x")
    judged.asks("members", topic="a")
    content = json.dumps({"result": {"count": 1, "names": []}}).encode()
    reply = framed({"content-type": "text/json", "content-length": len(content), "id": judged.count}, content)
    judged.talk.sent(reply[:30])
    judged.hears("x")
    judged.talk.sent(reply[30:])
    assert judged.broken[:1] == [PLACE]


def test_a_message_twice_or_left_out_or_changed_or_of_nobody_is_wrong(judged: Judged) -> None:
    judged.subscribes()
    for token in ("x", "y", "z"):
        judged.publishes(token)
    judged.hears("x")
    judged.hears("x")
    judged.hears("z")
    judged.sends({"topic": "a", "seq": 2, "value": {"token": "y", "more": 1}}, event="message")
    judged.sends({"topic": "a", "seq": 2, "value": {"token": "none"}}, event="message")
    judged.sends(judged.chronicle.published["y"].content, event="message", id=7)
    judged.sends(judged.chronicle.published["z"].content, event="message", id=7)
    judged.sends({"topic": "a"}, event="news")
    assert judged.broken == [*[ONCE] * 4, ONCE, PLACE]
    assert "message 1 follows 1" in judged.complaints[0]
    assert "message 3 follows 1" in judged.complaints[1]
    assert "says what was not published" in judged.complaints[2]
    assert "has other bytes for another subscriber" in judged.complaints[4]


def test_a_gap_covers_what_was_published_and_no_more(judged: Judged) -> None:
    judged.subscribes()
    for token in ("x", "y", "z"):
        judged.publishes(token)
    judged.gap(1, 2, 2)
    assert judged.complaints == []
    judged.hears("z")
    judged.gap(4, 5, 2)
    assert judged.complaints == ["a gap to 5 of a, which has no such message"]
    judged.gap(1, 2, 1)
    assert judged.broken == [ONCE, ONCE]


def test_a_gap_may_have_waited_in_the_socket_until_its_topic_was_forgotten(judged: Judged) -> None:
    """Seed 41464: its topic had begun anew."""
    judged.subscribes()
    for token in ("x", "y", "z"):
        judged.publishes(token)
    judged.publishes("anew", seq=1, epoch="f")
    judged.gap(1, 2, 2)
    judged.hears("z")
    assert judged.complaints == []


def test_a_pattern_hears_each_topic_from_where_it_stood(judged: Judged) -> None:
    judged.publishes("old", "a/x")
    judged.subscribes("a/*")
    judged.publishes("x", "a/x")
    judged.publishes("y", "a/y")
    judged.publishes("z", "a/y")
    heard = judged.listening.heard["a/*"]
    assert not heard.stands("a/x", judged.chronicle.places["a/x"])
    judged.hears("x")
    judged.gap(1, 1, 1, "a/y")
    judged.hears("z")
    assert judged.complaints == []
    assert heard.stands("a/x", judged.chronicle.places["a/x"])
    assert heard.stands("a/y", judged.chronicle.places["a/y"])
    assert heard.stands("a/w", Place("e", 0))
    assert not heard.stands("a/w", Place("e", 1))
    judged.publishes("late", "a/z", epoch="f")
    judged.hears("late")
    judged.publishes("other", "a/z", seq=1, epoch="g")
    judged.hears("other")
    assert "is of g, and f was subscribed to" in judged.complaints[0]


def test_a_topic_that_was_forgotten_begins_anew_for_a_pattern(judged: Judged) -> None:
    """Seeds 311 and 520: it was followed from where it had stood before it was forgotten."""
    judged.publishes("old", "a/x")
    judged.asks("subscribe", topic="a/*")
    judged.listening.subscribed("a/*", judged.chronicle.moment(()))
    judged.says({"topic": "a/*", "epoch": None, "seq": None, "missed": 0})
    judged.publishes("new", "a/x", seq=1, epoch="f")
    judged.gap(1, 1, 1, "a/x")
    assert judged.complaints == []


# --- replies ------------------------------------------------------------------------------------------------


def test_since_says_where_it_goes_on_and_how_many_were_missed(judged: Judged) -> None:
    for token in ("x", "y", "z"):
        judged.publishes(token)
    judged.asks("subscribe", topic="a", since={"epoch": "e", "seq": 1})
    judged.subscribed("a")
    judged.says({"topic": "a", "epoch": "e", "seq": 3, "missed": 2})
    judged.hears("y")
    judged.hears("z")
    judged.asks("subscribe", topic="a", since={"epoch": "another", "seq": 1})
    judged.subscribed("a")
    judged.says({"topic": "a", "epoch": "e", "seq": 3, "missed": None})
    judged.gap(1, 2, None)
    judged.hears("z")
    assert judged.complaints == []
    judged.asks("subscribe", topic="a", since={"epoch": "e", "seq": 2})
    judged.subscribed("a")
    judged.says({"topic": "a", "epoch": "e", "seq": 3, "missed": 0})
    assert "'missed': 0}, not {" in judged.complaints[0]


def test_subscribing_again_it_goes_on_where_it_was(judged: Judged) -> None:
    """Seed 202: what had been published in the same turn was lost."""
    judged.subscribes(limit=5)
    judged.publishes("x")
    judged.asks("subscribe", topic="a", limit=1)
    judged.subscribed("a")
    judged.says({"topic": "a", "epoch": "e", "seq": 1, "missed": 1})
    judged.publishes("y")
    judged.hears("x")
    judged.hears("y")
    assert judged.complaints == []
    assert judged.listening.heard["a"].limit == 5, "what waits may be more than its new limit"
    judged.asks("subscribe", topic="a")
    judged.subscribed("a")
    judged.says({"topic": "a", "epoch": "e", "seq": 2, "missed": 1})
    assert judged.complaints[0].endswith("'seq': 2, 'missed': 0}")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"action": "subscribe", "topic": "secret/x"}, "forbidden"),
        ({"action": "publish", "topic": "secret/x", "value": 1}, "forbidden"),
        ({"action": "history", "topic": "secret/x", "limit": 1}, "forbidden"),
        ({"action": "subscribe", "topic": "a/*"}, "bad-request"),
        ({"action": "unsubscribe", "topic": "b"}, "bad-request"),
        ({"action": "subscribe", "topic": "c"}, "overloaded"),
        ({"action": "say", "topic": "b", "values": [], "fails": True}, "handler-failed"),
    ],
)
def test_what_must_be_refused_is_refused_with_its_code(request_: dict[str, Any], code: str) -> None:
    for said, right in ((code, True), ("busy", False)):
        judged = Judged(max_subscriptions=2)
        judged.subscribes("a/x")
        judged.subscribes("b/x")
        judged.asks(request_["action"], **{name: value for name, value in request_.items() if name != "action"})
        judged.refuses(said)
        assert (judged.complaints == []) is right, judged.complaints


def test_one_topic_too_many_may_be_refused_where_there_may_be_few() -> None:
    for most, right in ((2, True), (10_000, False)):
        judged = Judged(max_topics=most)
        judged.asks("subscribe", topic="a")
        judged.refuses("overloaded")
        judged.asks("publish", topic="a", value={"token": "x"})
        judged.refuses("overloaded")
        judged.asks("join", topic="a/*", to="b", values=[{"token": "y"}])
        judged.refuses("overloaded")
        assert (judged.complaints == []) is right


def test_only_one_that_is_kept_alive_can_subscribe(judged: Judged) -> None:
    judged.talk.received(json_message({"action": "subscribe", "topic": "a"}, id=0))
    judged.refuses("bad-request")
    assert judged.complaints == []
    again = Judged()
    again.asks("subscribe", topic="a")
    again.talk.message.state = DRAINING
    again.refuses("bad-request")
    assert again.complaints == []


def test_one_that_is_about_to_end_may_have_lost_its_subscription() -> None:
    """Seed 50533: its queue was full; it would have heard no more in any case."""
    for state, right in ((OPEN, False), (DRAINING, True)):
        judged = Judged()
        judged.subscribes()
        judged.asks("unsubscribe", topic="a")
        judged.talk.message.state = state
        judged.refuses("bad-request")
        assert (judged.complaints == []) is right


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        ({"action": "subscribe", "topic": "b"}, {"topic": "b", "epoch": "e", "seq": 0, "missed": 0}),
        ({"action": "publish", "topic": "a", "value": {"token": "none"}}, {"seq": 2, "subscribers": 0}),
        ({"action": "publish", "topic": "a", "value": {"token": "x"}}, {"seq": 2, "subscribers": 0}),
        ({"action": "say", "topic": "a", "values": [{"token": "none"}]}, 1),
        ({"action": "later", "topic": "a", "values": [{"token": "none"}]}, 2),
        ({"action": "members", "topic": "a"}, {"count": 0, "names": ["ann"]}),
        ({"action": "topics", "prefix": "a"}, [{"topic": "none", "subscribers": 0}]),
        ({"action": "history", "topic": "a", "limit": 1}, {"epoch": "e", "seq": 1, "messages": [{}, {}]}),
        (
            {"action": "history", "topic": "a", "limit": 1},
            {"epoch": "e", "seq": 2, "messages": [{"seq": 1, "value": {"token": "x"}}]},
        ),
    ],
)
def test_a_reply_that_says_what_is_not_so_is_wrong(judged: Judged, fields: dict[str, Any], result: Any) -> None:
    judged.publishes("x")
    judged.asks(fields.pop("action"), **fields)
    judged.says(result)
    assert len(judged.complaints) == 1


def test_what_is_asked_about_topics_is_answered_rightly(judged: Judged) -> None:
    judged.publishes("x")
    history = {"epoch": "e", "seq": 1, "messages": [{"seq": 1, "value": {"token": "x"}}]}
    for name, fields, result in (
        ("history", {"topic": "a", "limit": 3}, history),
        ("history", {"topic": "b", "limit": 3}, {"epoch": None, "seq": 0, "messages": []}),
        ("members", {"topic": "a"}, {"count": 2, "names": ["ann"]}),
        ("topics", {"prefix": ""}, [{"topic": "a", "subscribers": 2}]),
        ("publish", {"topic": "a", "value": {"token": "x"}}, {"seq": 1, "subscribers": 2}),
        ("say", {"topic": "a", "values": [{"token": "x"}]}, 1),
        ("later", {"topic": "a", "values": [{"token": "y"}]}, 1),
    ):
        judged.asks(name, **fields)
        judged.says(result)
    assert judged.complaints == []


def test_one_that_listens_may_be_told_that_it_is_too_slow_after_it_was_served(judged: Judged) -> None:
    """Seed 4: what it had asked behind that is not served."""
    judged.subscribes()
    judged.asks("members", topic="a")
    judged.refuses("overloaded", id=None, connection="close")
    assert judged.complaints == []
    assert judged.talk.told_slow
    assert judged.talk.owed == 0


def test_one_that_does_not_listen_may_not_be_told_so(judged: Judged) -> None:
    judged.talk.received(action("echo", 1, connection="keep-alive"))
    judged.sends({"result": 1})
    judged.refuses("overloaded", id=None, connection="close")
    assert judged.complaints == ["overloaded, after it was served"]
