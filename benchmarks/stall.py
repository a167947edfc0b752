"""What do the two models of load say about the same stall?

    python -m benchmarks stall                              the bundled server, stopped for a second
    python -m benchmarks stall --plot docs/measurements/stall.svg        and drawn

The server is loaded twice, by the closed and by the open model, and each time it is stopped
(SIGSTOP) for a second in the middle. No request of that second had an answer then; the figures
are how much of that each model's percentiles tell.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from math import log10
from typing import NamedTuple
from xml.sax.saxutils import escape

from benchmarks.arguments import at_least, duration, output, pause, save
from benchmarks.environment import environment
from libclient.connect import resolve
from multiconn.loadtest.config import Config
from multiconn.loadtest.engine.runner import Runner
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import MEASURING, Interval
from multiconn.loadtest.outcome import Outcome
from multiconn.loadtest.output.units import time_text
from multiconn.loadtest.process.child import ChildError, ChildServer, server_command
from multiconn.loadtest.sink import Plan

__all__ = ["main", "svg"]

PERCENTS = (50.0, 90.0, 99.0, 99.9, 99.99)


class Line(NamedTuple):
    """What one model said: its name, its rate, the latencies."""

    name: str
    rate: float
    latency: Histogram


class _Stall:
    """A `Sink` that stops the server once, some time after the measuring has begun."""

    def __init__(self, process: int, after: float, seconds: float) -> None:
        self._process = process
        self._after = after
        self._seconds = seconds
        self._timers: list[threading.Timer] = []

    def begin(self, plan: Plan) -> None:
        """Not yet."""

    def interval(self, interval: Interval) -> None:
        if interval.phase == MEASURING and not self._timers:
            for wait, number in ((self._after, signal.SIGSTOP), (self._after + self._seconds, signal.SIGCONT)):
                self._timers.append(threading.Timer(wait, os.kill, (self._process, number)))
                self._timers[-1].start()

    def end(self, outcome: Outcome) -> None:
        """`over` is called whether it came to its end or not."""

    def over(self) -> None:
        """Whatever happened, the server goes on."""
        for timer in self._timers:
            timer.cancel()
        os.kill(self._process, signal.SIGCONT)


def measure(rate: float | None, options: argparse.Namespace) -> Outcome:
    """One run against a server of its own that stalls in the middle."""
    config = Config(
        connections=options.connections,
        rate=rate,
        duration=options.seconds,
        warmup=options.warmup,
        interval=0.1,
        seed=1,
    )
    child = ChildServer(server_command(options.connections))
    with child as address:
        assert child.process is not None
        stall = _Stall(child.process.pid, options.seconds / 2 - options.stall / 2, options.stall)
        runner = Runner(config, address, resolve(address), [stall])
        try:
            return runner.run()
        finally:
            stall.over()


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks stall", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--seconds", type=duration, default=10.0, metavar="S", help="of each run (10)")
    add("--stall", type=duration, default=1.0, metavar="S", help="how long the server is stopped (1)")
    add("--warmup", type=pause, default=0.5, metavar="S", help="before each run (0.5)")
    add("--rate", type=duration, default=1000.0, metavar="R", help="of the open run (1000)")
    add("--connections", type=at_least(1), default=10, metavar="N", help="of both (10)")
    add("--plot", type=output, metavar="FILE", help="draw latency by percentile as SVG")
    options = parser.parse_args(argv)
    lines: list[Line] = []
    try:
        for name, rate in (("closed", None), ("open", options.rate)):
            print(f"{name}: {options.seconds:g} s with a stall of {options.stall:g} s", file=sys.stderr, flush=True)
            outcome = measure(rate, options)
            achieved = outcome.per_second(outcome.window_replies)
            if rate is None:
                lines.append(Line("closed model: latency", achieved, outcome.measured.response))
            else:
                lines.append(Line("open model: response", achieved, outcome.measured.response))
                lines.append(Line("open model: service", achieved, outcome.measured.service))
    except ChildError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    for line in lines:
        figures = "  ".join(
            f"p{percent:g} {time_text(value / 1e9):>7}"
            for percent, value in zip(PERCENTS, line.latency.percentiles(PERCENTS), strict=True)
        )
        print(f"{line.name:<22} {line.rate:>8,.0f}/s  {figures}  max {time_text(line.latency.max / 1e9):>7}")
    if options.plot is not None:
        what = f"the same server, stopped for {options.stall:g} of {options.seconds:g} s"
        caption = f"{what}; {options.connections} connections; {_where()}"
        return save(options.plot, svg(lines, caption))
    return 0


def _where() -> str:
    told = environment()
    return ", ".join(str(told[key]) for key in ("processor", "cores")) + " cores"


# --- the picture -----------------------------------------------------------------------

WIDTH, HEIGHT = 860, 430
LEFT, RIGHT, TOP, BOTTOM = 78, 220, 84, 52
#: Between two names, which have two lines each.
GAP = 40
#: Decades of 1 / (1 - share): 90 %, 99 %, 99.9 %, 99.99 %.
NINES = 4
#: Steps per decade of nines.
STEPS = 60

STYLE = """
  .surface { fill: #ffffff } text { fill: #1f2328; font: 12px system-ui, sans-serif }
  .title { font-size: 17px; font-weight: 600 } .soft { fill: #59636e } .grid { stroke: #d8dee4 }
  path { fill: none; stroke-width: 2.2; stroke-linejoin: round }
  .open { stroke: #cf222e } .service { stroke: #cf222e; stroke-dasharray: 2 4 } .closed { stroke: #0969da }
  text.open, text.service { fill: #cf222e; stroke: none } text.closed { fill: #0969da; stroke: none }
  @media (prefers-color-scheme: dark) {
    .surface { fill: #0d1117 } text { fill: #f0f6fc } .soft { fill: #9198a1 } .grid { stroke: #2a313c }
    .open, .service { stroke: #ff7b72 } .closed { stroke: #4493f8 }
    text.open, text.service { fill: #ff7b72 } text.closed { fill: #4493f8 }
  }"""

KINDS = ("closed", "open", "service")


def svg(lines: Sequence[Line], caption: str) -> str:
    """Latency by percentile, both axes logarithmic: to the right the shares double their nines."""
    low, high = 1e-5, 10.0
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT

    def x(nines: float) -> float:
        return LEFT + (right - LEFT) * nines / NINES

    def y(seconds: float) -> float:
        return bottom - (bottom - TOP) * log10(max(seconds, low) / low) / log10(high / low)

    parts = []
    for power in range(-5, 2):
        at = y(10.0**power)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{_time(power)}</text>')
    for nines in range(NINES + 1):
        label = "0" if not nines else f"{100 * (1 - 10**-nines):g} %"
        parts.append(f'<line class="grid" x1="{x(nines):.1f}" x2="{x(nines):.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{x(nines):.1f}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    parts.append(
        f'<text class="soft" x="{(LEFT + right) / 2}" y="{bottom + 38}" text-anchor="middle">'
        "so many of the requests took at most so long</text>"
    )
    for kind, line in zip(KINDS, lines, strict=True):
        shares = [100 * (1 - 10 ** (-step / STEPS)) for step in range(1, NINES * STEPS + 1)]
        values = line.latency.percentiles([round(share, 6) for share in shares])
        points = [f"{x(step / STEPS):.1f} {y(value / 1e9):.1f}" for step, value in enumerate(values, 1)]
        told = f"{line.name}: p99 {time_text(line.latency.percentile(99) / 1e9)}"
        parts.append(f'<path class="{kind}" d="M{" L".join(points)}"><title>{escape(told)}</title></path>')
    for kind, line, at in _labels(lines, y):  # from the top
        parts.append(f'<path class="{kind}" d="M{right + 10} {at - 4:.1f} h22"/>')
        parts.append(f'<text class="{kind}" x="{right + 38}" y="{at:.1f}">{escape(line.name)}</text>')
        parts.append(
            f'<text class="soft" x="{right + 38}" y="{at + 16:.1f}">p99 {time_text(line.latency.percentile(99) / 1e9)} '
            f"at {line.rate:,.0f}/s</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="Latency by percentile, closed and open model, of a server that stalls">\n'
        f'<style>{STYLE}\n</style>\n<rect class="surface" width="{WIDTH}" height="{HEIGHT}"/>\n'
        f'<text class="title" x="24" y="34">One stall, seen by two models of load</text>\n'
        f'<text class="soft" x="24" y="56">{escape(caption)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _labels(lines: Sequence[Line], y: Callable[[float], float]) -> list[tuple[str, Line, float]]:
    """Names as high as the lines' p99, far enough apart to be read."""
    wanted = sorted(
        ((y(line.latency.percentile(99) / 1e9), kind, line) for kind, line in zip(KINDS, lines, strict=True)),
        key=lambda label: label[0],
    )
    placed: list[tuple[str, Line, float]] = []
    for at, kind, line in wanted:
        placed.append((kind, line, max(at, placed[-1][2] + GAP if placed else at)))
    return placed


def _time(power: int) -> str:
    return {-5: "10 us", -4: "100 us", -3: "1 ms", -2: "10 ms", -1: "100 ms", 0: "1 s", 1: "10 s"}[power]
