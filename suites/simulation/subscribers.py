"""Who listens out there, and who has something to say?

Raw peers, as in `peers`, that subscribe to topics and publish to them: in good time, slowly, by halves, never; that are
reset, go away and come back with `since`. Their `Ear` holds what they read against the promise.

Not here: peers that know nothing of topics (`peers`), when these come (`push_plan`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from suites.conformance.wire import action

from .ear import Ear
from .peers import Peer, Script
from .tracks import Place

__all__ = ["SCRIPTS", "SPEAKERS"]

TOPICS = ("a/x", "a/x", "a/x", "a/x", "a/y", "a/x/deep", "a", "b/x")
PATTERNS = ("a/*", "a/*", "a/**", "a/x/*", "b/**")
POLICIES = ("cut", "oldest", "newest", "latest")
#: Bytes that a request has beside the filling of its values, at the most.
AROUND = 500


def ear_of(peer: Peer) -> Ear:
    return Ear(f"{peer.random.getrandbits(40):x}", lambda words: peer.target.complain(f"{peer.name}: {words}"))


def values(peer: Peer, count: int = 1, most: int = 3000) -> list[dict[str, Any]]:
    """Values with a token and a key; together they fit into a request."""
    random = peer.random
    room = max(0, min(most, (peer.target.max_json - AROUND) // count - 60))
    size = random.choice((0, room // 10, room))
    return [
        {"token": f"{random.getrandbits(48):x}", "kind": random.randrange(3), "fill": "x" * size} for _ in range(count)
    ]


def slowness(peer: Peer) -> dict[str, Any]:
    """What shall happen to a subscriber that reads too slowly."""
    random = peer.random
    policy = random.choice(POLICIES)
    fields: dict[str, Any] = {"slow": policy, "limit": random.choice((1, 2, 3, 10, 1000))}
    if policy == "latest" and random.random() < 0.7:
        fields["key"] = random.choice(("kind", "kind", "none"))
    return fields


def name_of(peer: Peer) -> str:
    return peer.random.choice(PATTERNS if peer.random.random() < 0.3 else TOPICS)


def says(peer: Peer, ear: Ear) -> bytes:
    """One way to publish something."""
    random = peer.random
    topic = random.choice(TOPICS)
    way = random.randrange(6)
    if way < 3:
        return ear.asks("publish", topic=topic, value=values(peer)[0])
    if way == 3:
        return ear.asks("say", topic=topic, values=values(peer, random.choice((1, 5))), fails=random.random() < 0.1)
    if way == 4:
        return ear.asks("later", topic=topic, values=values(peer, random.choice((1, 3))))
    return ear.asks("join", topic=name_of(peer), to=topic, values=values(peer, 2), **slowness(peer))


def asks_about(peer: Peer, ear: Ear) -> bytes:
    random = peer.random
    topic = random.choice((*TOPICS, "c", "secret/x"))
    way = random.randrange(4)
    if way == 0:
        return ear.asks("history", topic=topic, limit=random.choice((0, 1, 3)))
    if way == 1:
        return ear.asks("members", topic=topic)
    if way == 2:
        return ear.asks("topics", prefix=random.choice(("", "a", "a/x")))
    return ear.asks(random.choice(("publish", "subscribe")), topic="secret/x", value=values(peer)[0])


# --- steps ------------------------------------------------------------------------------------------


def hears(peer: Peer, ear: Ear, seconds: float, most: int = 1 << 16, pause: float = 0.0) -> Script:
    """Read for so long, or until the end, `most` bytes at a time with a pause between."""
    until = peer.kernel.clock.now + seconds
    while (left := until - peer.kernel.clock.now) > 0:
        data = peer.read(most)
        if data == b"":
            return
        if data is None:
            yield from peer.wait(left)
        else:
            ear.hear(data)
            if pause:
                yield pause


def talks(peer: Peer, ear: Ear, data: bytes, patience: float = 30.0) -> Script:
    """Send all of it, and read all the while."""
    view = memoryview(data)
    until = peer.kernel.clock.now + patience
    while view and peer.kernel.clock.now < until:
        heard = peer.read()
        if heard == b"":
            return
        if heard:
            ear.hear(heard)
        try:
            view = view[peer.sock.send(view) :]
        except BlockingIOError:
            yield from peer.wait(1.0)


@contextmanager
def connection(peer: Peer, ear: Ear) -> Iterator[None]:
    """What breaks it off is no news to one that comes back."""
    ear.connected()
    try:
        yield
    except OSError:
        pass


# --- who listens ---------------------------------------------------------------------------------------


def listener(peer: Peer) -> Script:
    """Subscribes to a few topics, and reads all that comes."""
    ear = ear_of(peer)
    yield from peer.connect()
    names = [name_of(peer) for _ in range(peer.random.randint(1, 3))]
    yield from talks(peer, ear, b"".join(ear.asks("subscribe", topic=name, **slowness(peer)) for name in names))
    yield from hears(peer, ear, peer.random.choice((1.0, 5.0, 60.0)))
    if peer.random.random() < 0.5:
        yield from talks(peer, ear, ear.asks("unsubscribe", topic=names[0]) + says(peer, ear))
        yield from hears(peer, ear, 3.0)
    peer.fin()
    yield from hears(peer, ear, 10.0)


def slow_listener(peer: Peer) -> Script:
    """Reads a little at a time, slower than is published."""
    ear = ear_of(peer)
    yield from peer.connect()
    yield from peer.send(ear.asks("subscribe", topic=name_of(peer), **slowness(peer)))
    pause = peer.random.choice((0.01, 0.1, 0.5))
    yield from hears(peer, ear, peer.random.choice((5.0, 40.0)), peer.random.choice((50, 700, 4000)), pause)
    yield from hears(peer, ear, 20.0)


def stalled_listener(peer: Peer) -> Script:
    """Reads nothing for long, then all at once, or never again."""
    ear = ear_of(peer)
    yield from peer.connect()
    yield from peer.send(ear.asks("subscribe", topic=name_of(peer), **slowness(peer)))
    yield from hears(peer, ear, 0.3)
    for _ in range(peer.random.choice((1, 4))):
        yield peer.random.choice((0.5, 3.0, 20.0))
        if peer.random.random() < 0.3:
            yield from peer.send(ear.asks("subscribe", topic=name_of(peer), **slowness(peer)), patience=1.0)
        yield from hears(peer, ear, peer.random.choice((0.0, 0.1, 5.0)))
    if peer.random.random() < 0.3:
        peer.reset()
        return
    yield from hears(peer, ear, 20.0)


def returning_listener(peer: Peer) -> Script:
    """Goes in every way there is, stays away for a while, and comes back for what it missed."""
    ear = ear_of(peer)
    random = peer.random
    topic = random.choice(TOPICS)
    policy = slowness(peer)
    if random.random() < 0.2:
        ear.known[topic] = Place("of a server before this one", random.choice((0, 1, 90)))
    for _ in range(random.randint(2, 6)):
        with connection(peer, ear):
            yield from peer.connect()
            yield from peer.send(ear.subscribes_again(topic, **policy))
            slow = (random.choice((60, 900)), 0.05) if random.random() < 0.3 else ()
            yield from hears(peer, ear, random.choice((0.1, 1.0, 4.0, 15.0)), *slow)
            way = random.randrange(3)
            if way == 0:
                peer.reset()
            elif way == 1:
                peer.fin()
                yield from hears(peer, ear, 5.0)
        if peer.sock is not None:
            peer.sock.close()
        yield random.choice((0.0, 0.3, 1.0, 4.0))


def talking_listener(peer: Peer) -> Script:
    """Listens and speaks on one connection, with slow requests in between, all at once."""
    ear = ear_of(peer)
    random = peer.random
    yield from peer.connect()
    names = [name_of(peer)]
    for _ in range(random.randint(1, 5)):
        parts = [ear.asks("subscribe", topic=names[-1], **slowness(peer))] if random.random() < 0.8 else []
        names.append(name_of(peer))
        for _ in range(random.randint(1, 8)):
            kind = random.random()
            if kind < 0.2:
                parts.append(action("slow", 1, connection="keep-alive"))
            elif kind < 0.3:
                parts.append(ear.asks("unsubscribe", topic=random.choice(names)))
            elif kind < 0.4:
                parts.append(asks_about(peer, ear))
            else:
                parts.append(says(peer, ear))
        yield from talks(peer, ear, b"".join(parts))
        if random.random() < 0.2:
            yield random.choice((0.2, 2.0))
        yield from hears(peer, ear, random.choice((0.0, 0.1, 3.0)))
    if random.random() < 0.3:
        yield from talks(peer, ear, action("echo", "last", connection="close"))
    else:
        peer.fin()
    yield from hears(peer, ear, 50.0)


def fickle_listener(peer: Peer) -> Script:
    """Subscribes, publishes and unsubscribes, over and over, without waiting for replies."""
    ear = ear_of(peer)
    random = peer.random
    yield from peer.connect()
    topic = random.choice(TOPICS)
    for _ in range(random.randint(2, 20)):
        parts = [
            ear.subscribes_again(topic, **slowness(peer)) if random.random() < 0.5 else b"",
            ear.asks("subscribe", topic=topic, **slowness(peer)),
            ear.asks("publish", topic=topic, value=values(peer, most=100)[0]) * (random.random() < 0.7),
            ear.asks("unsubscribe", topic=topic) * (random.random() < 0.7),
        ]
        yield from talks(peer, ear, b"".join(parts))
        yield from hears(peer, ear, random.choice((0.0, 0.0, 0.05, 1.0)))
    yield from hears(peer, ear, 2.0)


# --- who speaks ------------------------------------------------------------------------------------------


def speaker(peer: Peer) -> Script:
    """Says something now and then."""
    ear = ear_of(peer)
    yield from peer.connect()
    for _ in range(peer.random.randint(3, 15)):
        count = peer.random.choice((1, 1, 6))
        yield from talks(peer, ear, b"".join(says(peer, ear) for _ in range(count)))
        yield from hears(peer, ear, peer.random.choice((0.0, 0.1, 1.0, 4.0)))
    peer.fin()
    yield from hears(peer, ear, 20.0)


def flooder(peer: Peer) -> Script:
    """Says far more than anybody reads."""
    ear = ear_of(peer)
    random = peer.random
    yield from peer.connect()
    topics = random.choice((("a/x",), ("a/x", "a/y"), TOPICS))
    for _ in range(random.randint(1, 6)):
        count = random.choice((10, 60))
        much = (ear.asks("publish", topic=random.choice(topics), value=values(peer)[0]) for _ in range(count))
        yield from talks(peer, ear, b"".join(much))
        yield from hears(peer, ear, random.choice((0.01, 0.5, 3.0)))
    yield from hears(peer, ear, 3.0)


def wanderer(peer: Peer) -> Script:
    """Speaks in many rooms, one after the other, and asks who is there."""
    ear = ear_of(peer)
    yield from peer.connect()
    for _ in range(peer.random.randint(3, 12)):
        topic = peer.random.choice((*TOPICS, "a/y", "c", "b", "b/x/deep", "a/x/deep/er"))
        about = asks_about(peer, ear) + asks_about(peer, ear)
        yield from talks(peer, ear, ear.asks("publish", topic=topic, value=values(peer, most=300)[0]) + about)
        yield from hears(peer, ear, peer.random.choice((0.0, 0.2, 2.0)))
    yield from hears(peer, ear, 3.0)


SPEAKERS: tuple[Callable[[Peer], Script], ...] = (speaker, speaker, flooder, flooder, wanderer)

SCRIPTS: tuple[Callable[[Peer], Script], ...] = (
    listener,
    slow_listener,
    stalled_listener,
    returning_listener,
    talking_listener,
    fickle_listener,
    *SPEAKERS,
)
