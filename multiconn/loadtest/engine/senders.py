"""Which request leaves now, and over which connection?

Two models, one interface. `ClosedSender`: each connection keeps `pipeline` requests in flight, and a
reply makes room for the next one (after `think`). `OpenSender`: requests leave when the schedule
says, over the connection with room that has rested longest.

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
* `send_delay` is how late requests left that had room: the generator's own lateness alone.
* What leaves one connection in one turn leaves in one send.

Not here: the times (`engine.schedule`), the ledgers (`engine.ledgers`), the connections (`engine.slots`).
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
from ..measure.ledger import SENT
from .ledgers import Ledgers
from .schedule import Schedule
from .slot import Slot
from .workload import Context, Prepared, Workload

__all__ = ["ClosedSender", "OpenSender", "Sender"]


class _Common:
    """What both models do alike. `greeted` requests were sent before the load began."""

    def __init__(self, config: Config, ledgers: Ledgers, requests: Iterator[Prepared]) -> None:
        self.sending = False
        self.greeted = 0
        self._config = config
        self._ledgers = ledgers
        self._clock = ledgers.clock
        self._every = config.reconnect_every
        self._requests = requests
        self._send_delay = Histogram()

    def take_send_delay(self) -> Histogram:
        """How late what had room left, since the last call; always empty in a closed run."""
        taken, self._send_delay = self._send_delay, Histogram()
        return taken

    def room(self, slot: Slot) -> int:
        """How many more requests the connection in `slot` takes now."""
        message = slot.message
        if message is None or not message.usable:
            return 0
        room = (self._config.pipeline if message.granted else 1) - slot.out - slot.thinking
        if self._every is not None:
            room = min(room, self._every - slot.sent)
        return room

    def pair(self, slot: Slot, prepared: Prepared, context: Context) -> Pair:
        """The request with its context, counted as the connection's; its last one says so."""
        slot.sending(1)
        if slot.sent == self._every and self._every > 1:
            return prepared.last, context
        return prepared.outgoing, context

    def greet(self, slot: Slot) -> None:
        """Say one thing before the load begins: a server closes what connects and is silent for long."""
        if self.room(slot) > 0 and slot.message is not None and not slot.out:
            now = self._clock()
            prepared = next(self._requests)
            self.greeted += 1
            self._ledgers.count_sent(prepared, now)
            slot.message.send(*self.pair(slot, prepared, (prepared, now, now)))


class ClosedSender(_Common):
    """Replies set the pace, on all of `slots`."""

    def __init__(
        self, config: Config, workload: Workload, ledgers: Ledgers, slots: Sequence[Slot], loop: EventLoop
    ) -> None:
        super().__init__(config, ledgers, workload.endless(f"{config.seed} {config.share[0]}"))
        self._slots = slots
        self.exhausted = False  # nothing more will be sent
        self._left: int | None = None  # so many may still be sent; None: any number
        self._loop = loop
        self._thinks = config.think[1] > 0
        self._random = random.Random(f"think {config.seed} {config.share[0]}")

    def begin(self, now: int) -> None:
        self.sending = True
        self.refresh()

    def measure(self, now: int) -> None:
        """The measured window begins: from `now` on, so many as are wanted may be sent."""
        self._allow(self._config.requests)
        self._ledgers.measure_from(now)

    def _allow(self, left: int | None) -> None:
        self._left = left
        self.exhausted = left == 0

    def refresh(self) -> None:
        """There may be room on every connection (a phase has begun)."""
        for slot in self._slots:
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
        low, high = self._config.think
        for _ in range(count):
            slot.think()
            self._loop.call_later(self._random.uniform(low, high), self._thought, slot, slot.dialled)

    def _thought(self, slot: Slot, dialled: int) -> None:
        if slot.thought(dialled):
            self.top_up(slot)

    def top_up(self, slot: Slot, now: int = 0) -> None:
        """Send what the connection has room for."""
        if not self.sending:
            return
        room = self.room(slot)
        left = self._left
        if left is not None:
            room = min(room, left)
        if room <= 0:
            return
        if left is not None:
            self._allow(left - room)
        ledgers = self._ledgers
        sent = now or self._clock()
        message = slot.message
        assert message is not None
        chosen = list(islice(self._requests, room))
        if self._every is None:
            slot.sending(room)
            pairs: Iterable[Pair] = [(prepared.outgoing, (prepared, sent, sent)) for prepared in chosen]
        else:
            pairs = [self.pair(slot, prepared, (prepared, sent, sent)) for prepared in chosen]
        ledger = ledgers.measured if sent >= ledgers.measured_from else ledgers.warmup  # `of`, in line
        ledger.count_sent(room)
        if ledgers.mixed:
            for prepared in chosen:
                ledger.count_action(prepared.action, SENT)
        message.send_all(pairs)

    def lost(self, slot: Slot, unsent: Sequence[Context]) -> None:
        """What never left is as if it had not been taken."""
        for prepared, _, intended in unsent:
            self._ledgers.count_sent(prepared, intended, -1)
            if self._left is not None and intended >= self._ledgers.measured_from:
                self._allow(self._left + 1)

    def waiting(self, now: int) -> int:
        return 0


class OpenSender(_Common):
    """The schedule sets the pace."""

    def __init__(
        self,
        config: Config,
        workload: Workload,
        ledgers: Ledgers,
        loop: EventLoop,
        schedule: Schedule,
    ) -> None:
        super().__init__(config, ledgers, workload.endless("greetings"))
        self._schedule = schedule
        self._start = 0  # of the schedule, in nanoseconds
        self._prepared = workload.requests
        self._loop = loop
        self._limit = config.max_in_flight  # None: only the room on each connection bounds it
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
        return self._schedule.next_at is None and not self._returned

    def begin(self, now: int) -> None:
        self._start = now
        self.sending = True
        self.pump()

    def measure(self, now: int) -> None:
        """The measured window begins; what is meant to leave in it was known before."""

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
        for at, _ in self._schedule.take_until(now - self._start):
            self._drop(self._start + at)

    def _drop(self, intended: int) -> None:
        self._ledgers.of(intended).count_dropped()

    # --- room --------------------------------------------------------------------------

    def opened(self, slot: Slot) -> None:
        self._list(slot)

    def answered(self, slot: Slot, count: int, now: int) -> None:
        self._list(slot)

    def _list(self, slot: Slot) -> None:
        if not slot.listed and self.room(slot) > 0:
            slot.enlist()
            self._free.append(slot)
        if self._blocked:
            self.pump()

    def lost(self, slot: Slot, unsent: Sequence[Context]) -> None:
        """What never left goes first when there is room again."""
        for prepared, _, intended in unsent:
            self._ledgers.count_sent(prepared, intended, -1)
            if self.sending:
                self._returned.append((intended, prepared))
            else:
                self._drop(intended)
        if self.sending and self._returned:
            self._loop.call_soon(self.pump)

    def _next_slot(self) -> Slot | None:
        """The connection to use next, or None if none has room."""
        free = self._free
        if self._limit is None or self._ledgers.in_flight < self._limit:
            while free:
                slot = free.popleft()
                room = self.room(slot)
                if room > 1:
                    free.append(slot)
                else:
                    slot.delist()
                if room > 0:
                    return slot
        return None

    # --- sending -----------------------------------------------------------------------

    def pump(self) -> None:
        """Send everything that is due and has room; come back when the next one is due."""
        if not self.sending or self._pumping:
            return
        self._pumping = True
        now = self._clock()
        if self._blocked:
            self._blocked_until = now
            self._blocked = False
        batches: dict[Slot, list[Pair]] = {}
        while (intended := self._due(now)) is not None:
            slot = self._next_slot()
            if slot is None and not self._drops:
                self._blocked = True
                break
            prepared = self._take()
            if slot is None:
                self._drop(intended)
                continue
            batches.setdefault(slot, []).append(self.pair(slot, prepared, (prepared, now, intended)))
            self._ledgers.count_sent(prepared, intended)
            if intended > self._blocked_until:
                self._send_delay.record(now - intended)
        for slot, batch in batches.items():
            assert slot.message is not None
            slot.message.send_all(batch)
        self._pumping = False
        self._sleep()

    def _due(self, now: int) -> int | None:
        """When the next request was meant to leave, if that is not later than `now`."""
        if self._returned:
            return self._returned[0][0]
        at = self._schedule.next_at
        if at is None or self._start + at > now:
            return None
        return self._start + at

    def _take(self) -> Prepared:
        if self._returned:
            return self._returned.popleft()[1]
        return self._prepared[self._schedule.take()]

    def _sleep(self) -> None:
        self._cancel()
        if self._schedule.next_at is not None and not self._blocked:
            self._timer = self._loop.call_at((self._start + self._schedule.next_at) / 1e9, self.pump)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def waiting(self, now: int) -> int:
        """How many are due and have not left."""
        if not self.sending:
            return 0
        return len(self._returned) + self._schedule.ahead(now - self._start)


Sender = ClosedSender | OpenSender
