"""Which replies came, and which ledger does each go to?

Every reply ends here: it is verified against *its* request, timed, and counted in the ledger of
its phase. Nearly all replies repeat verified bytes, and `take` counts them straight from the
received bytes, without decoding; the others come through `response`.

Rules:

* One time stamp, at the hand-over of the received bytes, serves all replies in them: each
  latency errs on the longer side, by the time to get there.
* Replies to requests sent together in a closed run have one latency, and one record.
* Per reply: a comparison of bytes and a record in a histogram; no timer, no closure, no log. What `Ledgers.of` does
  stands in line.
* `take` is a loop of its own because it reads nothing: no prefix, no header, no JSON. It compares the bytes at a
  place with a known whole reply, which gives the length. Other bytes go to the one reader of replies,
  `libclient.replies`.

It pays for itself: see `python -m benchmarks generator`.

Not here: what is right (`engine.workload`), the names of endings (`judge.classify_error`), sending (`engine.senders`).
"""

from __future__ import annotations

from collections.abc import Callable

from libclient.message import Message
from libclient.replies import whole_replies
from protocol import ProtocolError

from ..config import OFF
from ..measure.errors import BAD_CONTENT
from ..measure.ledger import FAILED, OK
from .ledgers import Ledgers
from .slot import Slot
from .workload import Context, Fault, Prepared

__all__ = ["Collector"]


class Collector:
    """Counts replies. `answered(slot, count, now)` is called when replies made room on a connection (`now` in ns)."""

    def __init__(self, ledgers: Ledgers, verify: str, answered: Callable[[Slot, int, int], object]) -> None:
        self._ledgers = ledgers
        self._verify = verify
        self._answered = answered
        self._clock = ledgers.clock
        self._mixed = ledgers.mixed
        self._is_open = ledgers.is_open

    def take(self, message: Message, data: bytes) -> int:
        """Count the replies at the front of `data` that are right byte for byte; returns their length."""
        now = self._clock()
        slot: Slot = message.tag
        ledgers = self._ledgers
        awaiting = message.awaiting
        measured_from, is_open = ledgers.measured_from, self._is_open
        at = count = same = 0
        last = -1  # when those were sent that are not recorded yet, `same` of them
        for _, (prepared, sent, intended) in awaiting:
            right = prepared.right
            if right is None or not data.startswith(right, at):
                break
            at += len(right)
            count += 1
            if is_open:
                ledger = ledgers.measured if intended >= measured_from else ledgers.warmup
                ledger.answered(now - intended, now - sent)
            elif sent == last:
                same += 1
            else:
                if same:
                    ledger = ledgers.measured if last >= measured_from else ledgers.warmup
                    ledger.answered(now - last, now - last, same)
                last, same = sent, 1
            if self._mixed:
                ledger = ledgers.measured if intended >= measured_from else ledgers.warmup
                ledger.count_action(prepared.action, OK)
        if same:
            ledger = ledgers.measured if last >= measured_from else ledgers.warmup
            ledger.answered(now - last, now - last, same)
        if count:
            message.replies_taken(count)
            slot.answered(count)
            self._answered(slot, count, now)
        if at < len(data) and awaiting:
            at += self._learn(message, data[at:])
        return at

    def _learn(self, message: Message, data: bytes) -> int:
        """Verify a reply with new bytes, and remember them if it is right."""
        context: Context = message.awaiting[0][1]
        prepared = context[0]
        if not prepared.learns or not message.reads_whole:
            return 0
        replies, taken = whole_replies(message.shared.codec, data, 1)
        if not replies:
            return 0
        header, value = replies[0]
        if header.id is None and prepared.check(value, 0) is None:
            prepared.learn(data[:taken])
        message.take_reply(header, value)
        return taken

    def response(self, slot: Slot, context: Context, value: object) -> None:
        """A reply that was decoded."""
        now = self._clock()
        prepared, sent, intended = context
        slot.answered(1)
        if prepared.counted:
            slot.confirm()
        ledger = self._ledgers.of(intended)
        fault = self._check(prepared, value, slot.confirmed)
        if fault is None:
            ledger.answered(now - intended, now - sent)
        else:
            incident = self._ledgers.incident(slot.number, fault[1], now)
            ledger.fail(fault[0], incident, (now - intended,), replied=True)
        if self._mixed:
            ledger.count_action(prepared.action, OK if fault is None else FAILED)
        self._answered(slot, 1, now)

    def _check(self, prepared: Prepared, value: object, number: int) -> Fault | None:
        if isinstance(value, ProtocolError):  # a whole frame whose content can't be decoded
            return None if self._verify == OFF else (BAD_CONTENT, str(value))
        return prepared.check(value, number)
