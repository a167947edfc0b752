"""How is an interval written down?

One format for all: a line of `timeseries.jsonl`, what the live dashboard is sent, and what charts and comparisons are
made of. docs/look-up/load-files.md has every key.

Rules:

* Seconds, and the unit is in the key; whole histograms, so that any percentile can be computed later.
* Pure: plain data in, plain data out.

Not here: the files (`output.files`), the summary of a run (`output.summary`).
"""

from __future__ import annotations

from typing import Any

from ..measure import hdr
from ..measure.errors import Incident
from ..measure.histogram import Histogram
from ..measure.intervals import Interval

__all__ = ["incident_record", "interval_record", "latency_histogram", "latency_record", "percent_key"]

_SECOND = 1e9  # nanoseconds


def percent_key(percent: float) -> str:
    """50.0 is "50" and 99.9 is "99.9"."""
    return f"{percent:g}"


def latency_record(histogram: Histogram, percents: tuple[float, ...]) -> dict[str, Any]:
    """A histogram of nanoseconds as summary and time series write it: seconds."""
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


def latency_histogram(record: dict[str, Any]) -> Histogram:
    """The histogram (ns) of what `latency_record` wrote; its longest value is exact.

    Raises `ValueError` for a word that is no histogram, `KeyError` and `TypeError` for what is no record.
    """
    histogram = hdr.decode(record["hdr"])
    histogram.limit(round(record["max"] * _SECOND))
    return histogram


def interval_record(interval: Interval, percents: tuple[float, ...]) -> dict[str, Any]:
    """A line of the time series."""
    return {
        "t": round(interval.t, 6),
        "seconds": round(interval.seconds, 9),
        "phase": interval.phase,
        "target": interval.target,
        "rate": interval.rate,
        "counts": {
            name: getattr(interval, name)
            for name in ("scheduled", "sent", "ok", "failed", "dropped", "replies", "in_flight", "waiting")
        },
        "connections": {name: getattr(interval, name) for name in ("wanted", "connecting", "open", "idle", "hostile")},
        "latency_s": {
            "response": latency_record(interval.response, percents),
            "service": latency_record(interval.service, percents),
            "failed": latency_record(interval.failures, percents),
        },
        "errors": interval.errors,
        "bytes": {"sent": interval.bytes_sent, "received": interval.bytes_received},
        "generator": {
            "cpu": round(interval.cpu, 4),
            "run_delay": round(interval.run_delay, 4),
            "loop_lag_p99_s": interval.loop_lag.percentile(99) / _SECOND,
            "loop_lag_max_s": interval.loop_lag.max / _SECOND,
            "schedule_slip_p99_s": interval.send_delay.percentile(99) / _SECOND
            if interval.target is not None
            else None,
        },
    }


def incident_record(name: str, incident: Incident) -> dict[str, Any]:
    return {
        "at_s": round(incident.at_s, 6),
        "name": name,
        "connection": incident.connection,
        "detail": incident.detail,
        "requests": incident.requests,
    }
