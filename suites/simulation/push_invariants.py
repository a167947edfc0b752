"""What do topics promise, whatever happens?

Most of it each conversation judges at the byte at which it happens (`listening`), and each subscriber at what it reads
(`ear`). Here is what only a look at the queues can tell: that nobody who could be told something waits for it, that
what waits is bounded, and that nothing of a connection outlives it.

Not here: everything else that must hold (`invariants`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from libserver.message import Message
from libserver.subscription import Item, Subscription
from protocol.states import OPEN

from .evidence import Ending, Evidence, Invariant
from .listening import ONCE, PLACE, Listening
from .tracks import takes

__all__ = ["PUSH_INVARIANTS"]


def listeners(world: Evidence) -> Iterator[tuple[Message, Listening, Subscription]]:
    """Each subscription of the server's, with its connection and what that has heard."""
    for message in world.server.connections:
        if isinstance(message, Message) and message.subscriptions:
            for subscription in message.subscriptions.values():
                yield message, message.transport.sock.tap.listening, subscription


class OnceOrGap(Invariant):
    """A subscriber sees each message of its topics once, in order, or a gap that covers exactly what it did not get.

    The conversations and the subscribers tell what they find wrong. Here: one for which nothing waits has been told
    of all that was published.
    """

    name = ONCE

    def swept(self, world: Evidence) -> None:
        topics, chronicle = world.server.topics, world.chronicle
        if topics is None or chronicle is None or topics.unsent:
            return
        for message, listening, subscription in listeners(world):
            talk = message.transport.sock.tap
            waits = subscription.queue is not None or message.transport.queued or message.transport.closed
            if waits or message.state is not OPEN or talk.asked:
                continue
            heard = listening.heard.get(subscription.topic)
            if heard is None:
                world.violated(
                    self.name, f"{talk.sock} never had the reply to its subscription to {subscription.topic}"
                )
                continue
            for topic, place in chronicle.places.items():
                if takes(heard.name, topic) and not heard.stands(topic, place):
                    words = f"{talk.sock} waits for nothing, and was not told of all up to {topic} {place.seq}"
                    world.violated(self.name, words)


class EventsHaveTheirPlace(Invariant):
    """Events stand between whole messages: behind the reply to subscribe and the reply of who caused them, before the
    one to unsubscribe and one that says close. The conversations tell.
    """

    name = PLACE


class QueuesWithinBounds(Invariant):
    """What waits is no more than a subscriber asked for, and `push_queue` for all; one that has room does not wait."""

    name = "queues-within-bounds"

    def swept(self, world: Evidence) -> None:
        topics, limits = world.server.topics, world.server.limits
        if topics is None:
            return
        waiting: dict[Item, None] = {}
        behind = []
        for message, listening, subscription in listeners(world):
            if subscription.queue is None:
                continue
            behind.append(subscription)
            items = [entry for entry in subscription.queue if isinstance(entry, Item)]
            waiting.update(dict.fromkeys(items))
            self._look_at(world, message, listening, subscription, len(items))
            if message.delivers and not topics.unsent:
                words = f"{len(subscription.queue)} events wait for {message.transport.sock}, which has room"
                world.violated(self.name, words)
        size = sum(len(item.frame) for item in waiting)
        if size != topics.waiting.size or set(behind) != set(topics.waiting.behind):
            words = f"{topics.waiting.size} bytes are counted for {len(topics.waiting.behind)} subscribers"
            world.violated(self.name, f"{words}, and {size} wait for {len(behind)}")
        if size > limits.push_queue and not topics.unsent:
            world.violated(self.name, f"{size} bytes wait for subscribers where {limits.push_queue} may")
        for topic in topics._topics.values():
            if len(topic.history) > limits.history or topic.history_size > limits.history_bytes:
                world.violated(self.name, f"{len(topic.history)} messages of {topic.name} are remembered")
        if len(topics._topics) > limits.max_topics:
            world.violated(self.name, f"there are {len(topics._topics)} topics where {limits.max_topics} may be")

    def _look_at(
        self, world: Evidence, message: Message, listening: Listening, subscription: Subscription, items: int
    ) -> None:
        sock = message.transport.sock
        limits, queue = world.server.limits, subscription.queue or ()
        heard = listening.heard.get(subscription.topic)
        asked = subscription.limit if heard is None or sock.tap.asked else heard.limit
        limit = max(asked, limits.history)  # a replay may bring more than it asked for
        gaps = len(queue) - items
        names = len({entry.topic for entry in queue})
        if items > limit:
            world.violated(self.name, f"{items} messages of {subscription.topic} wait for {sock} where {limit} may")
        if gaps > items + 2 * names:
            world.violated(self.name, f"{gaps} gaps stand between {items} messages of {subscription.topic} for {sock}")


class NothingSubscribesOn(Invariant):
    """A connection that has ended has no subscription, and nothing waits for it."""

    name = "no-subscription-survives-its-connection"

    def swept(self, world: Evidence) -> None:
        topics, connections = world.server.topics, world.server.connections
        if topics is None:
            return
        kept: list[Any] = [*topics.waiting.behind]
        for holder in (*topics._patterns.values(), *(topic.subscriptions for topic in topics._topics.values())):
            kept += holder
        for topic in topics._topics.values():
            kept += topic.newcomers
        for subscription in kept:
            mine = subscription.subscriber.subscriptions or {}
            if subscription.subscriber not in connections or mine.get(subscription.topic) is not subscription:
                world.violated(self.name, f"a subscription to {subscription.topic} is kept, and no connection has it")

    over = swept

    def ended(self, world: Evidence, ending: Ending) -> None:
        if ending.conversation is not None and ending.message.subscriptions:
            world.violated(self.name, f"{ending.conversation.sock} has ended and subscribes on")


PUSH_INVARIANTS: tuple[type[Invariant], ...] = (
    OnceOrGap,
    EventsHaveTheirPlace,
    QueuesWithinBounds,
    NothingSubscribesOn,
)
