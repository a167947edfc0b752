"""Would it be noticed, if topics broke their promise?

Patches of the real code, as in `bugs`, each of which somebody could have written.

Not here: what must hold (`push_invariants`, `listening`), what a bug is (`bug`).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import libserver.subscription
from libserver.message import Message
from libserver.replies import PendingReply, ReplyQueue
from libserver.subscription import Item, Subscription, Waiting
from libserver.topic import Topic
from libserver.topics import Listener, Topics
from protocol.push import Gap
from protocol.states import ABOVE_HIGH

from .bug import Bug, method
from .listening import ONCE, PLACE
from .push_invariants import NothingSubscribesOn, QueuesWithinBounds

__all__ = ["PUSH_BUGS"]


# --- once, in order, or a gap ----------------------------------------------------------------------------


_flush = Topics._flush


def flush_and_keep_the_last(self: Topics) -> None:
    last = {topic: topic.fresh[-1:] for topic in self._published}
    _flush(self)
    for topic, items in last.items():
        topic.fresh = items


_missed = Topic.missed


def miss_one_more(self: Topic, since: int) -> list[Item | Gap]:
    """`>=` where `>` is right."""
    return _missed(self, max(0, since - 1))


_put = Subscription.put


def put_in_front(self: Subscription, news: Sequence[Item | Gap], gaps: bool = False) -> None:
    _put(self, news, gaps)
    if self.queue:
        self.queue.rotate(1)


_cover = libserver.subscription._cover


def cover_all_but_the_first(gaps: dict[str, Gap], entry: Item | Gap) -> bool:
    new = _cover(gaps, entry)
    if new:
        gaps[entry.topic].first += 1  # type: ignore[operator]
    return new


def leave_out_and_say_nothing(self: Subscription, item: Item) -> None:
    self._waiting.release(item)


def flush_without_the_newcomers(self: Topics) -> None:
    for topic in self._published:
        topic.newcomers.clear()
    _flush(self)


def another_epoch_is_the_same(self: Topic) -> list[Item | Gap]:
    return [*self.history]


# --- between replies -------------------------------------------------------------------------------------


def hold_nothing(self: Message, reply: PendingReply) -> None: ...


def is_always_behind(self: ReplyQueue, reply: PendingReply, other: PendingReply) -> bool:
    """Events wait for the reply that was made last, though others leave after it."""
    return True


_remove = Topics._remove


def remove_at_the_end_of_the_turn(self: Topics, subscription: Subscription) -> None:
    """Behind what the turn has published."""
    assert self._loop is not None
    self._loop.call_soon(_remove, self, subscription)


_deliver = Topics._deliver


def deliver_past_what_is_kept(self: Topics, subscriptions: Iterable[Subscription], items: list[Item | Gap]) -> None:
    """A short cut to the socket, for those that are current."""
    data = b"".join([item.frame for item in items if isinstance(item, Item)])
    others = []
    for subscription in subscriptions:
        subscriber: Any = subscription.subscriber
        if subscription.queue is None and subscriber.delivers and subscriber.transport.queued:
            with contextlib.suppress(OSError):
                subscriber.transport.sock.send(data)
        else:
            others.append(subscription)
    _deliver(self, others, items)


# --- queues ----------------------------------------------------------------------------------------------


def put_without_bound(self: Subscription, news: Sequence[Item | Gap], gaps: bool = False) -> None:
    if self.queue is None:
        self._fall_behind(ABOVE_HIGH)
    for entry in news:
        if isinstance(entry, Item):
            self._append(entry)


def release_nothing(self: Waiting, item: Item) -> None: ...


def resume_and_serve_alone(self: Message) -> None:
    """Requests go on, and events are forgotten."""
    self._serve(b"", [], 0)


_attach = Topics.attach


def attach_without_push_queue(self: Topics, loop: Any, limits: Any, failed: Any, notices: Any) -> None:
    """The option is not passed on."""
    _attach(self, loop, replace(limits, push_queue=sys.maxsize), failed, notices)


def forget_the_list_alone(self: Topics, listener: Listener) -> None:
    listener.subscriptions = None


PUSH_BUGS: tuple[Bug, ...] = (
    Bug(
        "event-twice",
        ONCE,
        3,
        "the last message of a turn leaves again with the first of the next",
        method(Topics, "_flush", flush_and_keep_the_last),
    ),
    Bug(
        "since-includes-itself",
        ONCE,
        2,
        "who subscribes again gets the last message that it had once more",
        method(Topic, "missed", miss_one_more),
    ),
    Bug(
        "events-out-of-order",
        ONCE,
        9,
        "a message that must wait goes to the front of those that wait",
        method(Subscription, "put", put_in_front),
    ),
    Bug(
        "gap-off-by-one",
        ONCE,
        28,
        "a gap begins behind the first message that it stands for",
        lambda: mock.patch.object(libserver.subscription, "_cover", cover_all_but_the_first),
    ),
    Bug(
        "gap-unsaid",
        ONCE,
        4,
        "what a full queue refuses is left out without a word",
        method(Subscription, "_leave_out", leave_out_and_say_nothing),
    ),
    Bug(
        "newcomers-lost",
        ONCE,
        4,
        "who subscribes in a turn in which something was published never hears anything",
        method(Topics, "_flush", flush_without_the_newcomers),
    ),
    Bug(
        "epochs-confused",
        ONCE,
        2,
        "what was lost with another epoch is not announced",
        method(Topic, "missed_of_another_epoch", another_epoch_is_the_same),
    ),
    Bug(
        "event-overtakes-its-reply",
        PLACE,
        4,
        "an event leaves before the reply to the request that has caused it",
        method(Message, "_hold_events", hold_nothing),
    ),
    Bug(
        "event-waits-for-an-earlier-reply",
        PLACE,
        40,
        "of two replies that events wait for the one that was made last counts, not the one that leaves last",
        method(ReplyQueue, "is_behind", is_always_behind),
    ),
    Bug(
        "event-after-unsubscribe",
        PLACE,
        5,
        "who unsubscribes is sent what was published in the same turn",
        method(Topics, "_remove", remove_at_the_end_of_the_turn),
    ),
    Bug(
        "event-inside-a-reply",
        PLACE,
        4,
        "an event is sent past the bytes that are kept for its subscriber",
        method(Topics, "_deliver", deliver_past_what_is_kept),
    ),
    Bug(
        "queue-without-bound",
        QueuesWithinBounds.name,
        2,
        "a slow reader's queue takes whatever comes",
        method(Subscription, "put", put_without_bound),
    ),
    Bug(
        "all-queues-without-bound",
        QueuesWithinBounds.name,
        4,
        "all queues together may hold more than they should",
        method(Topics, "attach", attach_without_push_queue),
    ),
    Bug(
        "waiting-not-released",
        QueuesWithinBounds.name,
        2,
        "what has left a queue is counted as waiting on",
        method(Waiting, "release", release_nothing),
    ),
    Bug(
        "never-caught-up",
        QueuesWithinBounds.name,
        4,
        "a slow reader that reads again gets replies and no events",
        method(Message, "resume_writing", resume_and_serve_alone),
    ),
    Bug(
        "subscription-outlives",
        NothingSubscribesOn.name,
        2,
        "the topics keep the subscriptions of a connection that has ended",
        method(Topics, "forget", forget_the_list_alone),
    ),
)
