"""Are these numbers valid, and what limited them?

A load tester that is itself the slowest part measures itself. The rules, simple on purpose, each
with its number, in the order they are looked at:

* The kernel kept the generator from running for `STARVED` of the time: replies lay unread
  meanwhile. Not valid; bottleneck `client`.
* It used at least `BUSY` of a core: it was the limit, and the rate is its ceiling, not the
  server's. Not valid; bottleneck `client`. If the server is known to have used as much, neither
  waited for the other: `unknown`.
* Its loop came late by more than `LAG_SHARE` of the response time (both at p99, and more than
  `LAG_FLOOR`): what it measured is in good part itself. Not valid; bottleneck `client`.
* Open: requests that had room left later than that. The same.
* Descriptors or ports of this machine ran out. Not valid; bottleneck `client`.
* Connections took as long as the kernel waits before it sends a SYN again, or timed out while this machine's count of
  full accept queues rose: the server did not accept as fast as they came. Not valid; bottleneck `server`.
* Fewer connections were open than the options say: another test than that. Not valid.
* Open: less than `SENT` of the schedule was sent. The percentiles leave out what waited longest.
  Not valid; bottleneck `server`, for the generator was none of the above.
* Open, and fewer than `SENT` of the replies came in time: bottleneck `server`; valid, for the
  waiting is in the response times. All came: `none`. In time is within the window; some are always on
  their way at its end, as many as come in a response time (Little's law), and by chance a few more.
* Closed, and people think longer than they wait: `none`. Their number and their thinking set the pace.
* Closed: something always is the limit, because the next request waits for a reply. It used less
  than `IDLE` of a core: it spent its time waiting. Bottleneck `server` (or the network, which
  cannot be told apart from here), else `unknown`. Open and late, likewise.
* Measured for less than `SHORTEST`: `unknown`. No replies: `unknown`, not valid.

Each reason that the user can mend ends with the remedy.

Why a closed run on one machine is so often not valid. A closed run with enough connections drives
something to its limit; that is what it is (Schroeder, Wierman and Harchol-Balter, "Open Versus Closed",
NSDI 2006). A server that serves a request in about the time in which the generator makes one, and here
both are Python, meets it at the top. wrk and its kin say nothing then, and many a published figure is the
generator's; k6's guide asks people to watch the processor themselves. Two things look alike there and are not:

* The generator had a core and used it up (`BUSY`): it is too slow. More processes help, if there are cores.
* It wanted a core and did not get one (`STARVED`): the machine is shared, with the server or with others.
  More processes make it worse.

The kernel keeps the two apart: processor time, and time ready without it. Neither run may pass for the
server's figures. But both may tell that the server can do at least so much, and with which rate to go on.

Why 95 %: of a loop that never finds nothing to do, the kernel books some per cent elsewhere (interrupts,
migration), and the same run told twice differs by two. Why `IDLE` is not 95 %, too: at 90 % a queue in
front of the generator is nine long on average, by the formula for random arrivals; no rule can tell then which
of the two waits. Why 25 %: a generator that waits a quarter of the time for its core reads a reply that comes
at any moment late in a quarter of the cases, so that p75 is no longer the server's; a quiet
machine has some per cent, one busy neighbour on the same core 30 to 50, four of them 80.

Why p99 against p99: in a closed run with a thousand connections one turn of the loop serves
hundreds of replies, and the last of them waits for the others, as the first does in the server.
That is some of each latency, and a valid run; when it is half of it, it is not.

Not here: thresholds (`judge.thresholds`), how the figures are gathered (`measure.gauges`,
`measure.server_cpu_monitor`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Figures", "Verdict", "judge"]

#: Shares of one core that the generator used during the measured window.
BUSY = 0.95
IDLE = 0.85

#: The share of the window it was ready and did not run.
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

    `target` is the rate asked for; None is a closed run, where `think_s` is between a reply and the next
    request. `achieved` is replies per second of the window. `connections_failed` did so without a request;
    `refused_by_us` are those for which this machine had no descriptor or port. `workers` generator processes
    had `cores` to run on (0: unknown); `local`: the server is on this machine; `server_cpu` is its share of a
    core, None where it isn't known. `syn_retries` connections took as long as a SYN that is sent again;
    `listen_overflows`: by how much this machine's count of full accept queues rose, None if the server is elsewhere.
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
    send_delay_p99_s: float = 0.0
    refused_by_us: int = 0
    workers: int = 1
    cores: int = 0
    local: bool = False
    server_cpu: float | None = None
    response_p50_s: float = 0.0
    think_s: float = 0.0
    connections_failed: int = 0
    syn_retries: int = 0
    connect_timeouts: int = 0
    listen_overflows: int | None = None


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
    queue = _full_queue(f)
    if queue is not None:
        reasons.append(queue)
    if not f.replies:
        bottleneck = CLIENT if f.run_delay >= STARVED else SERVER if queue is not None else UNKNOWN
        return Verdict(False, reasons, bottleneck)
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
            + ("" if own else f"; {_more_server(f)}")
        )
    return Verdict(not reasons, reasons, _bottleneck(f, bool(own) or f.refused_by_us > 0, unsent, queue is not None))


def _bottleneck(f: Figures, own: bool, unsent: bool, queue: bool) -> str:
    if f.duration_s < SHORTEST:
        return UNKNOWN
    if own:
        return UNKNOWN if _both_at_their_limit(f) and not f.refused_by_us else CLIENT
    if queue:
        return SERVER
    if (f.think_s > f.response_p50_s) if f.target is None else (not unsent and _kept_up(f)):
        return NONE
    return SERVER if f.cpu < IDLE else UNKNOWN


def _full_queue(f: Figures) -> str | None:
    """Connections that the server's kernel did not let in, and what to do."""
    if not f.syn_retries and not (f.connect_timeouts and f.listen_overflows):
        return None
    if f.syn_retries:
        who = f"{f.syn_retries:,} connections took as long as a SYN that is sent again (1 s, 3 s, 7 s)"
    else:
        who = f"{f.connect_timeouts:,} connections were not made in time"
    if f.listen_overflows:
        why = f"the server's accept queue was full (ListenOverflows rose by {f.listen_overflows:,})"
    elif f.listen_overflows is None:
        why = "the server's accept queue was full, or packets were lost"
    else:
        why = "packets were lost"  # on this machine, and no queue was full
    advice = "raise its backlog (--backlog, net.core.somaxconn), or connect more slowly (--connect-rate)"
    return f"{who}: {why}" + (f"; {advice}" if f.listen_overflows != 0 else "")


def _kept_up(f: Figures) -> bool:
    """Open: as many replies came in the window as were due in it, but for those on their way."""
    on_their_way = f.achieved * f.response_p50_s
    by_chance = 1 + 3 * math.sqrt(on_their_way)  # arrivals at random: a Poisson number's three deviations
    return f.achieved * f.duration_s >= SENT * f.scheduled - on_their_way - by_chance


def _both_at_their_limit(f: Figures) -> bool:
    return f.cpu >= BUSY and f.server_cpu is not None and f.server_cpu >= BUSY


def _own_faults(f: Figures) -> list[str]:
    """What the generator itself did to the figures, and what to do about it."""
    if f.run_delay >= STARVED:
        return [
            f"the load generator got no processor for {f.run_delay:.0%} of the time: latencies include its own "
            f"waiting; {_room(f)}"
        ]
    if f.cpu >= BUSY:
        who = f"the load generator was the limit ({f.cpu:.0%} of a core)"
        what = "the rate is its ceiling, and the server can do at least that"
        if f.server_cpu is not None and f.server_cpu >= BUSY:
            who = f"load generator ({f.cpu:.0%} of a core) and server ({f.server_cpu:.0%}) were both at their limit"
            what = "the latencies are in part the generator's"
        return [f"{who}: {what}; {_more_generator(f)}"]
    spoiled = max(LAG_FLOOR, LAG_SHARE * f.response_p99_s)
    if f.lag_p99_s > spoiled:
        return [
            f"the load generator ran late (loop lag p99 {f.lag_p99_s * 1000:.1f} ms): latencies include its own "
            f"waiting; {_room(f)}"
        ]
    if f.send_delay_p99_s > spoiled:
        return [f"the load generator sent late (send delay p99 {f.send_delay_p99_s * 1000:.1f} ms); {_room(f)}"]
    return []


# --- what to do ------------------------------------------------------------------------


def _room(f: Figures) -> str:
    """For a generator that does not get the core it wants."""
    wanted = f.workers + f.local
    if f.workers > 1 and wanted > f.cores > 0:
        server = " and the server" if f.local else ""
        return f"{f.workers} processes{server} share {f.cores} cores: use -w {max(1, f.cores - f.local)}{_slower(f)}"
    return f"stop what else runs here, or load from another machine{_slower(f)}"


def _more_generator(f: Figures) -> str:
    """For a generator that used up its core."""
    free = f.cores - f.local
    if free > f.workers:
        return f"give it more processes (-w {free}){_slower(f)}"
    return f"load from another machine{_slower(f)}"


def _more_server(f: Figures) -> str:
    """For a schedule that found no room."""
    if f.connections_failed:
        return "connections were missing: the errors say why"
    return f"the server answered {f.achieved:,.0f}/s: ask for less than that"


def _slower(f: Figures) -> str:
    """Another way out, which needs no other machine. A third: to send each request when its time has come takes
    about twice what it takes to send them as replies make room, many at a time."""
    if f.duration_s <= 0 or f.achieved < 2:
        return ""
    rate = _round_down(f.achieved / 3 if f.target is None else min(f.achieved, f.target) / 2)
    what = "measure latency at a rate that it can keep" if f.target is None else "ask for less"
    return f", or {what} (-r {rate})"


def _round_down(rate: float) -> str:
    """Two digits, as the command line takes them: 10898 is 10k, 8470 is 8400."""
    unit = 10 ** max(0, math.floor(math.log10(rate)) - 1) if rate >= 1 else 1
    whole = max(1, int(rate // unit) * unit)
    return f"{whole // 1000}k" if whole >= 1000 and whole % 1000 == 0 else str(whole)
