"""What is on the screen while a run goes on?

`Screen` is told a plan and records, and says which lines a terminal of some size shows.

Rules:

* Pure: no terminal, no clock; `now` is passed in.
* Every line is clipped to the width. On a low terminal empty lines and the latencies of the whole run are left out
  first.
* No colour says anything that a word beside it does not.

Not here: the numbers (`output.live`), the terminal (the command `load_dashboard`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from protocol.printable import printable

from .units import time_text

__all__ = ["ASCII", "BLOCKS", "Line", "Screen"]

#: Rates kept for the sparkline: wider than any terminal.
_KEPT = 1000

BLOCKS = " ▁▂▃▄▅▆▇█"
ASCII = " .:-=+*#@"

#: A line: pieces of text with rich's style for each.
Line = list[tuple[str, str]]


class Screen:
    """What is known, and the lines that say it. Pure: `lines` may be called for any size at any time."""

    def __init__(self, blocks: str = BLOCKS) -> None:
        self.plan: dict[str, Any] = {"header": "", "open": False, "samples": None}
        self.last: dict[str, Any] | None = None
        self.rates: deque[tuple[float, float | None]] = deque(maxlen=_KEPT)
        self._blocks = blocks
        self._at = 0.0

    def tell(self, told: dict[str, Any], now: float) -> None:
        """A plan or a snapshot that came at `now`."""
        if "header" in told:
            self.plan = told
            return
        self.last, self._at = told, now
        if told["whole"] and told["phase"] != "connecting":
            self.rates.append((told["rate"], told["target"]))

    def lines(self, width: int, height: int, now: float) -> list[Line]:
        """At most `height` lines; none is wider than `width`."""
        last = self.last
        if last is None:
            return [_clip([(self.plan["header"], "bold")], width), [("starting", "dim")]]
        low = height < 18
        gap: list[Line] = [] if low else [[]]
        lines = [[(self.plan["header"], "bold")], self._phase(last, width, now), *gap]
        tall = 0 if height < 11 else 1 if low else 2 if height < 24 else 5
        lines += [self._rate(last), *self._sparkline(width, tall), *gap]
        lines += [*self._latency(last, width, ("now",) if low else ("now", "run")), *gap]
        after = [self._connections(last), self._generator(last)]
        room = 1 if low else max(1, height - len(lines) - 1 - len(after))
        lines += [self._requests(last), *self._errors(last, room), *after]
        return [_clip(line, width) for line in lines[:height]]

    def _phase(self, last: dict[str, Any], width: int, now: float) -> Line:
        left, phase = last["left"], last["phase"]
        words = f"{phase}, {last['t']:.0f} s"
        if left is not None:
            after = " after the warm-up" if phase == "warm-up" else ""
            if not after:
                left = max(0.0, left - (now - self._at))
            words += f", {_span(left)}{after or ' left'}"
        full, empty = ("━", "─") if self._blocks == BLOCKS else ("#", "-")
        room = min(40, width - len(words) - 2)
        done = round(room * (last["share"] or 0.0))
        bar: Line = [(full * done, "cyan"), (empty * (room - done), "dim")] if room >= 8 else []
        return [(f"{words}  ", "yellow" if phase != "measuring" else ""), *bar]

    def _rate(self, last: dict[str, Any]) -> Line:
        target, rate = last["target"], last["rate"]
        line: Line = [("rate       ", "bold"), (f"{rate:,.0f}/s", "bold cyan")]
        if target is not None:
            line.append((f"  of {target:,.0f} asked for", ""))
            if last["phase"] == "measuring" and target and rate < 0.95 * target:
                line.append((f", {rate / target:.0%}", "bold yellow"))
        return line

    def _sparkline(self, width: int, tall: int) -> Iterator[Line]:
        """The rates as bars of eighths; scaled to the highest rate or target, which stands at its right."""
        label = 11
        most = max((max(rate, target or 0.0) for rate, target in self.rates), default=0.0)
        room = width - label - 9
        if room < 8:
            return
        samples = self.plan["samples"]
        wide = max(1, min(8, int(room / samples))) if samples else 1
        shown = list(self.rates)[-(room // wide) :]
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

    def _latency(self, last: dict[str, Any], width: int, times: tuple[str, ...]) -> Iterator[Line]:
        names = ("p50", "p90", "p99", "p99.9", "max")
        cell = min(11, max(8, (width - 15) // len(names)))
        yield [(f"{'latency':<15}", "bold"), ("".join(f"{name:>{cell}}" for name in names), "dim")]
        kinds = ("response", "service") if self.plan["open"] else ("response",)
        for when in times:
            for kind in kinds:
                values: Sequence[float] | None = last[when][kind]
                texts = [time_text(value) for value in values] if values else ["-"] * len(names)
                label = f"  {kind}" if when == "now" else f"  {kind[:8]} *"
                style = "" if when == "now" else "dim"
                yield [(f"{label:<15}", style), ("".join(f"{text:>{cell}}" for text in texts), style)]
        if "run" in times:
            closed = "" if self.plan["open"] else "; closed: without the waiting a schedule would have seen"
            yield [(f"  * the whole run so far, to 1 %{closed}", "dim")]

    def _connections(self, last: dict[str, Any]) -> Line:
        opened, wanted, connecting, idle, hostile = last["connections"]
        line: Line = [("sockets    ", "bold"), (f"{opened:,} open", ""), (f" of {wanted:,}", "")]
        if opened < wanted:
            line[-1] = (f" of {wanted:,}, {wanted - opened - connecting:,} missing", "bold yellow")
        for count, word in ((connecting, "connecting"), (idle, "idle"), (hostile, "hostile")):
            if count:
                line.append((f", {count:,} {word}", ""))
        return line

    def _requests(self, last: dict[str, Any]) -> Line:
        counts = last["counts"]
        line: Line = [("requests   ", "bold"), (f"{counts['ok']:,} ok", ""), (f", {last['in_flight']:,} in flight", "")]
        if counts["failed"]:
            line.append((f", {counts['failed']:,} failed", "bold red"))
        if last["waiting"]:
            line.append((f", {last['waiting']:,} late", "yellow"))
        if counts["dropped"]:
            line.append((f", {counts['dropped']:,} dropped", "yellow"))
        return line

    def _generator(self, last: dict[str, Any]) -> Line:
        cpu, delay, lag, send_delay = last["generator"]
        line: Line = [("generator  ", "bold"), (f"{cpu:.0%} of a core", "bold yellow" if cpu > 0.9 else "")]
        if delay >= 0.01:
            line.append((f", {delay:.0%} without", "bold yellow" if delay > 0.1 else ""))
        line.append((f", lag {time_text(lag)}", ""))
        if self.plan["open"]:
            line.append((f", send delay {time_text(send_delay)}", ""))
        return [*line, (" (p99)", "dim")]

    def _errors(self, last: dict[str, Any], room: int) -> Iterator[Line]:
        errors = list(last["errors"].items())
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
