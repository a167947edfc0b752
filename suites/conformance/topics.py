"""How does a case subscribe and publish, and when is what a subscriber is sent right?

`Listener` is a connection with a subscription. It reads events and keeps an account of each topic: every
message once, in the order of `seq`, or a gap that covers exactly what did not come. What breaks that is `Failed`, in
whatever case it happens.

    listener = Listener(run, topic, slow="oldest")
    speaker = run.kept()
    publish(speaker, topic, "a", "b")
    listener.hears("a", "b")
    listener.hears_no_more()

Rules:

* Each case has topics of its own, never used before (`fresh`): a server may be tested twice, and cases run side by
  side.
* A server that says `forbidden`, or counts with text as one with a backplane does, can't show it: INFORMATIONAL.

Not here: bytes (`wire`), a connection (`peer`), the cases (`server_topics` and others).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from .case import SOON, Failed, Informational, Run
from .peer import Peer
from .targets import ServerRun
from .wire import ABSENT, JSON, Reply, message, shown

__all__ = ["GAP", "MESSAGE", "Event", "Listener", "call", "done", "event", "event_of", "fresh", "granted", "publish"]

MESSAGE, GAP = "message", "gap"

#: Requests that are sent before their replies are read.
AT_ONCE = 50


def fresh(run: Run, *levels: str) -> str:
    """A topic that nobody has used, or one below it."""
    return "/".join((f"conformance/{run.case.id}/{os.urandom(6).hex()}", *levels))


# --- requests ---------------------------------------------------------------------------


def call(name: str, topic: object = ABSENT, *, header: dict[str, object] | None = None, **fields: Any) -> bytes:
    """The request for an action about a topic. `header` are more fields of its header."""
    fields = {"action": name, "topic": topic, **fields}
    text = json.dumps({key: value for key, value in fields.items() if value is not ABSENT}, ensure_ascii=False)
    more: dict[str, Any] = {"encoding": "utf-8", **(header or {})}
    content = text.encode(more["encoding"], "backslashreplace")  # a lone surrogate can't be sent but escaped
    return message(content, JSON, **more)


def granted(peer: Peer, what: str, within: float = SOON) -> Any:
    """The result that comes next. Raises `Informational` if the server forbids it."""
    answer = peer.reply(within, f"the result of {what}")
    if answer.code == "forbidden":
        raise Informational(f"the server forbids {what}")
    if answer.code is not None:
        raise Failed(f"the result of {what}", str(answer))
    return answer.result


def done(peer: Peer, name: str, topic: object = ABSENT, **fields: Any) -> Any:
    """Ask for an action: its result."""
    peer.send(call(name, topic, **fields))
    return granted(peer, name)


def publish(peer: Peer, topic: str, *values: object) -> list[int]:
    """Publish them, many at once: of each its seq. `peer` is no subscriber of it."""
    numbers: list[int] = []
    for at in range(0, len(values), AT_ONCE):
        some = values[at : at + AT_ONCE]
        peer.send(b"".join(call("publish", topic, value=value) for value in some))
        numbers += [published(peer)["seq"] for _ in some]
    return numbers


def published(peer: Peer) -> dict[str, int]:
    """The receipt that comes next."""
    receipt = granted(peer, "publish")
    if not isinstance(receipt, dict):
        raise Failed('{"seq", "subscribers"}', shown(receipt))
    number(receipt, "seq", least=1)
    number(receipt, "subscribers")
    return receipt


def number(fields: dict[str, Any], name: str, least: int = 0) -> int:
    """A field that counts. Raises `Informational` for a seq that is text, which has no next."""
    value = fields.get(name, ABSENT)
    if name in ("seq", "from", "to") and isinstance(value, str) and value != ABSENT:
        raise Informational("it counts with text, as a server with a backplane does: what is next can't be known")
    if type(value) is not int or value < least:
        raise Failed(f"a whole number from {least} as {name}", shown(fields))
    return value


# --- events -----------------------------------------------------------------------------


class Event(NamedTuple):
    """A message (`first` and `last` are its seq), or a gap of `dropped` messages. `frame`: all its bytes."""

    kind: str
    topic: str
    first: int
    last: int
    value: object
    dropped: int | None
    frame: bytes

    def __str__(self) -> str:
        if self.kind == GAP:
            return f"a gap from {self.first} to {self.last} of {self.topic}, {self.dropped} dropped"
        return f"message {self.first} of {self.topic}: {shown(self.value)}"


def event(peer: Peer, within: float = SOON, what: str = "an event") -> Event:
    """The event that comes next, judged. `Failed` if a reply comes instead."""
    came = peer.next_message(within, what)
    if not came.is_event:
        raise Failed(what, str(came))
    return event_of(came)


def event_of(came: Reply) -> Event:
    """What holds for every event."""
    fields, name = came.header, came.header["event"]
    if name not in (MESSAGE, GAP):
        raise Failed("an event that is a message or a gap", str(came))
    if fields["content-type"] != JSON or fields["content-encoding"] != "utf-8":
        raise Failed("an event of text/json in utf-8", shown(fields))
    for field in ("id", "connection"):
        if field in fields:
            raise Failed(f"an event without {field}: it answers nothing", shown(fields))
    said = came.value
    if not isinstance(said, dict) or not isinstance(said.get("topic"), str):
        raise Failed("an event with its topic", str(came))
    if name == MESSAGE:
        if "value" not in said or not isinstance(said.get("from", ""), str):
            raise Failed('{"topic", "seq", "value"}, and "from" as text where there is one', str(came))
        seq = number(said, "seq", least=1)
        return Event(MESSAGE, said["topic"], seq, seq, said["value"], 0, came.frame)
    first, last = number(said, "from"), number(said, "to")
    if "dropped" not in said:
        raise Failed('{"topic", "from", "to", "dropped"}', str(came))
    dropped = None if said["dropped"] is None else number(said, "dropped", least=1)
    return Event(GAP, said["topic"], first, last, None, dropped, came.frame)


class Listener:
    """A connection that subscribes to `topic`, a name or a pattern, with the fields given.

    `begun` is the result of that. `received` are the events so far. Of a pattern's topics the first message that
    counts is number 1: they are `fresh`. `receive_buffer` makes the window small; `behind` is sent in the same segment.
    """

    def __init__(
        self, run: ServerRun, topic: str, receive_buffer: int | None = None, behind: bytes = b"", **fields: Any
    ) -> None:
        self.run = run
        self.topic = topic
        self.peer = run.kept(receive_buffer)
        self.received: list[Event] = []
        self.begun: dict[str, Any] = {}
        self.subscribe(behind, **fields)

    def subscribe(self, behind: bytes = b"", **fields: Any) -> None:
        """Subscribe (again), with `behind` in the same segment."""
        self.peer.send(call("subscribe", self.topic, **fields) + behind)
        since = fields.get("since")
        begun = granted(self.peer, "subscribe")
        if not isinstance(begun, dict) or begun.get("topic", ABSENT) != self.topic:
            raise Failed(f'{{"topic": {self.topic!r}, "epoch", "seq", "missed"}}', shown(begun))
        self.begun = begun
        self._next: dict[str, int] = {}
        if self.topic.endswith("*"):
            return
        if not isinstance(begun.get("epoch"), str):
            raise Failed("the topic's epoch, a text", shown(begun))
        seq = number(begun, "seq")
        self._next[self.topic] = seq - (begun.get("missed") or 0) + 1
        if isinstance(since, dict):
            same = since["epoch"] == begun["epoch"]
            self._next[self.topic] = since["seq"] + 1 if same else 0  # 0: a gap of unknown size comes first

    def begins_behind(self, had: dict[str, int]) -> None:
        """Of a pattern: so many messages its topics have had before."""
        self._next.update((topic, seq + 1) for topic, seq in had.items())

    @property
    def position(self) -> dict[str, object]:
        """Where it is in its topic: the `since` of the next one."""
        return {"epoch": self.begun["epoch"], "seq": self._next[self.topic] - 1}

    def following(self, topic: str) -> int:
        """The seq that comes next of one of its pattern's topics."""
        return self._next.get(topic, 1)

    def next(self, within: float = SOON, what: str = "an event") -> Event:
        """The event that comes next, if it is the one that must."""
        came = event(self.peer, within, what)
        self.account(came)
        return came

    def take(self, came: Reply) -> None:
        """Account for an event that was read among replies."""
        self.account(event_of(came))

    def account(self, came: Event) -> None:
        """Every message once, in order, or a gap that covers exactly what did not come."""
        following = self._next.setdefault(came.topic, 1) if self.topic.endswith("*") else self._next.get(came.topic)
        if following is None:
            raise Failed(f"events of {self.topic} alone", str(came))
        if following == 0:
            if came.kind != GAP or came.dropped is not None:
                raise Failed("a gap with dropped null, for the end of the other epoch", str(came))
        elif came.first != following:
            raise Failed(f"message {following}, or a gap from there, of {came.topic}", str(came))
        elif came.kind == GAP and came.dropped != came.last - came.first + 1:
            raise Failed(f"a gap that says how many it covers, {came.last - came.first + 1}", str(came))
        self._next[came.topic] = came.last + 1
        self.received.append(came)

    def hears(self, *values: object, topic: str | None = None) -> None:
        """Messages with these values, and nothing between."""
        for value in values:
            wanted = f"a message of {topic or self.topic}: {shown(value)}"
            came = self.next(what=wanted)
            right = came.kind == MESSAGE and came.topic == (topic or self.topic) and _same(came.value, value)
            if not right:
                raise Failed(wanted, str(came))

    def hears_to(self, last: int, within: float = SOON * 4) -> list[Event]:
        """All events up to that seq of its topic, gaps among them."""
        until, begun = time.monotonic() + within, len(self.received)
        while self._next[self.topic] <= last:
            following = self._next[self.topic]
            self.next(max(until - time.monotonic(), 0.1), f"message {following} of {last}, or a gap")
        return self.received[begun:]

    def reply(self) -> Reply:
        """The reply that comes next, whatever events come before it."""
        while (came := self.peer.next_message(what="a reply, and events")).is_event:
            self.take(came)
        return came

    def hears_no_more(self) -> None:
        """It is sent nothing: its next request is answered at once, and nothing follows."""
        self.peer.usable()
        self.peer.silence(0.2)

    def messages(self) -> Iterator[Event]:
        """What was received but gaps."""
        return (one for one in self.received if one.kind == MESSAGE)


def _same(one: object, other: object) -> bool:
    """As JSON tells values apart: 1 is not true."""
    return one == other and type(one) is type(other)
