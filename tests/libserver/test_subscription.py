"""Tests of one subscriber's queue: order, limits, policies, gaps, and what waits in all queues together.

The reference is a naive model that knows what the policies promise, and nothing of how they do it; random
histories are compared with it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from eventloop import WaterMarks
from libserver.subscription import CUT, LATEST, NEWEST, OLDEST, POLICIES, Item, Subscription, Waiting
from protocol.content import encode_json
from protocol.push import Gap, Published, encode_published
from protocol.states import BEHIND, CURRENT, DROPPING, OPEN, OVER, Machine, Row
from tests.libserver.events import events_in


class FakeTransport:
    """Takes what it is given while it has room."""

    marks = WaterMarks()

    def __init__(self) -> None:
        self.sent = bytearray()
        self.has_room = False
        self.sizes: list[int] = []

    def writelines(self, parts: Any) -> None:
        data = b"".join(parts)
        self.sent += data
        self.sizes.append(len(data))

    def offer(self, data: bytes) -> bool:
        if self.has_room:
            self.sent += data
        return self.has_room


class FakeSubscriber:
    def __init__(self) -> None:
        self.transport: Any = FakeTransport()
        self.state = OPEN
        self.cut: list[str] = []
        self.observer: Any = None
        self.rows: list[Row] = []

    @property
    def delivers(self) -> bool:
        return bool(self.transport.has_room)

    @delivers.setter
    def delivers(self, delivers: bool) -> None:
        self.transport.has_room = delivers

    def overrun(self, topic: str) -> None:
        self.cut.append(topic)

    def watch(self) -> None:
        self.observer = self

    def transition(self, subject: object, machine: Machine, row: Row) -> None:
        self.rows.append(row)

    @property
    def events(self) -> list[Published | Gap]:
        """What it was sent since it was last asked."""
        data, self.transport.sent = bytes(self.transport.sent), bytearray()
        return events_in(data)


def item(seq: int, topic: str = "t", value: object = None) -> Item:
    return Item(topic, seq, encode_published(topic, seq, encode_json(value)))


def make(slow: str = CUT, limit: int = 3, key: str | None = None) -> tuple[Subscription, FakeSubscriber, Waiting]:
    waiting = Waiting()
    subscriber = FakeSubscriber()
    subscriber.watch()
    return Subscription("t", subscriber, waiting, slow, key, limit), subscriber, waiting


def put(subscription: Subscription, waiting: Waiting, *items: Item) -> None:
    """As `Topics` does it."""
    waiting.hold(items, 1)
    subscription.put(items)


def sent(subscription: Subscription, subscriber: FakeSubscriber) -> list[Published | Gap]:
    subscriber.delivers = True
    while subscription.send_on():
        pass
    subscriber.delivers = False
    return subscriber.events


def messages(*seqs: int) -> list[Published]:
    return [Published("t", seq, None) for seq in seqs]


# --- the ordinary -----------------------------------------------------------------------------


def test_what_waits_comes_in_order_and_then_it_is_current_again() -> None:
    subscription, subscriber, waiting = make(limit=10)
    assert subscription.state is CURRENT
    put(subscription, waiting, item(1), item(2))
    put(subscription, waiting, item(3))
    assert (subscription.state, len(subscription)) == (BEHIND, 3)
    assert waiting.behind == {subscription: None}
    assert sent(subscription, subscriber) == messages(1, 2, 3)
    assert (subscription.state, len(subscription), subscription.queue) == (CURRENT, 0, None)
    assert (waiting.size, waiting.behind) == (0, {})
    assert [row.input for row in subscriber.rows] == ["ABOVE_HIGH", "CAUGHT_UP"]


@pytest.mark.parametrize("low", [0, 300])
def test_one_that_catches_up_is_given_about_as_much_at_once_as_may_be_kept_for_it(low: int) -> None:
    """A low mark of 0 meant 256 KiB, more than an `output_limit` may be: it was cut for reading again."""
    subscription, subscriber, waiting = make(limit=100)
    subscriber.transport.marks = WaterMarks(high=1000, low=low)
    items = [item(seq) for seq in range(1, 51)]
    put(subscription, waiting, *items)
    assert sent(subscription, subscriber) == messages(*range(1, 51))
    assert max(subscriber.transport.sizes) < (low or 1000) + len(items[-1].frame)


def test_it_sends_on_only_while_its_subscriber_takes_it() -> None:
    subscription, subscriber, waiting = make(limit=10)
    put(subscription, waiting, item(1))
    assert subscription.send_on() is False
    assert subscriber.events == []
    assert subscription.state is BEHIND


def test_one_that_reads_all_at_once_leaves_the_others_their_turn() -> None:
    subscription, subscriber, waiting = make(limit=1000)
    big = "x" * 1000
    put(subscription, waiting, *(item(seq, value=big) for seq in range(1, 1001)))
    subscriber.delivers = True
    assert subscription.send_on() is True
    first = len(subscriber.events)
    assert 200 < first < 400, "a quarter of a megabyte in one turn"
    assert len(sent(subscription, subscriber)) == 1000 - first


def test_a_reply_that_must_leave_first_makes_it_wait_with_an_empty_queue() -> None:
    subscription, subscriber, _ = make()
    subscription.wait_for_reply()
    subscription.wait_for_reply()
    assert (subscription.state, len(subscription)) == (BEHIND, 0)
    assert sent(subscription, subscriber) == []
    assert subscription.state is CURRENT
    assert [row.input for row in subscriber.rows] == ["REPLY_OWED", "CAUGHT_UP"]


def test_what_was_missed_comes_first_however_much_it_is() -> None:
    subscription, subscriber, waiting = make(limit=2)
    subscription.replay([Gap("t", 1, 3, 3), item(4), item(5), item(6)])
    assert len(subscription) == 3
    assert waiting.size == sum(len(item(seq).frame) for seq in (4, 5, 6))
    assert sent(subscription, subscriber) == [Gap("t", 1, 3, 3), *messages(4, 5, 6)]
    assert subscription.state is CURRENT
    assert [row.input for row in subscriber.rows] == ["MISSED_SOME", "CAUGHT_UP"]


# --- full -------------------------------------------------------------------------------------


def test_as_many_as_its_limit_wait_under_every_policy() -> None:
    for slow in POLICIES:
        subscription, subscriber, waiting = make(slow, limit=3)
        put(subscription, waiting, item(1), item(2), item(3))
        assert subscription.state is BEHIND
        assert sent(subscription, subscriber) == messages(1, 2, 3)


def test_cut_ends_the_connection_and_forgets_what_waits() -> None:
    subscription, subscriber, waiting = make(CUT)
    put(subscription, waiting, item(1), item(2), item(3), item(4))
    assert subscriber.cut == ["t"]
    assert (subscription.state, subscription.queue, waiting.size, waiting.behind) == (OVER, None, 0, {})
    assert [row.input for row in subscriber.rows] == ["ABOVE_HIGH", "OVERRUN"]


def test_oldest_drops_from_the_front() -> None:
    subscription, subscriber, waiting = make(OLDEST)
    put(subscription, waiting, item(1), item(2), item(3), item(4))
    assert (subscription.state, len(subscription)) == (DROPPING, 3)
    put(subscription, waiting, item(5))
    assert sent(subscription, subscriber) == [Gap("t", 1, 2, 2), *messages(3, 4, 5)]
    assert subscription.state is CURRENT
    assert [row.input for row in subscriber.rows] == [
        "ABOVE_HIGH",
        "QUEUE_FULL",
        "QUEUE_FULL",
        "GAPS_SENT",
        "CAUGHT_UP",
    ]


def test_more_in_one_turn_than_may_wait_leaves_the_last() -> None:
    subscription, subscriber, waiting = make(OLDEST, limit=2)
    put(subscription, waiting, *map(item, range(1, 11)))
    assert sent(subscription, subscriber) == [Gap("t", 1, 8, 8), *messages(9, 10)]


def test_newest_refuses_what_comes_until_there_is_room() -> None:
    subscription, subscriber, waiting = make(NEWEST)
    put(subscription, waiting, item(1), item(2))
    put(subscription, waiting, item(3), item(4))
    put(subscription, waiting, item(5))
    assert (subscription.state, len(subscription)) == (DROPPING, 3)
    assert sent(subscription, subscriber) == [*messages(1, 2, 3), Gap("t", 4, 5, 2)]
    put(subscription, waiting, item(6))
    assert sent(subscription, subscriber) == messages(6)


def test_a_gap_does_not_grow_over_a_message_that_is_delivered() -> None:
    subscription, subscriber, waiting = make(NEWEST, limit=2)
    put(subscription, waiting, item(1), item(2), item(3))
    subscriber.transport.marks = WaterMarks(len(item(1).frame) - 1, 1)
    subscriber.delivers = True
    assert subscription._send(subscriber.transport, 1) > 0  # one leaves: there is room for one
    subscriber.delivers = False
    put(subscription, waiting, item(4), item(5))
    assert subscriber.events == messages(1)
    assert sent(subscription, subscriber) == [*messages(2), Gap("t", 3, 3, 1), *messages(4), Gap("t", 5, 5, 1)]


def test_latest_keeps_the_newest_of_each_key_and_a_gap_in_each_place() -> None:
    subscription, subscriber, waiting = make(LATEST, limit=3, key="k")
    values = [{"k": "a", "n": n} if n % 2 else {"k": "b", "n": n} for n in range(1, 7)]
    put(subscription, waiting, *(item(seq, value=value) for seq, value in enumerate(values, 1)))
    assert sent(subscription, subscriber) == [
        Gap("t", 1, 4, 4),
        Published("t", 5, values[4]),
        Published("t", 6, values[5]),
    ]


def test_latest_puts_the_gap_where_the_older_one_stood() -> None:
    subscription, subscriber, waiting = make(LATEST, limit=2, key="k")
    put(subscription, waiting, item(1, value={"k": 1}), item(2, value={"k": 2}), item(3, value={"k": 2}))
    assert sent(subscription, subscriber) == [
        Published("t", 1, {"k": 1}),
        Gap("t", 2, 2, 1),
        Published("t", 3, {"k": 2}),
    ]


def test_latest_without_a_key_keeps_the_last_alone() -> None:
    subscription, subscriber, waiting = make(LATEST, limit=2)
    put(subscription, waiting, item(1), item(2), item(3))
    assert sent(subscription, subscriber) == [Gap("t", 1, 2, 2), *messages(3)]


def test_latest_with_too_many_keys_drops_from_the_front() -> None:
    subscription, subscriber, waiting = make(LATEST, limit=2, key="k")
    put(subscription, waiting, *(item(seq, value={"k": seq}) for seq in (1, 2, 3)))
    assert sent(subscription, subscriber) == [
        Gap("t", 1, 1, 1),
        Published("t", 2, {"k": 2}),
        Published("t", 3, {"k": 3}),
    ]


@pytest.mark.parametrize("value", [None, 7, "text", [], {}, {"other": 1}, {"k": None}])
def test_values_without_the_key_share_one(value: object) -> None:
    assert item(1, value=value).key("k") is None


def test_keys_are_compared_as_json_not_as_python_does() -> None:
    keys = [item(1, value={"k": key}).key("k") for key in (1, True, "1", 1.5, [1], {"a": 1, "b": 2})]
    assert len(set(keys)) == 6
    assert item(1, value={"k": {"b": 2, "a": 1}}).key("k") == keys[-1]
    twice = item(1, value={"k": 1})
    assert twice.key("k") == twice.key("k") == keys[0]


# --- ending -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["unsubscribe", "connection_ended"])
@pytest.mark.parametrize("waits", [0, 2, 4])
def test_in_every_state_it_ends_and_nothing_waits_any_more(end: str, waits: int) -> None:
    subscription, subscriber, waiting = make(OLDEST)
    if waits:
        put(subscription, waiting, *map(item, range(1, waits + 1)))
    getattr(subscription, end)()
    assert (subscription.state, subscription.queue, waiting.size, waiting.behind) == (OVER, None, 0, {})
    assert sent(subscription, subscriber) == []


def test_the_end_of_a_connection_is_told_to_one_that_is_over_in_vain() -> None:
    subscription, subscriber, _ = make()
    subscription.unsubscribe()
    subscription.connection_ended()
    assert [row.input for row in subscriber.rows] == ["UNSUBSCRIBED"]


def test_it_says_what_it_is() -> None:
    subscription, _, waiting = make()
    put(subscription, waiting, item(1))
    assert repr(subscription) == "<Subscription to 't' BEHIND 1 waiting>"


# --- all queues together ----------------------------------------------------------------------


def test_a_message_that_waits_in_many_queues_counts_once() -> None:
    waiting = Waiting()
    subscriptions = [Subscription("t", FakeSubscriber(), waiting, OLDEST, None, 2) for _ in range(3)]
    one = item(1)
    waiting.hold([one], 3)
    for subscription in subscriptions:
        subscription.put([one])
    assert waiting.size == len(one.frame)
    assert [*waiting.behind] == subscriptions, "who has waited longest comes first"
    for subscription in subscriptions[:2]:
        subscription.unsubscribe()
    assert waiting.size == len(one.frame)
    subscriptions[2].unsubscribe()
    assert waiting.size == 0


# --- a naive model ------------------------------------------------------------------------------


class Model:
    """What the policies promise: a list of what waits, and which of all that was published was left out."""

    def __init__(self, slow: str, limit: int) -> None:
        self.slow = slow
        self.limit = limit
        self.kept: list[tuple[str, int, object]] = []
        self.cut = False

    def put(self, news: list[tuple[str, int, object]]) -> None:
        if self.slow == NEWEST:
            self.kept += news[: self.limit - len(self.kept)]
            return
        self.kept += news
        if len(self.kept) <= self.limit:
            return
        if self.slow == CUT:
            self.cut = True
        if self.slow == LATEST:
            newest = {(topic, key): seq for topic, seq, key in self.kept}
            self.kept = [one for one in self.kept if newest[one[0], one[2]] == one[1]]
        self.kept = self.kept[max(0, len(self.kept) - self.limit) :]


def covered(events: list[Published | Gap]) -> Iterator[tuple[str, int]]:
    """Every seq, in the order it is delivered or said to be missing."""
    for event in events:
        if isinstance(event, Gap):
            assert isinstance(event.first, int)
            assert isinstance(event.last, int)
            assert event.dropped == event.last - event.first + 1
            yield from ((event.topic, seq) for seq in range(event.first, event.last + 1))
        else:
            assert isinstance(event.seq, int)
            yield event.topic, event.seq


@pytest.mark.parametrize("slow", POLICIES)
@pytest.mark.parametrize("seed", range(60))
def test_any_history_is_as_the_policy_promises(slow: str, seed: int) -> None:
    chance = random.Random(f"{slow} {seed}")
    topics = [f"t{number}" for number in range(chance.choice([1, 1, 2, 3]))]
    limit = chance.randint(1, 6)
    subscription, subscriber, waiting = make(slow, limit, "k")
    model = Model(slow, limit)
    seqs = dict.fromkeys(topics, 0)
    got: list[Published | Gap] = []
    expected: list[tuple[str, int]] = []
    for _ in range(chance.randint(1, 40)):
        if chance.random() < 0.7:
            news, items = [], []
            for _ in range(chance.randint(1, 5)):
                topic = chance.choice(topics)
                seqs[topic] += 1
                key = chance.randint(0, 4)
                news.append((topic, seqs[topic], key))
                items.append(item(seqs[topic], topic, {"k": key}))
            put(subscription, waiting, *items)
            model.put(news)
            assert bool(subscriber.cut) is model.cut
            if model.cut:
                return
            assert len(subscription) == len(model.kept)
        else:
            got += sent(subscription, subscriber)
            expected += [(topic, seq) for topic, seq, _ in model.kept]
            model.kept = []
    got += sent(subscription, subscriber)
    expected += [(topic, seq) for topic, seq, _ in model.kept]
    assert [(event.topic, event.seq) for event in got if isinstance(event, Published)] == expected
    assert waiting.size == 0
    assert subscription.state is CURRENT
    for topic in topics:
        assert [seq for name, seq in covered(got) if name == topic] == [*range(1, seqs[topic] + 1)]


def test_the_slowest_is_one_that_holds_messages() -> None:
    waiting = Waiting()
    owed, slow = (Subscription("t", FakeSubscriber(), waiting, "oldest", None, 10) for _ in range(2))
    owed.wait_for_reply()
    assert waiting.slowest is None
    item = Item("t", 1, b"x")
    waiting.hold([item], 1)
    slow.put([item])
    assert waiting.slowest is slow, "to cut the other would free nothing"
