"""How does a loop remember what is due when?

Three ways, for three needs:

* `Timers`: a heap. Any callback at any time, O(log n) each. Cancelling only marks the entry;
  it is thrown away when it comes to the top, or when most of the heap is cancelled.
* `TimeoutQueue`: many subjects that all wait equally long, such as connections in their header
  timeout. What waits equally long becomes due in the order it began waiting, so a dictionary
  (which keeps that order) is enough: start and stop are O(1), and a connection owns no heap
  entry. One heap entry per TimeoutQueue, for its head.
* `TimerWheel`: many subjects, each with a time of its own that mostly moves later before it
  comes, such as arriving messages. A wheel of slots: O(1) to set and to stop, and
  nothing to do when the time moves later: the wheel looks at the subject at the old time, and
  the subject says the new one. At most `SLOTS` + 1 heap entries, however many subjects.

Times are seconds on the loop's clock. Not here: the clock itself, what a timeout means.
The heap with lazy cancellation is asyncio's; the queue per equal timeout is nginx's; the wheel
is Varghese and Lauck's hashed one, as the kernel had it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

__all__ = ["TimeoutQueue", "Timer", "TimerWheel", "Timers", "parse_duration"]

#: Below this many cancelled entries sweeping the heap is not worth the trouble (asyncio: 100).
_SWEEP_FROM = 64
#: Ticks that a wheel looks ahead: what is due later is looked at once meanwhile, for nothing.
SLOTS = 1024


class Timer:
    """A callback with a time. `cancel` is safe at any moment, also twice or after it ran."""

    __slots__ = ("_timers", "args", "callback", "when")

    def __init__(self, when: float, callback: Callable[..., object], args: tuple[Any, ...], timers: Timers) -> None:
        self.when = when
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self._timers: Timers | None = timers  # None once it has left the heap

    def cancel(self) -> None:
        if self.callback is None:
            return
        self.callback = None
        self.args = ()
        if self._timers is not None:
            self._timers.cancelled()


class Timers:
    """The heap of everything that is due some day."""

    __slots__ = ("_cancelled", "_heap", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = 0  # equal times run in the order they were asked for
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def add(self, when: float, callback: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(when, callback, args, self)
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, timer))
        return timer

    def cancelled(self) -> None:
        """A timer in the heap was cancelled; sweep when more than half of them are."""
        self._cancelled += 1
        if self._cancelled > _SWEEP_FROM and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_due(self) -> float | None:
        """When the earliest timer is due, or None."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> list[Timer]:
        """Take out what is due by `now`, in order. What they add in turn waits for the next call."""
        due = []
        while (when := self.next_due()) is not None and when <= now:
            timer = heapq.heappop(self._heap)[2]
            timer._timers = None
            due.append(timer)
        return due

    def put_back(self, timers: Iterable[Timer]) -> None:
        """Take back timers of `pop_due` that did not run, because an error got in between."""
        for timer in timers:
            if timer.callback is not None:
                timer._timers = self
                self._order += 1
                heapq.heappush(self._heap, (timer.when, self._order, timer))


S = TypeVar("S")


class TimeoutQueue(Generic[S]):
    """Subjects that wait `seconds` each, and what to do with a late one.

    `seconds` of 0 turns the timeout off: `start` then does nothing. A subject is in it once;
    `start` again begins its wait anew. When a subject's time is up, the queue takes it out and calls
    `expired(subject)`. `due`, to be read only, has the waiting subjects and their times: a look there
    costs less than a `stop` where mostly none waits.
    """

    __slots__ = ("_add", "_clock", "_expired", "_timer", "due", "seconds")

    def __init__(
        self,
        seconds: float,
        expired: Callable[[S], object],
        clock: Callable[[], float],
        add: Callable[..., Timer],
    ) -> None:
        self.seconds = seconds
        self._expired = expired
        self._clock = clock
        self._add = add
        self.due: dict[S, float] = {}
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self.due)

    def __contains__(self, subject: S) -> bool:
        return subject in self.due

    def start(self, subject: S) -> None:
        """Begin (or begin again) the wait of `subject`."""
        if self.seconds <= 0:
            return
        due = self.due
        due.pop(subject, None)
        when = due[subject] = self._clock() + self.seconds
        if self._timer is None:
            self._timer = self._add(when, self._tick)

    def stop(self, subject: S) -> None:
        """End the wait of `subject`, if it was waiting."""
        self.due.pop(subject, None)

    def _tick(self) -> None:
        """The head's time came; or the head's of when the timer was set, which may have stopped."""
        self._timer = None
        due = self.due
        now = self._clock()
        expired = []
        for subject, when in due.items():
            if when > now:
                break
            expired.append(subject)
        try:
            for subject in expired:
                # One expiry may have stopped another, or started it afresh.
                if due.get(subject, now + 1) <= now:
                    del due[subject]
                    self._expired(subject)
        finally:
            # Also when one expiry raises: the others' time is up all the same.
            if self._timer is None and due:
                self._timer = self._add(next(iter(due.values())), self._tick)


class TimerWheel(Generic[S]):
    """Subjects that each have a time at which `look(subject)` is called, at most a `tick` late.

    `look` finds its subject taken out. It returns the time at which to look again, or None; it
    may be called before its time, and then returns that. A `tick` that is a power of two keeps
    the arithmetic exact.
    """

    __slots__ = ("_add", "_clock", "_look", "_slot_of", "_slots", "tick")

    def __init__(
        self,
        tick: float,
        look: Callable[[S], float | None],
        clock: Callable[[], float],
        add: Callable[..., Timer],
    ) -> None:
        self.tick = tick
        self._look = look
        self._clock = clock
        self._add = add
        self._slots: dict[int, dict[S, None]] = {}  # by number, counted in ticks
        self._slot_of: dict[S, dict[S, None]] = {}

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, subject: S) -> bool:
        return subject in self._slot_of

    def set(self, subject: S, when: float) -> None:
        """Look at `subject` when `when` has come, and not at the time that was set before."""
        number = math.ceil(min(when / self.tick, self._clock() / self.tick + SLOTS))
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = {}
            self._add(number * self.tick, self._come, number)
        before = self._slot_of.get(subject)
        if before is not slot:
            if before is not None:
                del before[subject]
            slot[subject] = None
            self._slot_of[subject] = slot

    def stop(self, subject: S) -> None:
        """Never look at `subject`, if it was to be looked at."""
        slot = self._slot_of.pop(subject, None)
        if slot is not None:
            del slot[subject]

    def _come(self, number: int) -> None:
        """The time of a slot has come; of one that has emptied meanwhile too."""
        slot = self._slots.pop(number)
        try:
            for subject in list(slot):
                if subject in slot:  # else: what was done about another has stopped or moved it
                    self.stop(subject)
                    when = self._look(subject)
                    if when is not None:
                        self.set(subject, when)
        finally:
            for subject in list(slot):  # a look has raised: the others' time has come all the same
                self.set(subject, number * self.tick)


_UNITS = {"us": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

#: Hours: ten years. What waits longer waits for ever, and beyond some 24 days the kernel's own timeouts are
#: asked for in pieces; but infinity (a number of 400 digits) is no time to calculate with.
_LONGEST = 87600.0
#: Characters that a person writes for a number.
_MOST_DIGITS = 20


def parse_duration(text: str) -> float:
    """Seconds from what a person writes: `10s`, `250ms`, `87us`, `1.5m`, `2h`; a bare number is seconds.

    Raises `ValueError` with a sentence that says what is accepted.
    """
    word = text.strip().lower()
    number = word.rstrip("umsh")
    unit = word[len(number) :] or "s"
    digits = number.replace(".", "", 1)
    if unit not in _UNITS or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"{text[:40]!r} is not a time: write a number with us, ms, s, m or h, such as 250ms or 10s")
    seconds = float(number) * _UNITS[unit]
    if seconds > _LONGEST * 3600 or len(number) > _MOST_DIGITS:
        raise ValueError(f"{text[:40]!r} is too long a time: write at most {_LONGEST:g}h, which is ten years")
    return seconds
