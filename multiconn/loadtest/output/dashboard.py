"""What is on the screen while a run goes on?

`Screen` reads a plan and the records of the time series, and says which lines a terminal of some size shows.

Rules:

* Pure: no terminal, no clock; `now` is passed in.
* Every line is clipped to the width. On a low terminal empty lines and the latencies of the whole run are left out
  first.
* No colour says anything that a word beside it does not.

Not here: what a record has (`output.records`), the terminal (the command `load_dashboard`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

from protocol.printable import printable

from ..measure.histogram import Histogram
from ..measure.intervals import CONNECTING, MEASURED, MEASURING, WARMUP, sum_of_errors
from .records import latency_histogram
from .units import time_text

__all__ = ["ASCII", "BLOCKS", "PER_SECOND", "Line", "Screen"]

#: Records, and draws, per second at most: what an eye can follow.
PER_SECOND = 4
#: Rates kept for the sparkline: wider than any terminal.
_KEPT = 1000
#: Seconds: in less there are too few replies for a rate.
_TOO_SHORT = 0.5 / PER_SECOND

_PERCENTS = (50.0, 90.0, 99.0, 99.9)
_KINDS = ("response", "service")

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:-=+*#@"

#: A line: pieces of text with rich's style for each.
Line = list[tuple[str, str]]


class Screen:
    """What is known, and the lines that say it. `lines` may be called for any size at any time."""

    def __init__(self, blocks: str = BLOCKS) -> None:
        self._blocks = blocks
        self._plan: dict[str, Any] = {"header": "", "open": False}
        self._last: dict[str, Any] | None = None
        self._at = 0.0  # when it came
        self._rates: deque[tuple[float, float | None]] = deque(maxlen=_KEPT)
        self._now: dict[str, Histogram] = {}
        self._run = {kind: Histogram() for kind in _KINDS}
        self._counts = dict.fromkeys(("ok", "failed", "dropped"), 0)
        self._errors: dict[str, int] = {}
        self._began: float | None = None  # of the measured window, in seconds of the run

    def tell(self, record: dict[str, Any], now: float) -> None:
        """A plan, or an interval's record, that came at `now`."""
        if "header" in record:
            self._plan = record
            return
        self._last, self._at = record, now
        self._now = {kind: latency_histogram(record["latency_s"][kind]) for kind in _KINDS}
        self._errors = sum_of_errors((self._errors, record["errors"]))
        if record["phase"] in MEASURED:
            if self._began is None:
                self._began = record["t"] - record["seconds"]
            for name in self._counts:
                self._counts[name] += record["counts"][name]
            for kind, histogram in self._now.items():
                self._run[kind].merge(histogram)
        if record["phase"] != CONNECTING and record["seconds"] >= _TOO_SHORT:
            self._rates.append((record["rate"], record["target"]))

    def lines(self, width: int, height: int, now: float) -> list[Line]:
        """At most `height` lines; none is wider than `width`."""
        last = self._last
        if last is None:
            return [_clip([(self._plan["header"], "bold")], width), [("starting", "dim")]]
        low = height < 18
        gap: list[Line] = [] if low else [[]]
        lines = [[(self._plan["header"], "bold")], self._phase(last, width, now), *gap]
        tall = 0 if height < 11 else 1 if low else 2 if height < 24 else 5
        lines += [self._rate(last), *self._sparkline(width, tall), *gap]
        lines += [*self._latency(width, whole_run=not low), *gap]
        after = [self._connections(last), self._generator(last)]
        room = 1 if low else max(1, height - len(lines) - 1 - len(after))
        lines += [self._requests(last), *self._error_lines(room), *after]
        return [_clip(line, width) for line in lines[:height]]

    def _phase(self, last: dict[str, Any], width: int, now: float) -> Line:
        phase = last["phase"]
        share, left = self._progress(last)
        words = f"{phase}, {last['t']:.0f} s"
        if left is not None:
            after = " after the warm-up" if phase == WARMUP else ""
            if not after:
                left = max(0.0, left - (now - self._at))
            words += f", {_span(left)}{after or ' left'}"
        full, empty = ("━", "─") if self._blocks == BLOCKS else ("#", "-")
        room = min(40, width - len(words) - 2)
        done = round(room * share)
        bar: Line = [(full * done, "cyan"), (empty * (room - done), "dim")] if room >= 8 else []
        return [(f"{words}  ", "yellow" if phase != MEASURING else ""), *bar]

    def _progress(self, last: dict[str, Any]) -> tuple[float, float | None]:
        """How much of the run is done (0 to 1), and the seconds left; None where they can't be known."""
        duration: float | None = self._plan["duration_s"]
        phase, requests = last["phase"], self._plan["requests"]
        if phase in (CONNECTING, WARMUP):
            return 0.0, duration if phase == WARMUP else None
        if phase != MEASURING or self._began is None:
            return 1.0, None
        gone = last["t"] - self._began
        share, left = 0.0, math.inf
        if duration is not None:
            share, left = gone / duration, max(0.0, duration - gone)
        if requests is not None:
            done = (self._counts["ok"] + self._counts["failed"]) / requests
            share = max(share, done)
            if done > 0:
                left = min(gone / done - gone, left)
        return min(1.0, share), left if left < math.inf else None

    def _rate(self, last: dict[str, Any]) -> Line:
        target, rate = last["target"], last["rate"]
        line: Line = [("rate       ", "bold"), (f"{rate:,.0f}/s", "bold cyan")]
        if target is not None:
            line.append((f"  of {target:,.0f} asked for", ""))
            if last["phase"] == MEASURING and target and rate < 0.95 * target:
                line.append((f", {rate / target:.0%}", "bold yellow"))
        return line

    def _sparkline(self, width: int, tall: int) -> Iterator[Line]:
        """The rates as bars of eighths; scaled to the highest rate or target, which stands at its right."""
        label = 11
        most = max((max(rate, target or 0.0) for rate, target in self._rates), default=0.0)
        room = width - label - 9
        if room < 8:
            return
        expected = self._expected()
        wide = max(1, min(8, int(room / expected))) if expected else 1
        shown = list(self._rates)[-(room // wide) :]
        steps = len(self._blocks) - 1
        for row in range(tall):
            below = (tall - 1 - row) * steps
            pieces: Line = [(" " * label, "")]
            for rate, target in shown:
                eighths = round(rate / most * tall * steps) if most else 0
                if rate and not eighths:
                    eighths = 1
                style = "yellow" if target and rate < 0.95 * target else "cyan"
                pieces.append((self._blocks[min(steps, max(0, eighths - below))] * wide, style))
            asked = shown[-1][1] if shown else None
            if row == 0 and most:
                pieces.append((f" {most:,.0f}", "dim"))
            elif asked and below < asked / most * tall * steps <= below + steps:
                pieces.append((" - target", "dim"))
            yield pieces

    def _expected(self) -> float | None:
        """How many rates the whole run will have; None if it has no length."""
        if self._plan["duration_s"] is None:
            return None
        every: float = max(self._plan["interval_s"], 1 / PER_SECOND)
        whole: float = self._plan["warmup_s"] + self._plan["duration_s"]
        return whole / every

    def _latency(self, width: int, *, whole_run: bool) -> Iterator[Line]:
        names = [*(f"p{percent:g}" for percent in _PERCENTS), "max"]
        cell = min(11, max(8, (width - 15) // len(names)))
        yield [(f"{'latency':<15}", "bold"), ("".join(f"{name:>{cell}}" for name in names), "dim")]
        kinds = _KINDS if self._plan["open"] else _KINDS[:1]
        rows = [(f"  {kind}", self._now[kind], "") for kind in kinds]
        if whole_run:
            rows += [(f"  {kind} *", self._run[kind], "dim") for kind in kinds]
        for label, histogram, style in rows:
            texts = ["-"] * len(names)
            if histogram.counts:
                texts = [time_text(value / 1e9) for value in (*histogram.percentiles(_PERCENTS), histogram.max)]
            yield [(f"{label:<15}", style), ("".join(f"{text:>{cell}}" for text in texts), style)]
        if whole_run:
            closed = "" if self._plan["open"] else "; closed: without the waiting a schedule would have seen"
            yield [(f"  * the whole run so far{closed}", "dim")]

    def _connections(self, last: dict[str, Any]) -> Line:
        sockets = last["connections"]
        opened, wanted, connecting = sockets["open"], sockets["wanted"], sockets["connecting"]
        line: Line = [("sockets    ", "bold"), (f"{opened:,} open", ""), (f" of {wanted:,}", "")]
        if opened < wanted:
            line[-1] = (f" of {wanted:,}, {wanted - opened - connecting:,} missing", "bold yellow")
        line += [(f", {sockets[word]:,} {word}", "") for word in ("connecting", "idle", "hostile") if sockets[word]]
        return line

    def _requests(self, last: dict[str, Any]) -> Line:
        counts, now = self._counts, last["counts"]
        line: Line = [("requests   ", "bold"), (f"{counts['ok']:,} ok", ""), (f", {now['in_flight']:,} in flight", "")]
        if counts["failed"]:
            line.append((f", {counts['failed']:,} failed", "bold red"))
        if now["waiting"]:
            line.append((f", {now['waiting']:,} late", "yellow"))
        if counts["dropped"]:
            line.append((f", {counts['dropped']:,} dropped", "yellow"))
        return line

    def _generator(self, last: dict[str, Any]) -> Line:
        generator = last["generator"]
        cpu, delay, send_delay = generator["cpu"], generator["run_delay"], generator["schedule_slip_p99_s"]
        line: Line = [("generator  ", "bold"), (f"{cpu:.0%} of a core", "bold yellow" if cpu > 0.9 else "")]
        if delay >= 0.01:
            line.append((f", {delay:.0%} without", "bold yellow" if delay > 0.1 else ""))
        line.append((f", lag {time_text(generator['loop_lag_p99_s'])}", ""))
        if send_delay is not None:
            line.append((f", send delay {time_text(send_delay)}", ""))
        return [*line, (" (p99)", "dim")]

    def _error_lines(self, room: int) -> Iterator[Line]:
        errors = sorted(self._errors.items(), key=lambda item: -item[1])
        if not errors:
            yield [("errors     ", "bold"), ("none", "green")]
            return
        fits = errors if len(errors) <= room else errors[: max(1, room - 1)]
        for n, (name, times) in enumerate(fits):
            more = "" if len(fits) == len(errors) or room > 1 else f", and {len(errors) - 1} more"
            yield [("errors     " if n == 0 else " " * 11, "bold"), (f"{times:>9,}  {name}{more}", "red")]
        if len(fits) < len(errors) and room > 1:
            yield [(f"{'':11}{'':9}  and {len(errors) - len(fits)} more names", "red")]


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{int(seconds // 60)} min {int(seconds % 60):02} s"


def _clip(line: Line, width: int) -> Line:
    """The beginning of a line that is too long; whatever is no printable character is an escape."""
    made: Line = []
    for text, style in line:
        piece = printable(text[:width])[:width]
        width -= len(piece)
        if piece:
            made.append((piece, style))
    return made
