"""How is a run kept on disk, so that anything can be computed from it later?

    DIR/summary.json      the run in one object (load.md's schema), written at the end
    DIR/timeseries.jsonl  a line per interval, with its whole histograms
    DIR/latency.hlog      the same histograms as an HdrHistogram log, for its standard tools
    DIR/*.hgrm            latency by percentile, for its plotters
    DIR/errors.jsonl      the first hundred failures of each name, a line each, whoever met them

Rules:

* What grows with the run is written as it goes and flushed once per interval: whoever kills the
  run loses at most one. A reader passes over a last line that is cut.
* A directory that has a run is not written over: two runs in one are none.
* docs/load-files.md has every key. A reader ignores keys that it does not know.

Not here: what happens in an interval (`load.progress`), pages for people.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from protocol.printable import printable_json

from . import hdr
from .errors import KEPT, Incident
from .histogram import Histogram
from .progress import MEASURED, Interval, Plan

__all__ = [
    "ERRORS",
    "LOG",
    "SUMMARY",
    "TIMESERIES",
    "DirectoryTaken",
    "SavedRun",
    "Writer",
    "interval_object",
    "latency_object",
    "percent_key",
    "read_errors",
    "read_intervals",
    "read_run",
    "read_summary",
    "write_summary",
]

SUMMARY, TIMESERIES, LOG, ERRORS = "summary.json", "timeseries.jsonl", "latency.hlog", "errors.jsonl"

_SECOND = 1e9  # nanoseconds


class DirectoryTaken(Exception):
    """The directory can't be written to, or has a run; the sentence says what to do."""


# --- objects -------------------------------------------------------------------------


def percent_key(percent: float) -> str:
    """50.0 is "50" and 99.9 is "99.9"."""
    return f"{percent:g}"


def latency_object(histogram: Histogram, percents: tuple[float, ...]) -> dict[str, Any]:
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


def interval_object(interval: Interval, percents: tuple[float, ...]) -> dict[str, Any]:
    """A line of the time series."""
    return {
        "t": round(interval.t, 6),
        "seconds": round(interval.seconds, 6),
        "phase": interval.phase,
        "target": interval.target,
        "rate": interval.rate,
        "counts": {
            name: getattr(interval, name)
            for name in ("scheduled", "sent", "ok", "failed", "dropped", "replies", "in_flight", "waiting")
        },
        "connections": {name: getattr(interval, name) for name in ("wanted", "connecting", "open", "idle", "hostile")},
        "latency_s": {
            "response": latency_object(interval.response, percents),
            "service": latency_object(interval.service, percents),
            "failed": latency_object(interval.failures, percents),
        },
        "errors": interval.errors,
        "bytes": {"sent": interval.bytes_sent, "received": interval.bytes_received},
        "generator": {
            "cpu": round(interval.cpu, 4),
            "run_delay": round(interval.run_delay, 4),
            "loop_lag_p99_s": interval.loop_lag.percentile(99) / _SECOND,
            "loop_lag_max_s": interval.loop_lag.max / _SECOND,
            "schedule_slip_p99_s": interval.slip.percentile(99) / _SECOND if interval.target is not None else None,
        },
    }


def _incident_object(name: str, incident: Incident) -> dict[str, Any]:
    return {
        "at_s": round(incident.at_s, 6),
        "name": name,
        "connection": incident.connection,
        "detail": incident.detail,
        "requests": incident.requests,
    }


# --- writing -------------------------------------------------------------------------


class Writer:
    """A `Sink` that writes a run's directory; `summary` (once, at the end) completes it.

    Raises `DirectoryTaken` when it is made, or begins, not in the middle of a run. A run that is
    refused before it begins leaves no file.
    """

    def __init__(self, directory: Path, percentiles: tuple[float, ...]) -> None:
        self.directory = directory
        self._percentiles = percentiles
        try:
            directory.mkdir(parents=True, exist_ok=True)
            taken = next((name for name in (SUMMARY, TIMESERIES) if (directory / name).exists()), None)
            if taken is not None:
                raise DirectoryTaken(f"{directory} has a run already ({taken}); name another directory, or remove it")
            with tempfile.TemporaryFile(dir=directory):
                pass
        except OSError as error:
            raise self._unusable(error) from error
        self._streams: dict[str, IO[str]] = {}
        self._response = Histogram()
        self._service = Histogram()
        self._kept: Counter[str] = Counter()  # lines by name
        self._failed: OSError | None = None

    def _unusable(self, error: OSError) -> DirectoryTaken:
        return DirectoryTaken(f"{self.directory} can't be written to ({error.strerror}); name another one")

    def _open(self, name: str) -> IO[str]:
        return (self.directory / name).open("w", encoding="utf-8")

    @property
    def trouble(self) -> str | None:
        """Why the files are not whole (a full disk, say), or None."""
        return None if self._failed is None else f"{self.directory} is not whole: {self._failed.strerror}"

    def begin(self, plan: Plan) -> None:
        try:
            for name in (TIMESERIES, LOG, ERRORS):
                self._streams[name] = self._open(name)
        except OSError as error:
            raise self._unusable(error) from error
        self._put(LOG, hdr.LOG_HEAD.format(start=plan.started_at))

    def interval(self, interval: Interval) -> None:
        self._put(TIMESERIES, printable_json(interval_object(interval, self._percentiles)) + "\n")
        if interval.phase in MEASURED:
            began = interval.t - interval.seconds
            for tag, histogram in (
                ("response", interval.response),
                ("service", interval.service),
                ("failed", interval.failures),
            ):
                if histogram.counts:
                    self._put(LOG, hdr.log_line(tag, began, interval.seconds, histogram))
            self._response.merge(interval.response)
            self._service.merge(interval.service)
        for name, incident in interval.incidents:
            self._kept[name] += 1
            if self._kept[name] > KEPT:
                continue  # the books of each phase and worker keep so many
            self._put(ERRORS, printable_json(_incident_object(name, incident)) + "\n")
        self._flush()

    def end(self, outcome: object) -> None:
        """The distributions by percentile; the streams are closed."""
        for name, histogram in (("response.hgrm", self._response), ("service.hgrm", self._service)):
            try:
                with self._open(name) as file:
                    file.writelines(hdr.percentile_lines(histogram))
            except OSError as error:
                self._failed = error
        self.close()

    def close(self) -> None:
        for file in self._streams.values():
            try:
                file.close()
            except OSError as error:
                self._failed = error

    def _put(self, name: str, text: str) -> None:
        if self._failed is None:  # a run of an hour does not end because a disk is full
            try:
                self._streams[name].write(text)
            except OSError as error:
                self._failed = error

    def _flush(self) -> None:
        try:
            for file in self._streams.values():
                file.flush()
        except OSError as error:
            self._failed = error


def write_summary(directory: Path, summary: dict[str, Any]) -> None:
    """Complete a run's directory. Raises `DirectoryTaken` if it can't be written."""
    try:
        (directory / SUMMARY).write_text(printable_json(summary, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise DirectoryTaken(f"{directory / SUMMARY} can't be written ({error.strerror})") from error


# --- reading -------------------------------------------------------------------------


class SavedRun(NamedTuple):
    """What a directory holds. `summary` is None if the run was killed before its end.

    `intervals` are the time series' objects; `load.hdr.decode` makes histograms of their `hdr`.
    """

    directory: Path
    summary: dict[str, Any] | None
    intervals: list[dict[str, Any]]
    errors: list[dict[str, Any]]


def read_run(directory: Path) -> SavedRun:
    """Read a directory. Raises `ValueError` with a sentence if it is no run, `OSError` if it can't be read."""
    return SavedRun(
        directory, read_summary(directory), list(read_intervals(directory)), list(read_errors(directory))
    )


def read_summary(directory: Path) -> dict[str, Any] | None:
    """The summary; None if the run was killed before its end. Raises as `read_run` does."""
    path = directory / SUMMARY
    if path.exists():
        summary = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(summary, dict) or summary.get("schema") != "appload/1":
            raise ValueError(f"{path} is no summary of a load test (its schema is not appload/1)")
        return summary
    if not (directory / TIMESERIES).exists():
        raise ValueError(f"{directory} has no run: neither {SUMMARY} nor {TIMESERIES} is there")
    return None


def read_errors(directory: Path) -> Iterator[dict[str, Any]]:
    """The failures that were kept, with their details, as they occurred."""
    return _lines(directory / ERRORS) if (directory / ERRORS).exists() else iter(())


def read_intervals(directory: Path) -> Iterator[dict[str, Any]]:
    """The time series, one object after another, in constant memory."""
    return _lines(directory / TIMESERIES)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                return  # the run was killed in the middle of it
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if not isinstance(value, dict):
                raise ValueError(f"{path}:{number} is not a JSON object")
            yield value
