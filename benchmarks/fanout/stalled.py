"""What do subscribers that do not read change for those that do?

Each server is visited with them and without them in the same rounds, and the same number of subscribers reads in both.
The messages published per second are divided, and the 99th percentiles of a delivery. A slow reader is to cost the
others nothing (docs/look-up/push.md): of our server this is judged.

Not here: what the server holds for them (`benchmarks.fanout.waiting`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmarks.fanout.drive import Driven, Row
from benchmarks.fanout.servers import Peer
from benchmarks.results import Summary, summarize
from benchmarks.visit import Visit

__all__ = ["P99_MOST", "RATE_LEAST", "WITH", "WITHOUT", "Effect", "effects", "rows"]

#: Of our server: what may be left of the publisher's rate, and what may become of the 99th percentile.
RATE_LEAST = 0.95
P99_MOST = 1.10

WITHOUT, WITH = "without", "with"


def rows(subscribers: int, stalled: int, in_flight: int) -> tuple[Row, Row]:
    """Without and with. `stalled` of all `subscribers` do not read."""
    reading = subscribers - stalled
    return Row(reading, in_flight), Row(reading, in_flight, stalled)


@dataclass(frozen=True)
class Effect:
    """On one server. `reading`: subscribers; `cut`: stalled ones that it disconnected, the most of a visit."""

    peer: str
    reading: int
    without: Summary
    with_them: Summary
    cut: int

    @property
    def rate(self) -> float:
        """What is left of the publisher's rate; 0 if that is not known."""
        ratio = self.with_them.ratios.get(WITHOUT)
        return ratio.median if ratio else 0.0

    @property
    def p99(self) -> float:
        """By how much the 99th percentile is multiplied; 0 if that is not known."""
        ratio = self.with_them.p99_ratios.get(WITHOUT)
        return ratio.median if ratio else 0.0

    @property
    def holds(self) -> bool:
        return self.rate >= RATE_LEAST and 0 < self.p99 <= P99_MOST

    @property
    def broken(self) -> list[str]:
        """Why visits count for nothing, if some do."""
        return sorted({*self.without.broken, *self.with_them.broken})


def effects(visits: Iterable[tuple[Row, Peer, Driven]]) -> list[Effect]:
    """One per server, in the order in which they first appear."""
    cut: dict[str, int] = {}
    reading: dict[str, int] = {}
    renamed: list[Visit] = []
    for row, peer, driven in visits:
        cut[peer.name] = max(cut.get(peer.name, 0), driven.cut)
        reading[peer.name] = row.subscribers
        # The two rows are compared as two servers under one load are: here the server is the load.
        renamed.append(replace(driven.visit, load=peer.name, peer=WITH if row.stalled else WITHOUT))
    found: dict[str, dict[str, Summary]] = {}
    for summary in summarize(renamed, bases=(WITHOUT,)):
        found.setdefault(summary.load, {})[summary.peer] = summary
    return [
        Effect(peer, reading[peer], both[WITHOUT], both[WITH], cut[peer])
        for peer, both in found.items()
        if both.keys() == {WITHOUT, WITH}
    ]
