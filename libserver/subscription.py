"""What becomes of what is published to one subscriber, as fast as it reads or slower?

    CURRENT    what was published in a turn leaves at its end, in one send (`libserver.topics`)
    BEHIND     bytes are kept for it above the high-water mark: messages wait here, as references
    DROPPING   its queue is full, and its policy leaves messages out: gaps stand in their place

Rules:

* A subscriber sees every message once, in the order of `seq`, or a gap that covers exactly what it did not get.
* The queue holds references: a message is encoded once, and one `bytes` object stands in every queue.
* What the policies do when the queue is full: `cut` ends the connection, `oldest` drops from the front, `newest`
  refuses what comes, `latest` keeps the newest message per key, and drops from the front if those are too many.
* A gap stands behind the last message of its topic that is delivered, and before the next one.
* All queues of a server together hold at most `push_queue` bytes of messages (`Waiting`): the slowest is cut first.

Every change of `state` is a row of DELIVERY (`protocol.states`). That a subscriber chooses what happens when it is slow
is ours: NATS and Redis cut, ZeroMQ drops in silence.
Not here: which topics there are (`libserver.topics`), sockets (`eventloop.transport`).
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from eventloop import Transport
from protocol.push import Gap, encode_gap
from protocol.states import (
    ABOVE_HIGH,
    CAUGHT_UP,
    CONNECTION_ENDED,
    CURRENT,
    DELIVERY,
    DROPPING,
    GAPS_SENT,
    MISSED_SOME,
    OVER,
    OVERRUN,
    QUEUE_FULL,
    REPLY_OWED,
    UNSUBSCRIBED,
    Observer,
    advance,
    begin,
)

__all__ = ["CUT", "LATEST", "NEWEST", "OLDEST", "POLICIES", "Item", "Subscriber", "Subscription", "Waiting"]

#: What happens to a subscriber whose queue is full.
CUT, OLDEST, NEWEST, LATEST = "cut", "oldest", "newest", "latest"
POLICIES = (CUT, OLDEST, NEWEST, LATEST)

#: Bytes given to a subscriber that catches up before others have their turn.
PER_TURN = 256 * 1024


class Item:
    """A message of a topic: the event's bytes, which all queues share. `queues`: in how many it waits."""

    __slots__ = ("_keys", "frame", "queues", "seq", "topic")

    def __init__(self, topic: str, seq: int | str, frame: bytes) -> None:
        self.topic = topic
        self.seq = seq
        self.frame = frame
        self.queues = 0
        self._keys: dict[str | None, object] | None = None

    def content(self) -> dict[str, object]:
        """The event's content: `topic`, `seq`, `value`, and `from` where there is one. Decoded at each call."""
        start = 2 + int.from_bytes(self.frame[:2], "big")
        content: dict[str, object] = json.loads(self.frame[start:])
        return content

    def key(self, field: str | None) -> object:
        """What `latest` compares: the value's member `field`, as JSON; of a value without one, None."""
        if field is None:
            return None
        if self._keys is None:
            self._keys = {}
        if field not in self._keys:
            value = self.content()["value"]
            member = value.get(field) if isinstance(value, dict) else None
            self._keys[field] = None if member is None else json.dumps(member, sort_keys=True)
        return self._keys[field]


class Waiting:
    """What waits in all queues of a server, in bytes; and who waits, the one that has for longest first."""

    __slots__ = ("behind", "size")

    def __init__(self) -> None:
        self.size = 0
        self.behind: dict[Subscription, None] = {}

    @property
    def slowest(self) -> Subscription | None:
        """Who waits for longest of those that hold messages: the others may owe a reply alone, and are not slow."""
        return next((one for one in self.behind if len(one)), None)

    def hold(self, entries: Iterable[Item | Gap], queues: int) -> None:
        """Those of them that are messages stand in so many more queues."""
        for item in entries:
            if not isinstance(item, Item):
                continue
            if not item.queues:
                self.size += len(item.frame)
            item.queues += queues

    def release(self, item: Item) -> None:
        """It stands in one queue less."""
        item.queues -= 1
        if not item.queues:
            self.size -= len(item.frame)


class Subscriber(Protocol):
    """A connection that subscribes: a `libserver.message.Message`."""

    transport: Transport
    state: str

    @property
    def observer(self) -> Observer | None: ...

    @property
    def delivers(self) -> bool:
        """May an event be sent to it now? It is open, has room, and no reply must leave first."""

    def overrun(self, topic: str) -> None:
        """It reads too slowly for its subscription to `topic`, and is to be cut."""


class Subscription:
    """One subscriber's interest in `topic`, a topic's name or a pattern.

    `state` is DELIVERY's. `queue` holds what waits, messages and gaps; it is None while the state is CURRENT. `limit`
    is how many messages may wait.
    """

    __slots__ = (
        "_gaps",
        "_messages",
        "_open",
        "_waiting",
        "key",
        "limit",
        "queue",
        "slow",
        "state",
        "subscriber",
        "topic",
    )

    state: str

    def __init__(
        self, topic: str, subscriber: Subscriber, waiting: Waiting, slow: str, key: str | None, limit: int
    ) -> None:
        self.topic = topic
        self.subscriber = subscriber
        self.slow = slow
        self.key = key
        self.limit = limit
        self.queue: deque[Item | Gap] | None = None
        self._waiting = waiting
        self._messages = 0  # in the queue
        self._gaps = 0  # in the queue
        self._open: dict[str, Gap] = {}  # by topic the gap at the end of what waits, which grows
        begin(self, DELIVERY, CURRENT)

    @property
    def observer(self) -> Observer | None:
        return self.subscriber.observer

    def __len__(self) -> int:
        """Messages that wait."""
        return self._messages

    # --- in ------------------------------------------------------------------------------

    def replay(self, missed: Sequence[Item | Gap]) -> None:
        """It has just begun, and missed these: they come first. They may be more than its limit."""
        items = [entry for entry in missed if isinstance(entry, Item)]
        if self.queue is None:
            self._fall_behind(MISSED_SOME)
        assert self.queue is not None
        self.queue.extendleft(reversed(missed))
        self._messages += len(items)
        self._gaps += len(missed) - len(items)
        self.limit = max(self.limit, len(items))
        self._waiting.hold(items, 1)

    def wait_for_reply(self) -> None:
        """A reply must leave before anything that is published from now on."""
        if self.queue is None:
            self._fall_behind(REPLY_OWED)

    def put(self, news: Sequence[Item | Gap], gaps: bool = False) -> None:
        """These were published, and can't be sent to it now. (They are held for it already: `Waiting.hold`.)

        `gaps`: there are some among them, of what a backplane has lost.
        """
        if self.queue is None:
            self._fall_behind(ABOVE_HIGH)
        if gaps or self._open or self.slow == NEWEST:
            self._put_each(news)
        else:
            assert self.queue is not None
            self.queue.extend(news)
            self._messages += len(news)
        if self._messages <= self.limit:
            return
        if self.slow == CUT:
            self.overrun()
            return
        advance(self, DELIVERY, QUEUE_FULL)
        if self.slow == LATEST:
            self._keep_latest()
        if self._messages > self.limit:
            self._drop_oldest(self._messages - self.limit)

    def _put_each(self, news: Sequence[Item | Gap]) -> None:
        before, room = self._messages, self.limit - self._messages
        refused = 0
        for entry in news:
            if isinstance(entry, Gap):
                self._append_gap(entry)
            elif self.slow == NEWEST and self._messages - before >= room:
                refused += 1
                self._leave_out(entry)
            else:
                self._append(entry)
        if refused:
            advance(self, DELIVERY, QUEUE_FULL)

    def _fall_behind(self, why: str) -> None:
        advance(self, DELIVERY, why)
        self.queue = deque()
        self._waiting.behind[self] = None

    def _append(self, item: Item) -> None:
        assert self.queue is not None
        self.queue.append(item)
        self._messages += 1
        if self._open:
            self._open.pop(item.topic, None)  # a gap can't grow over a message that is delivered

    def _append_gap(self, gap: Gap) -> None:
        """It stands at the end, or makes the one that stands there grow."""
        assert self.queue is not None
        open_gap = self._open.get(gap.topic)
        if open_gap is not None:
            _grow(open_gap, gap.last, gap.dropped)
            return
        self._open[gap.topic] = own = Gap(gap.topic, gap.first, gap.last, gap.dropped)
        self.queue.append(own)
        self._gaps += 1

    def _leave_out(self, item: Item) -> None:
        """It would stand at the end: a gap grows over it there."""
        self._waiting.release(item)
        self._append_gap(Gap(item.topic, item.seq, item.seq, 1))

    def _drop_oldest(self, count: int) -> None:
        """From the front: of each topic one gap stands there instead."""
        queue = self.queue
        assert queue is not None
        gaps: dict[str, Gap] = {}
        while count:
            entry = queue.popleft()
            if isinstance(entry, Item):
                count -= 1
                self._messages -= 1
                self._waiting.release(entry)
            else:
                self._gaps -= 1
            _cover(gaps, entry)
        while queue and isinstance(entry := queue[0], Gap):  # which would else stand behind one of its own topic
            queue.popleft()
            self._gaps -= 1
            _cover(gaps, entry)
        self._gaps += len(gaps)
        queue.extendleft(reversed(gaps.values()))
        if self._open:
            self._open = {topic: gap for topic, gap in self._open.items() if any(gap is entry for entry in queue)}

    def _keep_latest(self) -> None:
        """Of the messages with one key only the newest stays; gaps stand in the others' places."""
        queue = self.queue
        assert queue is not None
        seen: set[tuple[str, object]] = set()
        stale: set[Item] = set()
        for entry in reversed(queue):
            if isinstance(entry, Item):
                key = entry.topic, entry.key(self.key)
                if key in seen:
                    stale.add(entry)
                seen.add(key)
        if not stale:
            return
        kept: deque[Item | Gap] = deque()
        gaps: dict[str, Gap] = {}
        self._gaps = 0
        for entry in queue:
            if isinstance(entry, Item) and entry not in stale:
                kept.append(entry)
                gaps.pop(entry.topic, None)
                continue
            if isinstance(entry, Item):
                self._messages -= 1
                self._waiting.release(entry)
            if _cover(gaps, entry):
                kept.append(gaps[entry.topic])
                self._gaps += 1
        self.queue = kept
        self._open.clear()

    # --- out -----------------------------------------------------------------------------

    def send_on(self) -> bool:
        """Send what waits, as far as it may be sent now; is there more that may be, in another turn?"""
        if self.queue is None:
            return False
        transport = self.subscriber.transport
        left = PER_TURN
        while self.queue and left > 0 and self.subscriber.delivers:
            left -= self._send(transport, min(left, transport.marks.low or transport.marks.high))
        if not self._gaps and self.state is DROPPING:
            advance(self, DELIVERY, GAPS_SENT)
        if self.queue:
            return self.subscriber.delivers
        if self.subscriber.delivers:  # else it is behind yet: a reply is owed, or it was just now paused
            advance(self, DELIVERY, CAUGHT_UP)
            self._forget_queue()
        return False

    def _send(self, transport: Transport, most: int) -> int:
        """Messages of about so many bytes, or one; how many bytes that were. By reference: they are not copied."""
        queue = self.queue
        assert queue is not None
        frames: list[bytes] = []
        size = 0
        while queue and size < most:
            entry = queue.popleft()
            if isinstance(entry, Item):
                self._messages -= 1
                self._waiting.release(entry)
                frame = entry.frame
            else:
                self._gaps -= 1
                if self._open.get(entry.topic) is entry:
                    del self._open[entry.topic]
                frame = encode_gap(entry)
            frames.append(frame)
            size += len(frame)
        transport.writelines(frames)
        return size

    # --- ending --------------------------------------------------------------------------

    def overrun(self) -> None:
        """Cut it: its queue is full, or all queues together are."""
        advance(self, DELIVERY, OVERRUN)
        self._forget_queue()
        self.subscriber.overrun(self.topic)

    def unsubscribe(self) -> None:
        """It wants no more: what waits is forgotten."""
        advance(self, DELIVERY, UNSUBSCRIBED)
        self._forget_queue()

    def connection_ended(self) -> None:
        """Nothing more can be sent."""
        if self.state is not OVER:
            advance(self, DELIVERY, CONNECTION_ENDED)
            self._forget_queue()

    def _forget_queue(self) -> None:
        for entry in self.queue or ():
            if isinstance(entry, Item):
                self._waiting.release(entry)
        self.queue = None
        self._messages = self._gaps = 0
        self._open.clear()
        self._waiting.behind.pop(self, None)

    def __repr__(self) -> str:
        return f"<Subscription to {self.topic!a} {self.state} {self._messages} waiting>"


def _grow(gap: Gap, last: int | str, dropped: int | None) -> None:
    gap.last = last
    gap.dropped = None if gap.dropped is None or dropped is None else gap.dropped + dropped


def _cover(gaps: dict[str, Gap], entry: Item | Gap) -> bool:
    """Have its topic's gap cover it too; is that a new one?"""
    first, last, dropped = (
        (entry.seq, entry.seq, 1) if isinstance(entry, Item) else (entry.first, entry.last, entry.dropped)
    )
    gap = gaps.get(entry.topic)
    if gap is not None:
        _grow(gap, last, dropped)
        return False
    gaps[entry.topic] = Gap(entry.topic, first, last, dropped)
    return True
