"""May these numbers be believed, and what limited them?

A load tester that is itself the slowest part measures itself. In a closed run something always is
the limit, because the next request waits for a reply; the only question is on which side.

The rules, simple on purpose, each with its number:

* The generator used at least `BUSY` of a core: it was the limit, and the rate is its ceiling, not
  the server's. Not valid; bottleneck `client`.
* Its loop came late by more than `LAG_SHARE` of the median latency (and `LAG_FLOOR`): it was kept
  from running, and what it measured is in good part itself. Not valid; bottleneck `client`.
* It used less than `IDLE` of a core: it spent its time waiting for replies. Bottleneck `server`
  (or the network before it, which cannot be told apart from here).
* Between, or measured for less than `SHORTEST`: `unknown`. No replies: `unknown`, not valid.

Not here: thresholds (later), how the figures are gathered (`load.runner`).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Figures", "Verdict", "judge"]

#: Shares of one core that the generator used during the measured window.
BUSY = 0.95
IDLE = 0.85

#: The share of the median response time, and seconds, above which loop lag spoils latencies. Seen
#: from the median, a quarter is more than most comparisons of two servers are about.
LAG_SHARE = 0.25
LAG_FLOOR = 0.010

#: Seconds that a share of a core can be told from.
SHORTEST = 0.25

NONE, CLIENT, SERVER, UNKNOWN = "none", "client", "server", "unknown"


class Figures(NamedTuple):
    """What a verdict is made of: counts, shares of a core, seconds; `stopped`: why it ended too early, or None."""

    duration_s: float
    replies: int
    connections_opened: int
    connections_wanted: int
    connections_peak: int
    cpu: float
    lag_p99_s: float
    response_p50_s: float
    stopped: str | None


class Verdict(NamedTuple):
    valid: bool
    reasons: list[str]
    bottleneck: str


def judge(figures: Figures) -> Verdict:
    """The verdict on a closed run."""
    f = figures
    reasons = []
    if f.stopped is not None:
        reasons.append(f.stopped)
    if not f.connections_opened:
        reasons.append("no connection ever succeeded")
    elif not f.replies:
        reasons.append("no reply was received while it measured")
    if not f.replies:
        return Verdict(False, reasons, UNKNOWN)
    if f.connections_peak < f.connections_wanted:
        reasons.append(f"at most {f.connections_peak:,} of {f.connections_wanted:,} connections were open at a time")
    bottleneck = UNKNOWN
    if f.duration_s < SHORTEST:
        pass
    elif f.cpu >= BUSY:
        bottleneck = CLIENT
        reasons.append(f"the load generator was the limit ({f.cpu:.0%} of a core): the rate is its ceiling")
    elif f.lag_p99_s > max(LAG_FLOOR, LAG_SHARE * f.response_p50_s):
        bottleneck = CLIENT
        reasons.append(
            f"the load generator ran late (loop lag p99 {f.lag_p99_s * 1000:.1f} ms): latencies include its own waiting"
        )
    elif f.cpu < IDLE:
        bottleneck = SERVER
    return Verdict(not reasons, reasons, bottleneck)
