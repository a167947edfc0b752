"""How does a message reach everybody who wants to know?

    publish        encodes it once, keeps it in the topic's history, and notes the topic
    the turn's end each noted topic's messages of this turn are joined once, and sent to each subscriber in one send

so the work is done once per message, and once per subscriber and turn. Who does not take it has its own queue
(`libserver.subscription`), and costs the others nothing.

    topics = Topics()
    actions = Actions(topics=topics)

    @actions.add("say")
    def say(request, session):
        session.subscribe("room/lobby", slow="oldest")
        topics.publish("room/lobby", {"text": request["text"]}, sender=session.name)

Rules:

* `seq` rises by one per topic. `epoch` is new whenever a topic begins anew: after a restart, or when it had been
  forgotten. A `since` of another epoch is answered by a gap whose size is not known.
* A topic exists from its first message or subscriber on. When there are `max_topics`, the one without subscribers
  that was used longest ago is forgotten; if all have some, no other can be made.
* A handler's own reply leaves before the events that it caused: those leave at the turn's end; and where the
  reply itself waits for others, this subscriber's events wait for the reply.
* `publish` may be called from any thread. All else belongs to the loop's.
* With a backplane topics are those of all servers that have the same: what is published goes there, and what comes
  from there is sent to the subscribers here. Then `seq` is text, and numbers of subscribers are this server's.

Not here: the bytes (`protocol.push`), one subscriber's queue (`libserver.subscription`), the actions that clients
call (`libserver.topic_actions`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from eventloop import EventLoop
from protocol.content import encode_json
from protocol.errors import BadRequest
from protocol.push import Gap, encode_begun, encode_gap, is_pattern, is_topic, matches, overlap
from protocol.shown import shown
from protocol.states import OPEN, OVER

from .action_error import ActionError
from .limits import ServerLimits
from .notices import Notices
from .redis_backplane import RedisBackplane, is_id
from .session import Session
from .sharing import Answer, Sharing
from .subscription import CUT, LATEST, POLICIES, Item, Subscriber, Subscription, Waiting
from .topic import Topic, as_number, count_missed, is_later

__all__ = ["Receipt", "Topics"]

#: Messages that may wait for a subscriber that names no limit.
DEFAULT_LIMIT = 1000

#: What `may` is asked about.
SUBSCRIBE, PUBLISH, HISTORY = "subscribe", "publish", "history"


#: Given a session, what it is about to do, and a topic or pattern: may it?
May = Callable[[Session, str, str], bool]


class Receipt(NamedTuple):
    """What became of a message: its number in its topic, and to how many it goes."""

    seq: int
    subscribers: int


class Listener(Subscriber, Protocol):
    """A subscriber with its subscriptions, by topic or pattern; None for none."""

    subscriptions: dict[str, Subscription] | None

    @property
    def keeps_alive(self) -> bool:
        """Is its connection kept alive, with no end ahead?"""

    @property
    def owes_reply_first(self) -> bool:
        """Must a reply leave before any event?"""

    def session(self) -> Session: ...


class Topics:
    """The topics of one server. Give them to its `Actions`: `Actions(topics=Topics())`.

    `may(session, verb, topic)` says who may: `verb` is "subscribe", "publish" or "history", and `topic` a name or, to
    subscribe, a pattern. Without it everybody may everything. `new_epoch` makes the word for a topic's epoch.
    `backplane` shares them with other servers (`libserver.redis_backplane`).
    Limits are the server's (`ServerLimits`: from `history` to `push_queue`).
    """

    def __init__(
        self,
        may: Callable[[Session, str, str], bool] | None = None,
        new_epoch: Callable[[], str] = lambda: os.urandom(6).hex(),
        backplane: RedisBackplane | None = None,
    ) -> None:
        self._may = may
        self._backplane = backplane
        self._sharing = None if backplane is None else Sharing(self, backplane)
        self._restrictions: list[tuple[str, May]] = []
        self._new_epoch = new_epoch
        self._limits = ServerLimits()
        self._topics: dict[str, Topic] = {}  # the one that was used longest ago first
        self._patterns: dict[str, dict[Subscription, None]] = {}
        self._loop: EventLoop | None = None
        self._acting = threading.local()
        self._failed: Callable[[object, Exception], None] | None = None
        self._published: dict[Topic, None] = {}  # in this turn
        self._starting: list[Subscription] = []  # have something to be sent at the turn's end
        self._flushes = False  # at the turn's end
        self.waiting = Waiting()

    def attach(
        self,
        loop: EventLoop,
        limits: ServerLimits,
        failed: Callable[[object, Exception], None],
        notices: Notices,
    ) -> None:
        """From the server that they are for. `failed(connection, error)` hears of a bug met on one.

        Raises `ValueError` if they are another one's.
        """
        if self._loop is not None:
            raise ValueError("these Topics belong to another server: give each its own, or a backplane")
        self._loop = loop
        self._limits = limits
        self._failed = failed
        if self._backplane is not None and self._sharing is not None:
            self._backplane.attach(loop, self._sharing, notices, limits.history)

    def detach(self, loop: EventLoop) -> None:
        """The server with this loop has closed. What is published from now on is remembered alone."""
        if self._loop is loop:
            self._loop = None
            if self._backplane is not None:
                self._backplane.detach()

    @property
    def shared(self) -> bool:
        """Are they those of several servers? Then most answers come later: see `subscribe_later` and the like."""
        return self._backplane is not None

    def restrict(self, pattern: str, may: Callable[[Session, str, str], bool]) -> None:
        """Of the topics that `pattern` takes (`a/*`, `a/**`) ask `may` as well, and of each pattern that takes some.

        So a part of a program keeps its own topics, whatever the whole allows. Raises `ValueError` for no pattern.
        """
        if not is_pattern(pattern):
            raise ValueError(f"{pattern!r} is no pattern: write such as chat/**")
        self._restrictions.append((pattern, may))

    # --- publishing ----------------------------------------------------------------------

    def publish(self, topic: str, value: object, sender: str | None = None) -> Receipt | None:
        """Send `value`, which JSON must carry, to all subscribers of `topic`. `sender`: who says so.

        From another thread, a blocking action's for one, it is handed to the loop, and with a backplane to that: then
        None is returned. Raises `TypeError` or `ValueError` for what JSON can't carry, `ActionError` for a bad name,
        one topic too many, or `unavailable` if the backplane is.
        """
        if topic not in self._topics:
            self._check_topic(topic)
        content = encode_json(value)
        if self._loop is not None and self._is_elsewhere():
            hold = getattr(self._acting, "hold", None)
            self._loop.call_soon_threadsafe(self._publish_handed_over, topic, content, sender, hold)
            return None
        return self._publish(topic, content, sender)

    def _publish_handed_over(
        self, topic: str, content: bytes, sender: str | None, hold: Callable[[], object] | None
    ) -> None:
        try:
            if hold is not None:
                hold()
            self._publish(topic, content, sender)
        except ActionError:
            pass  # one topic too many: nobody waits for the answer

    def _publish(self, name: str, content: bytes, sender: str | None) -> Receipt | None:
        if self._sharing is not None:
            self._sharing.publish(name, content, sender)
            return None
        topic = self.use(name)
        topic.seq = seq = as_number(topic.seq) + 1
        item = Item(name, seq, encode_begun(topic.begin, seq, content, sender))
        topic.remember(item, self._limits.history, self._limits.history_bytes)
        if topic.subscriptions or topic.newcomers:
            topic.fresh.append(item)
            self.deliver_soon(topic)
        return Receipt(seq, len(topic.subscriptions) + len(topic.newcomers))

    def on_behalf(self, hold: Callable[[], object], call: Callable[[], object]) -> Callable[[], object]:
        """`call`, to be run in a thread for a request: what it publishes calls `hold` first, on the loop."""

        def run() -> object:
            self._acting.hold = hold
            try:
                return call()
            finally:
                self._acting.hold = None

        return run

    def _is_elsewhere(self) -> bool:
        """Are we in another thread than the loop's?"""
        return self._loop is not None and self._loop.thread not in (0, threading.get_ident())

    @property
    def unsent(self) -> bool:
        """Something was published, or subscribed to, in this turn, and its events have yet to leave."""
        return self._flushes

    def _flush_soon(self) -> None:
        if not self._flushes and self._loop is not None:
            self._flushes = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """The turn's end: send what it brought to whoever takes it; for the others it waits.

        Before that, what was missed: who has that and reads is no slow reader, whatever `limit` it has named.
        """
        self._flushes = False
        starting, self._starting = self._starting, []
        for subscription in starting:
            self._send_on(subscription)
        published, self._published = self._published, {}
        for topic in published:
            items, topic.fresh = topic.fresh, []
            self._deliver(topic.subscriptions, items)
            newcomers, topic.newcomers = topic.newcomers, {}
            for subscription, known in newcomers.items():
                newer = [entry for entry in items if is_later(_last(entry), known)]
                if newer:
                    self._deliver((subscription,), newer)
                if subscription.state is OVER:
                    continue  # it was cut just now
                if newer or not is_later(known, _last(items[-1])):
                    topic.subscriptions[subscription] = None
                else:
                    topic.newcomers[subscription] = known  # it has seen more at another server
        while self.waiting.size > self._limits.push_queue and (slowest := self.waiting.slowest) is not None:
            self._guard(slowest, Subscription.overrun)

    def _deliver(self, subscriptions: Iterable[Subscription], items: list[Item | Gap]) -> None:
        """To each of them what was published to their topic."""
        first = items[0]
        data = first.frame if len(items) == 1 and isinstance(first, Item) else b"".join(map(_frame, items))
        behind: list[Subscription] = []
        for subscription in subscriptions:
            # As `Subscriber.delivers`, but without its calls: while there is no queue, no reply must leave first.
            if subscription.queue is None and (subscriber := subscription.subscriber).state is OPEN:
                try:
                    if subscriber.transport.offer(data):
                        continue
                except Exception as error:
                    self._met(subscription, error)
                    continue
            if subscription.state is not OVER:  # cut a moment ago, for another topic that its pattern takes
                behind.append(subscription)
        if behind:
            self.waiting.hold(items, len(behind))
            gaps = self._backplane is not None and any(isinstance(entry, Gap) for entry in items)
            for subscription in behind:
                self._guard(subscription, partial(_put, items, gaps=gaps))

    def _send_on(self, subscription: Subscription) -> None:
        def send_on(subscription: Subscription) -> None:
            if subscription.send_on():
                self._starting.append(subscription)
                self._flush_soon()

        self._guard(subscription, send_on)

    def _guard(self, subscription: Subscription, act: Callable[[Subscription], object]) -> None:
        try:
            act(subscription)
        except Exception as error:
            self._met(subscription, error)

    def _met(self, subscription: Subscription, error: Exception) -> None:
        """A bug met on one subscriber: the others get what is theirs."""
        assert self._failed is not None
        self._failed(subscription.subscriber, error)

    # --- subscribing ---------------------------------------------------------------------

    def subscribe(
        self,
        listener: Listener,
        name: str,
        slow: str = CUT,
        key: str | None = None,
        limit: int = DEFAULT_LIMIT,
        since: tuple[str, int | str] | None = None,
    ) -> dict[str, Any]:
        """Have `listener` get what is published to `name`, a topic or a pattern; the reply's result.

        A second subscription to the same name takes the first one's place: without `since` it goes on where that was.
        Raises `ActionError` (`bad-request`, `forbidden`, `overloaded`, `unavailable`). With a backplane epoch, seq and
        missed are not known yet: None.
        """
        if self._sharing is not None:
            self.subscribe_later(listener, name, slow, key, limit, since, lambda result, error: None)
            return {"topic": name, "epoch": None, "seq": None, "missed": None}
        subscription = self._admit(listener, name, slow, key, limit, since)
        if since is None and (known := self._renew(listener, subscription)) is not None:
            return known
        if is_pattern(name):
            for one in self._topics.values():
                if matches(name, one.name):
                    one.add(subscription)
            return {"topic": name, "epoch": None, "seq": None, "missed": 0}
        topic = self.use(name)
        missed: list[Item | Gap] = []
        if since is not None:
            missed = topic.missed(as_number(since[1])) if since[0] == topic.epoch else topic.missed_of_another_epoch()
        topic.add(subscription)
        self.begin(subscription, missed)
        return {"topic": name, "epoch": topic.epoch, "seq": topic.seq, "missed": count_missed(missed)}

    def begin(self, subscription: Subscription, missed: list[Item | Gap]) -> None:
        """What it has missed comes first."""
        if missed:
            subscription.replay(missed)
            self._starting.append(subscription)
            self._flush_soon()

    def _admit(
        self,
        listener: Listener,
        name: str,
        slow: str,
        key: str | None,
        limit: int,
        since: tuple[str, int | str] | None,
    ) -> Subscription:
        """A new subscription of this listener, if it may have one. Raises as `subscribe`."""
        if self._is_elsewhere():
            raise RuntimeError("subscribe on the loop: in a handler that is not declared blocking")
        many = is_pattern(name)
        if not many:
            self._check_topic(name)
        _check_options(slow, key, limit, since, shared=self.shared)
        if since is not None and many:
            raise BadRequest("`since` is of one topic: subscribe to each of them, or to the pattern without it")
        if not listener.keeps_alive:
            raise BadRequest("events need a connection that is kept alive: ask for it in this request's header")
        self.check(listener.session(), SUBSCRIBE, name)
        mine = listener.subscriptions
        again = mine is not None and name in mine
        for other in mine or ():
            if other != name and overlap(name, other):
                raise BadRequest(f"you have a subscription to {shown(other)}, which takes some of the same topics")
        if mine is not None and len(mine) >= self._limits.max_subscriptions + again:
            most = self._limits.max_subscriptions
            raise ActionError("overloaded", f"a connection may have {most} subscriptions (--max-subscriptions)")
        here = self._topics.get(name)
        if not self.shared and here is not None and since is not None and _is_ahead(since, here):
            raise BadRequest(f"`since` is ahead of the topic, which is at {here.seq}")
        if again and since is not None:
            self.unsubscribe(listener, name)
            mine = listener.subscriptions
        if not many:
            self.use(name)  # before anything is changed: it may be one too many
        subscription = Subscription(name, listener, self.waiting, slow, key, limit)
        if listener.owes_reply_first:
            subscription.wait_for_reply()
        if mine is None:
            mine = listener.subscriptions = {}
        if not again or since is not None:
            mine[name] = subscription
        self._flush_soon()  # also where nothing is missed: until then a reply that waits holds its events back
        if many:
            self._patterns.setdefault(name, {})[subscription] = None
        return subscription

    def _renew(self, listener: Listener, subscription: Subscription) -> dict[str, Any] | None:
        """Put it into the place of an older one to the same name, with all that waits there; None if there is none."""
        name = subscription.topic
        mine = listener.subscriptions
        assert mine is not None
        older = mine.get(name)
        if older is None or older is subscription:
            return None
        mine[name] = subscription
        plain = self._topics.get(name)
        for topic in self._topics.values() if plain is None else (plain,):
            topic.replace(older, subscription)
        if name in self._patterns:
            self._patterns[name].pop(older, None)
        waits = [*(older.queue or ())]
        self.begin(subscription, waits)
        older.unsubscribe()
        found = self._topics.get(name)
        if found is None:  # a pattern
            return {"topic": name, "epoch": None, "seq": None, "missed": count_missed(waits)}
        known = found.newcomers.get(subscription)
        news = [entry for entry in found.fresh if known is None or is_later(_last(entry), known)]
        return {"topic": name, "epoch": found.epoch, "seq": found.seq, "missed": count_missed([*waits, *news])}

    def unsubscribe(self, listener: Listener, name: str) -> None:
        """No event of `name` leaves from here on. Raises `BadRequest` if there is no such subscription."""
        mine = listener.subscriptions
        if mine is None or name not in mine:
            raise BadRequest(f"there is no subscription to {shown(name)} on this connection")
        subscription = mine.pop(name)
        if not mine:
            listener.subscriptions = None
        self._remove(subscription)
        subscription.unsubscribe()

    def _remove(self, subscription: Subscription) -> None:
        name = subscription.topic
        if name in self._patterns:
            self._patterns[name].pop(subscription, None)
            if not self._patterns[name]:
                del self._patterns[name]
            for topic in self._topics.values():
                if matches(name, topic.name):
                    self._remove_from(topic, subscription)
        elif name in self._topics:
            self._remove_from(self._topics[name], subscription)

    def _remove_from(self, topic: Topic, subscription: Subscription) -> None:
        topic.remove(subscription)
        if self._sharing is not None and not len(topic):
            self._sharing.unfollow(topic.name)

    def send_on(self, listener: Listener) -> None:
        """It has room again, or the reply that its events waited for has left."""
        for subscription in [*(listener.subscriptions or {}).values()]:
            self._send_on(subscription)

    def forget(self, listener: Listener) -> None:
        """It hears no more: its connection has ended, or is cut."""
        for subscription in (listener.subscriptions or {}).values():
            self._remove(subscription)
            subscription.connection_ended()
        listener.subscriptions = None

    # --- with a backplane ----------------------------------------------------------------

    def publish_later(self, topic: str, value: object, sender: str | None, answer: Answer) -> None:
        """`publish`, with a backplane: `answer(receipt, error)` is called when that has it. Raises as `publish`."""
        assert self._sharing is not None
        self._check_topic(topic)
        self._sharing.publish(topic, encode_json(value), sender, answer)

    def history_later(self, name: str, limit: int | None, answer: Answer) -> None:
        """`history`, with a backplane. Raises `ActionError`."""
        assert self._sharing is not None
        self._check_topic(name)
        most = self._limits.history
        self._sharing.history(name, most if limit is None else min(limit, most), answer)

    def subscribe_later(
        self,
        listener: Listener,
        name: str,
        slow: str,
        key: str | None,
        limit: int,
        since: tuple[str, int | str] | None,
        answer: Answer,
    ) -> None:
        """`subscribe`, with a backplane: `answer(result, error)` once it is known where the topic stands.

        Raises as `subscribe`.
        """
        assert self._sharing is not None
        self._sharing.check()
        subscription = self._admit(listener, name, slow, key, limit, since)
        if since is None and (known := self._renew(listener, subscription)) is not None:
            answer(known, None)
            return

        def begun(result: Any, error: Exception | None) -> None:
            if error is not None and subscription.state is not OVER:
                self.unsubscribe(listener, name)
            answer(result, error)

        self._sharing.subscribe(subscription, since, begun)

    def claim(self, name: str, who: str, connection: str, answer: Answer) -> None:
        """With a backplane: take a name on all servers that have it; see `Sharing.claim`."""
        assert self._sharing is not None
        self._sharing.claim(name, who, connection, answer)

    def release(self, name: str, who: str, connection: str, answer: Answer) -> None:
        """With a backplane: give it back."""
        assert self._sharing is not None
        self._sharing.release(name, who, connection, answer)

    def claimed_by(self, name: str, answer: Answer) -> None:
        """With a backplane: who has it."""
        assert self._sharing is not None
        self._sharing.claimed_by(name, answer)

    def find(self, name: str) -> Topic | None:
        """The topic, if there is one here."""
        return self._topics.get(name)

    def deliver_soon(self, topic: Topic) -> None:
        """What is fresh in it leaves at the turn's end."""
        self._published[topic] = None
        self._flush_soon()

    def is_wanted(self, name: str) -> bool:
        """Does a pattern that has a subscriber take it?"""
        return any(matches(pattern, name) for pattern in self._patterns)

    # --- asking --------------------------------------------------------------------------

    def history(self, name: str, limit: int | None = None) -> dict[str, Any]:
        """The last `limit` messages that are remembered (None: all), the oldest first, with epoch and seq.

        Of a topic that does not exist there are none. Raises `ActionError` for a bad name.
        """
        self._check_topic(name)
        topic = self._topics.get(name)
        if topic is None:
            return {"epoch": None, "seq": 0, "messages": []}
        items = [*topic.history]
        if limit is not None:
            items = items[len(items) - min(limit, len(items)) :]
        messages = [{key: value for key, value in item.content().items() if key != "topic"} for item in items]
        return {"epoch": topic.epoch, "seq": topic.seq, "messages": messages}

    def members(self, name: str) -> dict[str, Any]:
        """How many subscribe to a topic, and the names of those that have one (`Session.name`)."""
        self._check_topic(name)
        found = self._topics.get(name)
        subscribers = [] if found is None else [one.subscriber for one in (*found.subscriptions, *found.newcomers)]
        names = [subscriber.session().name for subscriber in subscribers]  # type: ignore[attr-defined]
        return {"count": len(subscribers), "names": [name for name in names if name is not None]}

    def names(self, prefix: str = "") -> list[dict[str, Any]]:
        """The topics whose names begin with `prefix`, in order, each with its number of subscribers."""
        found = sorted(name for name in self._topics if name.startswith(prefix))
        return [{"topic": name, "subscribers": len(self._topics[name])} for name in found]

    def may(self, session: Session, verb: str, topic: str) -> bool:
        """May it?"""
        if self._may is not None and not self._may(session, verb, topic):
            return False
        return all(may(session, verb, topic) for pattern, may in self._restrictions if overlap(pattern, topic))

    def check(self, session: Session, verb: str, topic: str) -> None:
        """Raises `ActionError` (`forbidden`) if it may not."""
        if not self.may(session, verb, topic):
            raise ActionError("forbidden", f"you may not {_WORDS[verb]} {shown(topic)}")

    # --- topics --------------------------------------------------------------------------

    @staticmethod
    def _check_topic(name: object) -> None:
        if not is_topic(name):
            raise BadRequest("a topic's name has 1 to 200 printable characters, and no level of it is * or **")

    def use(self, name: str) -> Topic:
        """The topic, made if there is none, as the one that was used last."""
        topic = self._topics.pop(name, None)
        if topic is None:
            self._make_room()
            topic = Topic(name, self._new_epoch())
            for pattern, subscriptions in self._patterns.items():
                if matches(pattern, name):
                    topic.subscriptions.update(subscriptions)
        self._topics[name] = topic
        return topic

    def _make_room(self) -> None:
        most = self._limits.max_topics
        if len(self._topics) < most:
            return
        idle = next((name for name, topic in self._topics.items() if not (len(topic) or topic.fresh)), None)
        if idle is None:
            raise ActionError("overloaded", f"all the {most} topics there may be have subscribers (--max-topics)")
        del self._topics[idle]


_WORDS = {SUBSCRIBE: "subscribe to", PUBLISH: "publish to", HISTORY: "read the history of"}


def _is_ahead(since: tuple[str, int | str], topic: Topic) -> bool:
    """Is that a number which this epoch of the topic has not come to?"""
    return since[0] == topic.epoch and is_later(since[1], topic.seq)


def _last(entry: Item | Gap) -> int | str:
    return entry.seq if isinstance(entry, Item) else entry.last


def _frame(entry: Item | Gap) -> bytes:
    return entry.frame if isinstance(entry, Item) else encode_gap(entry)


def _put(items: Sequence[Item | Gap], subscription: Subscription, gaps: bool = False) -> None:
    subscription.put(items, gaps)


def _check_options(slow: object, key: object, limit: object, since: object, shared: bool) -> None:
    """Raises `BadRequest` for what a subscription can't be."""
    if slow not in POLICIES:
        raise BadRequest(f"`slow` is one of {', '.join(POLICIES)}: what is to happen if you read too slowly")
    if key is not None and (slow != LATEST or not isinstance(key, str)):
        raise BadRequest('`key` is the name of a field of the values, with "slow": "latest" alone')
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise BadRequest("`limit` is how many messages may wait for you: at least 1")
    if since is not None:
        epoch, seq = since if isinstance(since, tuple) and len(since) == 2 else (None, None)
        known = is_id(seq) if shared else isinstance(seq, int) and not isinstance(seq, bool) and seq >= 0
        if not isinstance(epoch, str) or not known:
            raise BadRequest('`since` is {"epoch": ..., "seq": ...}, as `subscribe` has answered or a message had it')
