"""What are the options of a run, in numbers?

The options of a run after parsing, with the names and defaults of docs/look-up/client.md. Plain data: the command
line makes one (`commands.load_options`), the runner obeys it, the summary stores it.

Times are seconds, rates are totals per second, never per connection.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from .profile import CONSTANT, POISSON, Profile, Stage

__all__ = ["CLOSED_LABEL", "DROP", "FRAME", "FULL", "OFF", "QUEUE", "Config", "Data", "Size"]

#: The label of every closed run: coordinated omission is never silent.
CLOSED_LABEL = "closed: latency does not include waiting the schedule would have seen"

QUEUE, DROP = "queue", "drop"
FULL, FRAME, OFF = "full", "frame", "off"


class Size(NamedTuple):
    """Texts of `low` to `high` bytes, and how often beside others."""

    low: int
    high: int
    weight: float = 1.0


class Data(NamedTuple):
    """A file of requests: its `name` as typed, and its `content`.

    Kept, and handed to the workers, since it may be a pipe, which can be read once.
    """

    name: str
    content: bytes

    def __repr__(self) -> str:
        return f"<Data {self.name!r} of {len(self.content)} bytes>"


@dataclass(frozen=True, slots=True)
class Config:
    """A run. Without `rate` it is closed: each of `connections` keeps `pipeline` requests in flight.

    It ends when `requests` have their outcome or after `duration`, whichever is first; at least
    one of the two is set. `warmup` comes before and counts for nothing; `drain` is how long to
    wait afterwards for replies. `stages` ramp the rate, or without one the connections.
    `share` (i, n): this is the ith of n workers.
    """

    connections: int = 100
    requests: int | None = None
    duration: float | None = 10.0
    pipeline: int = 1
    action: str = "search"
    value: str | None = None
    warmup: float = 1.0
    timeout: float = 10.0
    connect_timeout: float = 5.0
    connect_rate: float = 1000.0
    drain: float = 5.0
    interval: float = 1.0
    percentiles: tuple[float, ...] = (50.0, 90.0, 95.0, 99.0, 99.9)
    seed: int = 0
    rate: float | None = None
    arrival: str = CONSTANT
    stages: tuple[Stage, ...] = ()
    max_in_flight: int | None = None
    on_overrun: str = QUEUE
    mix: tuple[tuple[str, float], ...] = ()
    sizes: tuple[Size, ...] = ()
    data: Data | None = None
    think: tuple[float, float] = (0.0, 0.0)
    verify: str = FULL
    reconnect_every: int | None = None
    reconnect_on_error: bool = True
    source_ips: tuple[str, ...] = ()
    idle: int = 0
    hostile: tuple[tuple[str, int], ...] = ()
    workers: int = 1
    thresholds: tuple[str, ...] = ()
    abort_on: tuple[str, ...] = ()
    require_valid: bool = False
    share: tuple[int, int] = (0, 1)

    @property
    def model(self) -> str:
        return "closed" if self.rate is None else "open"

    @property
    def load(self) -> Profile:
        """The rate over time, from the load's beginning (open); without a rate the connections over time."""
        first = self.connections if self.rate is None else self.rate
        stages = (Stage(self.warmup, first), *self.stages) if self.stages else ()
        return Profile(first, stages)

    @property
    def most_connections(self) -> int:
        """The most that carry load at a time."""
        return int(self.load.highest) if self.rate is None else self.connections

    @property
    def sockets(self) -> int:
        """All there may be at a time, idle and hostile ones too."""
        return self.most_connections + self.idle + sum(count for _, count in self.hostile)

    @property
    def paced(self) -> tuple[object, ...]:
        """What decides what is meant to leave, and when: part of the schedule's fingerprint.

        The requests themselves are `Workload`'s part. How many connections carry an open schedule, and what
        becomes of a request that finds no room, are not in it: the same requests are due at the same times.
        """
        low, high = self.think
        seed = self.seed if self.arrival == POISSON or low < high or "garbage" in dict(self.hostile) else None
        beside = (self.reconnect_every, self.idle, self.hostile)
        own = (self.requests, self.duration, self.warmup, self.stages, *beside, seed)
        if self.rate is None:
            return ("closed", *own, self.connections, self.pipeline, self.think)
        return ("open", *own, self.rate, self.arrival)

    def part(self, index: int, count: int) -> Config:
        """What the `index`th of `count` workers does: its share of everything that is a total.

        `--abort-on` judges all of them together, and is the parent's.
        """

        def of(total: int) -> int:
            return total // count + (index < total % count)

        first = self.connections if self.rate is None else 0
        stages = self.stages if first == 0 else tuple(Stage(s.seconds, of(int(s.target))) for s in self.stages)
        return replace(
            self,
            connections=of(self.connections),
            requests=self.requests if self.requests is None or self.rate is not None else of(self.requests),
            connect_rate=self.connect_rate / count,
            stages=stages,
            max_in_flight=None if self.max_in_flight is None else of(self.max_in_flight),
            idle=of(self.idle),
            hostile=tuple((kind, of(number)) for kind, number in self.hostile),
            abort_on=(),
            share=(index, count),
        )

    def as_dict(self) -> dict[str, object]:
        """For the summary: the names are the options' own."""
        told = {"model": self.model, **asdict(replace(self, data=None)), "percentiles": list(self.percentiles)}
        told["data"] = None if self.data is None else self.data.name
        del told["share"]
        return told
