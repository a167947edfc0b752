"""What happens next?

`EventLoop` asks the operating system which descriptors are ready, calls the object that is
registered with each, then runs due timers and callbacks. That is all: no tasks, no futures,
one thread.

    one turn = select -> on_readable / on_writable -> due timers -> callbacks handed over

Rules:

* A registered handler has `on_readable()` and `on_writable()`, and checks whether it was
  closed meanwhile: an event may be stale by the time the loop delivers it. It can't reach a
  stranger: the event carries the object, not the reused descriptor number.
* The caller may pass selector and clock. The loop reads the clock once per turn, after select,
  as `now`: all events of a turn have one time. `coarse_now` is the same, but changes only
  every quarter of a second: thousands of connections that note it share one float.
* `ready` is how many handlers this turn calls: whether another connection might be waiting.
* Ready handlers come before late timers: once a timer is due, the loop first looks which
  handlers are ready and calls them.
* An exception from a callback goes to `on_error`, with the object it came from. Without one
  it ends `run`: a loop that hides errors is worse than one that stops.
* `call_soon_threadsafe` is the only method that other threads (and signal handlers) may call.

Not here: reading and writing (`eventloop.transport`), accepting (`eventloop.listener`).
Small loop over small backends: Redis' `ae.c`.
"""

from __future__ import annotations

import math
import selectors
import socket
import time
from _thread import get_ident
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from .busy_poller import BusyPoller
from .timers import TimeoutQueue, Timer, Timers

__all__ = ["EventHandler", "EventLoop"]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

#: Longest sleep, in seconds: epoll takes milliseconds in a C int, and refuses what is due in a
#: month. Waking once a day for nothing is no cost (asyncio's number and reason).
_MAX_SLEEP = 24 * 3600.0

S = TypeVar("S")

#: Seconds by which `EventLoop.coarse_now` may lag behind `now`.
COARSE = 0.25


class EventHandler(Protocol):
    """What can be registered with a loop."""

    def on_readable(self) -> None: ...

    def on_writable(self) -> None: ...


OnError = Callable[[object, Exception], None]


class EventLoop:
    """A single-threaded readiness loop over `selectors`.

    `selector` defaults to the best the system has, `clock` (seconds) to `time.monotonic`. `on_error` gets
    a handler and the exception that it raised; without it the exception ends `run`. `wakeup_pair` makes the pair of
    sockets that wakes it. `spin`: polls before it sleeps, at most (see `eventloop.busy_poller`). `on_slow` gets
    the seconds that a turn of `run` took, if they were more than `slow`.

    Attributes: `now`, the time of this turn, in seconds of the clock; `coarse_now`, the same to a quarter of a
    second; `ready`, how many events this turn has brought.

    `close` it when done: it owns the selector and the pair. Raises `OSError`, with nothing left open, if the system
    has no descriptor for those.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_error: OnError | None = None,
        wakeup_pair: Callable[[], tuple[Any, Any]] = socket.socketpair,
        spin: int = 0,
        on_slow: Callable[[float], object] | None = None,
        slow: float = math.inf,
    ) -> None:
        self.selector = selector if selector is not None else selectors.DefaultSelector()
        self.clock = clock
        self.now = self.coarse_now = clock()
        self.ready = 0
        self.on_error = on_error
        self.on_slow = on_slow
        self.slow = slow
        self._busy_poller = BusyPoller(self.selector, spin)
        self._timers = Timers()
        self._soon: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._running = False
        self.thread = 0  #: the one that turns it
        self._wakes_on_signals = False
        try:
            self._waker = _Waker(self, *wakeup_pair())
        except OSError:
            self.selector.close()
            raise

    # --- registering ---------------------------------------------------------------

    def register(self, fileobj: Any, events: int, handler: EventHandler) -> None:
        """Watch `fileobj` for `events` from now on; 0 takes it out.

        Out of the selector, not `modify(fd, 0)`: epoll reports a hang-up even to a mask of
        0, for ever, and the loop would spin on a paused connection whose peer has gone.
        """
        key = self.selector.get_map().get(fileobj.fileno())
        if key is None:
            if events:
                self.selector.register(fileobj, events, handler)
        elif not events:
            self.selector.unregister(fileobj)
        elif key.events != events or key.data is not handler:
            self.selector.modify(fileobj, events, handler)

    # --- time ----------------------------------------------------------------------

    def call_later(self, seconds: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call back after `seconds` from now; `cancel()` the returned timer to call it off."""
        return self._timers.add(self.clock() + seconds, callback, *args)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call back when the loop's clock (seconds) says `when`; `cancel()` calls it off."""
        return self._timers.add(when, callback, *args)

    def timeout_queue(self, seconds: float, expired: Callable[[S], object]) -> TimeoutQueue[S]:
        """A queue for many subjects that all wait `seconds`; the loop calls `expired` with each late one.

        Start and stop cost O(1) (see `eventloop.timers`). It goes by the clock, not by `now`: a wait that starts
        between two turns, as a blocking client does, would else begin in the past and end too early.
        """
        return TimeoutQueue(seconds, expired, self.clock, self.call_at)

    # --- handing over --------------------------------------------------------------

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call back in this turn's last part, or in the next turn if called from there."""
        self._soon.append((callback, args))

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> None:
        """`call_soon` for other threads and signal handlers: also wakes a sleeping loop."""
        self._soon.append((callback, args))  # deque.append is atomic
        self._waker.wake()

    def wake_on_signals(self, heard: Callable[[bytes], object] | None = None) -> None:
        """From the main thread: let every signal end a sleeping `select`, until the loop is closed.

        `heard` gets their numbers, a byte each, in the next turn: every one, also where
        Python calls the handler of several once.

        Python runs a signal's handler between two instructions. If a signal comes after the
        last one before `select` sleeps, Python runs the handler only when the sleep ends,
        which without this may be never.
        """
        import signal  # a server's; it takes a while

        self._waker.heard = heard
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._wakes_on_signals = True

    def hear_signals(self) -> None:
        """From a signal's handler: give `heard` now the numbers of all signals so far.

        It takes other wakes with it, so hand something over by `call_soon_threadsafe` afterwards.
        """
        self._waker.on_readable()

    # --- running -------------------------------------------------------------------

    def run(self) -> None:
        """Turn until `stop` is called. Raises what a handler raised, if there is no `on_error`."""
        self._running = True
        self.thread = get_ident()
        at: float | None = None
        while self._running:
            self.run_once(None, at)
            at = self.clock()  # one look serves both: how long it took, and how long the next may sleep
            if at - self.now > self.slow:
                self._tell_slow(at - self.now)

    def _tell_slow(self, seconds: float) -> None:
        if self.on_slow is not None:
            self.on_slow(seconds)

    def stop(self) -> None:
        """End `run` after this turn. From another thread: `call_soon_threadsafe(loop.stop)`."""
        self._running = False

    def run_once(self, timeout: float | None = None, at: float | None = None) -> int:
        """One turn: select, every ready handler, due timers, and the callbacks of `call_soon`.

        Waits at most `timeout` seconds (None: until something happens). `at`: the time, if it is known. Returns how
        many events, timers and callbacks it served: a simulation checks that every turn makes progress.
        """
        if not self.thread:
            self.thread = get_ident()
        if self._soon:
            timeout = 0
        else:
            due = self._timers.next_due()
            if due is not None:
                wait = due - (at if at is not None else self.clock())
                if wait < 0:
                    wait = 0.0
                elif wait > _MAX_SLEEP:
                    wait = _MAX_SLEEP
                if timeout is None or wait < timeout:
                    timeout = wait
        ready = self._busy_poller.select(timeout)
        now = self.now = self.clock()
        if not ready:
            ready = self._look_again(now)
        self.ready = len(ready)
        if now - self.coarse_now >= COARSE:
            self.coarse_now = now
        for key, mask in ready:
            handler = key.data
            try:
                if mask & READ:
                    handler.on_readable()
                if mask & WRITE:
                    handler.on_writable()
            except Exception as error:
                self._failed(handler, error)
        served = len(ready)
        due_now = self._timers.pop_due(self.now)
        if due_now:
            served += self._run_timers(iter(due_now))
        for _ in range(len(self._soon)):
            callback, args = self._soon.popleft()
            served += 1
            self._call(callback, args)
        return served

    def _look_again(self, now: float) -> list[tuple[selectors.SelectorKey, int]]:
        """No handler was ready. Is that still so if a timer is due?

        A process that was stopped (SIGSTOP, a debugger, a frozen container) and goes on finds its sleep
        interrupted (epoll_wait(2), EINTR), and if the time was up meanwhile Python gives an empty list
        without a look (PEP 475). Bytes that came in time must not count as late for that.
        """
        due = self._timers.next_due()
        if due is None or due > now:
            return []
        return self.selector.select(0)

    def _run_timers(self, due: Iterator[Timer]) -> int:
        served = 0
        try:
            for timer in due:
                if timer.callback is not None:  # else: an earlier one of this turn cancelled it
                    served += 1
                    self._call(timer.callback, timer.args)
        except BaseException:
            self._timers.put_back(due)  # the rest: a caller that catches this and turns again finds them
            raise
        return served

    def _call(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            callback(*args)
        except Exception as error:
            self._failed(getattr(callback, "__self__", callback), error)

    def _failed(self, source: object, error: Exception) -> None:
        if self.on_error is None:
            raise error
        self.on_error(source, error)

    def close(self) -> None:
        """Give back the descriptors. What is registered is forgotten, not closed."""
        if self._wakes_on_signals:
            import signal

            signal.set_wakeup_fd(-1)
            self._wakes_on_signals = False
        self._waker.close()
        self.selector.close()
        self._soon.clear()

    def __repr__(self) -> str:
        return f"<EventLoop {type(self.selector).__name__} timers={len(self._timers)}>"


class _Waker:
    """A byte through a socket pair ends a sleeping `select`. Many wakes leave few bytes."""

    __slots__ = ("_receiver", "_sender", "_woken", "heard")

    def __init__(self, loop: EventLoop, receiver: Any, sender: Any) -> None:
        self._receiver = receiver
        self._sender = sender
        self.heard: Callable[[bytes], object] | None = None  # gets the numbers of signals
        self._woken = False  # a byte is on its way
        for sock in (receiver, sender):
            sock.setblocking(False)
        try:
            loop.register(receiver, READ, self)
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """The descriptor that a byte written to wakes."""
        number: int = self._sender.fileno()
        return number

    def wake(self) -> None:
        # What was handed over before this call is found by the turn that the byte on its way begins, since the mark is
        # taken away before that turn looks at what was handed over. (libuv's uv_async_send does so.)
        if self._woken:
            return
        self._woken = True
        try:
            self._sender.send(b"\0")
        except OSError:
            self._woken = False  # full: it wakes anyway; closed: no loop to wake; no memory: the next tries again

    def on_readable(self) -> None:
        try:
            data = self._receiver.recv(4096)
        except OSError:
            data = b""  # spurious readiness
        self._woken = False  # now, not before: a byte sent between would be read with the others, and the mark stay
        if self.heard is not None and (numbers := data.replace(b"\0", b"")):
            self.heard(numbers)

    def on_writable(self) -> None:
        """Never asked for."""

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()
