"""Which request leaves now, and over which connection?

Two models, one interface. `ClosedSender`: each connection keeps `pipeline` requests in flight, and a
reply makes room for the next one (after `think`). `OpenSender`: requests leave when the schedule
says, over whichever connection has room, the one that was used longest ago first.

    opened(slot)               a connection is there
    answered(slot, n, now)     replies made room on it
    lost(slot, unsent)         it is gone; `unsent` never began to leave
    begin(now) ... stop(now)    the load, in nanoseconds

Rules:

* A connection takes one request until the server grants keep-alive, then `pipeline`; with
  `reconnect_every` so many in all, of which the last says so (so the server closes first, and
  TIME_WAIT is on its side).
* Open and no connection has room: `queue` lets the schedule wait (a request's latency counts from
  its intended time all the same), `drop` counts the request as dropped. What waits at the end is
  dropped too.
* `send_delay` is how late requests left that had room: the generator's own lateness, nobody else's.
* What leaves one connection in one turn leaves in one send.

Not here: the times (`engine.schedule`), the books (`measure.ledger`), who connects (`engine.slots`).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from eventloop import EventLoop, Timer
from libclient.owner import Pair

from ..config import DROP, Config
from ..measure.histogram import Histogram
from .collector import Collector, Context
from .schedule import Schedule
from .slot import Slot
from .workload import Prepared, Workload

__all__ = ["ClosedSender", "OpenSender", "Sender"]


class _Common:
    """What both models do alike. `in_flight` requests were sent and have no outcome."""

    def __init__(self, config: Config, collector: Collector, slots: Sequence[Slot]) -> None:
        self.config = config
        self.collector = collector
        self.slots = slots
        self.sending = False
        self.greeted = 0
        self._every = config.reconnect_every
        self._requests: Iterator[Prepared] = iter(())

    def room(self, slot: Slot) -> int:
        """How many more requests the connection in `slot` takes now."""
        message = slot.message
        if message is None or not message.usable:
            return 0
        room = (self.config.pipeline if message.granted else 1) - slot.out - slot.thinking
        if self._every is not None:
            room = min(room, self._every - slot.sent)
        return room

    def pair(self, slot: Slot, prepared: Prepared, context: Context) -> Pair:
        """The request with its context, counted as the connection's; its last one says so."""
        slot.out += 1
        slot.sent += 1
        if slot.sent == self._every and self._every > 1:
            return prepared.last, context
        return prepared.outgoing, context

    def greet(self, slot: Slot) -> None:
        """Say one thing before the load begins: a server closes what connects and is silent for long."""
        if self.room(slot) > 0 and slot.message is not None and not slot.out:
            now = self.collector.clock()
            prepared = next(self._requests)
            self.greeted += 1
            self._count_sent(prepared, now)
            slot.message.send(*self.pair(slot, prepared, (prepared, now, now)))

    def _count_sent(self, prepared: Prepared, intended: int, times: int = 1) -> None:
        ledger = self.collector.ledger_of(intended)
        ledger.sent += times
        if self.collector.mixed:
            ledger.by_action[prepared.action][0] += times


class ClosedSender(_Common):
    """Replies set the pace. `left` requests may still be sent; None: any number."""

    def __init__(
        self, config: Config, workload: Workload, collector: Collector, slots: Sequence[Slot], loop: EventLoop
    ) -> None:
        super().__init__(config, collector, slots)
        self.left: int | None = None
        self.send_delay = Histogram()
        self._loop = loop
        self._requests = workload.endless(f"{config.seed} {config.share[0]}")
        self._thinks = config.think[1] > 0
        self._random = random.Random(f"think {config.seed} {config.share[0]}")

    @property
    def exhausted(self) -> bool:
        """Nothing more will be sent."""
        return self.left == 0

    def begin(self, now: int) -> None:
        self.sending = True
        self.refresh()

    def refresh(self) -> None:
        """There may be room on every connection (a phase has begun)."""
        for slot in self.slots:
            if slot.open:
                self.top_up(slot)

    def stop(self, now: int) -> None:
        self.sending = False

    def opened(self, slot: Slot) -> None:
        self.top_up(slot)

    def answered(self, slot: Slot, count: int, now: int) -> None:
        if not self._thinks:
            self.top_up(slot, now)
            return
        low, high = self.config.think
        for _ in range(count):
            slot.thinking += 1
            self._loop.call_later(self._random.uniform(low, high), self._thought, slot, slot.dialled)

    def _thought(self, slot: Slot, dialled: int) -> None:
        if slot.dialled == dialled and slot.thinking:
            slot.thinking -= 1
            self.top_up(slot)

    def top_up(self, slot: Slot, now: int = 0) -> None:
        """Send what the connection has room for."""
        if not self.sending:
            return
        room = self.room(slot)
        left = self.left
        if left is not None:
            room = min(room, left)
        if room <= 0:
            return
        if left is not None:
            self.left = left - room
        collector = self.collector
        sent = now or collector.clock()
        message = slot.message
        assert message is not None
        chosen = list(islice(self._requests, room))
        if self._every is None:
            slot.out += room
            slot.sent += room
            pairs: Iterable[Pair] = [(prepared.outgoing, (prepared, sent, sent)) for prepared in chosen]
        else:
            pairs = [self.pair(slot, prepared, (prepared, sent, sent)) for prepared in chosen]
        ledger = collector.measured if sent >= collector.measured_from else collector.warmup
        ledger.sent += room
        if collector.mixed:
            for prepared in chosen:
                ledger.by_action[prepared.action][0] += 1
        message.send_all(pairs)

    def lost(self, slot: Slot, unsent: Sequence[Context]) -> None:
        """What never left is as if it had not been taken."""
        for prepared, _, intended in unsent:
            self._count_sent(prepared, intended, -1)
            if self.left is not None and intended >= self.collector.measured_from:
                self.left += 1

    def waiting(self, now: int) -> int:
        return 0


class OpenSender(_Common):
    """The schedule sets the pace. `start` (ns) is its beginning."""

    def __init__(
        self,
        config: Config,
        workload: Workload,
        collector: Collector,
        slots: Sequence[Slot],
        loop: EventLoop,
        schedule: Schedule,
    ) -> None:
        super().__init__(config, collector, slots)
        self.schedule = schedule
        self.send_delay = Histogram()
        self.start = 0
        self.in_flight = 0
        self._prepared = workload.requests
        self._requests = workload.endless("greetings")
        self._loop = loop
        self._limit = config.in_flight_limit
        self._drops = config.on_overrun == DROP
        self._free: deque[Slot] = deque()  # slots that may have room, the one used longest ago first
        self._returned: deque[tuple[int, Prepared]] = deque()  # taken, and came back unsent
        self._blocked = False  # something is due and no connection has room
        self._blocked_until = 0  # what was due by then had to wait for room
        self._timer: Timer | None = None
        self._pumping = False

    @property
    def exhausted(self) -> bool:
        """Nothing more will be sent."""
        return self.schedule.next_at is None and not self._returned

    def begin(self, now: int) -> None:
        self.start = now
        self.sending = True
        self.pump()

    def refresh(self) -> None:
        """A phase has begun: the schedule goes on."""

    def stop(self, now: int) -> None:
        """What is due leaves if it has room, and is dropped if not."""
        if not self.sending:
            return
        self.pump()
        self.sending = False
        self._cancel()
        for intended, _ in self._returned:
            self._drop(intended)
        self._returned.clear()
        for at, _ in self.schedule.take_until(now - self.start):
            self._drop(self.start + at)

    def _drop(self, intended: int) -> None:
        self.collector.ledger_of(intended).dropped += 1

    # --- room --------------------------------------------------------------------------

    def opened(self, slot: Slot) -> None:
        self._list(slot)

    def answered(self, slot: Slot, count: int, now: int) -> None:
        self.in_flight -= count
        self._list(slot)

    def _list(self, slot: Slot) -> None:
        if not slot.listed and self.room(slot) > 0:
            slot.listed = True
            self._free.append(slot)
        if self._blocked:
            self.pump()

    def lost(self, slot: Slot, unsent: Sequence[Context]) -> None:
        """What never left goes first when there is room again."""
        self.in_flight -= slot.out
        for prepared, _, intended in unsent:
            self._count_sent(prepared, intended, -1)
            if self.sending:
                self._returned.append((intended, prepared))
            else:
                self._drop(intended)
        if self.sending and self._returned:
            self._loop.call_soon(self.pump)

    def greet(self, slot: Slot) -> None:
        before = slot.out
        super().greet(slot)
        self.in_flight += slot.out - before

    def _next_slot(self) -> Slot | None:
        """The connection to use next, or None if none has room."""
        free = self._free
        if self.in_flight < self._limit:
            while free:
                slot = free.popleft()
                room = self.room(slot)
                if room > 1:
                    free.append(slot)
                else:
                    slot.listed = False
                if room > 0:
                    return slot
        return None

    # --- sending -----------------------------------------------------------------------

    def pump(self) -> None:
        """Send everything that is due and has room; come back when the next one is due."""
        if not self.sending or self._pumping:
            return
        self._pumping = True
        now = self.collector.clock()
        if self._blocked:
            self._blocked_until = now
            self._blocked = False
        touched: list[Slot] = []
        while (intended := self._due(now)) is not None:
            slot = self._next_slot()
            if slot is None and not self._drops:
                self._blocked = True
                break
            prepared = self._take()
            if slot is None:
                self._drop(intended)
                continue
            if not slot.batch:
                touched.append(slot)
            slot.batch.append(self.pair(slot, prepared, (prepared, now, intended)))
            self.in_flight += 1
            self._count_sent(prepared, intended)
            if intended > self._blocked_until:
                self.send_delay.record(now - intended)
        for slot in touched:
            batch, slot.batch = slot.batch, []
            assert slot.message is not None
            slot.message.send_all(batch)
        self._pumping = False
        self._sleep()

    def _due(self, now: int) -> int | None:
        """When the next request was meant to leave, if that is not later than `now`."""
        if self._returned:
            return self._returned[0][0]
        at = self.schedule.next_at
        if at is None or self.start + at > now:
            return None
        return self.start + at

    def _take(self) -> Prepared:
        if self._returned:
            return self._returned.popleft()[1]
        return self._prepared[self.schedule.take()]

    def _sleep(self) -> None:
        self._cancel()
        if self.schedule.next_at is not None and not self._blocked:
            self._timer = self._loop.call_at((self.start + self.schedule.next_at) / 1e9, self.pump)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def waiting(self, now: int) -> int:
        """How many are due and have not left."""
        if not self.sending:
            return 0
        return len(self._returned) + self.schedule.ahead(now - self.start)


Sender = ClosedSender | OpenSender
