"""What may one connection hear, and is that what the server sends it?

The part of a conversation (`oracle`) that is about topics. It foretells the replies to push.md's actions as exactly as
one can from outside, and holds each event against what was published and what this connection has subscribed to:

    asked(request)                      what the reply to a request may say, and which messages the request publishes
    Asked.complaint(...)                the reply has left: is it right? From there on it counts
    event(header, content, pending)     an event has left

Each complaint names one of two promises: `PLACE`, between replies, or `ONCE`, among the messages of its topic.

Not here: replies to other requests (`oracle`), queues (`push_invariants`), what a peer makes of what it reads (`ear`).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from libserver.limits import ServerLimits

from .chronicle import Chronicle, token_of
from .tracks import FIRST, Place, Track, overlaps, takes

__all__ = ["ACTIONS", "ONCE", "PLACE", "SECRET", "Asked", "Heard", "Listening"]

#: The promises.
ONCE = "each-message-once-or-a-gap"
PLACE = "events-have-their-place"

#: What begins the names that nobody may use.
SECRET = "secret/"
#: The actions that this module knows: push.md's, and those of `served`.
ACTIONS = frozenset({"subscribe", "unsubscribe", "publish", "history", "members", "topics", "say", "later", "join"})

#: What is not so small that the crowd meets it.
MANY_TOPICS = 10_000


class Heard:
    """A subscription whose reply has left. `began` is where each topic stood when it was made; `limit` as asked for."""

    def __init__(self, name: str, began: dict[str, Place], limit: int) -> None:
        self.name = name
        self.began = began
        self.limit = limit
        self.tracks: dict[str, Track] = {}

    def track(self, topic: str, epoch: str | None) -> Track:
        """The way through this topic. A pattern has many, each from where the topic stood, or from its beginning.

        `epoch` None: the event does not show it.
        """
        track = self.tracks.get(topic)
        if track is None:
            began = self.began.get(topic)
            same = began is not None and epoch in (None, began.epoch)
            track = self.tracks[topic] = Track(epoch, began.seq if same and began is not None else FIRST)
        return track

    def stands(self, topic: str, place: Place) -> bool:
        """Has it been told of all up to there?"""
        track = self.tracks.get(topic)
        if track is not None:
            return track.seq == place.seq
        began = self.began.get(topic)
        return place.seq == (began.seq if began is not None and began.epoch == place.epoch else FIRST)


class Asked:
    """A request about topics. `causes`: the tokens of what it publishes."""

    def __init__(self, listening: Listening, request: dict[str, Any]) -> None:
        self._listening = listening
        self.request = request
        values = request.get("values", [request["value"]] if "value" in request else [])
        self.causes = frozenset(token_of(value) for value in values)

    def complaint(self, code: str | None, result: Any, last: bool) -> str | None:
        """What is wrong with its reply; `last`: no other may follow it. If nothing is, it counts from here on."""
        right = self._listening.codes(self.request, last)
        if code not in right:
            return f"has the code {code} where one of {sorted(map(str, right))} is right"
        judge = getattr(self._listening, f"_{self.request['action']}")
        return None if code is not None else judge(self.request, result)


class Listening:
    """What one connection has subscribed to, and how far it is. `wrong(promise, words)` hears of what is not right."""

    def __init__(self, chronicle: Chronicle, limits: ServerLimits, wrong: Callable[[str, str], None]) -> None:
        self.chronicle = chronicle
        self.limits = limits
        self.heard: dict[str, Heard] = {}
        self.began: deque[tuple[str, dict[str, Place]]] = deque()  # subscriptions whose reply has not left
        self.ever = False  # it has subscribed to something
        self.closing: Callable[[], bool] = lambda: False  # is the connection about to end?
        self.complain = wrong

    def subscribed(self, name: str, began: dict[str, Place]) -> None:
        """The server has made a subscription of this connection's, when the topics stood there."""
        self.began.append((name, began))

    def asked(self, request: dict[str, Any]) -> Asked:
        return Asked(self, request)

    def most_told(self, request: dict[str, Any]) -> int:
        """Bytes that the reply to it has at the most, but for what any reply has."""
        if request["action"] == "history":
            return 2 * int(request["limit"]) * (self.chronicle.largest + 200)
        return 100 * len(self.chronicle.names) + 2000

    # --- replies ---------------------------------------------------------------------------

    def codes(self, request: dict[str, Any], last: bool) -> set[str | None]:
        """With which codes this request may be answered, now that all before it are: None is success."""
        action, topic = request["action"], request.get("topic", "")
        few = self.limits.max_topics < MANY_TOPICS
        # One that is about to end hears no more, and has no subscription.
        late: set[str | None] = {"bad-request"} if self.closing() else set()
        if action in ("subscribe", "join"):
            return late | self._codes_of_subscribe(topic, last, few, says=bool(request.get("values")))
        if action == "unsubscribe":
            return {None, *late} if topic in self.heard else {"bad-request"}
        if action in ("publish", "history", "members") and topic.startswith(SECRET):
            return {"forbidden"}
        if action in ("publish", "say") and few:
            return {"handler-failed" if request.get("fails") else None, "overloaded"}
        return {"handler-failed"} if request.get("fails") else {None}

    def _codes_of_subscribe(self, topic: str, last: bool, few: bool, says: bool) -> set[str | None]:
        if says and few:  # it may fail at what it says before
            return {*self._codes_of_subscribe(topic, last, few, False), "overloaded"}
        if last:
            return {"bad-request"}
        if topic.startswith(SECRET):
            return {"forbidden"}
        if topic in self.heard:
            return {None}
        if any(overlaps(topic, other) for other in self.heard):
            return {"bad-request"}
        if len(self.heard) >= self.limits.max_subscriptions:
            return {"overloaded"}
        return {None, "overloaded"} if few and "*" not in topic else {None}

    def _subscribe(self, request: dict[str, Any], result: Any) -> str | None:
        name = request["topic"]
        if not self.began or self.began[0][0] != name:
            return f"says that it subscribes to {name}, and it does not"
        _, began = self.began.popleft()
        limit = request.get("limit", 1000)
        before = self.heard.get(name)
        if before is not None and "since" not in request:
            before.limit = max(limit, before.limit)
            return self._goes_on(before, began, result)
        heard = Heard(name, began, limit)
        right = {"topic": name, "epoch": None, "seq": None, "missed": 0}
        if "*" not in name:
            place = began[name]
            track, missed = self._since(request.get("since"), place)
            heard.tracks[name] = track
            right.update(epoch=place.epoch, seq=place.seq, missed=missed)
        if result != right:
            return f"says {result}, not {right}"
        self.heard[name] = heard
        self.ever = True
        return None

    @staticmethod
    def _goes_on(heard: Heard, began: dict[str, Place], result: Any) -> str | None:
        """It subscribes again, and goes on where it was: what it has not been told yet is what it missed."""
        right: dict[str, Any] = {"topic": heard.name, "epoch": None, "seq": None, "missed": result["missed"]}
        if "*" not in heard.name:
            place, track = began[heard.name], heard.tracks[heard.name]
            right.update(epoch=place.epoch, seq=place.seq, missed=None if track.unknown else place.seq - track.seq)
        return None if result == right else f"says {result}, not {right}"

    _join = _subscribe

    @staticmethod
    def _since(since: dict[str, Any] | None, place: Place) -> tuple[Track, int | None]:
        """Where it goes on, and how many it has missed."""
        if since is None:
            return Track(place.epoch, place.seq), 0
        if since["epoch"] != place.epoch:
            return Track(place.epoch, FIRST, unknown=True), None
        first = min(since["seq"], place.seq)
        return Track(place.epoch, first), place.seq - first

    def _unsubscribe(self, request: dict[str, Any], result: Any) -> str | None:
        del self.heard[request["topic"]]
        return None if result == {"topic": request["topic"]} else f"says {result}"

    def _publish(self, request: dict[str, Any], result: Any) -> str | None:
        published = self.chronicle.published.get(token_of(request["value"]))
        if published is None or published.topic != request["topic"]:
            return f"says that it is published, and it is not: {request['value']}"
        if not isinstance(result.pop("subscribers"), int) or result != {"seq": published.place.seq}:
            return f"says {result} where {published.place.seq} is its number"
        return None

    def _say(self, request: dict[str, Any], result: Any) -> str | None:
        missing = [value for value in request["values"] if token_of(value) not in self.chronicle.published]
        return None if result == len(request["values"]) and not missing else f"says {result}, without {missing}"

    def _later(self, request: dict[str, Any], result: Any) -> str | None:
        return None if result == len(request["values"]) else f"says {result}"

    def _history(self, request: dict[str, Any], result: Any) -> str | None:
        topic, messages = request["topic"], result["messages"]
        if len(messages) > min(request["limit"], self.limits.history):
            return f"tells {len(messages)} messages"
        first = result["seq"] - len(messages) + 1
        for seq, message in enumerate(messages, first):
            published = self.chronicle.published.get(token_of(message["value"]))
            right = {"topic": topic, **message}
            if published is None or published.content != right or published.place != Place(result["epoch"], seq):
                return f"tells {str(message)[:80]} as number {seq} of {topic}"
        return None

    def _members(self, request: dict[str, Any], result: Any) -> str | None:
        right = isinstance(result["count"], int) and len(result["names"]) <= result["count"]
        return None if right else f"says {result}"

    def _topics(self, request: dict[str, Any], result: Any) -> str | None:
        names = [one["topic"] for one in result]
        known = all(name in self.chronicle.names and name.startswith(request["prefix"]) for name in names)
        return None if known and names == sorted(set(names)) else f"says {result}"

    # --- events ----------------------------------------------------------------------------

    def event(self, header: dict[str, Any], content: bytes, pending: Iterable[Asked], last: str | None) -> None:
        """An event has left, while the requests `pending` were not answered, or behind the `last` reply."""
        body = json.loads(content)
        topic = body["topic"]
        said = f"an event of {topic} ({header['event']} {body.get('seq', body.get('from'))})"
        if last is not None:
            self.complain(PLACE, f"{said} follows the last reply ({last})")
            return
        heard = next((heard for name, heard in self.heard.items() if takes(name, topic)), None)
        if heard is None:
            self.complain(PLACE, f"{said} goes to a connection that has no subscription to it")
            return
        if header["event"] == "message":
            self.chronicle.told["message"] += 1
            self._message(header, content, body, heard, pending, said)
        elif header["event"] == "gap":
            self.chronicle.told["gap" if body["dropped"] is not None else "gap of unknown size"] += 1
            track, place = heard.track(topic, None), self.chronicle.places.get(topic)
            complaint = track.gap(body["from"], body["to"], body["dropped"])
            # In another epoch by now: it was forgotten while this waited in the socket.
            same = place is not None and track.epoch == place.epoch
            if complaint is None and same and place is not None and body["to"] > place.seq:
                complaint = f"a gap to {body['to']} of {topic}, which has no such message"
            if complaint is not None:
                self.complain(ONCE, complaint)
        else:
            self.complain(PLACE, f"{said} is unknown")

    def _message(
        self,
        header: dict[str, Any],
        content: bytes,
        body: dict[str, Any],
        heard: Heard,
        pending: Iterable[Asked],
        said: str,
    ) -> None:
        token = token_of(body["value"])
        published = self.chronicle.published.get(token)
        if published is None or published.content != body:
            self.complain(ONCE, f"{said} says what was not published: {content[:100]!r}")
            return
        if any(token in asked.causes for asked in pending):
            self.complain(PLACE, f"{said} overtakes the reply to the request that has caused it")
            return
        frame = repr(header).encode() + content
        if published.frame not in (None, frame):
            self.complain(ONCE, f"{said} has other bytes for another subscriber")
        published.frame = frame
        track = heard.track(body["topic"], published.place.epoch)
        if track.epoch not in (None, published.place.epoch):
            self.complain(ONCE, f"{said} is of {published.place.epoch}, and {track.epoch} was subscribed to")
            return
        track.epoch = published.place.epoch
        complaint = track.message(body["seq"])
        if complaint is not None:
            self.complain(ONCE, f"{said}: {complaint}")
