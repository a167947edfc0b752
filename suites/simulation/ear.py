"""What does a subscriber make of the bytes that it reads?

A peer's own reading of the wire. It outlives the peer's connections: a topic is followed from one to the next, by
`since`. Whatever a connection broke off, the promise holds for all that was read: each message once, in order, or a
gap that covers exactly what did not come.

Not here: when a peer comes, reads and goes (`subscribers`), what the server knows better (`listening`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from suites.conformance.wire import json_message, take

from .tracks import FIRST, Place, Track, takes

__all__ = ["Ear"]


class Ear:
    """What one subscriber knows. `complain` hears of what breaks the promise; `name` begins the ids of its requests."""

    def __init__(self, name: str, complain: Callable[[str], None]) -> None:
        self.known: dict[str, Place] = {}  # by topic what it has read, or knows that it missed
        self.answered: dict[str, Any] = {}  # by id of those that succeeded, what was said
        self.events = 0
        self._name = name
        self._complain = complain
        self._asked: dict[str, dict[str, Any]] = {}  # by id what awaits its reply
        self._tracks: dict[str, Track] = {}
        self._names: dict[str, None] = {}  # its subscriptions
        self._in = bytearray()
        self._count = 0

    def connected(self) -> None:
        """There is a new connection: half a message of the last one is lost, and so are its subscriptions."""
        self._in.clear()
        self._asked.clear()
        self._tracks.clear()
        self._names.clear()

    def asks(self, action: str, **fields: Any) -> bytes:
        """A request about topics, with an id of its own."""
        self._count += 1
        number = f"{self._name}-{self._count}"
        request = {"action": action, **fields}
        self._asked[number] = request
        return json_message(request, id=number, connection="keep-alive")

    def subscribes_again(self, topic: str, **fields: Any) -> bytes:
        """Where it left off, if it knows where that was."""
        known = self.known.get(topic)
        since = {"since": known._asdict()} if known is not None else {}
        return self.asks("subscribe", topic=topic, **since, **fields)

    def hear(self, data: bytes) -> None:
        self._in += data
        while (message := take(self._in)) is not None:
            _, header, content = message
            if header["content-type"] != "text/json":
                continue
            if "event" in header:
                self._event(header["event"], json.loads(content))
            elif header.get("id") in self._asked:
                self._replied(header["id"], json.loads(content))

    def _replied(self, number: str, body: dict[str, Any]) -> None:
        request = self._asked.pop(number)
        if "error" in body:
            return
        result, name = body["result"], request.get("topic", "")
        self.answered[number] = result
        if request["action"] == "unsubscribe":
            del self._names[name]
            for topic in [topic for topic in self._tracks if takes(name, topic)]:
                del self._tracks[topic]
        elif request["action"] in ("subscribe", "join"):
            again = name in self._names and "since" not in request
            self._names[name] = None
            if again:
                return  # it goes on where it was
            if result["seq"] is not None:
                self._tracks[name] = self._begins(name, request.get("since"), result)

    def _begins(self, topic: str, since: dict[str, Any] | None, result: dict[str, Any]) -> Track:
        if since is not None and since["epoch"] != result["epoch"]:
            return Track(result["epoch"], FIRST, unknown=True)  # what it knows stays what it was until the gap has come
        place = Place(result["epoch"], result["seq"] if since is None else since["seq"])
        self.known[topic] = place
        return Track(*place)

    def _event(self, event: str, body: dict[str, Any]) -> None:
        topic = body["topic"]
        self.events += 1
        if not any(takes(name, topic) for name in self._names):
            self._complain(f"it hears of {topic}, to which it does not subscribe: {str(body)[:80]}")
            return
        first = body["seq"] if event == "message" else body["from"]
        track = self._tracks.get(topic)
        if track is None:  # a pattern's: it may begin anywhere
            track = self._tracks[topic] = Track(None, first - 1)
        gap = event == "gap"
        complaint = track.gap(first, body["to"], body["dropped"]) if gap else track.message(first)
        if complaint is not None:
            self._complain(f"of {topic}: {complaint}")
        if track.epoch is not None:
            self.known[topic] = Place(track.epoch, track.seq)
