"""Does the promise hold whatever ten peers do, one after the other and many things at once?

Each sends segments of subscribe, unsubscribe and publish, drawn by lot, also with `since` and to patterns, and reads
when it is its turn. Of each topic that it listens to it must get every message once, in order, or a gap; of others
nothing.

Not here: one thing at a time (`server_topics`, `server_events`, `server_since`).
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

from .case import SOON, TOPICS, Failed, each
from .peer import Peer
from .targets import ServerRun
from .topics import Event, call, done, event_of, fresh
from .wire import Reply, search, shown

#: Rounds of a case; in each, up to three peers send up to `BURST` requests, then read all replies and what is between.
ROUNDS, PEERS, BURST = 150, 10, 25

#: Patterns, each with the topics of a case that it takes.
NAMES = ("a", "b", "b/c", "b/d", "e/f/g")
PATTERNS = {"*": ("a", "b"), "b/*": ("b/c", "b/d"), "e/**": ("e/f/g",)}


class Party:
    """One of the ten: what it has asked, what it listens to, and which message of each topic is next."""

    def __init__(self, run: ServerRun, base: str, dice: random.Random) -> None:
        self.peer: Peer = run.kept()
        self.base = base
        self.dice = dice
        self.asked: deque[tuple[str, str, bool]] = deque()
        self.subscribed: set[str] = set()
        self.following: dict[str, int | None] = {}  # by topic; None: whichever comes first is
        self.left: dict[str, dict[str, Any]] = {}  # where it was in a topic that it has given up
        self.epochs: dict[str, str] = {}

    # --- asking ---

    def request(self, number: int) -> bytes:
        """Something, by lot, that the server must grant."""
        names = [*NAMES, *PATTERNS]
        name = self.dice.choice(names)
        planned = self.planned()
        kind = self.dice.choice(("publish", "publish", "publish", "subscribe", "unsubscribe"))
        if kind == "subscribe" and not any(name != other and taken(name) & taken(other) for other in planned):
            since = self.left.get(name) if name not in planned and not self.changes(name) else None
            self.asked.append(("subscribe", name, since is not None))
            return call("subscribe", f"{self.base}/{name}", **({"since": since} if since else {}))
        if kind == "unsubscribe" and name in planned:
            self.asked.append(("unsubscribe", name, False))
            return call("unsubscribe", f"{self.base}/{name}")
        topic = self.dice.choice(NAMES)
        self.asked.append(("publish", topic, False))
        return call("publish", f"{self.base}/{topic}", value=number)

    def planned(self) -> set[str]:
        """What it is subscribed to once all that it has asked is done."""
        planned = set(self.subscribed)
        for kind, name, _ in self.asked:
            if kind == "subscribe":
                planned.add(name)
            elif kind == "unsubscribe":
                planned.discard(name)
        return planned

    def changes(self, name: str) -> bool:
        """Something that it has asked for, and not heard of, changes that."""
        return any(kind != "publish" and other == name for kind, other, _ in self.asked)

    # --- reading ---

    def catch_up(self) -> None:
        """Read all replies, and the events between."""
        while self.asked:
            came = self.peer.next_message(SOON * 2, f"the reply to {self.asked[0][0]}, or an event")
            if came.is_event:
                self.account(event_of(came))
            else:
                self.replied(came)

    def replied(self, came: Reply) -> None:
        kind, name, goes_on = self.asked.popleft()
        if came.code is not None or not isinstance(came.result, dict):
            raise Failed(f"the result of {kind} {name}", str(came))
        if kind == "unsubscribe":
            self.subscribed.discard(name)
            for topic in taken(name):
                position = self.following.pop(topic, None)
                if topic == name and position is not None:
                    self.left[name] = {"epoch": self.epochs[name], "seq": position - 1}
        elif kind == "subscribe":
            self.subscribed.add(name)
            if name in PATTERNS:
                self.following.update(dict.fromkeys(taken(name)))
                return
            position = self.left[name]["seq"] if goes_on else came.result["seq"] - came.result["missed"]
            self.following[name] = position + 1
            self.epochs[name] = came.result["epoch"]

    def account(self, came: Event) -> None:
        topic = came.topic.removeprefix(f"{self.base}/")
        if topic not in self.following:
            raise Failed(f"events of {shown(sorted(self.subscribed))}", str(came))
        following = self.following[topic]
        if following is not None and came.first != following:
            raise Failed(f"message {following} of {topic}, or a gap from there", str(came))
        self.following[topic] = came.last + 1

    def end(self, seqs: dict[str, int]) -> None:
        """It has heard everything up to the last message of each topic."""
        self.peer.send(search("ring", id="last"))
        while (came := self.peer.next_message()).is_event:
            self.account(event_of(came))
        self.peer.silence(0.05)
        for topic, following in self.following.items():
            if following not in (None, seqs[topic] + 1):
                raise Failed(f"all {seqs[topic]} messages of {topic}", f"none from {following} on")


def taken(name: str) -> set[str]:
    """The topics that a subscription to it takes."""
    return set(PATTERNS.get(name, (name,)))


@each(
    {f"TO60.{seed}": seed for seed in range(1, 7)},
    f"ten peers subscribe, unsubscribe and publish by lot, {ROUNDS} times (seed {{0}})",
    part=TOPICS,
    heavy=True,
    mechanism="everything by lot",
    section="push.md: Events: the promise",
    expected="each hears every message of what it listens to once, in order, and nothing else",
)
def by_lot(run: ServerRun, seed: int) -> None:
    dice, base = random.Random(seed), fresh(run)
    parties = [Party(run, base, dice) for _ in range(PEERS)]
    number = 0
    for _ in range(ROUNDS):
        some = dice.sample(parties, dice.choice((1, 1, 2, 3)))
        for party in some:  # all have sent before any has read
            requests = [party.request(number + n) for n in range(dice.randint(1, BURST))]
            number += len(requests)
            party.peer.send(b"".join(requests))
        for party in some:
            party.catch_up()
    speaker = run.kept()
    seqs = {topic: int(done(speaker, "history", f"{base}/{topic}", limit=0)["seq"]) for topic in NAMES}
    for party in parties:
        party.end(seqs)
    run.note(f"{number} requests; messages by topic {seqs}")
