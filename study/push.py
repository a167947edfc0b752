"""What is said of subscriptions and of events, in a trace's sentences and on its page?

    "subscription to 'room/lobby' fell behind"       of a row of DELIVERY
    "seq 7 of 'room/lobby'"                          of a message's event
    "gap: seq 8 to 11 of 'room/lobby', 4 left out"   of a gap's

Rules:

* A topic's name came from a peer, and a trace may come from a stranger: it is shown in printable characters, and cut.
* An event answers no request: who counts replies counts past it (`events_in`).

Not here: the rows (`protocol.states`), the parts of frames (`study.frame_parts`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from protocol.printable import printable
from protocol.states import (
    ABOVE_HIGH,
    CAUGHT_UP,
    CONNECTION_ENDED,
    GAPS_SENT,
    MISSED_SOME,
    OVERRUN,
    QUEUE_FULL,
    REPLY_OWED,
    UNSUBSCRIBED,
)

from .frame_parts import HEADER
from .trace import Event

__all__ = ["event_in_words", "event_of", "events_in", "named", "what_it_did"]

#: Characters of a topic's name that are shown.
SHOWN = 60

#: What a subscription did, by the input that it was given.
_DID = {
    MISSED_SOME: "began behind",
    REPLY_OWED: "has to wait",
    ABOVE_HIGH: "fell behind",
    CAUGHT_UP: "caught up",
    QUEUE_FULL: "left messages out",
    GAPS_SENT: "sent its gaps",
    OVERRUN: "was cut",
    UNSUBSCRIBED: "ended",
    CONNECTION_ENDED: "ended with its connection",
}


def named(topic: object) -> str:
    """A topic in quotation marks."""
    return f"'{printable(str(topic), SHOWN)}'"


def what_it_did(data: dict[str, Any]) -> str:
    """Of a row of DELIVERY: which subscription did what."""
    whose = f"subscription to {named(data['topic'])}" if "topic" in data else "a subscription"
    return f"{whose} {_DID.get(data['input'], 'moved')}"


def event_of(part: dict[str, Any]) -> str | None:
    """The name of the event that the header in this part begins; None for another part or message."""
    value = part.get("value") if part["part"] == HEADER else None
    event = value.get("event") if isinstance(value, dict) else None
    return event if isinstance(event, str) else None


def event_in_words(value: object) -> str | None:
    """Which messages of its topic an event is about, by the `value` of its content's part; None if that is not told."""
    if not isinstance(value, dict) or "topic" not in value:
        return None
    topic = named(value["topic"])
    if "seq" in value:
        return f"seq {_number(value['seq'])} of {topic}"
    if "from" in value and "to" in value:
        dropped = value.get("dropped")
        many = "nobody knows how many" if dropped is None else f"{_number(dropped)} left out"
        return f"gap: seq {_number(value['from'])} to {_number(value['to'])} of {topic}, {many}"
    return None


def _number(value: object) -> str:
    return printable(str(value), SHOWN)


def events_in(parts: Iterable[Event]) -> dict[int, str]:
    """Which messages among these parts of one direction are events: the name of each, by its message's number."""
    names = ((part.data["message"], event_of(part.data)) for part in parts)
    return {message: name for message, name in names if name is not None}
