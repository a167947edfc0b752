"""When is each request meant to leave?

The open model: a schedule fixed in advance, from rate, arrival, stages and seed, whatever the
server does. A request's latency counts from the time it was *meant* to leave, so a stall shows in
every request that it delayed and not in one per connection (coordinated omission: Gil Tene's name
for leaving them out).

    profile = Profile(1000.0, [Stage(10.0, 2000.0)])     # from 1,000/s to 2,000/s in ten seconds
    schedule = Schedule(profile, arrival="poisson", seed=7, kinds=workload.numbers(7), end=10.0)
    while (at := schedule.next_at) is not None:          # nanoseconds from the schedule's beginning
        kind = schedule.take()

Rules:

* No clock, no sockets: the sender asks for the next time and takes the request when it is due.
* The rate's integral over time says how many requests are due by then. `constant` sends one each
  time it passes an integer; `poisson` after steps of exponential length, so that on ramps, too,
  arrivals are independent. One inverse function serves both, and every ramp.
* Constant memory: a block at a time. The hash goes over the blocks as they are made, so it is the
  whole schedule's once `take_until` has run to the end. The queue of late requests is the schedule
  itself, not yet taken; `ahead` counts it with a second reader.
* Several workers share a schedule: each makes all of it and keeps every nth. So the hash is the
  same however many there are.

Not here: a rate over time (`profile`), which connection a request takes (`engine.senders`), its content
(`engine.workload`).
"""

from __future__ import annotations

import hashlib
import math
import random
from array import array
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from ..profile import CONSTANT, POISSON, Profile

__all__ = ["Schedule"]

#: Requests made at a time: enough that the block's overhead is nothing per request, few enough
#: that making one (some 100 us) does not delay what is due.
BLOCK = 256


class Schedule:
    """The requests of a run in order. `taken` of them were taken; `next_at` is when the next one is due.

    It ends at `end` (seconds) or with the `requests`th from `warmup` (seconds) on. Of `share` (i, n)
    it keeps every nth from the ith on. `next_at` is in nanoseconds from the beginning, None at the end.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        kinds: Callable[[], Iterator[int]],
        arrival: str = CONSTANT,
        seed: int = 0,
        end: float | None = None,
        warmup: float = 0.0,
        requests: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self._again = partial(
            Schedule,
            profile,
            kinds=kinds,
            arrival=arrival,
            seed=seed,
            end=end,
            warmup=warmup,
            requests=requests,
            share=share,
        )
        self._profile = profile
        self._poisson = random.Random(f"arrivals {seed}") if arrival == POISSON else None
        self._kinds = kinds()
        self._end = math.inf if end is None else end
        self._warmup = warmup
        self._left = requests
        self._offset, self._workers = share
        self._made = 0  # by all workers together
        self._mass = 0.0
        self._ended = False
        self._digest = hashlib.sha256()
        self._times: list[int] = []
        self._block: list[int] = []  # the kinds beside the times
        self._index = 0
        self._reader: Schedule | None = None
        self.taken = 0
        self.next_at: int | None = 0
        self._fill()

    def take(self) -> int:
        """The kind of the request that is due at `next_at`; the next one takes its place."""
        kind = self._block[self._index]
        self._index += 1
        self.taken += 1
        if self._index < len(self._times):
            self.next_at = self._times[self._index]
        else:
            self._fill()
        return kind

    def take_until(self, until: int | None = None) -> Iterator[tuple[int, int]]:
        """Take all that are due by `until` (ns; None: all there are), as time and kind."""
        while (at := self.next_at) is not None and (until is None or at <= until):
            yield at, self.take()

    def ahead(self, until: int) -> int:
        """How many are due by `until` and not taken."""
        if self.next_at is None or self.next_at > until:
            return 0
        reader = self._reader
        if reader is None:
            reader = self._reader = self._again()
        while reader.next_at is not None and reader.next_at <= until:
            reader.take()
        return reader.taken - self.taken

    @property
    def sha256(self) -> bytes:
        """Over every time and kind made so far."""
        return self._digest.digest()

    def run_out(self) -> None:
        """It is over, some moments early: make what is left, which no sender takes, so that `sha256` is the whole's."""
        self.next_at = None
        while not self._ended:
            self._make()

    def _fill(self) -> None:
        """Make the next block that has anything for this worker."""
        self._times = []
        while not self._times and not self._ended:
            first = (self._offset - self._made) % self._workers
            times, kinds = self._make()
            self._times, self._block = times[first :: self._workers], kinds[first :: self._workers]
        self._index = 0
        self.next_at = self._times[0] if self._times else None

    def _make(self) -> tuple[list[int], list[int]]:
        """The next block of all workers."""
        times = self._arrivals()
        kinds = list(islice(self._kinds, len(times)))
        self._digest.update(array("q", times).tobytes() + array("q", kinds).tobytes())
        self._made += len(times)
        return times, kinds

    def _arrivals(self) -> list[int]:
        """The times of the next block, in nanoseconds, as far as the schedule goes."""
        if self._poisson is None:
            masses = [float(self._made + k) for k in range(BLOCK)]
        else:
            step, mass = self._poisson.expovariate, self._mass
            masses = [mass := mass + step(1.0) for _ in range(BLOCK)]
            self._mass = mass
        seconds = self._profile.when(masses)
        if seconds[-1] >= self._end or seconds[-1] == math.inf:
            self._ended = True
            seconds = [t for t in seconds if t < self._end and t != math.inf]
        if self._left is not None:
            warming = sum(t < self._warmup for t in seconds) if seconds and seconds[0] < self._warmup else 0
            if len(seconds) - warming >= self._left:
                self._ended = True
                del seconds[warming + self._left :]
            self._left -= len(seconds) - warming
        return [int(t * 1e9) for t in seconds]
