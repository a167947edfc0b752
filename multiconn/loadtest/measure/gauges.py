"""How is the load generator itself doing?

A load tester that is late measures itself. Three gauges, over the measured window and for each
interval:

* loop lag: how much later than asked a timer was called. So long may a reply have lain in the
  kernel before it was read. A probe is due every `PROBE_EVERY`; probes that a long standstill
  skipped count too, each as late as it was, so that a second's stop weighs a second.
* cpu: the process's share of a core.
* run delay: the share of the time in which it was ready to run and the kernel gave the core to
  another process (Linux' schedstat; 0 elsewhere).

Not here: what follows from the figures (`judge.verdict`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from eventloop import EventLoop, Timer

from .histogram import Histogram

__all__ = ["Gauges", "Readings"]

#: Seconds between two measurements of how late the loop is: a hundred per second cost nothing.
PROBE_EVERY = 0.010

#: Skipped probes that are counted one by one: a minute's worth.
_MOST_SKIPPED = 6000

_SCHEDSTAT = Path("/proc/self/schedstat")


class Readings(NamedTuple):
    """Shares of a core and the loop's lag since the last reading."""

    cpu: float
    run_delay: float
    loop_lag: Histogram


class _Mark(NamedTuple):
    wall: float
    cpu: float
    delayed: float

    @classmethod
    def now(cls, schedstat: Path) -> _Mark:
        return cls(time.perf_counter(), time.process_time(), _delayed(schedstat))

    def shares(self, later: _Mark) -> tuple[float, float]:
        wall = later.wall - self.wall
        if wall <= 0:
            return 0.0, 0.0
        # The kernel books a delay when it is over: a short interval may get one that began before it.
        return (later.cpu - self.cpu) / wall, min(max(later.delayed - self.delayed, 0.0) / wall, 1.0)


def _delayed(schedstat: Path) -> float:
    """Seconds that this process (its first thread) was ready to run and did not."""
    try:
        return int(schedstat.read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class Gauges:
    """`duration_s`, `cpu`, `run_delay` and `loop_lag` of the windows from `start` to `stop`, all together.

    `take_recent` tells the same since the last `take_recent`, from the first one on.
    """

    def __init__(self, loop: EventLoop, schedstat: Path = _SCHEDSTAT) -> None:
        self.duration_s = 0.0
        self.cpu = 0.0
        self.run_delay = 0.0
        self.loop_lag = Histogram()
        self._loop = loop
        self._schedstat = schedstat
        self._recent = Histogram()
        self._measuring = False
        self._probe: Timer | None = None
        self._spent = (0.0, 0.0, 0.0)  # seconds in all windows: of the clock, of a core, of waiting for one
        self._started = self._taken = _Mark.now(schedstat)

    def probe(self) -> None:
        """Begin to ask how late the loop is."""
        self._ask(self._loop.clock() + PROBE_EVERY)

    def _ask(self, due: float) -> None:
        self._probe = self._loop.call_at(due, self._answered, due)

    def _answered(self, due: float) -> None:
        late = max(0.0, self._loop.clock() - due)
        skipped = min(int(late / PROBE_EVERY), _MOST_SKIPPED)
        for probe in range(skipped + 1):
            self._recent.record(int((late - probe * PROBE_EVERY) * 1e9))
        self._ask(due + (skipped + 1) * PROBE_EVERY)

    def start(self) -> None:
        """A measured window begins."""
        self._fold()
        self._measuring = True
        self._started = _Mark.now(self._schedstat)

    def stop(self) -> None:
        """It ends."""
        if self._measuring:
            self._fold()
            self._measuring = False
            began, end = self._started, _Mark.now(self._schedstat)
            self._spent = wall, cpu, delayed = (
                self._spent[0] + end.wall - began.wall,
                self._spent[1] + end.cpu - began.cpu,
                self._spent[2] + end.delayed - began.delayed,
            )
            self.duration_s = wall
            self.cpu, self.run_delay = (cpu / wall, delayed / wall) if wall > 0 else (0.0, 0.0)

    def _fold(self) -> Histogram:
        """What was recorded since the last fold; while measuring it is part of the window's."""
        recent, self._recent = self._recent, Histogram()
        if self._measuring:
            self.loop_lag.merge(recent)
        return recent

    def take_recent(self) -> Readings:
        now = _Mark.now(self._schedstat)
        cpu, run_delay = self._taken.shares(now)
        self._taken = now
        return Readings(cpu, run_delay, self._fold())

    def end(self) -> None:
        """Ask no more, until the next `probe`."""
        if self._probe is not None:
            self._probe.cancel()
