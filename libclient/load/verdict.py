"""May these numbers be believed, and what limited them?

A load tester that is itself the slowest part measures itself. The rules, simple on purpose, each
with its number, in the order they are looked at:

* The kernel kept the generator from running for `STARVED` of the time: replies lay unread
  meanwhile. Not valid; bottleneck `client`.
* It used at least `BUSY` of a core: it was the limit, and the rate is its ceiling, not the
  server's. Not valid; bottleneck `client`.
* Its loop came late by more than `LAG_SHARE` of the response time (both at p99, and more than
  `LAG_FLOOR`): what it measured is in good part itself. Not valid; bottleneck `client`.
* Open: requests that had room left later than that. The same.
* Open: less than `SENT` of the schedule was sent. The percentiles leave out what waited longest.
  Not valid; bottleneck `server`, for the generator was none of the above.
* Open, and fewer than `SENT` of the replies came in time: bottleneck `server`; valid, for the
  waiting is in the response times. All came: `none`.
* Closed: something always is the limit, because the next request waits for a reply. It used less
  than `IDLE` of a core: it spent its time waiting. Bottleneck `server` (or the network, which
  cannot be told apart from here), else `unknown`.
* Measured for less than `SHORTEST`: `unknown`. No replies: `unknown`, not valid.

Why p99 against p99: in a closed run with a thousand connections one turn of the loop serves
hundreds of replies, and the last of them waits for the others, as the first does in the server.
That is some of each latency, and a valid run; when it is half of it, it is not.

Not here: thresholds (`load.gates`), how the figures are gathered (`load.gauges`).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Figures", "Verdict", "judge"]

#: Shares of one core that the generator used during the measured window.
BUSY = 0.95
IDLE = 0.85

#: The share of the window it was ready and did not run. A quiet machine: some per cent; one busy
#: neighbour on the same core: 30 to 50; four: 80.
STARVED = 0.25

#: The share of the response time's p99, and seconds, above which loop lag spoils latencies.
LAG_SHARE = 0.5
LAG_FLOOR = 0.010

#: The share of a schedule that must have been sent, or answered, to be said to be kept.
SENT = 0.99

#: Seconds that a share of a core can be told from.
SHORTEST = 0.25

NONE, CLIENT, SERVER, UNKNOWN = "none", "client", "server", "unknown"


class Figures(NamedTuple):
    """What a verdict is made of: counts, shares of a core, seconds; `stopped`: why it ended too early, or None.

    `target` is the rate asked for; None is a closed run. `refused_by_us`: connections that failed for
    want of descriptors or ports on this machine.
    """

    duration_s: float
    replies: int
    connections_opened: int
    connections_wanted: int
    connections_peak: int
    cpu: float
    lag_p99_s: float
    response_p99_s: float
    stopped: str | None
    run_delay: float = 0.0
    target: float | None = None
    scheduled: int = 0
    sent: int = 0
    achieved: float = 0.0
    slip_p99_s: float = 0.0
    refused_by_us: int = 0


class Verdict(NamedTuple):
    valid: bool
    reasons: list[str]
    bottleneck: str


def judge(figures: Figures) -> Verdict:
    """The verdict on a run."""
    f = figures
    reasons = []
    if f.stopped is not None:
        reasons.append(f.stopped)
    if not f.connections_opened:
        reasons.append("no connection ever succeeded")
    elif not f.replies:
        reasons.append("no reply was received while it measured")
    if not f.replies:
        return Verdict(False, reasons, CLIENT if f.run_delay >= STARVED else UNKNOWN)
    own = _own_faults(f) if f.duration_s >= SHORTEST else []
    reasons += own
    if f.refused_by_us:
        reasons.append(
            f"{f.refused_by_us:,} connections were not made for want of descriptors or ports here: raise the limit "
            "(ulimit -n), add --source-ip, or reconnect less"
        )
    if f.connections_peak < f.connections_wanted:
        reasons.append(f"at most {f.connections_peak:,} of {f.connections_wanted:,} connections were open at a time")
    unsent = f.target is not None and f.sent < SENT * f.scheduled
    if unsent:
        reasons.append(
            f"only {f.sent:,} of {f.scheduled:,} scheduled requests were sent: the percentiles leave out the rest"
        )
    return Verdict(not reasons, reasons, _bottleneck(f, bool(own) or f.refused_by_us > 0, unsent))


def _bottleneck(f: Figures, own: bool, unsent: bool) -> str:
    if f.duration_s < SHORTEST:
        return UNKNOWN
    if own:
        return CLIENT
    if f.target is None:
        return SERVER if f.cpu < IDLE else UNKNOWN
    if unsent or f.achieved < SENT * f.target:
        return SERVER if f.cpu < IDLE else UNKNOWN
    return NONE


def _own_faults(f: Figures) -> list[str]:
    """What the generator itself did to the figures."""
    faults = []
    spoiled = max(LAG_FLOOR, LAG_SHARE * f.response_p99_s)
    if f.run_delay >= STARVED:
        faults.append(
            f"the load generator got no processor for {f.run_delay:.0%} of the time: latencies include its own waiting"
        )
    if f.cpu >= BUSY:
        faults.append(f"the load generator was the limit ({f.cpu:.0%} of a core): the rate is its ceiling")
    if faults:
        return faults
    if f.lag_p99_s > spoiled:
        faults.append(
            f"the load generator ran late (loop lag p99 {f.lag_p99_s * 1000:.1f} ms): latencies include its own waiting"
        )
    elif f.slip_p99_s > spoiled:
        faults.append(f"the load generator sent late (schedule slip p99 {f.slip_p99_s * 1000:.1f} ms)")
    return faults
