"""How is a run kept on disk, so that anything can be computed from it later?

    DIR/summary.json      the run in one object (load.md's schema), written at the end
    DIR/timeseries.jsonl  a line per interval, with its whole histograms
    DIR/latency.hlog      the same histograms as an HdrHistogram log, for its standard tools
    DIR/*.hgrm            latency by percentile, for its plotters
    DIR/errors.jsonl      the first hundred failures of each name, a line each, whoever met them

Rules:

* What grows with the run is written as it goes and flushed once per interval: whoever kills the
  run loses at most one. A reader leaves out a last line that is cut, does without a summary that is, and says so.
* A directory that has a run is not written over, and one that a run is writing to is not shared: two runs in one are
  none. What tells the second so is a lock on the directory itself (flock): no file is left behind, and the kernel
  takes it from a run that was killed. Where a file system can't lock a directory, files are made anew or not at all.
* What can't be written never costs the run or its report: it is told at the end (`Writer.trouble`).
* docs/load-files.md has every key. A reader ignores keys that it does not know.

Not here: what happens in an interval (`measure.intervals`), pages for people.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from protocol.files import create, replace
from protocol.printable import printable_json

from ..measure import hdr
from ..measure.errors import KEPT, Incident
from ..measure.histogram import Histogram
from ..measure.intervals import MEASURED, Interval, Plan

__all__ = [
    "ERRORS",
    "LOG",
    "SUMMARY",
    "TIMESERIES",
    "DirectoryTaken",
    "SavedRun",
    "Writer",
    "claim",
    "interval_object",
    "latency_object",
    "percent_key",
    "read_errors",
    "read_intervals",
    "read_run",
    "read_summary",
]

SUMMARY, TIMESERIES, LOG, ERRORS = "summary.json", "timeseries.jsonl", "latency.hlog", "errors.jsonl"

RESPONSE, SERVICE = "response.hgrm", "service.hgrm"

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
            "schedule_slip_p99_s": interval.send_delay.percentile(99) / _SECOND
            if interval.target is not None
            else None,
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


def claim(directory: Path) -> int | None:
    """Make the directory, and a descriptor that locks it against other runs until it is closed; None if nothing can.

    Raises `DirectoryTaken`.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(directory, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise DirectoryTaken(f"another run is writing to {directory}; name another directory") from None
        return None
    return descriptor


def _unusable(directory: Path, error: OSError) -> DirectoryTaken:
    return DirectoryTaken(f"{directory} can't be written to ({error.strerror}); name another one")


class Writer:
    """A `Sink` that writes a run's directory; `complete` (once, at the end) puts the summary there.

    Raises `DirectoryTaken` when it is made, or begins, not in the middle of a run. A run that is
    refused before it begins leaves no file. `release` ends its claim to the directory.
    """

    def __init__(self, directory: Path, percentiles: tuple[float, ...]) -> None:
        self.directory = directory
        self._percentiles = percentiles
        self._claim = claim(directory)
        self._streams: dict[str, BinaryIO] = {}
        self._response = Histogram()
        self._service = Histogram()
        self._kept: Counter[str] = Counter()  # lines by name
        self._failed: tuple[str, OSError] | None = None  # the first file that could not be written
        try:
            self._check()
        except BaseException:
            self.release()
            raise

    def _check(self) -> None:
        every = (SUMMARY, TIMESERIES, LOG, ERRORS, RESPONSE, SERVICE)
        taken = next((name for name in every if os.path.lexists(self.directory / name)), None)
        if taken is not None:
            raise DirectoryTaken(f"{self.directory} has a run already ({taken}); name another directory, or remove it")
        try:
            with tempfile.TemporaryFile(dir=self.directory):
                pass
        except OSError as error:
            raise _unusable(self.directory, error) from error

    @property
    def trouble(self) -> str | None:
        """Why the files are not whole (a full disk, say), or None."""
        if self._failed is None:
            return None
        name, error = self._failed
        return f"the files in {self.directory} are not whole ({name}: {error.strerror}); keep what is printed here"

    def begin(self, plan: Plan) -> None:
        try:
            for name in (TIMESERIES, LOG, ERRORS):
                self._streams[name] = create(self.directory / name)
        except OSError as error:
            raise _unusable(self.directory, error) from error
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
        for name, file in self._streams.items():
            self._try(name, file.flush)

    def end(self, outcome: object) -> None:
        """The distributions by percentile; the streams are closed."""
        for name, histogram in ((RESPONSE, self._response), (SERVICE, self._service)):
            self._replace(name, "".join(hdr.percentile_lines(histogram)))
        self.close()

    def complete(self, summary: dict[str, Any]) -> None:
        """The last file. Whether it could be written, `trouble` tells."""
        self._replace(SUMMARY, printable_json(summary, indent=1) + "\n")

    def close(self) -> None:
        for name, file in self._streams.items():
            self._try(name, file.close)

    def release(self) -> None:
        """Other runs may have the directory. Twice is once."""
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None

    def _put(self, name: str, text: str) -> None:
        if self._failed is None:  # a run of an hour does not end because a disk is full
            self._try(name, lambda: self._streams[name].write(text.encode()))

    def _replace(self, name: str, text: str) -> None:
        self._try(name, lambda: replace(self.directory / name, [text.encode()]))

    def _try(self, name: str, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError as error:
            self._failed = self._failed or (name, error)


# --- reading -------------------------------------------------------------------------


class SavedRun(NamedTuple):
    """What a directory holds. `summary` is None if the run was killed before its end.

    `intervals` are the time series' objects; `measure.hdr.decode` makes histograms of their `hdr`.
    """

    directory: Path
    summary: dict[str, Any] | None
    intervals: list[dict[str, Any]]
    errors: list[dict[str, Any]]


def _to_nobody(words: str) -> None:
    """Who does not say whom to tell."""


#: Is told, in a sentence, what is not whole and left out.
Told = Callable[[str], object]


def read_run(directory: Path, told: Told = _to_nobody) -> SavedRun:
    """Read a directory. Raises `ValueError` with a sentence if it is no run, `OSError` if it can't be read."""
    return SavedRun(
        directory,
        read_summary(directory, told),
        list(read_intervals(directory, told)),
        list(read_errors(directory, told)),
    )


def read_summary(directory: Path, told: Told = _to_nobody) -> dict[str, Any] | None:
    """The summary; None if there is none, or half of one: the run was killed, or the disk full, before its end.

    Raises as `read_run` does.
    """
    path = directory / SUMMARY
    there = path.exists()
    if there:
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            told(f"{path} is not whole ({error if path.stat().st_size else 'it is empty'}); the rest does without it")
        else:
            if not isinstance(summary, dict) or summary.get("schema") != "appload/1":
                raise ValueError(f"{path} is no summary of a load test (its schema is not appload/1)")
            return summary
    if not (directory / TIMESERIES).exists():
        what = f"{SUMMARY} is not whole and no" if there else f"neither {SUMMARY} nor"
        raise ValueError(f"{directory} has no run: {what} {TIMESERIES} is there")
    return None


def read_errors(directory: Path, told: Told = _to_nobody) -> Iterator[dict[str, Any]]:
    """The failures that were kept, with their details, as they occurred."""
    return _lines(directory / ERRORS, told) if (directory / ERRORS).exists() else iter(())


def read_intervals(directory: Path, told: Told = _to_nobody) -> Iterator[dict[str, Any]]:
    """The time series, one object after another, in constant memory."""
    return _lines(directory / TIMESERIES, told)


def _lines(path: Path, told: Told) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):  # the run was killed in the middle of it, or the disk was full
                told(f"{path}: line {number}, the last, is cut; it is left out")
                return
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if not isinstance(value, dict):
                raise ValueError(f"{path}:{number} is not a JSON object")
            yield value
