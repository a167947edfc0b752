"""What time is it? As late as the simulation has come.

One clock for everybody, as one machine has. It moves in three ways: a little with each system call,
so that a turn takes time; to the next event, when nobody has anything to do; and by a leap, as when
a machine was suspended.

Not here: what is due when (`schedule`).
"""

from __future__ import annotations

__all__ = ["SimClock"]

#: Seconds that a system call takes: a microsecond or two on this machine.
CALL = 2e-6


class SimClock:
    """A clock to pass to `EventLoop(clock=...)`. It starts far from 0, which no duration is mistaken for."""

    __slots__ = ("now", "started")

    def __init__(self, now: float = 1000.0) -> None:
        self.now = self.started = now

    def __call__(self) -> float:
        return self.now

    def tick(self) -> None:
        """A system call was made."""
        self.now += CALL

    def reach(self, when: float) -> None:
        """Nothing happens until `when`; a clock that is there already stays."""
        if when > self.now:
            self.now = when

    def leap(self, seconds: float) -> None:
        """The whole machine stood still for so long."""
        if seconds < 0:
            raise ValueError("this clock is monotonic")
        self.now += seconds
