"""What came out of a run?

`Outcome` is everything the runner measured, as plain data. `summary` turns it into the object of
`summary.json` (load.md, `"schema": "appload/1"`): seconds, the unit in the key, every key there
whatever happened.

Not here: measuring (`load.runner`), printing for people (`load.report`).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

from . import hdr
from .config import Config
from .errors import NAMES, VERIFY_MISMATCH
from .histogram import Histogram
from .stats import Accounting, Connections, Ledger, Series
from .verdict import Figures, Verdict, judge

__all__ = ["INTERNAL_ERROR", "USAGE", "Outcome", "exit_code", "percent_key", "summary"]

SCHEMA = "appload/1"

COMPLETED, INTERNAL_ERROR, USAGE, NEVER_CONNECTED, WRONG_REPLY = 0, 1, 2, 3, 4

_SECOND = 1e9  # nanoseconds


@dataclass(slots=True)
class Outcome:
    """One run, measured. Seconds, bytes and counts; histograms are of nanoseconds.

    `duration_s` is the measured window alone. `warmup` are the books of the warm-up: kept, so
    that a wrong reply is noticed there too, but part of no number. `interrupted` is the signal
    that ended the run, `stopped` the reason if the runner gave up.
    """

    config: Config
    target: str
    started_at: datetime
    measured: Ledger
    warmup: Ledger
    accounting: Accounting
    connections: Connections
    schedule_sha256: str
    duration_s: float = 0.0
    interrupted: int | None = None
    stopped: str | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    cpu: float = 0.0
    loop_lag: Histogram = field(default_factory=Histogram)
    series: Series = field(default_factory=Series)

    @property
    def errors(self) -> dict[str, int]:
        """Every name with its count: failed requests, and connections that failed without one."""
        requests, connections = self.measured.errors.counts, self.connections.errors.counts
        return {name: requests[name] + connections[name] for name in NAMES}

    @property
    def verdict(self) -> Verdict:
        return judge(
            Figures(
                duration_s=self.duration_s,
                replies=self.measured.replies,
                connections_opened=self.connections.opened,
                connections_wanted=self.config.connections,
                connections_peak=self.connections.peak,
                cpu=self.cpu,
                lag_p99_s=self.loop_lag.percentile(99) / _SECOND,
                response_p50_s=self.measured.response.percentile(50) / _SECOND,
                stopped=self.stopped,
            )
        )

    def per_second(self, count: int) -> float:
        """`count` over the measured window."""
        return count / self.duration_s if self.duration_s > 0 else 0.0


def exit_code(outcome: Outcome) -> int:
    """The first that applies, in load.md's order (1 and 2 are decided before there is an outcome)."""
    if outcome.interrupted is not None:
        return 128 + outcome.interrupted
    if not outcome.connections.opened:
        return NEVER_CONNECTED
    if outcome.errors[VERIFY_MISMATCH] or outcome.warmup.errors.counts[VERIFY_MISMATCH]:
        return WRONG_REPLY
    return COMPLETED


def percent_key(percent: float) -> str:
    """50.0 is "50" and 99.9 is "99.9"."""
    return f"{percent:g}"


def summary(outcome: Outcome, argv: Iterable[str]) -> dict[str, object]:
    """The object of `summary.json`."""
    measured, connections, verdict = outcome.measured, outcome.connections, outcome.verdict
    percents = outcome.config.percentiles
    response = _latency(measured.response, percents)
    return {
        "schema": SCHEMA,
        "run": _run(outcome, argv),
        "verdict": {
            "valid": verdict.valid,
            "reasons": verdict.reasons,
            "bottleneck": verdict.bottleneck,
            "thresholds": [],
        },
        "accounting": outcome.accounting._asdict(),
        "rate": {
            "target": None,  # closed: the replies set the pace
            "offered": outcome.per_second(measured.sent),
            "achieved": outcome.per_second(measured.window_replies),
            "ok_per_s": outcome.per_second(measured.window_ok),
        },
        "latency_s": {
            "response": response,
            "service": response,  # closed: the two are one
            "connect": _latency(connections.connect, percents),
            "failed": _latency(measured.failures, percents),
        },
        "by_action": {outcome.config.action: {"sent": measured.sent, "ok": measured.ok, "failed": measured.failed}},
        "bytes": {"sent": outcome.bytes_sent, "received": outcome.bytes_received},
        "connections": {
            "opened": connections.opened,
            "peak": connections.peak,
            "reconnects": connections.reconnects,
            "closed_by_peer": connections.closed_by_peer,
        },
        "errors": outcome.errors,
        "generator": {
            "cpu_max": round(outcome.cpu, 4),
            "loop_lag_p99_s": outcome.loop_lag.percentile(99) / _SECOND,
            "schedule_slip_p99_s": None,  # closed: there is no schedule to be late for
        },
        "server": None,
    }


def _run(outcome: Outcome, argv: Iterable[str]) -> dict[str, object]:
    started = outcome.started_at
    return {
        "id": f"{started:%Y%m%dT%H%M%S}-{os.getpid()}",
        "name": outcome.target,
        "started_at": started.isoformat(timespec="milliseconds"),
        "duration_s": outcome.duration_s,
        "interrupted": outcome.interrupted is not None,
        "argv": list(argv),
        "config": {"target": outcome.target, **outcome.config.as_dict()},
        "seed": outcome.config.seed,
        "schedule_sha256": outcome.schedule_sha256,
        "host": {"name": platform.node(), "system": platform.platform(), "cpus": os.cpu_count()},
        "versions": {"multiconn": _own_version(), "python": platform.python_version()},
    }


def _latency(histogram: Histogram, percents: tuple[float, ...]) -> dict[str, object]:
    return {
        "count": histogram.count,
        "min": histogram.min / _SECOND,
        "mean": histogram.mean / _SECOND,
        "max": histogram.max / _SECOND,
        "p": {
            percent_key(percent): value / _SECOND
            for percent, value in zip(percents, histogram.percentiles(percents), strict=True)
        },
        "hdr": hdr.encode(histogram),
    }


def _own_version() -> str | None:
    """The installed version; None in a bare clone."""
    try:
        return version("multiconn")
    except PackageNotFoundError:
        return None
