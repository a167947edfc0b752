"""How is a run cut into intervals?

A counter only ever grows; an interval is what it grew by since the last cut. Histograms are handed
over instead: each value is recorded once, in the interval's own, which then is added to the whole.

The latencies of an interval are those of its phase's books: a reply that comes in the measured window to
a request of the warm-up is counted as a reply, and its latency is in no measured interval.

Not here: when to cut (`engine.runner`), who is told (`measure.intervals`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..measure.histogram import Histogram
from ..measure.intervals import DRAINING, MEASURING, Interval

if TYPE_CHECKING:
    from .runner import Runner

__all__ = ["IntervalRecorder"]


class IntervalRecorder:
    """Cuts a run into intervals: what happened to its counters since the last cut."""

    def __init__(self, run: Runner) -> None:
        self._run = run
        self._at = run.began
        self._counted: dict[str, int] = {}

    def take(self, now: int) -> Interval:
        run = self._run
        collector, slots, sender = run.collector, run.slots, run.sender
        warmup, measured = collector.warmup, collector.measured
        waiting = sender.waiting(now)
        sent, dropped = warmup.sent + measured.sent, warmup.dropped + measured.dropped
        counts = {
            "scheduled": sent + dropped + waiting,
            "sent": sent,
            "ok": warmup.ok + measured.ok,
            "failed": warmup.failed + measured.failed,
            "dropped": dropped,
            "replies": warmup.replies + measured.replies,
            "bytes_sent": run.shared.bytes_sent,
            "bytes_received": run.shared.bytes_received,
        }
        before, self._counted = self._counted, counts
        # Only the phase's own: what is measured and came before its phase was begun waits for the next cut.
        recent = (measured if run.phase is MEASURING or run.phase is DRAINING else warmup).take_recent()
        errors: dict[str, int] = {}
        incidents = []
        for books in (warmup.errors, measured.errors, collector.connections.errors):
            names, kept = books.take_recent()
            for name, times in names.items():
                errors[name] = errors.get(name, 0) + times
            incidents += kept
        incidents.sort(key=lambda named: named[1].at_s)
        since = run.gauges.take_recent()
        send_delay, sender.send_delay = sender.send_delay, Histogram()
        if run.phase is MEASURING:
            run.send_delay.merge(send_delay)
        connections = collector.connections
        interval = Interval(
            t=(now - run.began) / 1e9,
            seconds=(now - self._at) / 1e9,
            phase=run.phase,
            target=run.target_rate(now),
            in_flight=counts["sent"] - counts["ok"] - counts["failed"],
            waiting=waiting,
            connecting=slots.connecting,
            open=connections.open_now,
            wanted=slots.wanted,
            idle=run.background_peers.idle_open,
            hostile=run.background_peers.hostile_open,
            cpu=since.cpu,
            run_delay=since.run_delay,
            loop_lag=since.loop_lag,
            send_delay=send_delay,
            response=recent.response,
            service=recent.service,
            failures=recent.failures,
            errors=errors,
            incidents=incidents,
            **{name: count - before.get(name, 0) for name, count in counts.items()},
        )
        self._at = now
        return interval
