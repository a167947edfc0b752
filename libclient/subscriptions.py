"""How does a client hear what is published, once and in order, over any number of connections?

A `Subscription` is one topic (or pattern) that a program listens to: what comes goes to its callback, or waits in
its queue to be iterated over. `Subscriptions` has all of a client's over one `Channel`.

    for event in client.subscribe("room/lobby", slow="oldest"):
        print(event)                                # a Published, or a Gap

Rules:

* Each message comes once, in the order of its topic's `seq`, or a `Gap` stands for it. When the connection ends
  another is opened, and what was published meanwhile comes first (`since`), as far as the server remembers it.
* A pattern has no `since`: after another connection was opened a `Gap` of the pattern stands for what may be missing.
* The queue is bounded. While it is full nothing is read, and the server does what `slow` says.
* What ends a subscription is `close`, or the server's refusal: then iterating raises it. `shutting-down` and
  `unavailable` are none: it is asked again.

Not here: the connection (`libclient.channel`), what an event's bytes mean (`protocol.push`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from eventloop import Address, Endpoint, EventLoop
from protocol import Notification
from protocol.printable import printable
from protocol.push import Gap, Published, is_pattern, matches, read_event

from .call import Backoff
from .channel import Channel
from .connect import resolve
from .errors import BadReply, ErrorReply
from .outgoing import json_request
from .owner import Shared

__all__ = ["Event", "Gap", "Published", "Subscription", "Subscriptions"]

Event = Published | Gap

#: Events that may wait to be iterated over.
QUEUE = 1000


class Subscription:
    """What a client listens to. Made by `Client.subscribe`; iterate over it, or give a callback.

    `topic` is a name or a pattern. `epoch` and `seq` say how far it is: of the last event that was handed over; None
    before the first, and for a pattern. `connected`: it is subscribed just now. `error`: why the server ended it.
    """

    __slots__ = (
        "_callback",
        "_close",
        "_epoch",
        "_hand_over",
        "_loop",
        "_options",
        "_queue",
        "_room",
        "_taken",
        "closed",
        "connected",
        "error",
        "since",
        "topic",
        "was_connected",
    )

    def __init__(
        self,
        topic: str,
        options: dict[str, Any],
        callback: Callable[[Event], object] | None,
        room: int,
        since: tuple[str, int | str] | None,
        loop: EventLoop,
        close: Callable[[Subscription], object],
        taken: Callable[[Subscription], object],
    ) -> None:
        self.topic = topic
        self.since = since
        self.connected = False
        self.was_connected = False
        self.closed = False
        self.error: Exception | None = None
        self._options = options
        self._callback = callback
        self._queue: deque[Event] = deque()
        self._room = room
        self._loop = loop
        self._close = close
        self._taken = taken
        self._epoch: str | None = None

    @property
    def epoch(self) -> str | None:
        """The topic's epoch that `seq` is of."""
        return self.since[0] if self.since is not None else None

    @property
    def seq(self) -> int | str | None:
        """The number of the last event that was handed over, or from which on it listens."""
        return self.since[1] if self.since is not None else None

    @property
    def full(self) -> bool:
        """So many events wait that no more should come."""
        return len(self._queue) >= self._room

    @property
    def half_empty(self) -> bool:
        """There is room again."""
        return len(self._queue) * 2 <= self._room

    @property
    def waiting(self) -> int:
        """Events that wait to be iterated over."""
        return len(self._queue)

    def request(self) -> dict[str, Any]:
        """What asks for it, from where it is."""
        fields = {"action": "subscribe", "topic": self.topic, **self._options}
        if self.since is not None:
            epoch, seq = self.since
            fields["since"] = {"epoch": epoch, "seq": seq}
        return fields

    def accepted(self, result: dict[str, Any]) -> None:
        """The server has it, and says where the topic stands."""
        self.connected = True
        again, self.was_connected = self.was_connected, True
        if is_pattern(self.topic):
            if again:
                self._hand(Gap(self.topic, 0, 0, None))
            return
        if isinstance(result.get("epoch"), str):
            self._epoch = result["epoch"]
            # Not where it had a `since`: until what was missed has come, that is where it is.
            if self.since is None and isinstance(result.get("seq"), (int, str)):
                self.since = self._epoch, result["seq"]

    def lost(self) -> None:
        """Its connection has ended."""
        self.connected = False

    def refused(self, error: Exception) -> None:
        """The server does not have it, and will not."""
        self.connected = False
        self.error = error

    def event(self, event: Event) -> None:
        """This came."""
        if self._epoch is not None:
            self.since = self._epoch, event.last if isinstance(event, Gap) else event.seq
        self._hand(event)

    def _hand(self, event: Event) -> None:
        if self._callback is not None:
            self._callback(event)
        else:
            self._queue.append(event)

    # --- for its reader --------------------------------------------------------------------

    def get(self, timeout: float | None = None) -> Event:
        """The next event, waited for at most `timeout` seconds (None: for ever).

        Raises `TimeoutError`; the server's `ErrorReply` if it has ended the subscription; `RuntimeError` if that has a
        callback, or was closed.
        """
        if self._callback is not None:
            raise RuntimeError("this subscription has a callback: use Client.listen")
        until = None if timeout is None else self._loop.clock() + timeout
        while not self._queue:
            if self.error is not None:
                raise self.error
            if self.closed:
                raise RuntimeError("this subscription is closed")
            left = None if until is None else until - self._loop.clock()
            if left is not None and left <= 0:
                raise TimeoutError(f"nothing was published to {self.topic!r} for {timeout:g} s")
            self._loop.run_once(left)
        event = self._queue.popleft()
        self._taken(self)
        return event

    def __iter__(self) -> Iterator[Event]:
        """Every event, for as long as it is open. Raises as `get`."""
        while self._queue or not self.closed:
            yield self.get()

    def close(self) -> None:
        """Listen no more. Events that wait can still be had. Safe to call twice."""
        if not self.closed:
            self._close(self)

    def ended(self) -> None:
        """It is closed."""
        self.closed = True
        self.connected = False

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        how = "closed" if self.closed else "connected" if self.connected else "not connected"
        return f"<Subscription to {self.topic!a} {how}, {len(self._queue)} waiting>"


class Subscriptions:
    """All subscriptions of one client, over one connection. `last_error` is why that ended, or could not be made."""

    def __init__(
        self,
        shared: Shared,
        address: Address,
        *,
        backoff: Backoff | None = None,
        heartbeat: float,
        resolve: Callable[[Address], list[Endpoint]] = resolve,
    ) -> None:
        self._loop = shared.loop
        self._all: dict[str, Subscription] = {}
        self._patterns: dict[str, Subscription] = {}
        self._paused = False
        self._asked = 0  # of subscriptions, whose replies are awaited
        self._backoff = backoff or Backoff()
        self._refused_so_often = 0  # in a row, for want of a backplane
        self.last_error: Exception | None = None
        self._channel = Channel(
            shared,
            address,
            opened=self._opened,
            notified=self._notified,
            lost=self._lost,
            backoff=self._backoff,
            heartbeat=heartbeat,
            resolve=resolve,
        )

    def __len__(self) -> int:
        return len(self._all)

    @property
    def settled(self) -> bool:
        """No connection is left."""
        return self._channel.settled

    def add(
        self,
        topic: str,
        options: dict[str, Any],
        callback: Callable[[Event], object] | None = None,
        room: int = QUEUE,
        since: tuple[str, int | str] | None = None,
    ) -> Subscription:
        """Listen to `topic`. Raises `ValueError` if that is done already."""
        if topic in self._all:
            raise ValueError(f"there is a subscription to {topic!r} already: close it first")
        self.last_error = None
        subscription = Subscription(topic, options, callback, room, since, self._loop, self._remove, self._taken)
        self._all[topic] = subscription
        if is_pattern(topic):
            self._patterns[topic] = subscription
        if self._channel.connected:
            self._ask(subscription)
        else:
            self._channel.open()
        return subscription

    def close(self) -> None:
        """End all, and the connection."""
        for subscription in [*self._all.values()]:
            subscription.ended()
        self._all.clear()
        self._patterns.clear()
        self._close_channel()

    def _remove(self, subscription: Subscription) -> None:
        self._forget(subscription)
        if not self._all:
            self._close_channel()  # which ends it at the server, too
        elif subscription.connected:
            self._unsubscribe(subscription)
        subscription.ended()

    def _close_channel(self) -> None:
        self._channel.close()
        self._asked = 0  # nothing of what it had asked is answered any more

    def _unsubscribe(self, subscription: Subscription) -> None:
        fields = {"action": "unsubscribe", "topic": subscription.topic}
        if self._channel.connected:
            self._channel.send(json_request(fields), lambda value, error: None, here=True)

    def _forget(self, subscription: Subscription) -> None:
        self._all.pop(subscription.topic, None)
        self._patterns.pop(subscription.topic, None)
        self._taken(subscription)

    # --- what the channel tells ------------------------------------------------------------

    def _opened(self) -> None:
        for subscription in self._all.values():
            self._ask(subscription)

    def _ask(self, subscription: Subscription) -> None:
        self._asked += 1
        self._pause_if_full()  # which does not: the reply stands behind what has come for the others

        def done(value: Any, error: Exception | None) -> None:
            self._asked -= 1
            self._pause_if_full()
            if subscription.closed:
                if error is None and subscription.topic not in self._all:
                    self._unsubscribe(subscription)  # it was closed before the server had it
                return
            if isinstance(error, ErrorReply) and error.code == "unavailable":
                self.last_error = error
                self._refused_so_often += 1
                self._loop.call_later(self._backoff.delay(self._refused_so_often), self._ask_again, subscription)
            elif isinstance(error, ErrorReply) and error.code != "shutting-down":
                subscription.refused(error)
                self._forget(subscription)
                if not self._all:
                    self._close_channel()
            elif error is None:
                self._refused_so_often = 0
                result = value.get("result") if isinstance(value, dict) else None
                if isinstance(result, dict):
                    subscription.accepted(result)
                else:
                    said = printable(str(result), 200)
                    where = self._channel.address.endpoint
                    subscription.refused(BadReply(f"{where} has no topics: it answered {said!r} to subscribe"))
                    self._forget(subscription)
            elif self._channel.connected:  # a reply that can't be read
                subscription.refused(error)
                self._forget(subscription)
            # else the connection has ended, and the next one asks again

        self._channel.send(json_request(subscription.request()), done, here=True)

    def _ask_again(self, subscription: Subscription) -> None:
        """The server had no backplane."""
        asked = self._all.get(subscription.topic) is subscription
        if asked and self._channel.connected and not subscription.connected:
            self._ask(subscription)

    def _lost(self, error: Exception, final: bool) -> None:
        self.last_error = error
        for subscription in [*self._all.values()]:
            subscription.lost()
            if final:
                subscription.refused(error)
                self._forget(subscription)

    def _notified(self, notification: Notification) -> None:
        event = read_event(notification)
        if event is None:
            return  # an event that we do not know
        subscription = self._all.get(event.topic) or next(
            (one for pattern, one in self._patterns.items() if matches(pattern, event.topic)), None
        )
        if subscription is None or not subscription.connected:
            return  # on its way when that was closed
        subscription.event(event)
        self._pause_if_full()

    def _pause_if_full(self) -> None:
        """Read no more while a queue is full, unless the reply to a subscription is yet to be read."""
        if self._paused and self._asked:
            self._resume()
        elif not (self._paused or self._asked) and any(one.full for one in self._all.values()):
            self._paused = True
            self._channel.pause_reading()

    def _taken(self, subscription: Subscription) -> None:
        """An event was taken out of its queue: is there room again?"""
        if self._paused and all(one.half_empty for one in self._all.values()):
            self._resume()

    def _resume(self) -> None:
        self._paused = False
        self._channel.resume_reading()
