"""What does the server say without being asked, and which bytes say it?

Two events exist. A `message` was published to a topic; a `gap` stands for those that were left out. Each is an
ordinary message with `event` in its header, and its bytes depend on the topic's message alone, never on who
gets it: encoded once, one `bytes` object stands in every queue.

    encode_published("room/lobby", 7, encode_json("hello"), "ann")
    encode_gap(Gap("room/lobby", 8, 11, 4))
    read_event(notification)  -> Published, Gap, or None for one that we do not know

Rules:

* A topic's name has 1 to 200 printable characters. `a/b/c` is a convention, but for subscriptions: there `a/*` takes
  every topic one level below `a`, and `a/**` all below.
* A client trusts no field of an event: what is not as it should be is None, and skipped as an unknown event is.

Not here: topics and their subscribers (`libserver.topics`), how far one of them is (`libserver.subscription`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeGuard

from .content import JSON_ENCODING, JSON_TYPE, encode_json, quote, to_bytes
from .events import Notification
from .frames import encode_header

__all__ = [
    "GAP",
    "MAX_TOPIC",
    "MESSAGE",
    "Gap",
    "Published",
    "begin_of",
    "encode_begun",
    "encode_gap",
    "encode_published",
    "is_pattern",
    "is_topic",
    "matches",
    "overlap",
    "read_event",
]

#: The names of events.
MESSAGE = "message"
GAP = "gap"

#: Characters of a topic's name, at most.
MAX_TOPIC = 200

#: A number within a topic: an integer that rises by one, or text where a backplane counts.
Seq = int | str


class Published:
    """A message of a topic, as a subscriber gets it. `sender`: its publisher's name, if that has one."""

    __slots__ = ("sender", "seq", "topic", "value")

    def __init__(self, topic: str, seq: Seq, value: object, sender: str | None = None) -> None:
        self.topic = topic
        self.seq = seq
        self.value = value
        self.sender = sender

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Published):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        sender = f", sender={self.sender!r}" if self.sender is not None else ""
        return f"Published({self.topic!r}, {self.seq!r}, {self.value!r}{sender})"


class Gap:
    """Messages of a topic that this subscriber does not get: those from `first` to `last`, both included.

    `dropped` is how many that are; None where no end can know it.
    """

    __slots__ = ("dropped", "first", "last", "topic")

    def __init__(self, topic: str, first: Seq, last: Seq, dropped: int | None) -> None:
        self.topic = topic
        self.first = first
        self.last = last
        self.dropped = dropped

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Gap):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Gap({self.topic!r}, {self.first!r}, {self.last!r}, dropped={self.dropped})"


# --- names ---------------------------------------------------------------------------


def is_topic(name: object) -> bool:
    """May a topic be called so?"""
    return (
        isinstance(name, str)
        and 0 < len(name) <= MAX_TOPIC
        and name.isprintable()
        and not ("*" in (levels := name.split("/")) or "**" in levels)
    )


def is_pattern(name: object) -> bool:
    """May a subscription be to this, and does it take many topics?"""
    if not isinstance(name, str) or len(name) > MAX_TOPIC:
        return False
    above, _, stars = name.rpartition("/")
    return stars in ("*", "**") and is_topic(above)


def matches(pattern: str, topic: str) -> bool:
    """Is `topic` one level below (`a/*`), or anywhere below (`a/**`), the pattern's beginning?"""
    deep = pattern.endswith("/**")
    beginning = pattern[:-2] if deep else pattern[:-1]
    below = topic[len(beginning) :]
    return topic.startswith(beginning) and bool(below) and (deep or "/" not in below)


def overlap(one: str, other: str) -> bool:
    """Is there a topic that subscriptions to both of these take? Each is a topic's name or a pattern."""
    if not is_pattern(one):
        return matches(other, one) if is_pattern(other) else one == other
    if not is_pattern(other):
        return matches(one, other)
    (above, _, stars), (other_above, _, other_stars) = one.rpartition("/"), other.rpartition("/")
    if above == other_above:
        return True
    # `a/**` takes all that `a/b/*` does, and nothing of `a/*` is below `a/b`.
    if f"{other_above}/".startswith(f"{above}/"):
        return stars == "**"
    return f"{above}/".startswith(f"{other_above}/") and other_stars == "**"


# --- bytes out -----------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _head(event: str, length: int) -> bytes:
    """Prefix and header, which depend on the length alone: half of what an event costs, if it is made each time."""
    return encode_header(JSON_TYPE, JSON_ENCODING, length, event=event)


def encode_published(topic: str, seq: Seq, value: bytes, sender: str | None = None) -> bytes:
    """The event of a message; `value` is its JSON (`encode_json`), which is encoded once whatever the seq."""
    return encode_begun(begin_of(topic), seq, value, sender)


def begin_of(topic: str) -> bytes:
    """How the content of each of a topic's messages begins: who has many makes it once."""
    return to_bytes(f'{{"topic": {quote(topic)}, "seq": ')


def encode_begun(begin: bytes, seq: Seq, value: bytes, sender: str | None) -> bytes:
    """`encode_published`, of a topic whose `begin_of` is known."""
    number = b"%d" % seq if isinstance(seq, int) else to_bytes(quote(seq))
    if sender is None:
        content = b'%b%b, "value": %b}' % (begin, number, value)
    else:
        content = b'%b%b, "value": %b, "from": %b}' % (begin, number, value, to_bytes(quote(sender)))
    return _head(MESSAGE, len(content)) + content


def encode_gap(gap: Gap) -> bytes:
    """The event of a gap."""
    fields = {"topic": gap.topic, "from": gap.first, "to": gap.last, "dropped": gap.dropped}
    content = encode_json(fields)
    return _head(GAP, len(content)) + content


# --- events in -----------------------------------------------------------------------


def _is_seq(value: object) -> TypeGuard[Seq]:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def read_event(notification: Notification) -> Published | Gap | None:
    """What an event says; None for one that is unknown, or not as push.md has it."""
    content = notification.content
    if not isinstance(content, dict) or not isinstance(content.get("topic"), str):
        return None
    topic: str = content["topic"]
    if notification.header.event == MESSAGE:
        seq, sender = content.get("seq"), content.get("from")
        if not _is_seq(seq) or "value" not in content or not (sender is None or isinstance(sender, str)):
            return None
        return Published(topic, seq, content["value"], sender)
    if notification.header.event == GAP:
        first, last, dropped = content.get("from"), content.get("to"), content.get("dropped")
        known = isinstance(dropped, int) and not isinstance(dropped, bool) and dropped >= 0
        if not (_is_seq(first) and _is_seq(last) and (dropped is None or known)):
            return None
        return Gap(topic, first, last, dropped)
    return None
