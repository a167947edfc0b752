"""How long does a blocking handler take? As long as the seed says; some of them far too long.

`SimPool` stands where `libserver.pool.HandlerPool` does: as many run as there are threads, as many may
wait; the result comes back by `hand_back`, at a simulated time, which wakes the loop as a thread would. What a handler
does it does in a thread of its own, as ever; the world waits meanwhile, so that exactly one thread runs.

Not here: what the handlers do (`world`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from libserver.pool import HandlerPool

from .faults import Faults
from .schedule import Schedule

__all__ = ["SimPool"]


class SimPool(HandlerPool):
    """Threads that take no time. With `luck` some handlers act at the end of their time, others at its beginning."""

    def __init__(
        self,
        threads: int,
        hand_back: Callable[..., None],
        schedule: Schedule,
        faults: Faults,
        luck: Random | None = None,
    ) -> None:
        super().__init__(threads, hand_back)
        self._luck = luck
        self._schedule = schedule
        self._faults = faults
        self._running = 0
        self._queue: deque[tuple[Callable[[], object], Callable[..., None], tuple[Any, ...]]] = deque()

    def submit(self, function: Callable[[], object], done: Callable[..., None], *args: Any) -> None:
        self.outstanding += 1
        self._queue.append((function, done, args))
        self._start()

    def _start(self) -> None:
        while self._queue and self._running < self.threads:
            self._running += 1
            function, done, args = self._queue.popleft()
            if self._luck is not None and self._luck.random() < 0.5:
                self._schedule.after(self._seconds(), self._run_and_return, function, done, args)
            else:
                self._schedule.after(self._seconds(), self._return, done, (*args, *_outcome(function)))

    def _seconds(self) -> float:
        random = self._faults.random
        if random.random() < 0.1:
            self._faults.count("handler: stalled in a thread")
            return 40 * random.random() ** 3
        return 0.02 * random.random()

    def _run_and_return(self, function: Callable[[], object], done: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._return(done, (*args, *_outcome(function)))

    def _return(self, done: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._running -= 1
        self._hand_back(done, *args)
        self._start()

    def close(self) -> None:
        """Nobody waits for what runs."""


def _outcome(function: Callable[[], object]) -> tuple[object, Exception | None]:
    """What it returns and what it raises, in another thread."""
    outcome: list[tuple[object, Exception | None]] = []

    def run() -> None:
        try:
            outcome.append((function(), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, name="handler")
    thread.start()
    thread.join()
    return outcome[0]
