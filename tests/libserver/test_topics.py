"""Tests of topics: through a real server and real sockets, turned by hand.

That a message reaches each subscriber once, in order, behind the reply that caused it; that `since` finds what was
missed; that who is slow costs the others nothing; and what is refused.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from libserver import Actions, CloseReason, Server, Session, Topics
from protocol import ProtocolError
from protocol.push import Gap, Published
from protocol.states import OPEN
from tests.libserver.events import as_event
from tests.support.peer import Peer, small_buffers
from tests.support.server import Turned, turned
from tests.support.wire import Reply, ask, keep, request


def of_topic(action: str, topic: object = "t", **fields: Any) -> bytes:
    return request({"action": action, "topic": topic, **fields}, connection="keep-alive")


class Epochs:
    """e1, e2, ..."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return f"e{self.count}"


@contextmanager
def house(topics: Topics | None = None, actions: Actions | None = None, **limits: Any) -> Iterator[Turned]:
    topics = topics or Topics(new_epoch=Epochs())
    with turned(actions or Actions(topics=topics), **limits) as home:
        yield home


def subscriber(home: Turned, topic: str = "t", **fields: Any) -> Peer:
    peer = home.peer()
    assert peer.ask(of_topic("subscribe", topic, **fields)).code is None
    return peer


def publish(home: Turned, peer: Peer, *values: object, topic: str = "t") -> list[dict[str, int]]:
    peer.send(*(of_topic("publish", topic, value=value) for value in values))
    return [reply.result for reply in peer.replies(len(values))]


def events(peer: Peer, count: int) -> list[Published | Gap]:
    return [as_event(peer.reply()) for _ in range(count)]


def messages(*values: object, first: int = 1, topic: str = "t") -> list[Published]:
    return [Published(topic, seq, value) for seq, value in enumerate(values, first)]


# --- publish and subscribe ----------------------------------------------------------------------


def test_what_is_published_reaches_every_subscriber_once_and_in_order() -> None:
    with house() as home:
        listeners = [subscriber(home) for _ in range(3)]
        speaker = home.peer()
        assert publish(home, speaker, "a", "b", {"c": 1}) == [
            {"seq": 1, "subscribers": 3},
            {"seq": 2, "subscribers": 3},
            {"seq": 3, "subscribers": 3},
        ]
        for listener in listeners:
            assert events(listener, 3) == messages("a", "b", {"c": 1})
            listener.silent()


def test_the_reply_to_subscribe_says_where_the_topic_stands() -> None:
    with house() as home:
        speaker = home.peer()
        publish(home, speaker, 1, 2)
        peer = home.peer()
        reply = peer.ask(of_topic("subscribe"))
        assert reply.result == {"topic": "t", "epoch": "e1", "seq": 2, "missed": 0}
        assert reply.connection == "keep-alive"
        publish(home, speaker, 3)
        assert events(peer, 1) == messages(3, first=3)


def test_all_of_a_turn_leave_in_one_send_to_each() -> None:
    with house() as home:
        listener = subscriber(home)
        (message,) = home.server.connections
        calls: list[int] = []
        offer = message.transport.offer

        class Noting:
            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

            def offer(self, data: bytes) -> bool:
                calls.append(len(data))
                return offer(data)

        transport = message.transport
        message.transport = Noting()  # type: ignore[assignment]
        speaker = home.peer()
        publish(home, speaker, *range(10))
        assert events(listener, 10) == messages(*range(10))
        assert len(calls) == 1
        message.transport = transport


def test_who_publishes_hears_its_own_message_behind_its_reply() -> None:
    with house() as home:
        peer = subscriber(home)
        peer.send(of_topic("publish", value="mine"), keep("ping"))
        first, second = peer.replies(2)
        assert first.result == {"seq": 1, "subscribers": 1}
        assert second.result == "pong"
        assert events(peer, 1) == messages("mine")


def test_from_is_the_name_that_the_application_gave() -> None:
    topics = Topics()
    actions = Actions(topics=topics)

    @actions.add("i-am")
    def i_am(request: dict[str, Any], session: Session) -> None:
        session.name = request["value"]

    with house(actions=actions) as home:
        listener = subscriber(home)
        speaker = home.peer()
        speaker.ask(keep("i-am", "ann"))
        publish(home, speaker, 1)
        assert events(listener, 1) == [Published("t", 1, 1, "ann")]
        listener.ask(keep("i-am", "bob"))
        assert speaker.ask(of_topic("members")).result == {"count": 1, "names": ["bob"]}


def test_a_message_published_before_a_subscription_of_the_same_turn_is_not_delivered_to_it() -> None:
    topics = Topics(new_epoch=Epochs())
    actions = Actions(topics=topics)

    @actions.add("between")
    def between(request: dict[str, Any], session: Session) -> Any:
        topics.publish("t", "before")
        told = session.subscribe("t")
        topics.publish("t", "after")
        return told

    with house(actions=actions) as home:
        other = subscriber(home)
        peer = home.peer()
        assert peer.ask(keep("between")).result == {"topic": "t", "epoch": "e1", "seq": 1, "missed": 0}
        assert events(peer, 1) == messages("after", first=2)
        assert events(other, 2) == messages("before", "after")
        topics.publish("t", "later")
        home.quiet()
        assert events(peer, 1) == messages("later", first=3)


def test_unsubscribe_ends_it_and_no_event_follows_the_reply() -> None:
    with house() as home:
        peer, other = subscriber(home), subscriber(home)
        peer.send(of_topic("publish", value=1), of_topic("unsubscribe"), of_topic("publish", value=2))
        assert [reply.code for reply in peer.replies(3)] == [None] * 3
        peer.silent()
        assert events(other, 2) == messages(1, 2)
        refused = peer.ask(of_topic("unsubscribe"))
        assert refused.code == "bad-request"


def test_subscribing_again_takes_the_first_one_s_place() -> None:
    with house() as home:
        peer = subscriber(home)
        assert peer.ask(of_topic("subscribe", slow="latest")).code is None
        publish(home, home.peer(), 1)
        assert events(peer, 1) == messages(1)
        peer.silent()


def test_subscribing_again_in_a_busy_turn_loses_nothing_and_gets_nothing_twice() -> None:
    with house() as home:
        peer = subscriber(home)
        peer.send(
            of_topic("publish", value=1),
            of_topic("subscribe", slow="oldest"),
            of_topic("publish", value=2),
            of_topic("subscribe", slow="latest", limit=7),
            of_topic("publish", value=3),
        )
        assert [reply.code for reply in peer.replies(5)] == [None] * 5
        assert events(peer, 3) == messages(1, 2, 3)
        peer.silent()
        publish(home, home.peer(), 4)
        assert events(peer, 1) == messages(4, first=4)


def test_what_waits_for_the_older_one_comes_to_the_newer_one() -> None:
    topics = Topics()
    actions = Actions(topics=topics)
    door = Door(actions, topics)
    with house(actions=actions) as home:
        peer = subscriber(home, slow="oldest", limit=2)
        peer.send(keep("wait"), *(of_topic("publish", value=number) for number in range(4)))
        home.until(door.inside.is_set)
        (message,) = home.server.connections
        peer.send(of_topic("subscribe", slow="newest", limit=2))
        home.until(lambda: len(message.active.replies) == 6)  # type: ignore[union-attr]
        peer.silent()
        door.open.set()
        assert peer.replies(6)[-1].result == {
            "topic": "t",
            "epoch": topics.history("t")["epoch"],
            "seq": 4,
            "missed": 4,
        }
        assert events(peer, 3) == [Gap("t", 1, 2, 2), *messages(2, 3, first=3)]
        assert len(topics.waiting.behind) == topics.waiting.size == 0


def test_a_since_that_is_ahead_of_the_topic_is_refused() -> None:
    with house() as home:
        publish(home, home.peer(), 1, 2, 3)
        peer = home.peer()
        refused = peer.ask(of_topic("subscribe", since={"epoch": "e1", "seq": 4}))
        assert refused.code == "bad-request"
        assert "which is at 3" in refused.result
        assert peer.ask(of_topic("subscribe", since={"epoch": "e1", "seq": 3})).result["missed"] == 0
        assert peer.ask(of_topic("subscribe", since={"epoch": "e1", "seq": 4})).code == "bad-request"
        publish(home, home.peer(), 4)
        assert events(peer, 1) == messages(4, first=4), "what it has stays"


def test_a_topic_that_nobody_listens_to_keeps_its_history() -> None:
    with house(history=3) as home:
        peer = home.peer()
        publish(home, peer, *range(5))
        history = peer.ask(of_topic("history")).result
        assert history == {
            "epoch": "e1",
            "seq": 5,
            "messages": [{"seq": seq, "value": seq - 1} for seq in (3, 4, 5)],
        }
        assert peer.ask(of_topic("history", limit=1)).result["messages"] == [{"seq": 5, "value": 4}]
        assert peer.ask(of_topic("history", limit=0)).result["messages"] == []
        assert peer.ask(of_topic("history", "other")).result == {"epoch": None, "seq": 0, "messages": []}


def test_history_is_bounded_in_bytes_too() -> None:
    with house(history_bytes=1000) as home:
        peer = home.peer()
        publish(home, peer, "x" * 300, "y" * 300, "z" * 300)
        kept = [message["value"][0] for message in peer.ask(of_topic("history")).result["messages"]]
        assert kept == ["y", "z"]
        publish(home, peer, "w" * 1000)
        assert peer.ask(of_topic("history")).result["messages"] == []


def test_topics_are_listed_by_prefix_with_their_subscribers() -> None:
    with house() as home:
        peer = subscriber(home, "room/b")
        publish(home, peer, 1, topic="room/a")
        publish(home, peer, 1, topic="other")
        listed = peer.ask(request({"action": "topics", "prefix": "room/"}, connection="keep-alive")).result
        assert listed == [{"topic": "room/a", "subscribers": 0}, {"topic": "room/b", "subscribers": 1}]
        first = peer.ask(request({"action": "topics", "limit": 1}, connection="keep-alive")).result
        assert [one["topic"] for one in first] == ["other"]


# --- patterns -----------------------------------------------------------------------------------


def test_a_pattern_takes_topics_that_are_there_and_those_that_come() -> None:
    with house() as home:
        speaker = home.peer()
        publish(home, speaker, 0, topic="a/old")
        peer = home.peer()
        assert peer.ask(of_topic("subscribe", "a/*")).result == {
            "topic": "a/*",
            "epoch": None,
            "seq": None,
            "missed": 0,
        }
        deep = subscriber(home, "a/**")
        publish(home, speaker, 1, topic="a/old")
        publish(home, speaker, 2, topic="a/new")
        publish(home, speaker, 3, topic="a/new/deep")
        publish(home, speaker, 4, topic="b/new")
        both = [Published("a/old", 2, 1), Published("a/new", 1, 2)]
        assert events(peer, 2) == both
        peer.silent()
        assert events(deep, 3) == [*both, Published("a/new/deep", 1, 3)]
        assert peer.ask(of_topic("unsubscribe", "a/*")).code is None
        publish(home, speaker, 5, topic="a/old")
        publish(home, speaker, 6, topic="a/newer")
        peer.silent()


def test_two_subscriptions_of_a_connection_may_not_take_the_same_topic() -> None:
    with house() as home:
        peer = subscriber(home, "a/*")
        refused = peer.ask(of_topic("subscribe", "a/b"))
        assert refused.code == "bad-request"
        assert "a/*" in refused.result
        assert peer.ask(of_topic("subscribe", "a/b/c")).code is None


# --- since --------------------------------------------------------------------------------------


def test_what_was_missed_comes_before_anything_newer() -> None:
    with house() as home:
        speaker = home.peer()
        publish(home, speaker, 1, 2, 3)
        peer = home.peer()
        peer.send(of_topic("subscribe", since={"epoch": "e1", "seq": 1}), of_topic("publish", value=4))
        told, published = peer.replies(2)
        assert told.result == {"topic": "t", "epoch": "e1", "seq": 3, "missed": 2}
        assert published.result == {"seq": 4, "subscribers": 1}
        assert events(peer, 3) == messages(2, 3, 4, first=2)
        publish(home, speaker, 5)
        assert events(peer, 1) == messages(5, first=5)


def test_who_subscribes_in_a_busy_turn_is_not_slow() -> None:
    """What the same turn publishes is not counted against a limit that is there for those who do not read."""
    with house() as home:
        speaker = home.peer()
        publish(home, speaker, 1, 2, 3)
        returning, new = home.peer(), home.peer()
        numbers = range(4, 24)
        returning.send(
            of_topic("subscribe", limit=5, since={"epoch": "e1", "seq": 1}),
            *(of_topic("publish", value=n) for n in numbers),
        )
        assert [reply.code for reply in returning.replies(21)] == [None] * 21
        assert events(returning, 22) == messages(2, 3, *numbers, first=2)
        new.send(
            of_topic("publish", value="before"),
            of_topic("subscribe", limit=5),
            *(of_topic("publish", value=n) for n in numbers),
        )
        assert [reply.code for reply in new.replies(22)] == [None] * 22
        assert events(new, 20) == messages(*numbers, first=25)


def test_nothing_was_missed() -> None:
    with house() as home:
        speaker = home.peer()
        publish(home, speaker, 1, 2)
        peer = home.peer()
        assert peer.ask(of_topic("subscribe", since={"epoch": "e1", "seq": 2})).result["missed"] == 0
        peer.silent()


def test_what_is_forgotten_is_a_gap() -> None:
    with house(history=2) as home:
        speaker = home.peer()
        publish(home, speaker, *range(1, 7))
        peer = home.peer()
        assert peer.ask(of_topic("subscribe", since={"epoch": "e1", "seq": 1})).result["missed"] == 5
        assert events(peer, 3) == [Gap("t", 2, 4, 3), *messages(5, 6, first=5)]


def test_without_any_history_all_is_one_gap() -> None:
    with house(history=0) as home:
        publish(home, home.peer(), 1, 2, 3)
        peer = home.peer()
        assert peer.ask(of_topic("subscribe", since={"epoch": "e1", "seq": 1})).result["missed"] == 2
        assert events(peer, 1) == [Gap("t", 2, 3, 2)]


def test_a_since_of_another_epoch_is_answered_by_a_gap_of_unknown_size() -> None:
    with house(history=2) as home:
        publish(home, home.peer(), 1, 2, 3)
        peer = home.peer()
        told = peer.ask(of_topic("subscribe", since={"epoch": "before", "seq": 90}))
        assert told.result == {"topic": "t", "epoch": "e1", "seq": 3, "missed": None}
        assert events(peer, 3) == [Gap("t", 1, 1, None), *messages(2, 3, first=2)]
        new = home.peer()
        assert new.ask(of_topic("subscribe", "u", since={"epoch": "before", "seq": 9})).result["missed"] is None
        assert events(new, 1) == [Gap("u", 1, 0, None)]


# --- what is refused ----------------------------------------------------------------------------

BAD = [
    {"topic": ""},
    {"topic": "x" * 201},
    {"topic": "a\nb"},
    {"topic": 7},
    {"topic": "a/*/b"},
    {"slow": "never"},
    {"slow": 1},
    {"key": "k"},
    {"slow": "latest", "key": 7},
    {"limit": 0},
    {"limit": -1},
    {"limit": True},
    {"limit": "9"},
    {"since": 5},
    {"since": {"epoch": "e"}},
    {"since": {"epoch": 1, "seq": 1}},
    {"since": {"epoch": "e", "seq": "1"}},
    {"since": {"epoch": "e", "seq": -1}},
    {"since": {"epoch": "e", "seq": True}},
    {"topic": "a/*", "since": {"epoch": "e", "seq": 1}},
]


@pytest.mark.parametrize("fields", BAD, ids=str)
def test_a_bad_subscription_is_refused_and_changes_nothing(fields: dict[str, Any]) -> None:
    with house() as home:
        peer = home.peer()
        assert peer.ask(request({"action": "subscribe", "topic": "t", **fields}, connection="keep-alive")).code == (
            "bad-request"
        )
        publish(home, peer, 1)
        peer.silent()


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("publish", {"topic": "t"}),
        ("publish", {"value": 1}),
        ("publish", {"topic": "a/*", "value": 1}),
        ("unsubscribe", {}),
        ("history", {"topic": "t", "limit": -1}),
        ("history", {"topic": ["t"]}),
        ("members", {"topic": "\x1b"}),
        ("topics", {"prefix": 7}),
        ("topics", {"limit": "all"}),
    ],
)
def test_the_other_actions_say_what_is_missing_or_wrong(action: str, fields: dict[str, Any]) -> None:
    with house() as home:
        peer = home.peer()
        reply = peer.ask(request({"action": action, **fields}, connection="keep-alive"))
        assert reply.code == "bad-request"


@pytest.mark.parametrize("connection", [{}, {"connection": "close"}])
def test_events_need_a_connection_that_is_kept_alive(connection: dict[str, str]) -> None:
    with house() as home:
        peer = home.peer()
        if connection:
            assert peer.ask(keep("ping")).result == "pong"
        reply = peer.ask(request({"action": "subscribe", "topic": "t"}, **connection))
        assert reply.code == "bad-request"
        assert "kept alive" in reply.result
        peer.eof()


def test_a_part_of_a_program_keeps_its_own_topics_whatever_the_whole_allows() -> None:
    topics = Topics(new_epoch=Epochs())
    topics.restrict("chat/**", lambda session, verb, topic: topic == "chat/open" and verb == "subscribe")
    with pytest.raises(ValueError, match="is no pattern"):
        topics.restrict("chat", lambda *asked: True)
    with house(topics) as home:
        peer = home.peer()
        for topic in ("chat/secret", "chat/a/b", "chat/*", "chat/**", "chat/a/*"):
            assert peer.ask(of_topic("subscribe", topic)).code == "forbidden", topic
        assert peer.ask(of_topic("publish", "chat/open", value=1)).code == "forbidden"
        for topic in ("chat/open", "chat", "chats/a", "other/**"):
            assert peer.ask(of_topic("subscribe", topic)).code is None, topic


def test_what_the_whole_forbids_stays_forbidden() -> None:
    topics = Topics(lambda session, verb, topic: False)
    topics.restrict("chat/**", lambda session, verb, topic: True)
    with house(topics) as home:
        assert home.peer().ask(of_topic("subscribe", "chat/a")).code == "forbidden"


def test_who_may_what_is_the_application_s_to_say() -> None:
    asked: list[tuple[str, str]] = []

    def may(session: Session, verb: str, topic: str) -> bool:
        asked.append((verb, topic))
        return topic == "open"

    with house(Topics(may)) as home:
        peer = home.peer()
        for verb in ("subscribe", "publish", "history"):
            assert peer.ask(of_topic(verb, "closed", value=1)).code == "forbidden"
            assert asked.pop() == (verb, "closed")
        for verb in ("history", "subscribe", "publish"):
            assert peer.ask(of_topic(verb, "open", value=1)).code is None
        assert events(peer, 1) == messages(1, topic="open")
        assert peer.ask(of_topic("members", "closed")).code == "forbidden"
        listed = peer.ask(request({"action": "topics"}, connection="keep-alive")).result
        assert [one["topic"] for one in listed] == ["open"]


def test_a_connection_has_so_many_subscriptions_at_most() -> None:
    with house(max_subscriptions=2) as home:
        peer = subscriber(home, "a")
        assert peer.ask(of_topic("subscribe", "b")).code is None
        assert peer.ask(of_topic("subscribe", "c")).code == "overloaded"
        assert peer.ask(of_topic("subscribe", "a")).code is None, "one it has may be renewed"
        peer.ask(of_topic("unsubscribe", "a"))
        assert peer.ask(of_topic("subscribe", "c")).code is None


def test_beyond_the_limit_the_topic_that_was_used_longest_ago_is_forgotten() -> None:
    with house(max_topics=2) as home:
        peer = home.peer()
        publish(home, peer, 1, topic="a")
        publish(home, peer, 1, topic="b")
        publish(home, peer, 2, topic="a")
        publish(home, peer, 1, topic="c")
        assert [one["topic"] for one in home.server.topics.names()] == ["a", "c"]  # type: ignore[union-attr]
        told = peer.ask(of_topic("subscribe", "b", since={"epoch": "e2", "seq": 1})).result
        assert told == {"topic": "b", "epoch": "e4", "seq": 0, "missed": None}, "it began anew"
        assert events(peer, 1) == [Gap("b", 1, 0, None)]


def test_topics_with_subscribers_stay_and_no_other_can_be_made() -> None:
    with house(max_topics=1) as home:
        peer = subscriber(home, "a")
        assert peer.ask(of_topic("publish", "b", value=1)).code == "overloaded"
        assert peer.ask(of_topic("subscribe", "b")).code == "overloaded"
        publish(home, peer, 1, topic="a")
        assert events(peer, 1) == messages(1, topic="a")


# --- replies come first ---------------------------------------------------------------------------


class Door:
    """A blocking action that is held up until the test opens it."""

    def __init__(self, actions: Actions, topics: Topics) -> None:
        self.inside = threading.Event()
        self.open = threading.Event()

        @actions.add("wait", blocking=True)
        def wait(request: dict[str, Any]) -> str:
            self.inside.set()
            assert self.open.wait(20)
            return "waited"

        @actions.add("publish-in-thread", blocking=True)
        def publish_in_thread(request: dict[str, Any]) -> str:
            assert topics.publish("t", "from a thread") is None
            self.inside.set()
            assert self.open.wait(20)
            return "published"


def test_events_wait_for_the_reply_that_waits_for_others() -> None:
    topics = Topics()
    actions = Actions(topics=topics)
    door = Door(actions, topics)
    with house(actions=actions) as home:
        peer, other = subscriber(home), subscriber(home)
        peer.send(keep("wait"), of_topic("publish", value="mine"))
        assert events(other, 1) == messages("mine"), "the others need not wait"
        peer.silent()
        publish(home, other, "theirs")
        peer.silent()
        door.open.set()
        assert [reply.result for reply in peer.replies(2)] == ["waited", {"seq": 1, "subscribers": 2}]
        assert events(peer, 2) == messages("mine", "theirs")


def test_events_do_not_wait_for_a_reply_that_has_caused_none() -> None:
    topics = Topics()
    actions = Actions(topics=topics)
    door = Door(actions, topics)
    with house(actions=actions) as home:
        peer, other = subscriber(home), home.peer()
        peer.send(keep("wait"))
        home.until(door.inside.is_set)
        publish(home, other, "theirs")
        assert events(peer, 1) == messages("theirs")
        door.open.set()
        assert peer.reply().result == "waited"


def test_what_a_thread_publishes_waits_for_its_own_reply_alone() -> None:
    topics = Topics()
    actions = Actions(topics=topics)
    door = Door(actions, topics)
    with house(actions=actions) as home:
        peer, other = subscriber(home), subscriber(home)
        peer.send(keep("publish-in-thread"))
        assert events(other, 1) == messages("from a thread")
        peer.silent()
        door.open.set()
        assert peer.reply().result == "published"
        assert events(peer, 1) == messages("from a thread")


def test_what_a_thread_publishes_lets_no_event_overtake_a_reply_that_others_wait_for() -> None:
    """Simulation, seed 40: the events waited for the first reply, and went before the last."""
    topics = Topics()
    actions = Actions(topics=topics)
    inside, first_may, second_may = threading.Barrier(3), threading.Event(), threading.Event()

    @actions.add("first", blocking=True)
    def first(request: dict[str, Any]) -> str:
        inside.wait(20)
        assert first_may.wait(20)
        topics.publish("t", "from the first")
        return "first"

    @actions.add("second", blocking=True)
    def second(request: dict[str, Any]) -> str:
        inside.wait(20)
        assert second_may.wait(20)
        return "second"

    with house(actions=actions) as home:
        peer, other = subscriber(home), subscriber(home)
        peer.send(keep("first"), keep("second"), of_topic("publish", value="mine"))
        assert events(other, 1) == messages("mine")
        inside.wait(20)
        first_may.set()
        assert events(other, 1) == messages("from the first", first=2)
        assert peer.reply().result == "first"
        peer.silent()
        second_may.set()
        assert [reply.result for reply in peer.replies(2)] == ["second", {"seq": 1, "subscribers": 2}]
        assert events(peer, 2) == messages("mine", "from the first")


def test_subscribing_in_a_thread_is_refused() -> None:
    topics = Topics()
    actions = Actions(topics=topics)
    raised: list[BaseException] = []

    @actions.add("there", blocking=True)
    def there(request: dict[str, Any], session: Session) -> None:
        try:
            session.subscribe("t")
        except RuntimeError as error:
            raised.append(error)

    with Server(["tcp://127.0.0.1:0"], actions) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        with Peer(socket.create_connection(("127.0.0.1", server.addresses[0].port))) as peer:
            peer.ask(keep("there"))
        server.stop()
        thread.join()
    assert [str(error) for error in raised] == ["subscribe on the loop: in a handler that is not declared blocking"]


def test_any_thread_may_publish_while_the_server_runs() -> None:
    topics = Topics()
    with Server(["tcp://127.0.0.1:0"], Actions(topics=topics)) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        with Peer(socket.create_connection(("127.0.0.1", server.addresses[0].port))) as peer:
            assert peer.ask(of_topic("subscribe")).code is None
            assert [topics.publish("t", value) for value in range(3)] == [None] * 3
            assert events(peer, 3) == messages(0, 1, 2)
        server.stop()
        thread.join()


# --- slow readers ---------------------------------------------------------------------------------


def stalled(home: Turned, **fields: Any) -> Peer:
    peer = home.peer(small_buffers)
    assert peer.ask(of_topic("subscribe", **fields)).code is None
    return peer


LARGE = "x" * 16_000


def flood(home: Turned, speaker: Peer, count: int) -> None:
    for number in range(count):
        publish(home, speaker, [number, LARGE])


def heard(peer: Peer, last: int) -> list[int | Gap]:
    """Numbers of what came, up to the `last`, and the gaps between."""
    found: list[int | Gap] = []
    while not found or found[-1] != last:
        event = as_event(peer.reply())
        found.append(event if isinstance(event, Gap) else event.value[0])  # type: ignore[index]
    return found


def test_a_slow_reader_with_oldest_gets_the_newest_and_a_gap_and_the_others_all() -> None:
    with house(write_high=32_768, write_low=16_384) as home:
        fast, slow, speaker = subscriber(home), stalled(home, slow="oldest", limit=5), home.peer()
        for number in range(400):
            publish(home, speaker, [number, LARGE])
            assert as_event(fast.reply()).value[0] == number  # type: ignore[union-attr]
        got = heard(slow, 399)
        (gap,) = [one for one in got if isinstance(one, Gap)]
        at = got.index(gap)
        assert got[:at] == [*range(at)]
        assert got[at + 1 :] == [395, 396, 397, 398, 399]
        assert (gap.first, gap.last, gap.dropped) == (at + 1, 395, 395 - at)
        publish(home, speaker, [400, ""])
        assert heard(slow, 400) == [400]


def test_the_levels_of_a_subscriber_say_how_much_waits_for_it_and_those_of_others_do_not() -> None:
    with house(write_high=32_768, write_low=16_384) as home:
        slow, speaker = stalled(home, slow="oldest", limit=5), home.peer()
        assert slow.ask(of_topic("subscribe", topic="other")).code is None
        flood(home, speaker, 400)
        levels = [message.gauges() for message in home.server.connections]
        told = [(one["subscriptions"], one["undelivered"]) for one in levels if "subscriptions" in one]
        assert (len(levels), told) == (2, [(2, 5)])
        assert all(("undelivered" in one) is ("subscriptions" in one) for one in levels)


def test_a_slow_reader_is_cut_by_default_with_a_reason_in_the_log() -> None:
    with house(write_high=32_768, write_low=16_384) as home:
        slow, speaker = stalled(home, limit=5), home.peer()
        flood(home, speaker, 400)
        slow.gone()
        assert home.server.closed_by[next(r for r in home.server.closed_by if r.value == "slow-consumer")] == 1
        assert any("too slowly for its subscription to t" in text for text in home.log.texts())
        assert publish(home, speaker, "on") == [{"seq": 401, "subscribers": 0}]


def test_one_that_is_cut_for_one_topic_of_its_pattern_gets_nothing_of_the_others() -> None:
    topics = Topics()
    with house(topics, write_high=32_768, write_low=16_384) as home:
        slow = home.peer(small_buffers)
        assert slow.ask(of_topic("subscribe", "a/*", limit=5)).code is None
        while not topics.waiting.size:
            topics.publish("a/1", LARGE * 16)
            home.quiet()
        for _ in range(3):
            for name in ("a/1", "a/2", "a/3"):
                topics.publish(name, LARGE)
                topics.publish(name, LARGE)
        home.until(lambda: not home.server.connections)
        assert topics.waiting.size == 0


def test_one_whose_events_wait_for_a_reply_can_still_be_told_why_it_is_cut() -> None:
    topics = Topics()
    actions = Actions(topics=topics)
    door = Door(actions, topics)
    with house(actions=actions) as home:
        peer = home.peer()
        peer.ask(of_topic("subscribe", limit=2))
        peer.send(keep("wait"), of_topic("publish", value=1))
        home.until(door.inside.is_set)
        publish(home, home.peer(), 2, 3)
        home.until(lambda: any("too slowly" in text for text in home.log.texts()))
        door.open.set()
        assert [reply.code for reply in peer.replies(3)] == [None, None, "overloaded"]
        peer.eof()


def test_one_that_is_cut_and_waits_for_its_last_reply_subscribes_to_nothing_any_more() -> None:
    """Simulation, seed 7: the next message met a subscription that was over, an internal error."""
    topics = Topics()
    actions = Actions(topics=topics)
    door = Door(actions, topics)
    with house(actions=actions) as home:
        peer, speaker = home.peer(), home.peer()
        peer.ask(of_topic("subscribe", limit=2))
        peer.ask(of_topic("subscribe", "a/*"))
        peer.send(keep("wait"), of_topic("publish", value=1))
        home.until(door.inside.is_set)
        publish(home, speaker, 2, 3)
        home.until(lambda: any("too slowly" in text for text in home.log.texts()))
        assert publish(home, speaker, 4) == [{"seq": 4, "subscribers": 0}]
        assert publish(home, speaker, 1, topic="a/b") == [{"seq": 1, "subscribers": 0}]
        assert topics.waiting.size == 0
        door.open.set()
        assert [reply.code for reply in peer.replies(3)] == [None, None, "overloaded"]
        peer.eof()


def test_one_that_began_in_the_turn_in_which_it_is_cut_subscribes_to_nothing_any_more() -> None:
    topics = Topics()
    actions = Actions(topics=topics)

    @actions.add("join")
    def join(request: dict[str, Any], session: Session) -> None:
        topics.publish("t", "before")
        session.subscribe("t", limit=1)
        topics.publish("t", "after")
        topics.publish("t", "and again")

    door = Door(actions, topics)
    with house(actions=actions) as home:
        peer, other = home.peer(), subscriber(home)
        peer.send(keep("wait"), keep("join"))
        assert events(other, 3) == messages("before", "after", "and again")
        assert publish(home, other, "later") == [{"seq": 4, "subscribers": 1}]
        door.open.set()
        assert [reply.code for reply in peer.replies(3)] == [None, None, "overloaded"]
        peer.eof()


def test_one_that_has_finished_and_hears_nothing_more_is_not_cut_for_reading_too_slowly() -> None:
    topics = Topics()
    actions = Actions(topics=topics)
    door = Door(actions, topics)
    with house(actions=actions) as home:
        peer = home.peer()
        peer.ask(of_topic("subscribe", limit=2))
        peer.send(keep("wait"))
        peer.finish()
        home.until(door.inside.is_set)
        publish(home, home.peer(), 1, 2, 3, 4)
        door.open.set()
        assert peer.reply().result == "waited"
        peer.eof()


def test_one_with_a_request_that_waits_for_a_thread_is_cut_at_once() -> None:
    """Simulation, seed 4: the error said close, and the reply to what had waited for a thread followed it."""
    topics = Topics()
    actions = Actions(topics=topics)
    door = Door(actions, topics)
    with house(actions=actions, handler_threads=1) as home:
        peer, other = home.peer(), home.peer()
        peer.ask(of_topic("subscribe", limit=2))
        peer.send(keep("wait"), keep("wait"), of_topic("publish", value=1), keep("wait"))
        home.until(door.inside.is_set)
        publish(home, other, 2, 3)
        peer.gone()
        door.open.set()
        home.until(lambda: len(home.server.connections) == 1)
        assert home.server.closed_by[CloseReason.SLOW_CONSUMER] == 1


def test_when_all_queues_together_are_full_the_slowest_is_cut_first() -> None:
    with house(write_high=32_768, write_low=16_384, push_queue=200_000) as home:
        topics = home.server.topics
        assert topics is not None
        slow, speaker = stalled(home, slow="oldest"), home.peer()
        while not topics.waiting.size:
            flood(home, speaker, 1)
        second = stalled(home, slow="oldest", limit=4)
        for _ in range(100):
            flood(home, speaker, 1)
            assert topics.waiting.size <= 200_000
        slow.gone()
        assert [peer for peer in (slow, second) if not peer.ended] == [second]
        assert topics.members("t")["count"] == 1


def test_one_that_is_reset_while_it_is_behind_is_forgotten() -> None:
    with house(write_high=32_768, write_low=16_384) as home:
        slow, speaker = stalled(home, slow="newest"), home.peer()
        flood(home, speaker, 300)
        topics = home.server.topics
        assert topics is not None
        home.until(lambda: topics.waiting.size > 0)
        slow.reset()
        home.until(lambda: topics.members("t")["count"] == 0)
        assert (topics.waiting.size, topics.waiting.behind) == (0, {})


# --- the life of a connection ----------------------------------------------------------------------


def test_who_listens_is_not_idle_however_long_nothing_is_said() -> None:
    with house(idle_timeout=10.0) as home:
        listener, idle = subscriber(home), home.peer()
        idle.ask(keep("ping"))
        home.advance(60.0)
        idle.eof()
        speaker = home.peer()
        publish(home, speaker, "at last")
        assert events(listener, 1) == messages("at last")
        listener.ask(of_topic("unsubscribe"))
        home.advance(60.0)
        listener.eof()


def test_a_drain_ends_a_subscriber_between_messages() -> None:
    with house() as home:
        listener = subscriber(home)
        home.server.drain()
        listener.eof()
        home.quiet()
        assert home.server.closed_by[next(r for r in home.server.closed_by if r.value == "shutdown")] == 1


def test_no_event_follows_a_reply_that_says_close() -> None:
    with house() as home:
        listener, speaker = subscriber(home), home.peer()
        listener.send(keep("ping"), request({"action": "ping"}, connection="close"))
        publish(home, speaker, 1)
        first, last = listener.replies(2)
        assert (first.connection, last.connection) == (None, "close")
        listener.eof()


def test_one_that_half_closes_gets_its_replies_and_no_more_events() -> None:
    with house() as home:
        listener, speaker = subscriber(home), home.peer()
        listener.send(keep("ping"))
        listener.finish()
        assert listener.reply().result == "pong"
        listener.eof()
        assert publish(home, speaker, 1) == [{"seq": 1, "subscribers": 0}]


def test_when_the_connection_has_ended_its_subscriptions_have() -> None:
    with house() as home:
        peer = subscriber(home)
        pattern = subscriber(home, "a/*")
        peer.reset()
        pattern.close()
        home.until(lambda: len(home.server.connections) == 0)
        speaker = home.peer()
        assert publish(home, speaker, 1) == [{"seq": 1, "subscribers": 0}]
        assert publish(home, speaker, 1, topic="a/b") == [{"seq": 1, "subscribers": 0}]
        assert home.server.topics._patterns == {}  # type: ignore[union-attr]


def test_a_bug_met_on_one_subscriber_is_not_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    with turned(Actions(topics=Topics()), internal_errors=1) as home:
        broken, fine = subscriber(home), subscriber(home)
        (first, _) = home.server.connections

        class Broken:
            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

            def offer(self, data: bytes) -> bool:
                raise OSError("a bug")

        transport = first.transport
        first.transport = Broken()  # type: ignore[assignment]
        home.server.topics.publish("t", 1)  # type: ignore[union-attr]
        assert events(fine, 1) == messages(1)
        broken.gone()


# --- the interface ------------------------------------------------------------------------------


def test_a_program_publishes_before_its_server_listens() -> None:
    topics = Topics(new_epoch=Epochs())
    receipt = topics.publish("t", "early")
    assert (receipt.seq, receipt.subscribers) == (1, 0)  # type: ignore[union-attr]
    with house(topics) as home:
        assert home.peer().ask(of_topic("history")).result["messages"] == [{"seq": 1, "value": "early"}]


def test_what_json_can_not_carry_is_the_caller_s_to_mend() -> None:
    topics = Topics()
    for value in (object(), float("nan"), {1, 2}):
        with pytest.raises((TypeError, ValueError)):
            topics.publish("t", value)
    with pytest.raises(ProtocolError, match="1 to 200 printable"):
        topics.publish("a\nb", 1)
    assert topics.names() == []


def test_topics_serve_one_server_at_a_time() -> None:
    topics = Topics()
    with Server(["tcp://127.0.0.1:0"], Actions(topics=topics)), pytest.raises(ValueError, match="another server"):
        Server(["tcp://127.0.0.1:0"], Actions(topics=topics))
    with Server(["tcp://127.0.0.1:0"], Actions(topics=topics)):
        pass


def test_a_server_without_topics_says_so_to_its_programmer() -> None:
    actions = Actions()

    @actions.add("join")
    def join(request: dict[str, Any], session: Session) -> Any:
        return session.subscribe("t")

    with turned(actions) as home:
        peer = home.peer()
        assert peer.ask(keep("join")).code == "handler-failed"
        assert any("Actions(topics=Topics())" in text for text in home.log.texts())
        assert peer.ask(of_topic("subscribe")).code == "unknown-action"


def test_names_are_none_until_given_and_members_of_no_topic_are_none() -> None:
    with house() as home:
        assert home.server.topics.members("nobody") == {"count": 0, "names": []}  # type: ignore[union-attr]
        subscriber(home)
        assert home.server.topics.members("t") == {"count": 1, "names": []}  # type: ignore[union-attr]
        assert next(iter(home.server.connections)).state is OPEN  # type: ignore[union-attr]


def test_the_tutorial_s_client_is_answered_as_ever() -> None:
    with house() as home:
        peer = home.peer()
        reply: Reply = peer.ask(ask("search", "morpheus"))
        assert reply.result.startswith("Follow the white rabbit.")
        peer.eof()


def test_an_answer_that_comes_later_leaves_before_the_events_of_what_was_subscribed_to_meanwhile() -> None:
    topics = Topics()
    actions = Actions(topics=topics)
    asked: list[tuple[Session, Any]] = []

    @actions.add("join", deferred=True)
    def join(request: dict[str, Any], session: Session, answer: Any) -> None:
        asked.append((session, answer))

    with house(topics, actions) as home:
        peer = home.peer()
        peer.send(keep("join"))
        home.until(lambda: asked)
        ((session, answer),) = asked
        session.subscribe("t")
        topics.publish("t", "a")
        peer.silent()
        answer("joined")
        assert peer.reply().result == "joined"
        assert events(peer, 1) == messages("a")
        topics.publish("t", "b")
        assert events(peer, 1) == messages("b", first=2)
