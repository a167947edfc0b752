"""Which topics does a subscription take, and how far is its subscriber in each of them?

A second reading of push.md that shares nothing with `protocol`. A `Track` follows one subscriber through one topic:
each message that it gets must be the next one, and each gap must begin there and say how many it covers.

Not here: who subscribes to what (`listening` by what the server sends, `ear` by what a peer reads), what was
published (`chronicle`).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FIRST", "NAMES", "Place", "Track", "overlaps", "takes"]

#: The place before a topic's first message.
FIRST = 0

#: Every shape of name that the patterns of the simulated crowd can tell apart.
NAMES = ("a", "a/x", "a/y", "a/x/deep", "a/x/deep/er", "b", "b/x", "b/x/deep", "c", "secret/x")


class Place(NamedTuple):
    """A message's place: its number in a topic's epoch."""

    epoch: str
    seq: int


def takes(subscription: str, topic: str) -> bool:
    """Does a subscription to this name or pattern take this topic?"""
    *above, last = subscription.split("/")
    levels = topic.split("/")
    if last not in ("*", "**") or not above:
        return subscription == topic
    below = levels[len(above) :]
    return levels[: len(above)] == above and (len(below) == 1 if last == "*" else bool(below))


def overlaps(one: str, other: str) -> bool:
    """Is there a topic that both take? Of the crowd's names, which have every shape."""
    return any(takes(one, name) and takes(other, name) for name in NAMES)


class Track:
    """One subscriber's way through one topic: it knows, or knows that it misses, all up to `seq`.

    `unknown`: it asked for what followed on another epoch, so a gap of unknown size must come first. Each step returns
    what is wrong with it, None if nothing is.
    """

    __slots__ = ("epoch", "seq", "unknown")

    def __init__(self, epoch: str | None, seq: int, unknown: bool = False) -> None:
        self.epoch = epoch  # None: not known yet
        self.seq = seq
        self.unknown = unknown

    def message(self, seq: object) -> str | None:
        if self.unknown:
            return f"message {seq} comes before the gap that stands for another epoch"
        if seq != self.seq + 1:
            return f"message {seq} follows {self.seq}"
        self.seq += 1
        return None

    def gap(self, first: object, last: object, dropped: object) -> str | None:
        told = f"a gap from {first} to {last}, {dropped} dropped, follows {self.seq}"
        if not (isinstance(first, int) and isinstance(last, int)) or first != self.seq + 1:
            return told
        if self.unknown:
            if dropped is not None or last < self.seq:
                return told
            self.unknown = False
        elif last < first or dropped != last - first + 1:
            return told
        self.seq = last
        return None
