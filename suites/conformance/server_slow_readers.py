"""What becomes of a subscriber that reads too slowly: is it what it has asked for, and at no one else's cost?

A subscriber takes nothing while twelve megabytes are published, which fill every buffer between, and then some messages
more, which therefore wait. Then it reads all that there is. Where no buffer was full, nothing is shown: INFORMATIONAL.

Not here: slow readers of replies (`server_slow`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from .case import SOON, TOPICS, Failed, Informational, case, each
from .peer import Peer
from .targets import ServerRun
from .topics import GAP, MESSAGE, Event, Listener, call, done, fresh, publish, published
from .wire import shown

SLOW = "push.md: Slow readers"

#: Bytes that fill the buffers, more than kernels keep for a peer that does not read; and at once, with no reply taken.
VOLUME, AT_ONCE = 12 << 20, 1 << 18
#: Messages that are published when the buffers are full.
MORE = 100
#: Messages that may wait for the subscriber that does not read.
LIMIT = 5


def stalled(run: ServerRun, topic: str, **fields: Any) -> Listener:
    """A subscriber to a topic or a pattern that does not read, until it is told to."""
    return Listener(run, topic, receive_buffer=8192, **fields)


def flood(
    run: ServerRun,
    topic: str | Sequence[str],
    of: Callable[[int], dict[str, object]] = lambda n: {},
    meanwhile: Callable[[int], object] = lambda count: None,
) -> int:
    """Publish numbered messages, `VOLUME` bytes of them and `MORE`, to several topics in turn; how many they were.

    `of` gives more members of a message's value: the last `MORE` are numbered from 0 on, those before below it.
    `meanwhile` is called with how many are new.
    """
    topics = [topic] if isinstance(topic, str) else topic
    size = min(16 << 10, run.options.max_json // 4)
    speaker, text = run.kept(), "x" * size
    some = max(1, AT_ONCE // size)

    def say(numbers: range) -> None:
        for at in range(0, len(numbers), some):
            values = {n: {"n": n, "text": text, **of(n)} for n in numbers[at : at + some]}
            speaker.send(b"".join(call("publish", topics[n % len(topics)], value=value) for n, value in values.items()))
            for _ in values:
                published(speaker)
            meanwhile(len(values))

    filling = VOLUME // size // len(topics) * len(topics)
    more = MORE // len(topics) * len(topics)
    say(range(-filling, 0))
    time.sleep(0.2)  # what the kernel still moves from one buffer to the next is moved by then
    say(range(more))
    run.note(f"{filling} and {more} messages of {size} bytes were published")
    return filling + more


def gaps(came: list[Event]) -> list[Event]:
    """Those among them. Raises `Informational` if there are none."""
    found = [one for one in came if one.kind == GAP]
    if not found:
        raise Informational(f"all {VOLUME >> 20} MiB fitted into the buffers between: nobody was slow")
    return found


def waited(came: list[Event]) -> list[Event]:
    """The messages behind the last gap: no more than may wait."""
    last = max(at for at, one in enumerate(came) if one.kind == GAP)
    behind = [one for one in came[last:] if one.kind == MESSAGE]
    if len(behind) > LIMIT:
        raise Failed(f"no more than {LIMIT} messages that waited", f"{len(behind)} behind the last gap")
    return behind


@case(
    "TO50",
    "oldest: a subscriber that stalls",
    part=TOPICS,
    heavy=True,
    mechanism="slow: oldest",
    section=SLOW,
    expected="what had left, a gap, and the newest messages",
)
def oldest(run: ServerRun) -> None:
    topic = fresh(run)
    listener = stalled(run, topic, slow="oldest", limit=LIMIT)
    count = flood(run, topic)
    came = listener.hears_to(count)
    gaps(came)
    if [one.last for one in waited(came)] != [*range(count - LIMIT + 1, count + 1)]:
        raise Failed(f"the newest {LIMIT} messages behind the gap", "; ".join(str(one)[:60] for one in came[-LIMIT:]))
    current_again(run, listener)


@each(
    {"TO50.2": "oldest", "TO50.3": "newest", "TO50.4": "latest"},
    "{0}: a subscriber to a pattern stalls, while three topics are published to in turn",
    part=TOPICS,
    heavy=True,
    mechanism="gaps by topic",
    section=SLOW,
    expected="of each topic every message once, in order, or in a gap of its own",
)
def several_topics(run: ServerRun, slow: str) -> None:
    base = fresh(run)
    topics = [f"{base}/{name}" for name in "abc"]
    listener = stalled(run, f"{base}/*", slow=slow, limit=LIMIT)
    count = flood(run, topics) // len(topics)
    until = time.monotonic() + SOON * 4
    while any(listener.following(topic) <= count for topic in topics):
        listener.next(until - time.monotonic(), f"all {count} messages of three topics, or gaps")
    if not any(one.kind == GAP for one in listener.received):
        raise Informational(f"all {VOLUME >> 20} MiB fitted into the buffers between: nobody was slow")
    speaker = run.kept()
    for topic in topics:
        publish(speaker, topic, "now")
        listener.hears("now", topic=topic)
    listener.hears_no_more()


@case(
    "TO51",
    "newest: a subscriber that stalls",
    part=TOPICS,
    heavy=True,
    mechanism="slow: newest",
    section=SLOW,
    expected="the oldest messages, and a gap behind them, though nothing follows it",
)
def newest(run: ServerRun) -> None:
    topic = fresh(run)
    listener = stalled(run, topic, slow="newest", limit=LIMIT)
    count = flood(run, topic)
    came = listener.hears_to(count)
    gaps(came)
    if came[-1].kind != GAP or came[-1].first > count - MORE + LIMIT + 1:
        raise Failed(f"a gap at the end, for nearly all of the last {MORE}", str(came[-1])[:80])
    current_again(run, listener)


@each(
    {"TO52.1": (3, True), "TO52.2": (LIMIT, True), "TO52.3": (1, False)},
    "latest: a subscriber that stalls, with {0} keys in turn",
    part=TOPICS,
    heavy=True,
    mechanism="slow: latest",
    section=SLOW,
    expected="the newest message of each key, in order, and gaps for the others",
)
def latest(run: ServerRun, keys: int, named: bool) -> None:
    topic = fresh(run)
    fields: dict[str, Any] = {"key": "k"} if named else {}
    listener = stalled(run, topic, slow="latest", limit=LIMIT, **fields)
    count = flood(run, topic, lambda n: {"k": {"of": [n % keys]}})
    came = listener.hears_to(count)
    gaps(came)
    kept = {one.last for one in waited(came)}
    if not kept >= set(range(count - keys + 1, count + 1)):
        raise Failed(f"the last {keys} messages, one of each key", shown(sorted(kept)))
    current_again(run, listener)


@case(
    "TO52.4",
    "latest: a subscriber that stalls, with a message of one key early, and many of another",
    part=TOPICS,
    heavy=True,
    mechanism="slow: latest",
    section=SLOW,
    expected="the early one's key is kept to the end, however many of the other follow",
)
def rare_key(run: ServerRun) -> None:
    topic = fresh(run)
    listener = stalled(run, topic, slow="latest", key="k", limit=LIMIT)
    count = flood(run, topic, lambda n: {"k": "rare" if n == 0 else "common"})
    came = listener.hears_to(count)
    found = gaps(came)
    rare = count - MORE + 1
    if found[0].first > rare:
        raise Informational("the rare one left before anybody was slow")
    heard = [one.last for one in came if one.kind == MESSAGE]
    if rare not in heard or count not in heard:
        raise Failed(f"messages {rare} and {count}, the newest of their keys", f"the last ones were {heard[-LIMIT:]}")


def current_again(run: ServerRun, listener: Listener) -> None:
    """It has read everything: what is published now comes as to any other."""
    publish(run.kept(), listener.topic, "now", "and now")
    listener.hears("now", "and now")
    listener.hears_no_more()


@each(
    {"TO53.1": ("cut", {"slow": "cut"}), "TO53.2": ("no slow, which is cut", {})},
    "{0}: a subscriber that stalls",
    part=TOPICS,
    heavy=True,
    mechanism="slow: cut",
    section=SLOW,
    expected="every message up to its end, no gap; then FIN or RST, after an error overloaded if it can be told",
)
def cut(run: ServerRun, how: str, fields: dict[str, Any]) -> None:
    topic, other = fresh(run), run.kept()
    listener = stalled(run, topic, limit=LIMIT, **fields)
    count = flood(run, topic)
    if not run.until(lambda: done(other, "members", topic)["count"] == 0, SOON):
        takes_all(listener, count)
    read_to_the_end(listener.peer)
    while len(listener.peer.unread) > 2 and whole(listener.peer):
        came = listener.peer.next_message()
        if not came.is_event:
            if came.code != "overloaded":
                raise Failed("an error overloaded, if anything", str(came))
            break
        listener.take(came)
        if listener.received[-1].kind == GAP:
            raise Failed("every message until it is cut", str(listener.received[-1]))
    if listener.received and listener.received[-1].last >= count:
        raise Informational(f"all {VOLUME >> 20} MiB fitted into the buffers between: nobody was slow")


def takes_all(listener: Listener, count: int) -> None:
    """It is a member yet: it may be, if nobody was slow."""
    came = listener.hears_to(count)
    if any(one.kind == GAP for one in came):
        raise Failed("an end of the connection", "a gap, and it goes on")
    raise Informational(f"all {VOLUME >> 20} MiB were kept for it, by the kernel or the server")


def read_to_the_end(peer: Peer) -> None:
    if peer.end(SOON * 2) is None:
        raise Failed("FIN or RST", f"the connection is open after {len(peer.unread)} bytes")


def whole(peer: Peer) -> bool:
    """Has the next message come whole? What a cut has left in the middle is not judged."""
    start = 2 + int.from_bytes(peer.unread[:2], "big")
    if len(peer.unread) < start:
        return False
    length = json.loads(peer.unread[2:start]).get("content-length", 0)
    return len(peer.unread) >= start + int(length)


@case(
    "TO54",
    "one subscriber stalls, another reads",
    part=TOPICS,
    heavy=True,
    mechanism="others beside a slow reader",
    section="push.md: Slow readers: costs the others nothing",
    expected="the other gets every message at once, without a gap",
)
def beside(run: ServerRun) -> None:
    topic = fresh(run)
    slow = stalled(run, topic, slow="oldest", limit=LIMIT)
    fast = Listener(run, topic)
    count = flood(
        run, topic, meanwhile=lambda new: [fast.next(what="an event while another stalls") for _ in range(new)]
    )
    if [one.last for one in fast.messages()] != [*range(1, count + 1)]:
        raise Failed(f"messages 1 to {count} for the one that reads", f"{len([*fast.messages()])} of them, and gaps")
    gaps(slow.hears_to(count))


@case(
    "TO55",
    "a subscriber that stalled unsubscribes, then reads",
    part=TOPICS,
    heavy=True,
    mechanism="unsubscribed while behind",
    section="push.md: Actions: unsubscribe",
    expected="what had left, the reply, and no event behind it",
)
def unsubscribes_while_behind(run: ServerRun) -> None:
    topic = fresh(run)
    listener = stalled(run, topic, slow="oldest", limit=LIMIT)
    count = flood(run, topic)
    listener.peer.send(call("unsubscribe", topic))
    came = listener.reply()
    if came.result != {"topic": topic}:
        raise Failed('{"topic"}', str(came))
    run.note(f"{len(listener.received)} events of {count} came before it")
    listener.hears_no_more()


@case(
    "TO56",
    "a subscriber reads slowly, but reads",
    part=TOPICS,
    slow=True,
    heavy=True,
    mechanism="a steady slow reader",
    section=SLOW,
    expected="every message once, or in a gap, in order, to the last",
)
def steady(run: ServerRun) -> None:
    topic = fresh(run)
    listener = stalled(run, topic, slow="oldest", limit=LIMIT)

    def some(new: int) -> None:
        """A third of what is published."""
        until = time.monotonic() + 0.02
        before = len(listener.peer.unread)
        while len(listener.peer.unread) - before < AT_ONCE // 3 and listener.peer.receive(until, most=16384):
            pass

    count = flood(run, topic, meanwhile=some)
    listener.hears_to(count)
    current_again(run, listener)
