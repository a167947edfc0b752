"""Do the invariants of topics judge the server's queues rightly?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from libserver.subscription import Item, Subscription
from protocol.push import Gap, encode_published
from suites.simulation.ear import Ear
from suites.simulation.happenings import Arrival, Terminate
from suites.simulation.peers import Peer, Script
from suites.simulation.plan import Plan
from suites.simulation.push_invariants import (
    PUSH_INVARIANTS,
    NothingSubscribesOn,
    OnceOrGap,
    QueuesWithinBounds,
    listeners,
)
from suites.simulation.world import World

NAMES = [kind.name for kind in PUSH_INVARIANTS]


def subscribes_and_waits(peer: Peer) -> Script:
    ear = Ear("it", peer.target.complain)
    ear.connected()
    yield from peer.connect()
    yield from peer.send(ear.asks("subscribe", topic="a", limit=2, slow="oldest"))
    yield from peer.read_for(100.0)


class Look:
    """What is wrong in a world with one subscriber, once `change` has changed it."""

    def __init__(self) -> None:
        self.world = World(
            Plan(
                topics=True,
                limits={"history": 0, "push_queue": 500, "max_topics": 3},
                happenings=(Arrival(0.1, subscribes_and_waits, 1),),
                end=Terminate(50.0),
            )
        )
        self.found: list[str] = []

    def after(self, change: Any) -> list[str]:
        def look() -> None:
            change(self)
            for kind in (OnceOrGap, QueuesWithinBounds, NothingSubscribesOn):
                kind().swept(self.world)
            self.found = [words for _, words in self.world.violations]

        self.world.schedule.after(5.0, look)
        self.world.run()
        return self.found

    @property
    def topics(self) -> Any:
        return self.world.server.topics

    @property
    def subscription(self) -> Subscription:
        (found,) = listeners(self.world)
        return found[2]

    def waits(self, *entries: Item | Gap) -> None:
        subscription = self.subscription
        subscription.subscriber.transport._facts |= 256  # above its mark
        subscription._fall_behind("ABOVE_HIGH")
        assert subscription.queue is not None
        self.topics.waiting.hold([entry for entry in entries if isinstance(entry, Item)], 1)
        subscription.queue.extend(entries)


@pytest.fixture
def look() -> Iterator[Look]:
    found = Look()
    yield found
    found.world.close()


def items(count: int) -> list[Item]:
    return [Item("a", seq, encode_published("a", seq, b"1")) for seq in range(1, count + 1)]


def test_a_world_in_which_all_is_well(look: Look) -> None:
    assert look.after(lambda look: None) == []


def test_one_for_which_nothing_waits_must_have_been_told_of_all(look: Look) -> None:
    def lose(look: Look) -> None:
        place = look.world.chronicle.places["a"]  # type: ignore[union-attr]
        look.world.chronicle.publish("a", place._replace(seq=1), b'{"token": 1}', None)  # type: ignore[union-attr]

    (words,) = look.after(lose)
    assert words.endswith("waits for nothing, and was not told of all up to a 1")


def test_one_that_subscribes_must_have_been_told_so(look: Look) -> None:
    def forget(look: Look) -> None:
        ((_, listening, _),) = listeners(look.world)
        listening.heard.clear()

    (words,) = look.after(forget)
    assert words.endswith("never had the reply to its subscription to a")


def test_as_many_may_wait_as_it_asked_for(look: Look) -> None:
    assert look.after(lambda look: look.waits(*items(2))) == []


def test_no_more_may_wait(look: Look) -> None:
    (words,) = look.after(lambda look: look.waits(*items(3)))
    assert words.startswith("3 messages of a wait for")


def test_what_a_topic_remembers_may_wait_as_well() -> None:
    """What was missed may be more than a subscriber's limit."""
    look = Look()
    look.world = World(
        Plan(topics=True, happenings=(Arrival(0.1, subscribes_and_waits, 1),), end=Terminate(50.0)),
    )
    assert look.after(lambda look: look.waits(*items(100))) == []


def test_gaps_take_little_room(look: Look) -> None:
    (words,) = look.after(lambda look: look.waits(*(Gap("a", seq, seq, 1) for seq in range(3))))
    assert words.startswith("3 gaps stand between 0 messages of a for")


def test_all_queues_together_hold_no_more_than_they_may(look: Look) -> None:
    large = Item("a", 1, b"x" * 501)
    (words,) = look.after(lambda look: look.waits(large))
    assert words == "501 bytes wait for subscribers where 500 may"


def test_what_waits_is_counted(look: Look) -> None:
    def miscount(look: Look) -> None:
        look.topics.waiting.size += 7

    assert look.after(miscount) == ["7 bytes are counted for 0 subscribers, and 0 wait for 0"]


def test_one_that_has_room_does_not_wait(look: Look) -> None:
    def stick(look: Look) -> None:
        look.waits(*items(1))
        look.subscription.subscriber.transport._facts &= ~256

    (words,) = look.after(stick)
    assert words.endswith("which has room")


def test_topics_and_what_they_remember_are_bounded(look: Look) -> None:
    def grow(look: Look) -> None:
        topic = look.topics._topics["a"]
        topic.history.extend(items(1))
        look.topics._topics.update({str(number): topic for number in range(3)})

    assert look.after(grow)[-1] == "there are 4 topics where 3 may be"
    assert look.found[0] == "1 messages of a are remembered"


def test_nobody_subscribes_who_is_not_there(look: Look) -> None:
    def leave(look: Look) -> None:
        subscription = look.subscription
        subscription.subscriber.subscriptions = None  # type: ignore[attr-defined]

    assert look.after(leave) == ["a subscription to a is kept, and no connection has it"]


def test_a_server_without_topics_keeps_every_promise_about_them() -> None:
    world = World(Plan(), PUSH_INVARIANTS)
    world.run()
    assert world.violations == []
    assert len(set(NAMES)) == len(NAMES)
