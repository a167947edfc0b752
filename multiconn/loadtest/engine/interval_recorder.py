"""How does a run become intervals?

A counter only ever grows; an interval is what it grew by since the last one was taken, as in HdrHistogram's recorders.
Histograms are handed over instead: each value is recorded once, in the interval's own, and added to the whole later.

An interval takes its latencies from its phase's ledger: a reply in the measured window to a request of
the warm-up counts as a reply, and its latency is in no measured interval.

Not here: when one is taken (`engine.runner`), what sees it (`sink`).
"""

from __future__ import annotations

from libclient.owner import Shared

from ..measure.errors import Incident
from ..measure.gauges import Gauges
from ..measure.histogram import Histogram
from ..measure.intervals import DRAINING, MEASURING, Interval, sum_of_errors
from .background_peers import BackgroundPeers
from .ledgers import Ledgers
from .senders import Sender
from .slots import Slots

__all__ = ["IntervalRecorder"]


class IntervalRecorder:
    """Takes intervals. `send_delay` (ns) is that of all measured ones together."""

    def __init__(
        self,
        ledgers: Ledgers,
        slots: Slots,
        sender: Sender,
        shared: Shared,
        background_peers: BackgroundPeers,
        gauges: Gauges,
    ) -> None:
        self.send_delay = Histogram()
        self._ledgers = ledgers
        self._slots = slots
        self._sender = sender
        self._shared = shared
        self._background_peers = background_peers
        self._gauges = gauges
        self._at = ledgers.began
        self._counted: dict[str, int] = {}

    def take(self, now: int, phase: str, target: float | None) -> Interval:
        """What happened in `phase` since the last one was taken; `target` is the rate asked for now (ns)."""
        ledgers, slots, peers = self._ledgers, self._slots, self._background_peers
        warmup, measured, connections = ledgers.warmup, ledgers.measured, ledgers.connections
        waiting = self._sender.waiting(now)
        sent, dropped = warmup.sent + measured.sent, warmup.dropped + measured.dropped
        counts = {
            "scheduled": sent + dropped + waiting,
            "sent": sent,
            "ok": warmup.ok + measured.ok,
            "failed": warmup.failed + measured.failed,
            "dropped": dropped,
            "replies": warmup.replies + measured.replies,
            "bytes_sent": self._shared.bytes_sent,
            "bytes_received": self._shared.bytes_received,
        }
        before, self._counted = self._counted, counts
        # Only the phase's own: what is measured and came before its phase was begun waits for the next interval.
        recent = (measured if phase in (MEASURING, DRAINING) else warmup).take_recent()
        errors, incidents = self._take_errors()
        readings = self._gauges.take_recent()
        send_delay = self._sender.take_send_delay()
        if phase is MEASURING:
            self.send_delay.merge(send_delay)
        interval = Interval(
            t=(now - ledgers.began) / 1e9,
            seconds=(now - self._at) / 1e9,
            phase=phase,
            target=target,
            in_flight=ledgers.in_flight,
            waiting=waiting,
            connecting=slots.connecting,
            open=connections.open_now,
            wanted=slots.wanted,
            idle=peers.idle_open,
            hostile=peers.hostile_open,
            cpu=readings.cpu,
            run_delay=readings.run_delay,
            loop_lag=readings.loop_lag,
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

    def _take_errors(self) -> tuple[dict[str, int], list[tuple[str, Incident]]]:
        ledgers = self._ledgers
        recent = [each.errors.take_recent() for each in (ledgers.warmup, ledgers.measured, ledgers.connections)]
        incidents = [named for _, kept in recent for named in kept]
        return sum_of_errors(counts for counts, _ in recent), sorted(incidents, key=lambda named: named[1].at_s)
