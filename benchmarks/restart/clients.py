"""What do clients that try nothing again see of a restart?

One `Traffic` per kind, several on one loop. Each request carries a number of its own, which the
reply must bring back. Connections are `libclient.message.Message`; no `Pool`, since that repairs.

* keep-alive: each connection awaits its reply, then asks again.
* pipelined: each has `depth` requests on their way.
* one-shot: a connection for each request, as the tutorial's client does.

A request is sent again only if it was certainly not carried out: it never began to leave, or it stood
behind a reply that said `close`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.restart.books import Lost
from eventloop import Endpoint, EventLoop
from libclient import Ending, EndReason, Message, Shared, action_request

__all__ = ["KEEP_ALIVE", "KINDS", "ONE_SHOT", "PIPELINED", "Traffic"]

KEEP_ALIVE = "keep-alive"
PIPELINED = "pipelined"
ONE_SHOT = "one-shot"
KINDS = (KEEP_ALIVE, PIPELINED, ONE_SHOT)

#: By kind: how many connections, and how many requests each may have on their way.
SHAPES = {KEEP_ALIVE: (40, 1), PIPELINED: (8, 16), ONE_SHOT: (16, 1)}

#: Requests of one run have numbers of their own per kind.
NUMBERS = 1 << 40
#: Seconds before a connection that could not be made is tried again.
AGAIN = 0.01
#: Seconds that a reply may take: longer than any pause that a restart makes.
PATIENCE = 20.0


class _Slot:
    """One connection at a time, and what is known of it."""

    __slots__ = ("made", "message", "port")

    def __init__(self) -> None:
        self.message: Message | None = None
        self.made = 0
        self.port: int | None = None


class Traffic:
    """One kind of client; `stop` it, turn the loop until `settled`, then read what it wrote down.

    `clock` gives nanoseconds, of a clock that the servers' books share.
    """

    def __init__(
        self,
        loop: EventLoop,
        endpoints: Sequence[Endpoint],
        kind: str,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.kind = kind
        self._loop = loop
        self._endpoints = endpoints
        self._clock = clock
        self._shared = Shared(loop, timeout=PATIENCE)
        connections, self._depth = SHAPES[kind]
        begin = KINDS.index(kind) * NUMBERS
        self.numbers = range(begin, begin + NUMBERS)
        self._next = begin
        self._again: deque[int] = deque()
        self._seen = bytearray()
        self.answered = 0
        self.answered_twice = 0
        self.sent_again = 0
        self.not_connected = 0
        self.lost: list[Lost] = []
        self.ends: Counter[str] = Counter()
        self._stopped = False
        self._slots = [_Slot() for _ in range(connections)]

    def start(self) -> None:
        for slot in self._slots:
            self._open(slot)

    def stop(self) -> None:
        """Ask nothing new; what was begun is finished, what came back is sent again."""
        self._stopped = True

    @property
    def settled(self) -> bool:
        return not (self._again or any(slot.message is not None for slot in self._slots))

    # --- asking -------------------------------------------------------------------------

    def _open(self, slot: _Slot) -> None:
        if slot.message is not None or (self._stopped and not self._again):
            return
        slot.made, slot.port = self._clock(), None
        slot.message = Message(self._shared, self, self._endpoints, keep_alive=self.kind != ONE_SHOT, tag=slot)

    def _fill(self, message: Message) -> None:
        """Have as many on their way as there may be; close if there is nothing to ask any more."""
        room = (self._depth if message.granted else 1) - message.in_flight - message.queued
        pairs: list[Any] = []
        while len(pairs) < room and (self._again or not self._stopped):
            number = self._again.popleft() if self._again else self._number()
            pairs.append((action_request("mark", number), number))
        if pairs:
            message.send_all(pairs)
        elif self._stopped and not message.in_flight and not message.queued:
            message.close()

    def _number(self) -> int:
        self._next += 1
        self._seen.append(0)
        return self._next - 1

    # --- what messages tell ------------------------------------------------------------------

    def opened(self, message: Message) -> None:
        assert message.transport is not None
        message.tag.port = message.transport.sock.getsockname()[1]
        self._fill(message)

    def response(self, message: Message, context: Any, value: object, header: object) -> None:
        if not (isinstance(value, dict) and value.get("result") == context):
            self._lose(message.tag, context, f"answered {value!r:.80}")
            return
        at = context - self.numbers.start
        self.answered_twice += self._seen[at]
        self._seen[at] = 1
        self.answered += 1
        if message.usable:
            self._fill(message)

    def closed(self, message: Message, ending: Ending) -> None:
        slot: _Slot = message.tag
        slot.message = None
        self.ends[ending.reason.value] += 1
        back = [number for _, number in ending.unsent]
        numbers = [number for _, number in ending.unanswered]
        if ending.reason is EndReason.LAST_REPLY:  # the word `close` says that they were not carried out
            self.sent_again += len(numbers)
            back = numbers + back
        else:
            why = f"{ending.reason.value} {''.join(str(error) for error in ending.errors):.80}".strip()
            for number in numbers:
                self._lose(slot, number, why)
        self._again.extendleft(reversed(back))
        if ending.reason is EndReason.NOT_CONNECTED:
            self.not_connected += 1
            self._loop.call_later(AGAIN, self._open, slot)
        else:
            self._open(slot)

    def _lose(self, slot: _Slot, number: int, why: str) -> None:
        self.lost.append(Lost(number, slot.port, slot.made, self._clock(), why))
