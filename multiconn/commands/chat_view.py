"""How does a chat look: to a person, and to a program?

`as_text` is one line for an event of `chat_room`, or none; `as_json` is the event itself.

Rules:

* Whatever a peer sent (a name, a room, a text) is shown by `protocol.printable`: one line, and no character that a
  terminal acts on. So no text can pass itself off as another line.
* Of what a person has done themselves, only what they said is shown.

Not here: which events there are (`chat_room`), where they are written (`chat`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from protocol.printable import printable, printable_json

__all__ = ["REMARKS", "as_json", "as_text"]

#: Events about the chat, not of it: sentences for stderr, where a pipe takes the rest.
REMARKS = ("joined", "back", "lost", "held", "error", "help")

Event = dict[str, Any]


def as_json(event: Event) -> str:
    """A line for a program: exact, and without a raw control character."""
    return printable_json(event)


def as_text(event: Event, me: str) -> str | None:
    """A line for the person `me`; None if there is nothing to show. (Of `help` several.)"""
    if event["event"] == "help":
        return str(event["text"])
    text = _TEXTS[event["event"]](event, me)
    return None if text is None else printable(text)


def _at(event: Event) -> str:
    """Hours and minutes, with the date if that is another day."""
    if event["time"] is None:
        return ""
    try:
        then, now = time.localtime(event["time"]), time.localtime()
    except (TypeError, ValueError, OverflowError, OSError):
        return ""
    return time.strftime("%H:%M " if then[:3] == now[:3] else "%Y-%m-%d %H:%M ", then)


def _message(event: Event, me: str) -> str:
    return f"{_at(event)}{event['from']}: {event['text']}"


def _me(event: Event, me: str) -> str:
    return f"{_at(event)}* {event['from']} {event['text']}"


def _private(event: Event, me: str) -> str:
    return f"{_at(event)}[to you alone] {event['from']}: {event['text']}"


def _sent(event: Event, me: str) -> str:
    return f"[to {event['to']} alone] {event['text']}"


def _join(event: Event, me: str) -> str | None:
    return None if event["from"] == me else f"{_at(event)}-- {event['from']} has come"


def _leave(event: Event, me: str) -> str | None:
    return None if event["from"] == me else f"{_at(event)}-- {event['from']} has gone"


def _joined(event: Event, me: str) -> str:
    others = event["people"] - 1
    company = "alone" if others < 1 else "with one other" if others == 1 else f"with {others} others"
    return f"-- you are {event['name']} in {event['room']}, {company}; /help lists the commands"


def _back(event: Event, me: str) -> str:
    missed = event["missed"]
    if missed is None:
        return f"-- back in {event['room']}; the server was started again: what was said meanwhile may be missing"
    what = "nothing was missed" if not missed else f"{_messages(missed)} missed:"
    return f"-- back in {event['room']}; {what}"


def _gap(event: Event, me: str) -> str | None:
    if event["dropped"] is None or event["topic"] == "presence":
        return None  # `back` has told the one; of the other nothing depends on it
    return f"-- {_messages(event['dropped'])} left out here"


def _messages(count: int) -> str:
    return "1 message was" if count == 1 else f"{count} messages were"


def _who(event: Event, me: str) -> str:
    return f"-- in {event['room']}: {', '.join(event['names'])}"


def _rooms(event: Event, me: str) -> str:
    return "-- rooms: " + ", ".join(f"{one['room']} ({one['people']})" for one in event["rooms"])


def _lost(event: Event, me: str) -> str:
    return "-- the connection is lost; trying to get another"


def _held(event: Event, me: str) -> str:
    return f"-- this waits for a connection: {event['text']}"


def _error(event: Event, me: str) -> str:
    return f"-- {event['message']}"


_TEXTS: dict[str, Callable[[Event, str], str | None]] = {
    "message": _message,
    "me": _me,
    "private": _private,
    "sent": _sent,
    "join": _join,
    "leave": _leave,
    "joined": _joined,
    "back": _back,
    "gap": _gap,
    "who": _who,
    "rooms": _rooms,
    "lost": _lost,
    "held": _held,
    "error": _error,
}
