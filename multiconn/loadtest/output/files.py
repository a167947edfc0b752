"""How is a run kept on disk, so that anything can be computed from it later?

    DIR/summary.json      the run in one object (docs/look-up/load-files.md), written at the end
    DIR/timeseries.jsonl  a line per interval, with its whole histograms
    DIR/latency.hlog      the same histograms as an HdrHistogram log, for its standard tools
    DIR/*.hgrm            latency by percentile, for its plotters
    DIR/errors.jsonl      the first hundred failures of each name, a line each, of all workers

Rules:

* What grows with the run is written as it goes and flushed once per interval: a run that is killed loses at most one.
* A directory that has a run is not written over, and one that a run is writing to is not shared: two runs in one are
  none. What tells the second so is a lock on the directory itself (flock): no file is left behind, and the kernel
  takes it from a run that was killed. Where a file system can't lock a directory, files are made anew or not at all.
* A failed write never costs the run or its report: `Writer.trouble` says it at the end.
* docs/look-up/load-files.md has every key. A reader ignores keys that it does not know.

Not here: how a record looks (`output.records`), reading a directory (`output.saved_run`), pages for people
(`output.page`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from protocol.files import create, replace
from protocol.printable import printable_json

from ..measure import hdr
from ..measure.errors import KEPT
from ..measure.histogram import Histogram
from ..measure.intervals import MEASURED, Interval
from ..sink import Plan
from .records import incident_record, interval_record

__all__ = [
    "ERRORS",
    "LOG",
    "SUMMARY",
    "TIMESERIES",
    "DirectoryTaken",
    "Writer",
    "claim",
]

SUMMARY, TIMESERIES, LOG, ERRORS = "summary.json", "timeseries.jsonl", "latency.hlog", "errors.jsonl"

RESPONSE, SERVICE = "response.hgrm", "service.hgrm"


class DirectoryTaken(Exception):
    """The directory can't be written to, or has a run; the sentence says what to do."""


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
        self._put(TIMESERIES, printable_json(interval_record(interval, self._percentiles)) + "\n")
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
                continue  # the ledgers of each phase and worker keep so many
            self._put(ERRORS, printable_json(incident_record(name, incident)) + "\n")
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
