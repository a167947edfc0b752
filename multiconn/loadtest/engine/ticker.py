"""When is the next interval over?

Equally long after the one before, not after the moment at which that was noticed: a late tick must not delay all that
follow.

Not here: what happens then (`engine.runner`).
"""

from __future__ import annotations

from collections.abc import Callable

from eventloop import EventLoop, Timer

__all__ = ["Ticker"]


class Ticker:
    """Calls `tick` every `seconds`, from `restart` on, until `stop`."""

    def __init__(self, loop: EventLoop, seconds: float, tick: Callable[[], object]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._tick = tick
        self._timer: Timer | None = None
        self._due = 0.0

    def restart(self) -> None:
        """The next tick is `seconds` from now."""
        self.stop()
        self._due = self._loop.clock()
        self._next()

    def stop(self) -> None:
        """No more ticks. Twice is once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        self._due += self._seconds
        self._timer = self._loop.call_at(self._due, self._ticked)

    def _ticked(self) -> None:
        self._next()
        self._tick()
