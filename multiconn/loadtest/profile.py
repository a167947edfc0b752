"""How does a rate, or a number of connections, change over time?

    Profile(1000.0, [Stage(10.0, 2000.0)])     # from 1,000/s to 2,000/s in ten seconds, and 2,000/s ever after

The rate's integral over time says how many requests are due by then. One inverse function serves every ramp.

Not here: the times of requests (`engine.schedule`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["CONSTANT", "POISSON", "Profile", "Stage"]

#: How requests arrive: equally far apart, or independently of each other.
CONSTANT, POISSON = "constant", "poisson"


class Stage(NamedTuple):
    """For `seconds` the value goes in a straight line to `target`."""

    seconds: float
    target: float


class _Segment(NamedTuple):
    start: float  # seconds
    seconds: float
    before: float  # per second, at its start
    slope: float  # per second per second
    mass: float  # how many are due before it


class Profile:
    """A value over time: `first` at 0, then stage by stage, and the last one's for ever after."""

    def __init__(self, first: float, stages: Sequence[Stage] = ()) -> None:
        self.first = first
        self.stages = tuple(stages)
        self._segments: list[_Segment] = []
        start = mass = 0.0
        value = first
        for seconds, target in self.stages:
            if seconds > 0:
                self._segments.append(_Segment(start, seconds, value, (target - value) / seconds, mass))
                mass += (value + target) / 2 * seconds
                start += seconds
            value = target
        self._segments.append(_Segment(start, math.inf, value, 0.0, mass))

    @property
    def highest(self) -> float:
        return max([self.first, *(stage.target for stage in self.stages)])

    def at(self, seconds: float) -> float:
        """The value at a time."""
        seconds = max(seconds, 0.0)
        segment = next(s for s in reversed(self._segments) if s.start <= seconds)
        return segment.before + segment.slope * (seconds - segment.start)

    def mass(self, seconds: float) -> float:
        """The integral from 0 to a time: how many are due by then."""
        seconds = max(seconds, 0.0)
        segment = next(s for s in reversed(self._segments) if s.start <= seconds)
        within = seconds - segment.start
        return segment.mass + (segment.before + segment.slope * within / 2) * within

    def when(self, masses: Sequence[float]) -> list[float]:
        """The times, in seconds, at which the integral reaches each of `masses` (rising); inf for never."""
        times: list[float] = []
        for index, segment in enumerate(self._segments):
            last = index == len(self._segments) - 1
            until = math.inf if last else self._segments[index + 1].mass
            if not last and masses[len(times)] >= until:
                continue
            here = masses[len(times) :] if last else [m for m in masses[len(times) :] if m < until]
            start, _, before, slope, mass = segment
            if slope:
                # 2m / (r + sqrt(r^2 + 2am)): the quadratic's root that stays exact as the slope goes to 0
                root = (math.sqrt(max(0.0, before * before + 2 * slope * (m - mass))) for m in here)
                times += [
                    start + 2 * (m - mass) / (before + r) if before + r else start
                    for m, r in zip(here, root, strict=True)
                ]
            elif before:
                times += [start + (m - mass) / before for m in here]
            else:
                times += [math.inf] * len(here)
            if len(times) == len(masses):
                break
        return times
