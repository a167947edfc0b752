"""Tests of what joins this server's topics to a backplane: on fakes, for what a real Redis can't be made to do.

What it does with a real one, several servers and all that may go wrong: test_redis_backplane.
"""

from __future__ import annotations

from typing import Any

import pytest

from libserver import ActionError
from libserver.limits import ServerLimits
from libserver.redis_backplane import Entry, Located
from libserver.redis_link import RedisGone
from libserver.sharing import Sharing
from libserver.topics import Topics
from protocol.push import Gap
from tests.libserver.test_subscription import FakeSubscriber


class FakeBackplane:
    """Notes what it is asked, and answers when the test says so."""

    def __init__(self) -> None:
        self.available = True
        self.asked: list[tuple[Any, ...]] = []
        self.followed: dict[str, tuple[str, str]] = {}

    def _ask(self, *what: Any) -> None:
        if not self.available:
            raise RedisGone("Redis is away")
        self.asked.append(what)

    def publish(self, topic: str, value: bytes, sender: str | None, done: Any) -> None:
        self._ask("publish", topic, value, sender, done)

    def locate(self, topic: str, since: str | None, done: Any) -> None:
        self._ask("locate", topic, since, done)

    def history(self, topic: str, limit: int, done: Any) -> None:
        self._ask("history", topic, limit, done)

    def names(self, done: Any) -> None:
        self._ask("names", done)

    def follow_news(self) -> None:
        self.asked.append(("follow_news",))

    def follow(self, topic: str, epoch: str, id: str, number: int) -> None:
        self.followed[topic] = epoch, id

    def unfollow(self, topic: str) -> None:
        self.followed.pop(topic, None)

    def position(self, topic: str) -> tuple[str, str] | None:
        return self.followed.get(topic)

    def attach(self, *_: Any) -> None:
        pass

    def detach(self) -> None:
        pass


class Listener(FakeSubscriber):
    """One that is kept alive."""

    keeps_alive = True
    owes_reply_first = False
    subscriptions: Any = None

    def session(self) -> Any:
        return None


class Bench:
    def __init__(self) -> None:
        self.backplane = FakeBackplane()
        self.topics = Topics(backplane=self.backplane)  # type: ignore[arg-type]
        self.topics._limits = ServerLimits(history=10)
        self.answers: list[tuple[Any, Exception | None]] = []
        self.listener = Listener()

    @property
    def sharing(self) -> Sharing[Any]:
        sharing = self.topics._sharing
        assert sharing is not None
        return sharing

    def answer(self, result: Any, error: Exception | None) -> None:
        self.answers.append((result, error))

    def subscribe(self, name: str = "t", since: tuple[str, str] | None = None) -> None:
        self.topics.subscribe_later(self.listener, name, "oldest", None, 100, since, self.answer)  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def entry(number: int, value: bytes = b"1", sender: str | None = None) -> Entry:
    return Entry(f"{number}-0", number, value, sender)


def test_a_receipt_has_the_stream_s_id_and_the_subscribers_here(bench: Bench) -> None:
    bench.topics.publish_later("t", {"a": 1}, "ann", bench.answer)
    word, topic, value, sender, done = bench.backplane.asked.pop()
    assert (word, topic, value, sender) == ("publish", "t", b'{"a": 1}', "ann")
    done("7-0", None)
    assert bench.answers == [({"seq": "7-0", "subscribers": 0}, None)]


def test_what_the_backplane_can_not_do_is_unavailable(bench: Bench) -> None:
    bench.topics.publish_later("t", 1, None, bench.answer)
    bench.topics.history_later("t", None, bench.answer)
    bench.subscribe()
    for *_, done in bench.backplane.asked[:]:
        done(None, RedisGone("it went"))
    errors = [error for _, error in bench.answers]
    assert [error.code for error in errors if isinstance(error, ActionError)] == ["unavailable"] * 3
    assert bench.listener.subscriptions is None, "what could not begin is ended"
    bench.backplane.available = False
    asks = (
        lambda: bench.topics.publish("t", 1),
        lambda: bench.topics.history_later("t", 1, bench.answer),
        bench.subscribe,
    )
    for ask in asks:
        with pytest.raises(ActionError) as caught:
            ask()
        assert caught.value.code == "unavailable"


def test_a_subscription_that_ended_before_it_had_begun_begins_no_more(bench: Bench) -> None:
    bench.subscribe()
    bench.topics.unsubscribe(bench.listener, "t")  # type: ignore[arg-type]
    bench.backplane.asked[-1][-1](Located("e", "3-0", 3, []), None)
    ((_, error),) = bench.answers
    assert "ended before it had begun" in str(error)
    assert bench.backplane.followed == {}


def test_of_what_was_missed_comes_what_this_server_has_seen(bench: Bench) -> None:
    bench.subscribe()
    bench.backplane.asked.pop()[-1](Located("e", "5-0", 5, []), None)
    late = Listener()
    bench.topics.subscribe_later(late, "t", "oldest", None, 100, ("e", "3-0"), bench.answer)  # type: ignore[arg-type]
    bench.backplane.asked.pop()[-1](Located("e", "7-0", 7, [entry(n) for n in (3, 4, 5, 6, 7)]), None)
    assert bench.answers[-1] == ({"topic": "t", "epoch": "e", "seq": "5-0", "missed": 2}, None)
    bench.sharing.arrived("t", [entry(6), entry(7)], None)
    late.delivers = True
    bench.topics._flush()
    assert [event.seq for event in late.events if not isinstance(event, Gap)] == ["4-0", "5-0", "6-0", "7-0"]


@pytest.mark.parametrize(
    ("since", "entries", "gap", "missed"),
    [
        (("e", "5-0"), [5], None, 0),
        (("e", "5-0"), [], None, 0),
        (("e", "2-0"), [4, 5], Gap("t", "2-1", "3-18446744073709551615", None), None),
        (("e", "2-0"), [], Gap("t", "2-1", "5-0", None), None),
        (("e", "0-0"), [1, 2, 3, 4, 5], None, 5),
        (("e", "0-0"), [3, 4, 5], Gap("t", "0-1", "2-18446744073709551615", 2), 5),
        (("e", "0-0"), [], Gap("t", "0-1", "5-0", None), None),
        (("old", "9-0"), [], Gap("t", "0-1", "5-0", None), None),
    ],
)
def test_what_is_not_there_any_more_is_a_gap(
    bench: Bench, since: tuple[str, str], entries: list[int], gap: Gap | None, missed: int | None
) -> None:
    bench.subscribe(since=since)
    bench.backplane.asked.pop()[-1](Located("e", "5-0", 5, [entry(number) for number in entries]), None)
    ((result, _),) = bench.answers
    assert result["missed"] == missed
    bench.listener.delivers = True
    bench.topics._flush()
    assert [event for event in bench.listener.events if isinstance(event, Gap)] == ([] if gap is None else [gap])


def test_history_is_as_long_as_is_asked_for_and_names_who_said_so(bench: Bench) -> None:
    bench.topics.history_later("t", 2, bench.answer)
    locate, history = bench.backplane.asked
    assert history[2] == 2
    locate[-1](Located("e", "9-0", 9, []), None)
    history[-1]([entry(8, b'"x"', "ann"), entry(9, b"[1]")], None)
    messages = [{"seq": "8-0", "value": "x", "from": "ann"}, {"seq": "9-0", "value": [1]}]
    assert bench.answers == [({"epoch": "e", "seq": "9-0", "messages": messages}, None)]


def test_what_comes_of_a_topic_that_has_no_subscriber_here_is_dropped(bench: Bench) -> None:
    bench.sharing.arrived("unknown", [entry(1)], None)
    assert bench.topics.names() == []


def test_a_new_topic_is_followed_from_its_first_message_if_a_pattern_takes_it(bench: Bench) -> None:
    bench.sharing.topic_made("a/b")
    assert bench.backplane.asked == []
    bench.subscribe("a/*")
    bench.backplane.asked.pop()[-1](["a/old", "c"], None)
    bench.backplane.asked.pop()[-1](Located("e", "4-0", 4, []), None)
    assert bench.backplane.followed == {"a/old": ("e", "4-0")}
    bench.sharing.topic_made("a/b")
    bench.sharing.topic_made("c")
    bench.backplane.asked.pop()[-1](Located("e2", "1-0", 1, []), None)
    assert bench.backplane.followed["a/b"] == ("e2", "0-0")
    bench.sharing.topic_made("a/b")
    bench.backplane.available = False
    bench.sharing.topic_made("a/c")


def test_a_pattern_has_begun_when_it_is_known_where_all_of_its_topics_stand(bench: Bench) -> None:
    bench.subscribe("a/*")
    bench.backplane.asked.pop()[-1](["a/b", "a/c"], None)
    first, second = (asked[-1] for asked in bench.backplane.asked[-2:])
    first(Located("e", "4-0", 4, []), None)
    assert bench.answers == [], "what was published to a/c from now on would be missed"
    second(Located("e", "4-0", 4, []), None)
    assert bench.answers == [({"topic": "a/*", "epoch": None, "seq": None, "missed": 0}, None)]


def test_one_topic_too_many_is_an_answer_not_a_bug(bench: Bench) -> None:
    bench.topics._limits = ServerLimits(max_topics=1)
    bench.subscribe("a/*")
    bench.backplane.asked.pop()[-1](["a/b", "a/c"], None)
    for *_, done in bench.backplane.asked[-2:]:
        done(Located("e", "4-0", 4, []), None)
    ((_, error),) = bench.answers
    assert isinstance(error, ActionError)
    assert error.code == "overloaded"
    bench.answers.clear()
    bench.subscribe("t")
    located = bench.backplane.asked[-1][-1]
    bench.topics.use("u")  # in t's place, which has no subscriber yet
    bench.topics.find("u").add(next(iter(bench.listener.subscriptions.values())))  # type: ignore[union-attr]
    located(Located("e", "4-0", 4, []), None)
    ((_, error),) = bench.answers
    assert isinstance(error, ActionError)
    assert error.code == "overloaded"
    bench.sharing.topic_made("a/d")
