"""What came in one turn of the loop, and when is it answered?

With many clients that await each reply, a turn brings one whole request on each of many connections.
Answered where they are read, each costs a call of json's scanner and a dozen of ours. And
each reply wakes its client, which finds one, sleeps again, and is woken by the next: at our
expense, since the waking is done inside our send. So input waits here until everybody has been read:

    Message.data_received -> add
    the turn's last part  -> _answer:  Dispatcher.serve_each  of all that are one common request, in one step
                                       Message.serve          of what else came, one after the other
                                       Message.write          the replies, right after each other

What comes while nobody waits is served at once if nobody else is ready, or if the connection is not at rest, so that it
could not be part of that one step; but once the turn has had its time, that waits too. A large content that nobody
decodes is served where it was read, while the processor's cache holds it, unless those that wait have had to for long.

Rules:

* Nobody waits long for others: no more than `BATCH` connections wait, and no more than `BYTES`; and when `WITHIN`
  seconds have gone by, what has been answered is sent before anybody else is served.
* A turn has `TURN` seconds for what it brought. When they are over, the loop asks who else is ready before anything
  more is answered. Then small requests come first, in order. What is `LIGHT` or more, and a connection that had
  its share, waits for the turn's end: there the smaller come first while there is time, since what a request costs
  goes by its size, and the one that has waited longest has its turn in any case.
* A handler that holds up the loop (`STALLED`) ends the turn for the small ones too.
* A large JSON content takes what is left of a turn: no second one is decoded in it.
* An error costs the connection it was met on, no other; so does an interrupt. What else waits is
  answered in the next turn.
* A connection waits once: what it sends on while it waits, it sends to the turn's end.

Redis sends before it sleeps (`beforeSleep`), and uvloop at the end of a turn; that also reading and
answering wait for each other is Python's need: its calls are what a request costs. Valkey has the word.

Not here: what is one common request (`protocol.frames`), what a connection that is served does (`libserver.message`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar

from eventloop import EventLoop, Transport

from .active_state import ActiveState
from .binary_reply import BytesLike
from .by_size import BySize
from .dispatcher import PARTS, Asker, Dispatcher
from .limits import JOIN_BELOW, LIGHT, STALLED, TURN
from .reasons import CloseReason
from .receive_timeouts import ReceiveTimeouts
from .slowness import SLOW, Slowness

__all__ = ["RequestBatch", "Waiting"]

#: Connections. The first of a thousand would wait for the last; more than so many together brought nothing.
BATCH = 64
#: Bytes of what is no small request: 64 reads of sixteen small requests each are a third of it.
BYTES = 512 * 1024
#: Bytes of one read from which on it is no part of the joint step: what it asks may take as long as all others.
HEAVY = 8 * 1024
#: Seconds. 64 connections with 16 requests each take 3 ms; what takes longer is a handler that does.
WITHIN = 0.005


class Waiting(Asker, Hashable, Protocol):
    """A connection whose input waits: a `libserver.message.Message`, as far as a batch needs it."""

    #: how many requests it has served, or the `ActiveState` that counts them
    requests: int | ActiveState
    transport: Transport

    @property
    def pending(self) -> ActiveState:
        """Made if it has none."""

    def serve(self, data: bytes, its_turn: bool = False) -> tuple[list[BytesLike], int]:
        """Serve `data`. Returns the replies that may be sent with those of others, and their contents' size."""

    def serve_later(self, data: bytes) -> None:
        """Keep `data` until `serve_on`."""

    def serve_on(self) -> None:
        """Serve what it keeps: the others had their turn."""

    def write(self, replies: Sequence[BytesLike], size: int | None = None, last: bool = False) -> None:
        """Send replies in one go; `last`: if the kernel takes all, the end follows at once."""

    def watch(self) -> None:
        """Have the loop watch it."""

    def abort(self, reason: CloseReason) -> None:
        """Close it now."""

    def facts(self) -> dict[str, object]:
        """What a line of the log says of it."""


W = TypeVar("W", bound=Waiting)


class RequestBatch(Generic[W]):
    """What was read of a server's connections and is not yet answered.

    `isolate(connection, act)` has a bug in `act` end that connection alone; `met_bug(source, error)` hears of one.

    `waiting`, `deferred` and `unsent` are to be read only: who waits for this turn's answers, who for its end, and
    which replies an interrupt has kept from being sent.
    """

    __slots__ = (
        "_answering",
        "_clock",
        "_dispatcher",
        "_due",
        "_end_comes",
        "_heavy",
        "_isolate",
        "_large",
        "_later",
        "_loop",
        "_met_bug",
        "_receive_timeouts",
        "_size",
        "_slowness",
        "_unwatched",
        "deferred",
        "unsent",
        "waiting",
    )

    def __init__(
        self,
        loop: EventLoop,
        dispatcher: Dispatcher,
        slowness: Slowness,
        receive_timeouts: ReceiveTimeouts[W],
        isolate: Callable[[W, Callable[[], object]], None],
        met_bug: Callable[[object, Exception], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._slowness = slowness
        self._receive_timeouts = receive_timeouts
        self._isolate = isolate
        self._met_bug = met_bug
        self.waiting: dict[W, bytes] = {}  # what was read of each
        self.unsent: list[tuple[W, Sequence[BytesLike], int]] = []  # to be sent, with their contents' size
        self._size = 0  # bytes of those of what waits that are no small request
        self._heavy = False  # one of them is heavy
        self._unwatched: list[W] = []  # of those the ones that the loop is yet to watch
        #: who waits for a turn's end, with what was read of it; None: it is `yielded`, and holds that itself
        self._later: BySize[W, bytes | None] = BySize()
        self.deferred = self._later.row_of  # who they are
        self._large = False  # a large content was decoded in this turn
        self._loop = loop
        self._clock = loop.clock
        self._due = 0.0  # by when they want to be answered
        self._answering = False
        self._end_comes = False  # it is in the loop's queue

    def __len__(self) -> int:
        return len(self.waiting)

    def __contains__(self, message: W) -> bool:
        """Was something of it read that is not answered, or has it yet to be read on?"""
        return message in self.waiting or message in self._later

    # --- whose turn is it? ---------------------------------------------------------------

    @property
    def spent(self) -> bool:
        """This turn has no time left for what need not be answered in it; or others wait for that already."""
        return bool(self.deferred) or self._large or self._is_over()

    @property
    def late(self) -> bool:
        """Those that wait have waited as long as they should: `WITHIN`."""
        return bool(self.waiting) and self._clock() > self._due

    @property
    def stalled(self) -> bool:
        """A handler has held up this turn: small requests wait for the next one, too."""
        return self._clock() > self._loop.now + STALLED

    def _is_over(self) -> bool:
        return self._clock() > self._loop.now + TURN

    def _time_to_answer(self) -> float:
        """Until when the turn's last part may take: its own half, whatever it took to read from all."""
        return max(self._loop.now + TURN, self._clock() + TURN / 2)

    def later(self, message: W, size: int) -> None:
        """Call its `serve_on` once the others had their turn: it has `size` bytes to serve, and is `yielded`."""
        self._later.add(message, None, size)
        self._wait_for_the_end()

    def spend(self) -> None:
        """A large content was decoded: that was the turn's."""
        if not self._large:
            self._large = True
            self._wait_for_the_end()

    def _put_off(self, message: W, data: bytes) -> None:
        if message in self._later:
            message.serve_later(data)  # it had its share before, and waits already
        else:
            self._later.add(message, data, len(data))
            self._receive_timeouts.hold(message)
            self._wait_for_the_end()

    def _wait_for_the_end(self) -> None:
        if not self._end_comes:  # once: who goes on may wait again, and a second one would be a turn within the turn
            self._end_comes = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        """The turn's last part: what it brought is answered, then what was put off.

        Of that the small while there is time, and the one that has waited longest. Without the latter the large would
        never have a turn beside enough small ones; unless a large content was decoded in this turn already.
        """
        later = self._later
        self._end_comes = False
        try:
            if self.waiting or self.unsent or self._unwatched:
                self._answer(self._time_to_answer())
            until = self._time_to_answer()
            left = len(later)
            while left and not (self.stalled or self._large or self._clock() > until):
                left -= 1
                self._go_on(*later.take_smallest())
            if (
                left and later and not self._large
            ):  # the first in line: who waits again by now had its turn, and is behind
                self._go_on(*later.take_oldest())
        finally:
            self._large = False
            if later:
                self._wait_for_the_end()

    def _go_on(self, message: W, data: bytes | None) -> None:
        if message.transport.closed:  # lost meanwhile, and about to be told so
            message.pending.unserved += data or b""  # it was not silent
            return
        if data is None:
            self._isolate(message, message.serve_on)
        else:
            self._isolate(message, lambda: message.write(*message.serve(data, its_turn=True)))

    # --- what waits for the turn's end ---------------------------------------------------

    def add(self, message: W, data: bytes) -> None:
        """`message` has received `data`: serve it in this turn's last part, or now if it is alone."""
        waiting = self.waiting
        if self.deferred and message in self.deferred:
            message.serve_later(self.take(message) + data)
            return
        size = len(data)
        if size >= LIGHT:
            # Sixteen small requests in one read are as large: who is not heavy need not look at the clock.
            if (size >= HEAVY or self.deferred or self._large) and self.spent and message not in waiting:
                self._put_off(message, data)
                return
            self._size += size
            if size >= HEAVY:
                self._heavy = True
        if message in waiting:
            message.serve_later(self.take(message) + data)
            return
        waiting[message] = data
        if message.connection is not None:
            self._receive_timeouts.hold(message)  # what it sent has come, and timers run before it is served
        count = len(waiting)
        # No look at the clock between: sixty-four reads take less than `WITHIN`.
        if count == 1:
            if not (self.deferred or self.unsent) and self._loop.ready <= 1 and not self._is_over():  # alone
                self._answer(self._time_to_answer())
                return
            self._due = self._clock() + WITHIN
            self._wait_for_the_end()
        elif (count >= BATCH or self._size >= BYTES) and self._clock() <= self._loop.now + TURN:
            self._answer(self._time_to_answer())

    def watches_later(self, message: W) -> bool:
        """Does `message`, which is new, wait here? Then it is watched once it is served."""
        if message not in self.waiting:
            return False
        self._unwatched.append(message)
        return True

    def take(self, message: W) -> bytes:
        """What was read of it at rest and is not answered; it waits no more."""
        data = self.waiting.pop(message, None)
        if data is None and self.deferred and (data := self._later.get(message)) is not None:
            self._later.remove(message)
        return data or b""

    def send_unsent(self) -> None:
        """Send the replies that an interrupt has kept: whatever is served now comes behind them."""
        if self.unsent and not self._answering:
            self._send()

    def forget(self) -> None:
        """All connections are cut: nobody waits for an answer."""
        self.waiting.clear()
        self.unsent.clear()
        self._later.clear()
        self._unwatched.clear()

    def _answer(self, until: float) -> None:
        """Answer what waits, in groups of `BATCH`.

        When the clock is beyond `until` the large are put off; the small that are left half a turn later wait longer.
        """
        if self._answering:
            return
        self.send_unsent()
        waiting = self.waiting
        slowness = self._slowness
        self._answering = True
        self._due = self._clock() + WITHIN
        group = 0
        is_over = False
        try:
            while waiting:
                if not group:
                    before = len(waiting)
                    group = min(before, BATCH)
                    if group > 1:
                        self._answer_common()
                        group -= before - len(waiting)
                        if not group:
                            continue
                if slowness.looked > self._due:  # whoever has answered has just looked at the clock
                    self._send()
                    self._due = self._clock() + WITHIN
                self._answer_first()
                group -= 1
                if slowness.looked > until:
                    if is_over or self.stalled or not self._put_off_the_large():
                        break
                    is_over = True
                    until = slowness.looked + TURN / 2
                    group = min(group, len(waiting))
            self._send()
        finally:
            self._answering = False
            self._size = 0
            self._heavy = False
            if waiting or self.unsent:  # interrupted, or out of time
                self._wait_for_the_end()
            if self._unwatched:
                self._watch()

    def _watch(self) -> None:
        """Have the loop watch those that came in this turn and are here yet."""
        unwatched, self._unwatched = self._unwatched, []
        for message in unwatched:
            if not message.transport.closed:
                self._isolate(message, message.watch)

    def _put_off_the_large(self) -> bool:
        """Of those left the small come first. Are there large ones?"""
        large = [message for message, data in self.waiting.items() if len(data) >= LIGHT]
        for message in large:
            self._put_off(message, self.take(message))
        return bool(large)

    def _answer_common(self) -> None:
        """Answer in one step all that can be, and take them out."""
        taken: list[int] = []
        replies: list[BytesLike] = []
        messages = [*islice(self.waiting, BATCH)]
        reads = [*islice(self.waiting.values(), BATCH)]
        if self._heavy or [1 for message in messages if message.connection is not None]:
            both = zip(messages, reads, strict=True)
            fit = [(one, data) for one, data in both if one.connection is None and len(data) < HEAVY]
            messages, reads = [one for one, _ in fit], [data for _, data in fit]
        try:
            self._dispatcher.serve_each(messages, reads, taken, replies, self._due)
        except Exception as error:
            self._met_bug(self, error)  # whoever it was meets it again, alone
        except BaseException:
            answered = len(replies) // PARTS
            if answered < len(taken):
                self._cut(messages[taken[answered]])
            raise
        finally:
            answered = len(replies) // PARTS
            now = self._clock()
            if answered and now - self._loop.now > SLOW:
                # It stops behind the one with which it became late.
                slow = messages[taken[answered - 1]]
                self._slowness.answered(slow, self.waiting[slow])
            self._slowness.looked = now
            self._take(messages, taken, replies)

    def _take(self, messages: Sequence[W], taken: list[int], replies: list[BytesLike]) -> None:
        """The first of those taken have these replies, and wait no more."""
        answered = len(replies) // PARTS
        those = messages if answered == len(messages) else [messages[number] for number in taken[:answered]]
        heads, contents, tails = (replies[part : answered * PARTS : PARTS] for part in range(PARTS))
        for message in those:
            message.requests += 1
        self.unsent += zip(those, zip(heads, contents, tails, strict=True), map(len, contents), strict=True)
        if answered == len(self.waiting):
            self.waiting.clear()
        else:
            for message in those:
                del self.waiting[message]

    def _answer_first(self) -> None:
        """Answer the first of those that wait, whatever it asks."""
        message = next(iter(self.waiting))
        if message.transport.closed:
            message.pending.unserved += self.take(message)  # lost meanwhile, and about to be told so
            return
        try:
            replies, size = message.serve(self.take(message))
        except BaseException as error:
            self._charge(message, error)
        else:
            self.unsent.append((message, replies, size))

    def _charge(self, message: W, error: BaseException) -> None:
        """It was met on this one. Raises it again if it is an interrupt."""
        if isinstance(error, Exception):
            self._met_bug(message, error)
        else:
            self._cut(message)
            raise error

    def _cut(self, message: W) -> None:
        """An interrupt has hit it: one reply will not leave, so none that follows may."""
        self.take(message)
        message.abort(CloseReason.INTERNAL_ERROR)

    def _send(self) -> None:
        replies = self.unsent
        begun = 0
        try:
            for message, parts, size in replies:
                begun += 1
                try:
                    if size < JOIN_BELOW and parts:  # what `write` would do, without the call
                        message.transport.write(b"".join(parts))
                    else:
                        message.write(parts, size)
                except BaseException as error:
                    self._charge(message, error)
        finally:
            del replies[:begun]
