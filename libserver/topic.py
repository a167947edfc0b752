"""What does a server remember of one topic?

Its epoch and its last number, the last messages, who subscribes, and what this turn has brought.

Not here: who publishes, and when what is fresh is sent (`libserver.topics`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from protocol.push import Gap, begin_of

from .redis_backplane import is_later as is_later_id
from .subscription import Item, Subscription

__all__ = ["Topic", "as_number", "count_missed", "is_later"]


def as_number(seq: int | str) -> int:
    """Without a backplane that is what it is."""
    assert isinstance(seq, int)
    return seq


def is_later(one: int | str, other: int | str) -> bool:
    """Of two numbers within a topic: does `one` come behind `other`?"""
    if isinstance(one, int) and isinstance(other, int):
        return one > other
    return is_later_id(str(one), str(other))


def count_missed(missed: Iterable[Item | Gap]) -> int | None:
    """How many messages that are; None where a gap's size is not known."""
    sizes = [1 if isinstance(entry, Item) else entry.dropped for entry in missed]
    return None if None in sizes else sum(size for size in sizes if size is not None)


class Topic:
    """One topic: its history, its subscribers, and what was published to it in this turn."""

    __slots__ = ("begin", "epoch", "fresh", "history", "history_size", "name", "newcomers", "seq", "subscriptions")

    seq: int | str

    def __init__(self, name: str, epoch: str) -> None:
        self.name = name
        self.begin = begin_of(name)
        self.epoch = epoch
        self.seq = 0
        self.history: deque[Item] = deque()
        self.history_size = 0  # bytes
        self.subscriptions: dict[Subscription, None] = {}
        self.fresh: list[Item | Gap] = []
        #: those that know some of what is fresh, or is yet to come, already: with the seq up to which they do
        self.newcomers: dict[Subscription, int | str] = {}

    def remember(self, item: Item, most: int, most_bytes: int) -> None:
        history = self.history
        history.append(item)
        self.history_size += len(item.frame)
        while history and (len(history) > most or self.history_size > most_bytes):
            self.history_size -= len(history.popleft().frame)

    def missed(self, since: int) -> list[Item | Gap]:
        """What was published after `since`: a gap for what is not remembered, then what is."""
        last = as_number(self.seq)
        items = [item for item in self.history if as_number(item.seq) > since]
        first = as_number(items[0].seq) if items else last + 1
        if first > since + 1:
            return [Gap(self.name, since + 1, first - 1, first - 1 - since), *items]
        return [*items]

    def missed_of_another_epoch(self) -> list[Item | Gap]:
        """The same, where nobody knows what the end of that epoch was."""
        first = as_number(self.history[0].seq) if self.history else as_number(self.seq) + 1
        return [Gap(self.name, 1, first - 1, None), *self.history]

    def add(self, subscription: Subscription) -> None:
        """What is published from now on is for it, too."""
        if self.fresh:
            self.newcomers[subscription] = self.seq
        else:
            self.subscriptions[subscription] = None

    def remove(self, subscription: Subscription) -> None:
        self.subscriptions.pop(subscription, None)
        self.newcomers.pop(subscription, None)

    def replace(self, older: Subscription, newer: Subscription) -> None:
        """If the older one subscribes, the newer one does instead, and knows as much."""
        if older in self.subscriptions:
            del self.subscriptions[older]
            self.subscriptions[newer] = None
        elif older in self.newcomers:
            self.newcomers[newer] = self.newcomers.pop(older)

    def __len__(self) -> int:
        """Its subscribers."""
        return len(self.subscriptions) + len(self.newcomers)
