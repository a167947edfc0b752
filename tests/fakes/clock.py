"""What time is it? What the test says.

Not here: a clock that runs by itself. `FakeSelector` can advance this one by what the loop
would have slept.
"""

from __future__ import annotations


class FakeClock:
    """A clock to pass to `EventLoop(clock=...)`; seconds, moved by hand.

    It starts far from 0, so that code which mistakes a duration for a time is found out.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("this clock is monotonic")
        self.now += seconds
