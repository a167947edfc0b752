"""What was published, in which order, and where did each topic stand when somebody subscribed?

The truth that subscribers are judged by. The server tells it at the moment at which it publishes or subscribes
(`served`), so it depends on nothing that is sent. Each value of the crowd's has a token of its own, by which it is
known again wherever it comes up.

Not here: what a connection hears of it (`listening`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Container
from typing import Any

from .tracks import FIRST, Place

__all__ = ["Chronicle", "Published", "token_of"]


class Published:
    """One message. `frame` is its event as it was sent first: all others must be the same, byte for byte."""

    __slots__ = ("content", "frame", "place", "topic")

    def __init__(self, topic: str, place: Place, content: dict[str, Any]) -> None:
        self.topic = topic
        self.place = place
        self.content = content
        self.frame: bytes | None = None


def token_of(value: object) -> object:
    """By what a value of the crowd's is known; None for one that is not its."""
    return value.get("token") if isinstance(value, dict) else None


class Chronicle:
    """All that was published in one world. `wrong` hears of what can't be so."""

    def __init__(self, wrong: Callable[[str], None]) -> None:
        self._wrong = wrong
        self._epochs = 0
        self.places: dict[str, Place] = {}  # where each topic stands
        self.names: set[str] = set()  # of all topics that there were
        self.published: dict[object, Published] = {}  # by token
        self.told: Counter[str] = Counter()  # events, by kind
        self.largest = 0  # bytes of a content
        self.said = 0  # bytes published since this was set to 0

    def new_epoch(self) -> str:
        """The word for it; the server asks when a topic begins."""
        self._epochs += 1
        return f"epoch-{self._epochs}"

    def begun(self, topic: str, epoch: str) -> None:
        """The topic is in this epoch, with or without messages."""
        self.names.add(topic)
        place = self.places.get(topic)
        if place is None or place.epoch != epoch:
            self.places[topic] = Place(epoch, FIRST)

    def publish(self, topic: str, place: Place, content: bytes, sender: str | None) -> None:
        """The server has given this content that place."""
        self.begun(topic, place.epoch)
        before = self.places[topic]
        if place.seq != before.seq + 1:
            self._wrong(f"a message of {topic} gets the number {place.seq} behind {before.seq}")
        self.places[topic] = place
        value = json.loads(content)
        token = token_of(value)
        if token in self.published:
            self._wrong(f"{token!r} was published twice to {topic}")
        fields = {"topic": topic, "seq": place.seq, "value": value}
        if sender is not None:
            fields["from"] = sender
        self.published[token] = Published(topic, place, fields)
        self.largest = max(self.largest, len(content))
        self.said += len(content) + 300  # its header, and the words around it

    def moment(self, there: Container[str]) -> dict[str, Place]:
        """Where all topics stand now. `there`: those that the server has; the others are forgotten."""
        self.places = {topic: place for topic, place in self.places.items() if topic in there}
        return dict(self.places)
