"""Where do handlers run that may block?

In a few threads. The loop hands over a function and goes on; the result comes back to the
loop by `call_soon_threadsafe`, so everything else of the server stays single-threaded.
Whoever it comes back to says so (`returned`): only then is there room for another.

Rules:

* Bounded: as many may wait as run. When it is `full` the one who asks must wait for a return.
* Daemon threads of our own, not `concurrent.futures`: its threads are joined when the
  interpreter exits, so one stuck handler would keep a server from stopping for ever.
* Threads start on first need: most servers have no blocking handler at all.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["HandlerPool", "NoThread"]

Task = tuple[Callable[[], object], Callable[..., None], tuple[Any, ...]]


class NoThread(RuntimeError):
    """The system gives us none, and there is none yet that could do the work later."""


class HandlerPool:
    """At most `threads` daemon threads; `hand_back(callback, *args)` brings results to the loop."""

    def __init__(self, threads: int, hand_back: Callable[..., None]) -> None:
        self.threads = threads
        self._hand_back = hand_back
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._started = 0
        self.outstanding = 0  # handed over and not yet back; only the loop's thread counts

    @property
    def full(self) -> bool:
        """As many wait as run."""
        return self.outstanding >= 2 * self.threads

    def submit(self, function: Callable[[], object], done: Callable[..., None], *args: Any) -> None:
        """Run `function` in a thread; `done(*args, result, error)` is called on the loop, and calls `returned`.

        Raises `NoThread`, nothing handed over, if the system has no thread for us at all.
        """
        if self._started < min(self.threads, self.outstanding + 1):
            self._start_thread()
        self.outstanding += 1
        self._tasks.put((function, done, args))

    def _start_thread(self) -> None:
        try:
            threading.Thread(target=self._work, name=f"handler-{self._started + 1}", daemon=True).start()
        except RuntimeError as error:  # no thread to be had: those that run must do
            if not self._started:
                raise NoThread(str(error)) from error
        else:
            self._started += 1

    def returned(self) -> None:
        """What was handed over has come back."""
        self.outstanding -= 1

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            function, done, args = task
            result: Any = None
            failure: Exception | None = None
            try:
                result = function()
            except Exception as error:
                failure = error
            except BaseException as error:  # sys.exit() in a handler must not cost us a thread
                failure = RuntimeError(f"the handler raised {error!r}")
            self._hand_back(done, *args, result, failure)
            del task, function, done, args, result, failure  # an idle thread keeps nothing alive

    def close(self) -> None:
        """Let the threads end when they are done; nobody waits for them."""
        for _ in range(self._started):
            self._tasks.put(None)
