"""What was asked for, in numbers?

The options of a run after parsing, with load.md's names and defaults. Plain data: the command
line makes one (`load.cli`), the runner obeys it, the summary stores it.

Times are seconds, rates are totals per second, never per connection.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["CLOSED_LABEL", "Config"]

#: The words with which every closed run is labelled (load.md): coordinated omission is never silent.
CLOSED_LABEL = "closed: latency does not include waiting the schedule would have seen"


@dataclass(frozen=True, slots=True)
class Config:
    """A closed run: each of `connections` keeps `pipeline` requests in flight.

    It ends when `requests` have their outcome or after `duration`, whichever is first; at least
    one of the two is set. `warmup` comes before and counts for nothing; `drain` is how long to
    wait afterwards for replies. `seed` is stored so that later choices by chance can be repeated.
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

    def as_dict(self) -> dict[str, object]:
        """For the summary: the names are the options' own."""
        return {"model": "closed", **asdict(self), "percentiles": list(self.percentiles)}
