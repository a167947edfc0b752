"""How long does a blocking handler take? As long as the seed says; some of them far too long.

`SimPool` stands where `libserver.pool.HandlerPool` does: as many run as there are threads, as many may
wait; the result comes back by `hand_back`, at a simulated time, which wakes the loop as a thread would.

Not here: what the handlers do (`world`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from libserver.pool import HandlerPool

from .faults import Faults
from .schedule import Schedule

__all__ = ["SimPool"]


class SimPool(HandlerPool):
    """Threads without threads."""

    def __init__(self, threads: int, hand_back: Callable[..., None], schedule: Schedule, faults: Faults) -> None:
        super().__init__(threads, hand_back)
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
            result: Any = None
            failure: Exception | None = None
            try:
                result = function()
            except Exception as error:
                failure = error
            self._schedule.after(self._seconds(), self._return, done, (*args, result, failure))

    def _seconds(self) -> float:
        random = self._faults.random
        if random.random() < 0.1:
            self._faults.count("handler: stalled in a thread")
            return 40 * random.random() ** 3
        return 0.02 * random.random()

    def _return(self, done: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._running -= 1
        self._hand_back(done, *args)
        self._start()

    def close(self) -> None:
        """Nobody waits for what runs."""
