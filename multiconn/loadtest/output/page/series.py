"""Which numbers do the charts show?

Reads a run's time series once more and makes columns of it, one value per point of time, as JSON. All
times are seconds, all rates per second.

Rules:

* Bounded: at most `POINTS` points, however long the run. Of a longer one, several intervals in a row
  are added up, histograms too, so a point is as exact as an interval; the page says how many. No point
  belongs to two phases.
* Constant memory: one point is in the making at a time. Its histograms are kept as what is drawn.
* `None` is "nothing to show", never 0: a second without replies has no percentile. An interval that a
  phase's end cut off soon after it began joins the one before it or has no rate: it would be a spike that never was.
* A percentile is the histogram's own (`measure.histogram`), rounded to four digits.

Not here: what is drawn how (`charts.js`), words (`page.text`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ...measure.errors import NAMES
from ...measure.histogram import Histogram, bounds_of
from ...measure.intervals import DRAINING, MEASURED, MEASURING, sum_of_errors
from ..files import TIMESERIES
from ..records import latency_histogram
from ..saved_run import Warn, ignore, read_intervals

__all__ = ["POINTS", "ROWS_PER_DECADE", "Series", "Sums", "distribution", "read_series"]

#: Points of time on the page: about one per two pixels of a wide screen.
POINTS = 600
#: Rows of the heat map per factor of ten: neighbours differ by 21 %.
ROWS_PER_DECADE = 12
#: Points of the distribution per halving of what is above: HdrHistogram's plots have 5.
_TICKS = 10
#: A piece of an interval that is shorter than this share of one joins its neighbour.
_PIECE = 0.2

_PERCENTS = (50.0, 90.0, 99.0)
_COUNTS = ("sent", "ok", "failed", "dropped", "replies")
_STATES = ("open", "connecting", "wanted", "idle", "hostile")
_SECOND = 1e9  # nanoseconds


@dataclass(slots=True)
class _Point:
    """Intervals in a row, of one phase, added up."""

    t: float
    phase: str
    seconds: float = 0.0
    target: float | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    states: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    cpu: float = 0.0

    def add(self, interval: dict[str, Any], tell_apart: bool) -> None:
        seconds, target = float(interval["seconds"]), interval.get("target")
        if target is not None:
            before = self.target if self.target is not None else float(target)
            whole = self.seconds + seconds
            self.target = (before * self.seconds + float(target) * seconds) / whole if whole else float(target)
        self.t, self.seconds = float(interval["t"]), self.seconds + seconds
        for name in _COUNTS:
            self.counts[name] += int(interval["counts"].get(name, 0))
        self.states = {name: int(interval["connections"].get(name, 0)) for name in _STATES}
        for name, times in interval["errors"].items():
            self.errors[str(name)] = self.errors.get(str(name), 0) + int(times)
        latency = interval["latency_s"]
        self.response.merge(latency_histogram(latency["response"]))
        if tell_apart:
            self.service.merge(latency_histogram(latency["service"]))
        self.cpu = max(self.cpu, float(interval["generator"]["cpu"]))


@dataclass(slots=True)
class Sums:
    """What a summary that is missing would have said: of the measured phases, but for `errors`."""

    response: Histogram = field(default_factory=Histogram)
    service: Histogram = field(default_factory=Histogram)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    measured_s: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)

    def add(self, point: _Point) -> None:
        self.errors = sum_of_errors((self.errors, point.errors))
        if point.phase in MEASURED:
            self.response.merge(point.response)
            self.service.merge(point.service)
            self.measured_s += point.seconds if point.phase == MEASURING else 0.0
            for name, times in point.counts.items():
                if name != "replies" or point.phase != DRAINING:
                    self.counts[name] += times


@dataclass(frozen=True, slots=True)
class Series:
    """What a run's charts show. `merged` of its `intervals` make a point; `sums` are of all of them."""

    merged: int
    intervals: int
    is_open: bool
    columns: dict[str, Any]
    sums: Sums

    def json(self, summary: dict[str, Any] | None) -> str:
        """What the script reads. Safe inside a `<script>`: no `<` is left in it."""
        told = {**self.columns, "merged": self.merged, "open": self.is_open}
        told["distribution"] = {"response": distribution(whole_of(summary, "response") or self.sums.response)}
        if self.is_open:
            told["distribution"]["service"] = distribution(whole_of(summary, "service") or self.sums.service)
        text = json.dumps(told, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
        return text.replace("<", "\\u003c").replace("&", "\\u0026")


def whole_of(summary: dict[str, Any] | None, kind: str) -> Histogram | None:
    """The run's histogram, exact at its ends; None without a summary."""
    if summary is None:
        return None
    return latency_histogram(summary["latency_s"][kind])


# --- over time ------------------------------------------------------------------------------------


def read_series(directory: Path, warn: Warn = ignore, points: int = POINTS) -> Series:
    """Read a directory's time series; what is not whole `warn` is called with.

    Raises `ValueError` with a sentence if a line of it is none of ours.
    """
    intervals = 0
    longest = 0.0
    is_open = False
    for interval in _checked(directory, warn):
        intervals += 1
        longest = max(longest, float(interval["seconds"]))
        is_open = is_open or interval.get("target") is not None
    merged = max(1, math.ceil(intervals / max(1, points - 8)))  # each phase may end with a point that is not full
    piece, sums = longest * _PIECE, Sums()
    columns = _columns(_points(_checked(directory), merged, piece, is_open), piece, sums)
    return Series(merged, intervals, is_open, columns, sums)


def _checked(directory: Path, warn: Warn = ignore) -> Iterator[dict[str, Any]]:
    for number, interval in enumerate(read_intervals(directory, warn), 1):
        try:
            float(interval["t"]), float(interval["seconds"]), interval["counts"], interval["connections"]
            interval["latency_s"]["response"]["hdr"], interval["errors"], interval["generator"]["cpu"]
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{directory / TIMESERIES}:{number} is no interval of a load test") from None
        yield interval


def _points(intervals: Iterable[dict[str, Any]], merged: int, piece: float, is_open: bool) -> Iterator[_Point]:
    point: _Point | None = None
    inside = 0
    for interval in intervals:
        phase, seconds = str(interval["phase"]), float(interval["seconds"])
        full = inside >= merged and seconds >= piece
        if point is not None and (full or phase != point.phase):
            yield point
            point = None
        if point is None:
            point, inside = _Point(float(interval["t"]), phase), 0
        point.add(interval, is_open)
        inside += seconds >= piece
    if point is not None:
        yield point


def _columns(points: Iterable[_Point], piece: float, sums: Sums) -> dict[str, Any]:
    """The points as columns; each is added to `sums`."""
    time: list[float] = []
    seconds: list[float] = []
    rate: dict[str, list[float | None]] = {"achieved": [], "target": [], "failed": []}
    latency: dict[str, list[float | None]] = {"p50": [], "p90": [], "p99": [], "max": [], "service_p99": []}
    states: dict[str, list[int]] = {name: [] for name in _STATES}
    errors: dict[str, list[int]] = {}
    heat: list[list[int]] = []
    phases: list[list[Any]] = []
    for number, point in enumerate(points):
        began = point.t - point.seconds
        time.append(_short(point.t, 6))
        seconds.append(_short(point.seconds, 6))
        if phases and phases[-1][0] == point.phase:
            phases[-1][2] = round(point.t, 6)
        else:
            phases.append([point.phase, round(max(0.0, began), 6), round(point.t, 6)])
        for name, value in _rates(point, piece).items():
            rate[name].append(value)
        for name, value in _latencies(point).items():
            latency[name].append(value)
        for name in _STATES:
            states[name].append(point.states[name])
        for name, times in point.errors.items():
            errors.setdefault(name, [0] * number).append(times)
        for name in errors:
            errors[name] += [0] * (number + 1 - len(errors[name]))
        heat.append(_heat(point.response))
        sums.add(point)
    return {
        "t": time,
        "seconds": seconds,
        "phases": phases,
        "rate": rate,
        "latency": latency,
        "connections": {name: column for name, column in states.items() if name in ("open", "wanted") or any(column)},
        "errors": {name: errors[name] for name in sorted(errors, key=_rank)},
        "heat": {"per_decade": ROWS_PER_DECADE, "columns": heat},
    }


def _rates(point: _Point, piece: float) -> dict[str, float | None]:
    if point.seconds < piece or not point.seconds:
        return {"achieved": None, "target": None, "failed": None}
    sending = point.phase != DRAINING and point.phase != "connecting"
    return {
        "achieved": _short(point.counts["replies"] / point.seconds),
        "target": _short(point.target) if point.target is not None and sending else None,
        "failed": _short(sum(point.errors.values()) / point.seconds),
    }


def _latencies(point: _Point) -> dict[str, float | None]:
    if not point.response.counts:
        return {"p50": None, "p90": None, "p99": None, "max": None, "service_p99": None}
    p50, p90, p99 = (_short(value / _SECOND) for value in point.response.percentiles(_PERCENTS))
    service = _short(point.service.percentile(99) / _SECOND) if point.service.counts else None
    return {"p50": p50, "p90": p90, "p99": p99, "max": _short(point.response.max / _SECOND), "service_p99": service}


def _heat(histogram: Histogram) -> list[int]:
    """[the lowest row, then how many replies in it and in each row above]; empty if there were none."""
    rows: dict[int, int] = {}
    for index, times in histogram.counts.items():
        row = _row(index)
        rows[row] = rows.get(row, 0) + times
    if not rows:
        return []
    lowest = min(rows)
    return [lowest, *(rows.get(row, 0) for row in range(lowest, max(rows) + 1))]


@cache
def _row(index: int) -> int:
    """Row r holds 10**(r/12) to 10**((r+1)/12) nanoseconds."""
    return math.floor(math.log10(max(1, sum(bounds_of(index)) / 2)) * ROWS_PER_DECADE)


def _rank(name: str) -> tuple[int, str]:
    return NAMES.index(name) if name in NAMES else len(NAMES), name


# --- by percentile --------------------------------------------------------------------------------


def distribution(histogram: Histogram) -> list[list[float]]:
    """[percentile, seconds] from 0 to 100, as many per halving of the rest: the shape of HdrHistogram's plots."""
    count = histogram.count
    if not count:
        return []
    percents, halving = [], 1.0
    while halving / 2 * count >= 1:  # beyond that no value is left to tell apart
        percents += [100 * (1 - halving * (1 - step / (2 * _TICKS))) for step in range(_TICKS)]
        halving /= 2
    percents = [float(f"{percent:.10g}") for percent in percents] or [0.0]
    values = histogram.percentiles([*percents, 100.0])
    return [[percent, _short(value / _SECOND)] for percent, value in zip([*percents, 100.0], values, strict=True)]


def _short(value: float, digits: int = 4) -> float:
    """Fewer digits, shorter page: 4 are more than a screen shows."""
    return float(f"{value:.{digits}g}")
