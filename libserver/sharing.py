"""How do topics of several servers come together here?

    publish     goes to the backplane; its answer comes when that has it
    subscribe   asks the backplane where the topic stands, and has it followed from there
    arrived     what any server has published comes back, to this one too, and is sent to the subscribers here

So a server sends nothing that the backplane does not have, and all servers send in the same order.

Rules:

* A topic is followed while it has a subscriber here.
* With `since` a subscriber gets what it missed up to where this server is with the topic; what is behind that comes as
  it comes to all. One that has seen more already, at another server, gets nothing twice.
* While the backplane is away, what needs it is answered `unavailable`, at once.

Not here: Redis (`libserver.redis_backplane`), delivering (`libserver.topics`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from protocol.errors import BadRequest
from protocol.push import Gap, encode_published, is_pattern, matches
from protocol.states import OVER

from .action_error import ActionError
from .redis_backplane import Entry, Located, RedisBackplane, after, before, is_later
from .redis_link import RedisGone
from .subscription import Item, Subscription
from .topic import count_missed

__all__ = ["Answer", "Sharing"]

#: Told the result of an action, or the error in its place.
Answer = Callable[[Any, Exception | None], object]


class LocalTopic(Protocol):
    """One topic of this server: a `libserver.topic.Topic`."""

    epoch: str
    seq: int | str
    fresh: list[Item | Gap]
    newcomers: dict[Subscription, int | str]

    def __len__(self) -> int: ...

    def add(self, subscription: Subscription) -> None: ...

    def remove(self, subscription: Subscription) -> None: ...


T = TypeVar("T", bound=LocalTopic)


class Local(Protocol[T]):
    """This server's subscribers: `libserver.topics.Topics`."""

    def find(self, name: str) -> T | None:
        """The topic, if there is one here."""

    def use(self, name: str) -> T:
        """The topic, made if there is none. Raises `ActionError`: one too many."""

    def deliver_soon(self, topic: T) -> None:
        """What is fresh in it leaves at the turn's end."""

    def begin(self, subscription: Subscription, missed: list[Item | Gap]) -> None:
        """What it has missed comes first."""

    def is_wanted(self, name: str) -> bool:
        """Does a pattern that has a subscriber take it?"""


class Sharing(Generic[T]):
    """Between the topics of this server, `local`, and the backplane."""

    __slots__ = ("_backplane", "_local")

    def __init__(self, local: Local[T], backplane: RedisBackplane) -> None:
        self._local = local
        self._backplane = backplane

    # --- publish and history ---------------------------------------------------------------

    def publish(self, name: str, value: bytes, sender: str | None, answer: Answer | None = None) -> None:
        """Give it to the backplane; `answer` hears its receipt. Raises `ActionError` (`unavailable`)."""

        def done(seq: str | None, error: Exception | None) -> None:
            if answer is None:
                return
            here = self._local.find(name)
            receipt = {"seq": seq, "subscribers": len(here) if here is not None else 0}
            answer(receipt if error is None else None, error and _unavailable(error))

        try:
            self._backplane.publish(name, value, sender, done)
        except RedisGone as error:
            raise _unavailable(error) from None

    def history(self, name: str, most: int, answer: Answer) -> None:
        """The last `most` messages. Raises as `publish`."""
        found: list[Located] = []

        def located(where: Located | None, error: Exception | None) -> None:
            found.extend([] if where is None else [where])

        def entries(entries: list[Entry] | None, error: Exception | None) -> None:
            if entries is None or not found:
                answer(None, _unavailable(error or RedisGone("it does not say where the topic is")))
                return
            messages = [_as_message(entry) for entry in entries[:most]]
            answer({"epoch": found[0].epoch, "seq": found[0].last, "messages": messages}, None)

        try:
            self._backplane.locate(name, None, located)
            self._backplane.history(name, max(1, most), entries)
        except RedisGone as error:
            raise _unavailable(error) from None

    # --- names -----------------------------------------------------------------------------

    def claim(self, name: str, who: str, connection: str, answer: Answer) -> None:
        """Take a name on all servers; `answer` hears True or False. Raises as `publish`."""
        try:
            self._backplane.claim(name, who, connection, _or_unavailable(answer))
        except RedisGone as error:
            raise _unavailable(error) from None

    def release(self, name: str, who: str, connection: str, answer: Answer) -> None:
        """Give it back; `answer` hears whether it was still this connection's. Raises as `publish`."""
        try:
            self._backplane.release(name, who, connection, _or_unavailable(answer))
        except RedisGone as error:
            raise _unavailable(error) from None

    def claimed_by(self, name: str, answer: Answer) -> None:
        """`answer` hears who has it, or None. Raises as `publish`."""
        try:
            self._backplane.claimed_by(name, _or_unavailable(answer))
        except RedisGone as error:
            raise _unavailable(error) from None

    # --- subscribe -------------------------------------------------------------------------

    def check(self) -> None:
        """Raises `ActionError` (`unavailable`) if nothing can be asked for now."""
        if not self._backplane.available:
            raise _unavailable(RedisGone("Redis is away"))

    def subscribe(self, subscription: Subscription, since: tuple[str, int | str] | None, answer: Answer) -> None:
        """Begin a subscription that was admitted. If it can't begin, `answer` hears why, and it is to be ended."""
        name = subscription.topic
        if is_pattern(name):
            self._subscribe_to_pattern(subscription, answer)
            return

        def located(found: Located | None, error: Exception | None) -> None:
            if found is None:
                answer(None, _unavailable(error or RedisGone("it does not say where the topic is")))
            elif subscription.state is OVER:
                answer(None, BadRequest("the subscription was ended before it had begun"))
            else:
                try:
                    result = self._begin(subscription, since, found)
                except ActionError as refused:  # the topic was forgotten meanwhile, and now it would be one too many
                    answer(None, refused)
                else:
                    answer(result, None)

        self._backplane.locate(name, None if since is None else str(since[1]), located)

    def _begin(self, subscription: Subscription, since: tuple[str, int | str] | None, found: Located) -> dict[str, Any]:
        name = subscription.topic
        topic = self._follow(name, found)
        missed: list[Item | Gap] = []
        if since is None:
            topic.add(subscription)
        else:
            epoch, seen = since[0], str(since[1])
            missed = _missed(name, epoch, seen, found, str(topic.seq))
            if epoch == found.epoch and is_later(seen, str(topic.seq)):
                topic.newcomers[subscription] = seen
            else:
                topic.add(subscription)
        self._local.begin(subscription, missed)
        return {"topic": name, "epoch": found.epoch, "seq": topic.seq, "missed": count_missed(missed)}

    def _follow(self, name: str, found: Located) -> T:
        """The topic, which is read from where it stands; or from where we are with it."""
        topic = self._local.use(name)
        position = self._backplane.position(name)
        if position is None:
            topic.epoch, topic.seq = found.epoch, found.last
            self._backplane.follow(name, found.epoch, found.last, found.number)
        else:
            topic.epoch, topic.seq = position
        return topic

    def _subscribe_to_pattern(self, subscription: Subscription, answer: Answer) -> None:
        pattern = subscription.topic
        asked = 1  # the names
        failed: Exception | None = None

        def located(name: str, found: Located | None, error: Exception | None) -> None:
            if error is None and found is not None and subscription.state is not OVER:
                try:
                    self._follow(name, found).add(subscription)
                except ActionError as refused:  # one topic too many
                    error = refused
            came(error)

        def came(error: Exception | None) -> None:
            """Of all that is asked; when the last is there it has begun, and misses nothing from then on."""
            nonlocal asked, failed
            asked -= 1
            failed = failed or error
            if asked:
                return
            if failed is not None:
                answer(None, failed if isinstance(failed, ActionError) else _unavailable(failed))
            elif subscription.state is OVER:
                answer(None, BadRequest("the subscription was ended before it had begun"))
            else:
                answer({"topic": pattern, "epoch": None, "seq": None, "missed": 0}, None)

        def named(names: list[str] | None, error: Exception | None) -> None:
            nonlocal asked
            try:
                for name in names or ():
                    if matches(pattern, name):
                        asked += 1
                        self._backplane.locate(name, None, partial(located, name))
            except RedisGone as gone:
                asked -= 1
                error = gone
            came(error)

        self._backplane.follow_news()
        self._backplane.names(named)

    def unfollow(self, name: str) -> None:
        """It has no subscriber here any more."""
        self._backplane.unfollow(name)

    # --- what the backplane tells ------------------------------------------------------------

    def arrived(self, name: str, entries: Sequence[Entry | Gap], epoch: str | None) -> None:
        """These came, in order. `epoch`: the topic has begun anew with them."""
        topic = self._local.find(name)
        if topic is None:
            return
        if epoch is not None:
            topic.epoch = epoch
        for entry in entries:
            if isinstance(entry, Gap):
                topic.fresh.append(entry)
                topic.seq = entry.last
            else:
                topic.fresh.append(_as_item(name, entry))
                topic.seq = entry.id
        if topic.fresh:
            self._local.deliver_soon(topic)

    def topic_made(self, name: str) -> None:
        """A server has made a topic: patterns may take it, from its first message on."""
        if not self._local.is_wanted(name) or self._backplane.position(name) is not None:
            return

        def located(found: Located | None, error: Exception | None) -> None:
            if found is not None and self._backplane.position(name) is None:
                with suppress(ActionError):  # one topic too many (--max-topics): nobody here waits for an answer
                    self._follow(name, Located(found.epoch, "0-0", 0, []))

        try:
            self._backplane.locate(name, None, located)
        except RedisGone:
            pass  # when it is back all topics are named again


def _unavailable(error: Exception) -> ActionError:
    return ActionError("unavailable", f"the server can't reach its backplane just now, try again later ({error})")


def _or_unavailable(answer: Answer) -> Answer:
    return lambda result, error: answer(result, error and _unavailable(error))


def _as_item(topic: str, entry: Entry) -> Item:
    return Item(topic, entry.id, encode_published(topic, entry.id, entry.value, entry.sender))


def _as_message(entry: Entry) -> dict[str, Any]:
    message = {"seq": entry.id, "value": json.loads(entry.value)}
    return message if entry.sender is None else {**message, "from": entry.sender}


def _missed(name: str, epoch: str, since: str, found: Located, upto: str) -> list[Item | Gap]:
    """What came behind `since`, as far as this server is with the topic; a gap for what is not there any more."""
    if epoch != found.epoch:
        return [Gap(name, "0-1", upto, None)]
    known = [entry for entry in found.entries if entry.id == since]
    items = [entry for entry in found.entries if is_later(entry.id, since) and not is_later(entry.id, upto)]
    missed: list[Item | Gap] = [_as_item(name, entry) for entry in items]
    if not known and is_later(upto, since) and not (items and items[0].number == 1):
        # The entry that it has seen last was trimmed; of what was behind it, no end knows how much: but for one that
        # has seen none.
        last = before(items[0].id) if items else upto
        dropped = items[0].number - 1 if items and since == "0-0" else None
        if not is_later(after(since), last):
            missed.insert(0, Gap(name, after(since), last, dropped))
    return missed
