"""What does a run's directory hold?

The time series is read line by line, in constant memory. A reader leaves out a last line that is broken off, does
without a summary that is, and says so to its `warn`; it ignores keys that it does not know.

Not here: which files there are, and writing them (`output.files`), what is computed from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .files import ERRORS, SUMMARY, TIMESERIES
from .summary import SCHEMA

__all__ = ["SavedRun", "Warn", "ignore", "read_errors", "read_intervals", "read_run", "read_summary"]


class SavedRun(NamedTuple):
    """What a directory holds. `summary` is None if the run was killed before its end.

    `intervals` are the time series' objects; `measure.hdr.decode` makes histograms of their `hdr`.
    """

    directory: Path
    summary: dict[str, Any] | None
    intervals: list[dict[str, Any]]
    errors: list[dict[str, Any]]


def ignore(words: str) -> None:
    """The `warn` of a reader that has nothing to say it to."""


#: Is called with a sentence about what is not whole and left out.
Warn = Callable[[str], object]


def read_run(directory: Path, warn: Warn = ignore) -> SavedRun:
    """Read a directory. Raises `ValueError` with a sentence if it is no run, `OSError` if it can't be read."""
    return SavedRun(
        directory,
        read_summary(directory, warn),
        list(read_intervals(directory, warn)),
        list(read_errors(directory, warn)),
    )


def read_summary(directory: Path, warn: Warn = ignore) -> dict[str, Any] | None:
    """The summary; None if there is none, or half of one: the run was killed, or the disk full, before its end.

    Raises as `read_run` does.
    """
    path = directory / SUMMARY
    there = path.exists()
    if there:
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            warn(f"{path} is not whole ({error if path.stat().st_size else 'it is empty'}); the rest does without it")
        else:
            if not isinstance(summary, dict) or summary.get("schema") != SCHEMA:
                raise ValueError(f"{path} is no summary of a load test (its schema is not {SCHEMA})")
            return summary
    if not (directory / TIMESERIES).exists():
        what = f"{SUMMARY} is not whole and no" if there else f"neither {SUMMARY} nor"
        raise ValueError(f"{directory} has no run: {what} {TIMESERIES} is there")
    return None


def read_errors(directory: Path, warn: Warn = ignore) -> Iterator[dict[str, Any]]:
    """The failures that were kept, with their details, as they occurred."""
    return _lines(directory / ERRORS, warn) if (directory / ERRORS).exists() else iter(())


def read_intervals(directory: Path, warn: Warn = ignore) -> Iterator[dict[str, Any]]:
    """The time series, one object after another, in constant memory."""
    return _lines(directory / TIMESERIES, warn)


def _lines(path: Path, warn: Warn) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):  # the run was killed in the middle of it, or the disk was full
                warn(f"{path}: line {number}, the last, is cut; it is left out")
                return
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if not isinstance(value, dict):
                raise ValueError(f"{path}:{number} is not a JSON object")
            yield value
