"""How do calls find connections, and what happens to a call whose connection ends?

`Pool` serves `Call`s over up to `connections` messages to one address, on a loop it is given.

    queue of calls -> a free place on an open message -> answered
         ^                                            -> or the message ends: back, or failed

Rules:

* A call takes a place on an open message: one until keep-alive is granted, `depth` afterwards.
  With calls waiting and no place free another message is opened, up to `connections`.
* When a message ends, a call that never began to leave goes back to the queue. A call that
  did is repeated only if it was declared `idempotent`, was never answered, and was lost for the first
  time less than `retry_for` seconds ago; otherwise it fails, and its error says that it may have been carried out.
  `shutting-down` is no answer either: the server said that it stops, not what came of the request.
* A one-shot peer is no failure: the next call gets a new connection at once.
* A timeout is the caller's patience: the call whose reply did not come fails, declared
  idempotent or not; those behind it on the same connection are treated as above.
* Connecting that fails is tried again until it has failed for `retry_for` seconds in a row, waiting in between:
  exponential backoff with full jitter, so that a thousand clients don't come back at once. Then all that
  wait fail. While other messages are open, the calls are theirs.
* The budget is a time and not a number of tries, because what it has to outlast is one: a server that is
  restarted where it was is away for a second or two, however often somebody knocks meanwhile. A pause that has
  begun within the budget is waited out, so that the last tries of many clients don't fall together either.
* A reconnect that follows a connection which had answered (an idle connection that the server
  closed just as we sent) does not wait: nothing says that the server is in trouble.

Not here: blocking until calls are done (`libclient.client`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from eventloop import Address, Endpoint, EventLoop, Timer
from protocol import Header, ProtocolError
from protocol.errors import ShuttingDown

from .call import Backoff, Call, error_in
from .connect import broken, not_connected, resolve
from .errors import BadReply, ConnectionFailed, ErrorReply
from .message import Message
from .owner import Ending, Shared, UnaskedReply
from .reasons import EndReason

__all__ = ["Pool"]


class _Place:
    """What a pool knows of one of its messages: how many calls it answered."""

    __slots__ = ("answered",)

    def __init__(self) -> None:
        self.answered = 0


class Pool:
    """Calls over many connections to one address.

    `done(call)` is called for each call when it is done, from the loop. `shared` has the timeouts.
    `retry_for` (seconds; 0: no second try) and `backoff`: see the rules above. `width` is how many of `connections`
    calls may use just now. `failures` counts those of connecting in a row, `last_error` is the last of them.
    """

    def __init__(
        self,
        shared: Shared,
        address: Address,
        done: Callable[[Call], object],
        *,
        connections: int = 1,
        depth: int = 64,
        retry_for: float = 5.0,
        backoff: Backoff | None = None,
        keep_alive: bool = True,
        resolve: Callable[[Address], list[Endpoint]] = resolve,
    ) -> None:
        self.shared = shared
        self.loop: EventLoop = shared.loop
        self.address = address
        self.connections = self.width = connections
        self.depth = depth
        self.retry_for = retry_for
        self.backoff = backoff or Backoff()
        self.keep_alive = keep_alive
        self.waiting: deque[Call] = deque()
        self._done = done
        self._resolve = resolve
        self._endpoints: list[Endpoint] | None = None
        # dictionaries: these are walked through, and a set's order is that of memory addresses
        self._connecting: dict[Message, None] = {}
        self._open: dict[Message, None] = {}  # connected and usable, the oldest first
        self._ending: dict[Message, None] = {}  # had their last reply, or were cut
        self.failures = 0  # connecting failed so often in a row
        self._failing_since = 0.0  # when the first of them did; without any it means nothing
        self.last_error: Exception | None = None  # of connecting
        self._floor = 0  # messages to have open without any call
        self._pause: Timer | None = None  # no connection is opened while it runs

    # --- facts -----------------------------------------------------------------------

    @property
    def open_count(self) -> int:
        """Messages that are connected and usable."""
        return len(self._open)

    @property
    def used(self) -> int:
        """Messages that are connected and usable, or on the way there."""
        return len(self._open) + len(self._connecting)

    @property
    def opening(self) -> bool:
        """Connections are being made, or will be after a pause."""
        return bool(self._connecting) or self._pause is not None

    @property
    def retrying(self) -> bool:
        """Connecting has not failed, or not for `retry_for` seconds yet."""
        return not self.failures or self.loop.clock() - self._failing_since < self.retry_for

    @property
    def settled(self) -> bool:
        """No message is left that has not told its end."""
        return not (self._open or self._connecting or self._ending)

    # --- calls in --------------------------------------------------------------------

    def submit(self, calls: Iterable[Call], width: int | None = None) -> None:
        """Queue calls and let go what has a place; calls use no more connections than `width` (None: as before)."""
        if width is not None:
            self.width = width
        self.waiting.extend(calls)
        self._place_all()

    def keep(self, count: int) -> None:
        """Have `count` messages open, calls or not; 0 ends that, and closes none."""
        self._floor = count
        self.failures = 0
        self._open_for_waiting()

    def _place_all(self) -> None:
        """Fill the places on the messages there are, the oldest first; open more for the rest."""
        for message in [*islice(self._open, self.width)] if self.waiting else ():
            self._fill(message)
        self._open_for_waiting()

    def _open_for_waiting(self) -> None:
        """One connection per waiting call, less those being made already; or as many as are to be kept."""
        if self._pause is not None:
            return
        wanted = min(len(self.waiting) - len(self._connecting), self.width - self.used)
        try:
            for _ in range(max(wanted, self._floor - self.used)):
                self._open_one()
        except ConnectionFailed as error:  # the name can't be resolved: no message was made
            self._connecting_failed(error)

    def _open_one(self) -> None:
        if self._endpoints is None:
            self._endpoints = self._resolve(self.address)
        message = Message(self.shared, self, self._endpoints, keep_alive=self.keep_alive, tag=_Place())
        self._connecting[message] = None

    def _fill(self, message: Message) -> None:
        """Hand over as many calls as the message has places for."""
        free = (self.depth if message.granted else 1) - message.in_flight - message.queued
        if free > 0 and self.waiting:
            calls = [self.waiting.popleft() for _ in range(min(free, len(self.waiting)))]
            message.send_all([(call.request, call) for call in calls])

    # --- what messages tell ------------------------------------------------------------

    def opened(self, message: Message) -> None:
        self._connecting.pop(message, None)
        self._open[message] = None
        self._fill(message)

    def response(self, message: Message, context: Any, value: object, header: Header) -> None:
        self.failures = 0
        message.tag.answered += 1
        self._answer(message, context, value, header)
        if not message.usable:
            self._retire(message)
            if self.used < self.width:
                self._open_for_waiting()
            else:
                self._place_all()
        elif self.waiting and (message.in_flight + message.queued) * 2 <= self.depth:
            self._fill(message)  # in heaps of half the depth, so that they leave in one send

    def closed(self, message: Message, ending: Ending) -> None:
        self._retire(message)
        self._ending.pop(message, None)
        if ending.reason is EndReason.ABORTED:
            return  # by `abandon` or `close`: nobody waits for its calls
        if ending.reason is EndReason.NOT_CONNECTED:
            self._endpoints = None  # it may have moved
            self._connecting_failed(not_connected(self.address, ending.errors))
            return
        back = self._repeatable(message, ending)
        back += [call for _, call in ending.unsent]
        self.waiting.extendleft(reversed(back))
        if ending.reason is EndReason.REFUSED:
            self._connecting_failed(_refusal(self.address, ending))
        elif ending.unanswered and not message.tag.answered:
            self._wait_before_opening()  # it took calls and answered none
        if self.waiting:
            self._place_all()

    def _retire(self, message: Message) -> None:
        self._connecting.pop(message, None)
        self._open.pop(message, None)
        self._ending[message] = None

    def _repeatable(self, message: Message, ending: Ending) -> list[Call]:
        """Of the calls that were sent and not answered, those to send again; the others fail here."""
        again = []
        for number, (_, call) in enumerate(ending.unanswered):
            # Behind a reply that said `close` nobody was tried, and that reply was progress.
            in_time = ending.reason is EndReason.LAST_REPLY or self._in_time(call)
            timed_out = ending.reason is EndReason.REPLY_TIMEOUT and number == 0
            hopeless = ending.reason in (EndReason.BAD_FRAMING, EndReason.MISMATCH)
            if call.idempotent and in_time and not timed_out and not hopeless:
                again.append(call)
            else:
                seconds = self.shared.reply_timer.seconds
                self._finish(call, broken(self.address, ending.reason, ending.errors, seconds))
        return again

    def _in_time(self, call: Call) -> bool:
        """It was lost. Did it happen for the first time so recently that it may be tried again?"""
        now = self.loop.now
        if call.lost_at is None:
            call.lost_at = now
        return now - call.lost_at < self.retry_for

    # --- done --------------------------------------------------------------------------

    def _answer(self, message: Message, call: Call, value: object, header: Header) -> None:
        error: Exception | None = None
        if isinstance(value, ProtocolError):
            error = BadReply(f"the content of the reply from {self.address.endpoint} can't be read: {value}")
        else:
            error = error_in(value)
            stops = isinstance(error, ErrorReply) and error.code == ShuttingDown.code and not message.usable
            if stops and call.idempotent and self._in_time(call):
                self.waiting.appendleft(call)
                self._wait_before_opening()  # it may go on to accept for as long as it stops
                return
        call.value = value
        call.header = header
        self._finish(call, error)

    def _finish(self, call: Call, error: Exception | None) -> None:
        call.error = error
        call.done = True
        self._done(call)

    # --- trying again --------------------------------------------------------------------

    def _connecting_failed(self, error: Exception) -> None:
        """Wait and try again; or let what waits fail, if there is nobody to serve it."""
        self.last_error = error
        if self._open or (self.retry_for > 0 and self.retrying):
            self._wait_before_opening()
        elif not self._connecting and self._pause is None:
            self.failures = 0
            self._fail_waiting(error)

    def _wait_before_opening(self) -> None:
        if self._pause is None:
            if not self.failures:
                self._failing_since = self.loop.clock()  # not `now`: between two turns that is long ago
            self.failures += 1
            self._pause = self.loop.call_later(self.backoff.delay(self.failures), self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._place_all()

    def _fail_waiting(self, error: Exception) -> None:
        waiting, self.waiting = self.waiting, deque()
        for call in waiting:
            self._finish(call, error)

    # --- ending ----------------------------------------------------------------------------

    def abandon(self) -> None:
        """Nobody waits for the calls any more: forget those that wait, cut the messages that are busy."""
        self.waiting.clear()
        self._stop_pause()
        for message in [*self._connecting, *self._open]:
            if message.in_flight or message.queued or message in self._connecting:
                self._cut(message)

    def close(self) -> None:
        """Cut every message; `settled` tells when all have ended."""
        self.waiting.clear()
        self._stop_pause()
        for message in [*self._connecting, *self._open, *self._ending]:
            self._cut(message)

    def _cut(self, message: Message) -> None:
        self._retire(message)
        if message.usable and not (message.in_flight or message.queued):
            message.close()  # nothing is owed: that is an end in good order, and a trace should say so
        message.abort()

    def _stop_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None


def _refusal(address: Address, ending: Ending) -> Exception:
    """What the peer said before anything was asked."""
    said = ending.errors[0] if ending.errors else None
    reply = error_in(said.value) if isinstance(said, UnaskedReply) else None
    return reply or broken(address, ending.reason, ending.errors, 0.0)
