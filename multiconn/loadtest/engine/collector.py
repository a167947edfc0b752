"""What came back, and which book does it go to?

Every reply and every loss ends here: verified by what *its* request asked for, timed, and counted in
the books of its phase. Nearly all replies are bytes that were verified before, and `take` counts
them straight from what was received, without decoding; the others come through `response`.

Rules:

* A time stamp is taken when what was received is handed over, one for all replies in it: each
  latency errs on the longer side, by what it takes to get there.
* Replies that were sent together in a closed run have one latency, and are recorded at once.
* Per reply: a comparison of bytes and a record in a histogram; no timer, no closure, no log.

It pays for itself: see `python -m benchmarks generator`.

Not here: what is right (`engine.workload`), the names of endings (`judge.classify_error`), sending (`engine.senders`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from libclient.message import Message
from libclient.owner import Pair
from libclient.replies import can_read_replies, read_replies
from protocol import ProtocolError

from ..config import OFF, Config
from ..measure.errors import BAD_CONTENT, Incident
from ..measure.ledger import Connections, Ledger
from .slot import NEVER, Slot
from .workload import Prepared

__all__ = ["Collector", "Context"]

#: A request's context: what must come back, when it was sent, and when it was meant to be (ns).
Context = tuple[Prepared, int, int]


class Answered(Protocol):
    """Who wants to know that replies made room on a connection."""

    def answered(self, slot: Slot, count: int, now: int) -> None: ...


class Collector:
    """The books of a run. `measured_from` (ns) parts warm-up from measured, by intended time."""

    def __init__(self, config: Config, actions: Sequence[str], clock: Callable[[], int], began: int) -> None:
        self.config = config
        self.actions = actions
        self.mixed = len(actions) > 1
        self.clock = clock
        self.began = began
        self.is_open = config.rate is not None
        self.warmup = Ledger(open=self.is_open)
        self.measured = Ledger(open=self.is_open)
        for ledger in (self.warmup, self.measured):
            ledger.by_action = {action: [0, 0, 0] for action in actions}
        self.measured_from = NEVER
        self.connections = Connections()
        self.sender: Answered | None = None

    def ledger_of(self, intended: int) -> Ledger:
        return self.measured if intended >= self.measured_from else self.warmup

    # --- replies ---------------------------------------------------------------------

    def take(self, message: Message, data: bytes) -> int:
        """Count the replies at the front of `data` that are right byte for byte; returns their length."""
        now = self.clock()
        slot: Slot = message.tag
        awaiting = message.awaiting
        measured_from, is_open = self.measured_from, self.is_open
        at = count = same = 0
        last = -1  # when those were sent that are not recorded yet, `same` of them
        for _, (prepared, sent, intended) in awaiting:
            right = prepared.right
            if right is None or not data.startswith(right, at):
                break
            at += len(right)
            count += 1
            if is_open:
                ledger = self.measured if intended >= measured_from else self.warmup
                ledger.answered(now - intended, now - sent)
            elif sent == last:
                same += 1
            else:
                if same:
                    self._closed(now, last, same)
                last, same = sent, 1
            if self.mixed:
                ledger = self.measured if intended >= measured_from else self.warmup
                ledger.by_action[prepared.action][1] += 1
        if same:
            self._closed(now, last, same)
        if count:
            popleft = awaiting.popleft
            for _ in range(count):
                popleft()
            message.connection.in_flight -= count
            slot.out -= count
            slot.replies += count
            assert self.sender is not None
            self.sender.answered(slot, count, now)
        if at < len(data) and awaiting:
            at += self._learn(message, data[at:], now)
        return at

    def _closed(self, now: int, sent: int, times: int) -> None:
        ledger = self.measured if sent >= self.measured_from else self.warmup
        ledger.answered(now - sent, now - sent, times)

    def _learn(self, message: Message, data: bytes, now: int) -> int:
        """Verify one reply whose bytes are new, and remember them if it is right."""
        context: Context = message.awaiting[0][1]
        prepared = context[0]
        if not prepared.learns or not can_read_replies(message.connection):
            return 0
        replies, taken = read_replies(message.connection, data, most=1)
        if not replies:
            return 0
        header, value = replies[0]
        if header.id is None and prepared.check(value, 0) is None:
            prepared.learn(data[:taken])
        message.take_reply(header, value)
        return taken

    def response(self, slot: Slot, context: Context, value: object) -> None:
        """A reply that was decoded."""
        now = self.clock()
        prepared, sent, intended = context
        slot.out -= 1
        slot.replies += 1
        ledger = self.ledger_of(intended)
        slot.confirmed += prepared.counted
        fault = self._check(prepared, value, slot.confirmed)
        if fault is None:
            ledger.answered(now - intended, now - sent)
            outcome = 1
        else:
            ledger.fail(fault[0], self._incident(slot, fault[1], now), (now - intended,), replied=True)
            outcome = 2
        if self.mixed:
            ledger.by_action[prepared.action][outcome] += 1
        assert self.sender is not None
        self.sender.answered(slot, 1, now)

    def _check(self, prepared: Prepared, value: object, number: int) -> tuple[str, str] | None:
        if isinstance(value, ProtocolError):  # a whole frame whose content can't be decoded
            return None if self.config.verify == OFF else (BAD_CONTENT, str(value))
        return prepared.check(value, number)

    # --- losses ------------------------------------------------------------------------

    def charge(self, slot: Slot, fault: tuple[str, str], unanswered: Sequence[Pair]) -> None:
        """Count what the end of a connection cost: the requests that were in flight, or the connection alone."""
        name, detail = fault
        now = self.clock()
        incident = self._incident(slot, detail, now)
        if not unanswered:
            self.connections.errors.add(name, incident)
        for ledger in (self.warmup, self.measured):
            mine = [c for _, c in unanswered if self.ledger_of(c[2]) is ledger]
            if mine:
                ledger.fail(name, incident, [now - intended for _, _, intended in mine])
                if self.mixed:
                    for prepared, _, _ in mine:
                        ledger.by_action[prepared.action][2] += 1

    def _incident(self, slot: Slot, detail: str, now: int) -> Incident:
        index, workers = self.config.share
        return Incident((now - self.began) / 1e9, slot.number * workers + index, detail)

    def close(self) -> None:
        """The run is over: what was not counted by action, because there is only one, is now."""
        if not self.mixed:
            for ledger in (self.warmup, self.measured):
                ledger.by_action = {self.actions[0]: [ledger.sent, ledger.ok, ledger.failed]}
