"""How is a run watched as it happens without being disturbed?

Drawing a screen takes ten times as long as answering a request, and whoever does it between two
requests is late for the next. So the dashboard is a process of its own (`output.dashboard`); the generator
writes it one line a few times a second, and never waits for it:

    generator                         dashboard
                      <-  a line          it has imported what it needs
    PLAN, then SNAPSHOT, ...  ->           JSON, a line each, on its standard input
    the end of the pipe       ->           it gives the terminal back and ends

Rules:

* At most `PER_SECOND` snapshots a second. What comes faster is added up. A pipe that is full loses a snapshot.
* However the generator ends, also by SIGKILL, the kernel closes the pipe and the terminal is given back. If the
  dashboard is what dies, the terminal is given back here, and plain lines go on.
* Ctrl-C and Ctrl-\\ reach both and are the generator's alone: to the dashboard they are blocked.

Not here: what is drawn (`output.dashboard`), the plain lines (`commands.load`).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..measure.histogram import Histogram, bounds_of, rank_of
from ..measure.intervals import CONNECTING, MEASURED, MEASURING, WARMUP, Interval
from ..sink import Plan, Sink
from .report import header

if TYPE_CHECKING:
    from ..outcome import Outcome

__all__ = ["PER_SECOND", "Dashboard", "Snapshots"]

#: Snapshots per second at most.
PER_SECOND = 4
#: Seconds for the dashboard to start, or to end; without it there are lines.
PATIENCE = 5.0
#: Leave the alternate screen, show the cursor, plain characters.
RESTORE = "\x1b[?1049l\x1b[?25h\x1b[0m"

_PERCENTS = (50.0, 90.0, 99.0, 99.9)


class Dashboard:
    """A `Sink` whose screen is another process. `instead` takes over if that fails; `close` may be called any time.

    Making one waits until the process is ready, so that neither its start nor its imports are beside
    the load. The terminal is touched when the run begins.
    """

    def __init__(self, instead: Sink) -> None:
        self._instead = instead
        self._process: subprocess.Popen[bytes] | None = None
        self._snapshots: Snapshots | None = None
        self._failed = False
        try:
            self._start()
        except OSError:
            self._fail()

    def begin(self, plan: Plan) -> None:
        self._instead.begin(plan)
        self._snapshots = Snapshots(plan)
        self._put(self._snapshots.plan())

    def interval(self, interval: Interval) -> None:
        if self._failed or self._snapshots is None:
            self._instead.interval(interval)
            return
        snapshot = self._snapshots.add(interval, time.monotonic())
        if snapshot is not None:
            self._put(snapshot)

    def end(self, outcome: Outcome) -> None:
        self.close()
        self._instead.end(outcome)

    def close(self) -> None:
        """Give the terminal back."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            _stream(process.stdin).close()
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        _stream(process.stdout).close()
        if code:
            with suppress(OSError):
                os.write(2, RESTORE.encode())

    def _start(self) -> None:
        root = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        ours = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGQUIT))
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-m", "multiconn.commands.load_dashboard"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, ours)  # a Ctrl-C of that moment comes now
        answer = _stream(process.stdout)
        if not select.select([answer], [], [], PATIENCE)[0] or not os.read(answer.fileno(), 1):
            raise ChildProcessError("the dashboard did not start")
        os.set_blocking(_stream(process.stdin).fileno(), False)

    def _put(self, told: dict[str, Any]) -> None:
        if self._process is None:
            return
        line = json.dumps(told, separators=(",", ":")).encode() + b"\n"
        if len(line) > select.PIPE_BUF:  # up to so many bytes a pipe takes all or nothing
            return
        try:
            os.write(_stream(self._process.stdin).fileno(), line)
        except BlockingIOError:
            pass  # it is busy: the next one tells more
        except OSError:
            self._fail()

    def _fail(self) -> None:
        self._failed = True
        self.close()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


class Snapshots:
    """Intervals made into what the screen shows: numbers only, a few hundred bytes."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._config = plan.config
        self._due = 0.0
        self._since: list[Interval] = []
        self._run = {"response": Coarse(), "service": Coarse()}
        self._counts = {"ok": 0, "failed": 0, "dropped": 0}
        self._errors: dict[str, int] = {}
        self._began: float | None = None  # of the measured window, in seconds of the run

    def plan(self) -> dict[str, Any]:
        """What is known before."""
        config = self._config
        length = None if config.duration is None else config.warmup + config.duration
        per_snapshot = max(config.interval, 1 / PER_SECOND)
        return {
            "header": header(config, self._plan.target)[:300],
            "open": config.rate is not None,
            "samples": None if length is None else length / per_snapshot,
        }

    def add(self, interval: Interval, now: float) -> dict[str, Any] | None:
        """The next snapshot, if it is time for one: `now` is seconds of any clock."""
        if self._since and self._since[-1].phase != interval.phase:
            self._since.clear()
        self._since.append(interval)
        for name, times in interval.errors.items():
            self._errors[name] = self._errors.get(name, 0) + times
        if interval.phase in MEASURED:
            if self._began is None:
                self._began = interval.t - interval.seconds
            for name in self._counts:
                self._counts[name] += getattr(interval, name)
            self._run["response"].add(interval.response)
            if self._open:
                self._run["service"].add(interval.service)
        if now < self._due:
            return None
        self._due = now + 1 / PER_SECOND - 0.02  # an interval of a quarter second may come a little early
        taken, self._since = self._since, []
        return self._snapshot(interval, taken)

    def _snapshot(self, last: Interval, taken: list[Interval]) -> dict[str, Any]:
        seconds = sum(each.seconds for each in taken)
        share, left = self._progress(last)
        return {
            "t": round(last.t, 3),
            "phase": last.phase,
            "share": share,
            "left": left,
            "rate": sum(each.replies for each in taken) / seconds if seconds else 0.0,
            "whole": seconds >= 0.5 / PER_SECOND,  # else too short for a rate
            "target": last.target,
            "in_flight": last.in_flight,
            "waiting": last.waiting,
            "connections": [last.open, last.wanted, last.connecting, last.idle, last.hostile],
            "generator": [
                max(each.cpu for each in taken),
                max(each.run_delay for each in taken),
                max(each.loop_lag.percentile(99) for each in taken) / 1e9,
                max(each.send_delay.percentile(99) for each in taken) / 1e9,
            ],
            "counts": self._counts,
            "errors": dict(sorted(self._errors.items(), key=lambda item: -item[1])),
            "now": {"response": _row(taken, "response"), "service": _row(taken, "service") if self._open else None},
            "run": {name: whole.percentiles() for name, whole in self._run.items()},
        }

    @property
    def _open(self) -> bool:
        return self._config.rate is not None

    def _progress(self, last: Interval) -> tuple[float | None, float | None]:
        """How much of the run is done (0 to 1), and the seconds left; None where nobody can know."""
        config = self._config
        if last.phase == CONNECTING or last.phase == WARMUP:
            left = None if config.duration is None or last.phase == CONNECTING else config.duration
            return 0.0, left
        if last.phase != MEASURING or self._began is None:
            return 1.0, None
        gone = last.t - self._began
        share, left = 0.0, None
        if config.duration is not None:
            share, left = gone / config.duration, max(0.0, config.duration - gone)
        if config.requests is not None:
            done = (self._counts["ok"] + self._counts["failed"]) / config.requests
            share = max(share, done)
            if done > 0:
                left = min(gone / done - gone, left if left is not None else float("inf"))
        return min(1.0, share), left


class Coarse:
    """A histogram for a glance: 128 bins per power of two instead of 1024, so told up to 1/128 too high.

    That of a whole run has ten thousand bins, and walking them each second would take the generator
    milliseconds; these are some hundred. The report at the end has the exact ones.
    """

    _BITS = 3

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._count = 0
        self._max = 0

    def add(self, histogram: Histogram) -> None:
        counts, bits = self._counts, self._BITS
        for index, times in histogram.counts.items():
            counts[index >> bits] = counts.get(index >> bits, 0) + times
            self._count += times
        self._max = max(self._max, histogram.max)

    def percentiles(self) -> list[float] | None:
        """As `_percentiles`."""
        if not self._count:
            return None
        told, seen, bins, index = [], 0, iter(sorted(self._counts)), 0
        for percent in _PERCENTS:
            rank = rank_of(percent, self._count)
            while seen < rank:
                index = next(bins)
                seen += self._counts[index]
            highest = bounds_of((index + 1 << self._BITS) - 1)[1]
            told.append(min(highest, self._max) / 1e9)
        return [*told, self._max / 1e9]


def _row(taken: list[Interval], name: str) -> list[float] | None:
    whole: Histogram = getattr(taken[0], name)
    if len(taken) > 1:
        whole = Histogram()
        for each in taken:
            whole.merge(getattr(each, name))
    return _percentiles(whole)


def _percentiles(histogram: Histogram) -> list[float] | None:
    """p50, p90, p99, p99.9 and the longest, in seconds; None if there was no reply."""
    if not histogram.counts:
        return None
    return [value / 1e9 for value in (*histogram.percentiles(_PERCENTS), histogram.max)]
