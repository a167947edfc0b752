"""Which mistakes do servers make with what they send unasked?

Not here: replies (`replies`), ends and time (`flow`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

from eventloop import Transport
from libserver import message, subscription, topics
from libserver.reasons import CloseReason
from libserver.subscription import CUT, LATEST, NEWEST, OLDEST, Item, Subscription
from libserver.topic import Topic
from libserver.topics import Topics
from protocol import push
from protocol.push import Gap
from suites.conformance.wire import framed, take

from .flow import BLOCKING
from .registry import broken, replace
from .replies import write_otherwise

Those = Collection[Subscription]
Deliver = Callable[[Topics, Those, list[Item]], None]


def deliver_otherwise(change: Callable[[Deliver], Deliver]) -> None:
    """Have another function send a topic's messages of a turn to its subscribers; it is made of the right one."""
    Topics._deliver = change(Topics._deliver)  # type: ignore[method-assign]


def subscribe_otherwise(change: Callable[[Topics, str, dict[str, Any]], object]) -> None:
    """Have `change` see what a subscription is asked for with, before it is looked at."""
    subscribe = Topics.subscribe

    def changed(self: Topics, listener: Any, name: str, *arguments: Any, **fields: Any) -> dict[str, Any]:
        change(self, name, fields)
        return subscribe(self, listener, name, *arguments, **fields)

    Topics.subscribe = changed  # type: ignore[method-assign]


def with_fields(frame: bytes, **more: object) -> bytes:
    """A message with more fields in its header."""
    taken = take(bytearray(frame))
    assert taken is not None
    return framed({**taken[1], **more}, taken[2])


def write(one: Subscription, data: bytes) -> None:
    one.subscriber.transport.write(data)


def joined(items: Sequence[Item]) -> bytes:
    return b"".join(item.frame for item in items)


# --- among replies -------------------------------------------------------------------------------


@broken(
    "event-for-a-reply",
    "who publishes gets an event in place of the reply",
    "servers that tell all of a room, and forget who asked",
    "TO3",
)
def event_for_a_reply() -> None:
    def told(self: message.Message, replies: list[Any]) -> list[Any]:
        return [with_fields(one, event="message") if b'"subscribers": ' in one else one for one in replies]

    write_otherwise(told)


@broken(
    "event-before-its-reply",
    "an event leaves before the reply to the request that caused it",
    "servers that write to all subscribers inside the handler",
    "TO25",
)
def event_before_its_reply() -> None:
    publish = Topics._publish

    def at_once(self: Topics, *arguments: Any) -> Any:
        receipt = publish(self, *arguments)
        self._flush()
        return receipt

    Topics._publish = at_once  # type: ignore[method-assign]


@broken(
    "event-overtakes",
    "an event overtakes the reply to its own publish, which waits for a slow one before it",
    "an event loop's replies queue, and events that know nothing of it",
    "TO25.3",
    options=BLOCKING,
)
def event_overtakes() -> None:
    message.Message._hold_events = lambda self, reply: None  # type: ignore[method-assign]


@broken(
    "event-inside-a-reply",
    "an event is sent while a reply is on its way, and stands in the middle of it",
    "urgent messages put at the head of the output buffer; two writers to one socket",
    "TO27",
)
def event_inside_a_reply() -> None:
    def ahead(transport: Transport, data: bytes) -> None:
        busy = transport._busy
        if busy is None or not busy.parts:
            transport.write(data)
        else:
            busy.parts.appendleft(memoryview(data))
            busy.queued += len(data)

    def first(self: Topics, those: Those, items: list[Item]) -> None:
        for one in those:
            ahead(one.subscriber.transport, joined(items))

    deliver_otherwise(lambda deliver: first)


@broken(
    "events-to-all",
    "events go to every connection that is kept alive, subscribed or not",
    "the chat server of every tutorial: for client in clients",
    "TO17",
)
def events_to_all() -> None:
    def to_all(self: Topics, those: Those, items: list[Item]) -> None:
        server: Any = next(iter(those)).subscriber
        for connection in [*server.server.connections]:
            connection.transport.write(joined(items))

    deliver_otherwise(lambda deliver: to_all)


# --- once, in order ------------------------------------------------------------------------------


@broken("event-twice", "every event is sent twice", "a retry without a number; two subscriptions that match", "TO24")
def event_twice() -> None:
    def twice(deliver: Deliver) -> Deliver:
        return lambda self, those, items: deliver(self, those, [item for item in items for _ in range(2)])

    deliver_otherwise(twice)


@broken(
    "events-out-of-order",
    "two events that leave together leave in the wrong order",
    "a worker for each message, and a stack where a queue was meant",
    "TO24",
)
def events_out_of_order() -> None:
    def reversed_(deliver: Deliver) -> Deliver:
        return lambda self, those, items: deliver(self, those, items[::-1])

    deliver_otherwise(reversed_)


@broken(
    "event-lost",
    "of many events that leave together one is lost, and no gap says so",
    "PUBLISH in Redis, ZeroMQ's high-water mark: at most once, in silence",
    "TO26",
)
def event_lost() -> None:
    def but_one(deliver: Deliver) -> Deliver:
        return lambda self, those, items: deliver(self, those, items[:3] + items[4:])

    deliver_otherwise(but_one)


@broken(
    "seq-skips",
    "a number is skipped, and no gap says so",
    "sequences of databases, which lose numbers when a transaction fails",
    "TO24.2",
)
def seq_skips() -> None:
    publish = Topics._publish

    def skipping(self: Topics, name: str, content: bytes, sender: str | None) -> Any:
        topic = self.use(name)
        if topic.seq % 7 == 6:
            topic.seq += 1
        return publish(self, name, content, sender)

    Topics._publish = skipping  # type: ignore[method-assign]


@broken(
    "bytes-per-subscriber",
    "each subscriber gets bytes of its own for the same message",
    "servers that encode once per client",
    "TO23",
)
def bytes_per_subscriber() -> None:
    def each_its_own(self: Topics, those: Those, items: list[Item]) -> None:
        for number, one in enumerate(those):
            write(one, b"".join(with_fields(item.frame, copy=number) for item in items))

    deliver_otherwise(lambda deliver: each_its_own)


@broken(
    "event-with-an-id",
    "events have the id of the request that subscribed, as if they answered it",
    "JSON-RPC servers whose notifications are replies that go on (GraphQL over WebSocket has it so)",
    "TO20.1",
)
def event_with_an_id() -> None:
    def answering(self: Topics, those: Those, items: list[Item]) -> None:
        for one in those:
            write(one, b"".join(with_fields(item.frame, id=1) for item in items))

    deliver_otherwise(lambda deliver: answering)


# --- subscriptions -------------------------------------------------------------------------------


@broken(
    "event-after-unsubscribe",
    "what was published before an unsubscribe is sent behind its reply",
    "an unsubscribe that ends what is to come, and forgets what is under way",
    "TO4",
)
def event_after_unsubscribe() -> None:
    unsubscribe = Topics.unsubscribe

    def late(self: Topics, listener: Any, name: str) -> None:
        topic = self._topics.get(name)
        under_way = joined(topic.fresh) if topic is not None else b""
        unsubscribe(self, listener, name)
        if under_way and self._loop is not None:
            self._loop.call_later(0.01, listener.transport.write, under_way)

    Topics.unsubscribe = late  # type: ignore[method-assign]


@broken(
    "unsubscribe-ignored",
    "an unsubscribe is answered, and nothing ends",
    "a name that is compared with what is kept in another form",
    "TO4.2",
)
def unsubscribe_ignored() -> None:
    Topics._remove = lambda self, one: None  # type: ignore[method-assign]
    Subscription.unsubscribe = lambda self: None  # type: ignore[method-assign]


@broken(
    "one-shot-subscribes",
    "a connection that is not kept alive may subscribe",
    "servers that look at the action and not at the connection",
    "TO16.1",
)
def one_shot_subscribes() -> None:
    message.Message.keeps_alive = property(lambda self: True)  # type: ignore[assignment,method-assign]


@broken(
    "star-takes-all-levels",
    "a subscription to a/* takes a/b/c",
    "fnmatch and SQL's LIKE, whose stars know no levels",
    "TO13.1",
)
def star_takes_all_levels() -> None:
    replace(push.matches, lambda pattern, topic: topic.startswith(pattern.rstrip("*")))


@broken(
    "pattern-takes-what-is-there",
    "a subscription to a/** takes the topics that there are, and none that comes",
    "a pattern that is resolved once, when it is asked for (Kafka's clients find new topics minutes later)",
    "TO13.2",
)
def pattern_takes_what_is_there() -> None:
    use = Topics.use

    def without_patterns(self: Topics, name: str) -> Topic:
        patterns, self._patterns = self._patterns, {}
        try:
            return use(self, name)
        finally:
            self._patterns = patterns

    Topics.use = without_patterns  # type: ignore[method-assign]


@broken(
    "overlap-granted",
    "two subscriptions of one connection take the same topic, and each message comes twice",
    "MQTT 3.1.1, 3.3.5: a server may deliver further copies",
    "TO14.1",
)
def overlap_granted() -> None:
    replace(push.overlap, lambda one, other: False)


@broken(
    "members-stay",
    "a connection that has ended is a subscriber for ever",
    "sets of clients out of which only a clean goodbye takes one",
    "TO7",
)
def members_stay() -> None:
    Topics.forget = lambda self, listener: None  # type: ignore[method-assign]


@broken(
    "options-unchecked",
    "a subscription is granted whatever its `slow` and `limit` say",
    "options that are looked up with a default",
    "TO10.13",
)
def options_unchecked() -> None:
    replace(topics._check_options, lambda slow, key, limit, since, shared: None)


@broken(
    "history-newest-first",
    "the history begins with the newest message",
    "ORDER BY id DESC LIMIT n",
    "TO6",
)
def history_newest_first() -> None:
    history = Topics.history

    def backwards(self: Topics, name: str, limit: int | None = None) -> dict[str, Any]:
        said = history(self, name, limit)
        return {**said, "messages": said["messages"][::-1]}

    Topics.history = backwards  # type: ignore[method-assign]


@broken(
    "subscriber-is-idle",
    "a subscriber to whom nothing is said is closed as idle",
    "proxies with a read timeout (nginx's proxy_read_timeout before WebSockets)",
    "TO29",
    options=("--idle-timeout", "1s"),
)
def subscriber_is_idle() -> None:
    subscribe = Topics.subscribe

    def timed(self: Topics, listener: Any, *arguments: Any, **fields: Any) -> dict[str, Any]:
        assert self._loop is not None
        self._loop.call_later(1.0, lambda: listener.idle and listener.release(CloseReason.IDLE_TIMEOUT))
        return subscribe(self, listener, *arguments, **fields)

    Topics.subscribe = timed  # type: ignore[method-assign]


# --- since -----------------------------------------------------------------------------------------


@broken("since-ignored", "what a subscriber has missed is not sent", "servers that only ever say what is new", "TO40.2")
def since_ignored() -> None:
    subscribe_otherwise(lambda self, name, fields: fields.update(since=None))


@broken(
    "since-includes",
    "the message that a since names is sent again",
    "at or after, where after was meant: >= for >",
    "TO40.2",
)
def since_includes() -> None:
    missed = Topic.missed
    Topic.missed = lambda self, since: missed(self, max(since - 1, 0))  # type: ignore[method-assign]


@broken(
    "forgotten-unsaid",
    "what is no longer remembered is left out, and no gap says so",
    "a ring buffer that is read from where it begins",
    "TO41",
)
def forgotten_unsaid() -> None:
    def remembered(self: Topic, since: int) -> list[Item | Gap]:
        return [item for item in self.history if item.seq > since]

    Topic.missed = remembered  # type: ignore[method-assign]


@broken(
    "newer-first",
    "what was missed is fetched, and what is published meanwhile overtakes it",
    "a history that is read from a database while the subscription is live already",
    "TO42.2",
)
def newer_first() -> None:
    replay = Subscription.replay

    def later(self: Subscription, missed: Sequence[Item | Gap]) -> None:
        def fetched() -> None:
            if self.queue is None and not self.subscriber.transport.closed:
                replay(self, missed)
                self.send_on()

        self.subscriber.transport.loop.call_later(0.02, fetched)

    Subscription.replay = later  # type: ignore[method-assign]


@broken(
    "epoch-missing",
    "the reply to subscribe has no epoch",
    "numbers that begin anew when the server does, and nobody can tell",
    "TO2",
)
def epoch_missing() -> None:
    subscribe = Topics.subscribe

    def without(self: Topics, *arguments: Any, **fields: Any) -> dict[str, Any]:
        begun = subscribe(self, *arguments, **fields)
        return {name: value for name, value in begun.items() if name != "epoch"}

    Topics.subscribe = without  # type: ignore[method-assign]


@broken(
    "epoch-not-looked-at",
    "a since of another epoch is taken for one of this",
    "an offset that is believed whatever log it is of",
    "TO43",
)
def epoch_not_looked_at() -> None:
    def believe(self: Topics, name: str, fields: dict[str, Any]) -> None:
        if fields.get("since") is not None and name in self._topics:
            fields["since"] = self._topics[name].epoch, fields["since"][1]

    subscribe_otherwise(believe)


# --- gaps -------------------------------------------------------------------------------------------


def say_gaps_otherwise(change: Callable[[dict[str, Any]], None]) -> None:
    """Have `change` see what each gap says before it is sent."""
    encode_gap = push.encode_gap

    def changed(gap: Gap) -> bytes:
        taken = take(bytearray(encode_gap(gap)))
        assert taken is not None
        said = json.loads(taken[2])
        change(said)
        content = json.dumps(said).encode()
        return framed({**taken[1], "content-length": len(content)}, content)

    replace(encode_gap, changed)


@broken("gap-without-from", "a gap says where it ends, and not where it begins", "offsets told by their end", "TO41")
def gap_without_from() -> None:
    say_gaps_otherwise(lambda said: said.pop("from"))


@broken(
    "gap-one-short",
    "a gap ends one message too early: off by one",
    "half-open and closed ranges, mixed",
    "TO41",
)
def gap_one_short() -> None:
    say_gaps_otherwise(lambda said: said.update(to=said["to"] - 1))


@broken(
    "gap-counts-one-more",
    "a gap counts one message more than it covers",
    "to - from + 1, forgotten or done twice",
    "TO50",
)
def gap_counts_one_more() -> None:
    say_gaps_otherwise(lambda said: said["dropped"] and said.update(dropped=said["dropped"] + 1))


# --- slow readers -----------------------------------------------------------------------------------


def take_for(asked: str, granted: str) -> None:
    """Give a subscription another policy than it has asked for."""
    subscribe_otherwise(
        lambda self, name, fields: fields.get("slow") == asked and fields.update(slow=granted, key=None)
    )


@broken(
    "oldest-unsaid",
    "messages are dropped for a slow reader, and no gap says so",
    "ZeroMQ's PUB sockets",
    "TO50",
)
def oldest_unsaid() -> None:
    drop_oldest = Subscription._drop_oldest

    def in_silence(self: Subscription, count: int) -> None:
        drop_oldest(self, count)
        while self.queue and isinstance(self.queue[0], Gap):
            self.queue.popleft()
            self._gaps -= 1

    Subscription._drop_oldest = in_silence  # type: ignore[method-assign]


@broken(
    "newcomer-is-slow",
    "who comes back in a busy turn is taken for a slow reader, and cut",
    "ours, found by TO42.3: what was missed stood in the queue whose limit is for those who do not read",
    "TO42.3",
)
def newcomer_is_slow() -> None:
    flush = Topics._flush

    def missed_last(self: Topics) -> None:
        starting, self._starting = self._starting, []
        flush(self)
        for one in starting:
            self._send_on(one)

    Topics._flush = missed_last  # type: ignore[method-assign]


@broken(
    "gap-of-all-topics",
    "one gap stands for what was dropped of several topics",
    "a counter per connection (NATS: slow consumer, messages dropped)",
    "TO50.2",
)
def gap_of_all_topics() -> None:
    cover = subscription._cover

    def all_in_one(gaps: dict[str, Gap], entry: Item | Gap) -> bool:
        return False if gaps and entry.topic not in gaps else cover(gaps, entry)

    replace(cover, all_in_one)


@broken("newest-drops-oldest", "newest drops from the front", "the two ends of a queue, confused", "TO51")
def newest_drops_oldest() -> None:
    take_for(NEWEST, OLDEST)


@broken(
    "oldest-refuses-newest",
    "oldest refuses what comes",
    "a bounded queue's put_nowait, as every library has it",
    "TO50",
)
def oldest_refuses_newest() -> None:
    take_for(OLDEST, NEWEST)


@broken(
    "latest-forgets-keys",
    "latest drops the oldest, though they are the newest of their keys",
    "conflation that knows no keys",
    "TO52.4",
)
def latest_forgets_keys() -> None:
    take_for(LATEST, OLDEST)


@broken(
    "slow-is-kept",
    "a slow reader that asked to be cut is kept, and loses messages",
    "servers with one policy for all",
    "TO53.1",
)
def slow_is_kept() -> None:
    take_for(CUT, OLDEST)


@broken(
    "slow-holds-up-all",
    "while one subscriber reads slowly, the others' messages wait too",
    "one queue for all subscribers of a topic",
    "TO54",
)
def slow_holds_up_all() -> None:
    def together(deliver: Deliver) -> Deliver:
        def held_up(self: Topics, those: Those, items: list[Item]) -> None:
            if any(not one.subscriber.delivers for one in those):
                self.waiting.hold(items, len(those))
                for one in those:
                    one.put(items)
            else:
                deliver(self, those, items)

        return held_up

    deliver_otherwise(together)
