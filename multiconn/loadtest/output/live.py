"""How is a run watched as it happens without being disturbed?

Drawing a screen takes ten times as long as answering a request, and whatever does it between two
requests is late for the next. So the dashboard is a process of its own; the generator
writes it the records of the time series, line by line, and never waits for it:

    generator                         dashboard
                      <-  a line          it has imported what it needs
    a plan, then records  ->               JSON, a line each, on its standard input
    the end of the pipe   ->               it gives the terminal back and ends

Rules:

* One format: a record is the very line of `timeseries.jsonl` (`output.records`), so nothing is shown that is not saved.
* At most `PER_SECOND` records a second. Intervals that come faster, or find the pipe full, are joined: none is lost.
* However the generator ends, also by SIGKILL, the kernel closes the pipe and the terminal is given back. If the
  dashboard is what dies, the terminal is given back here, and `instead` goes on.
* Ctrl-C and Ctrl-\\ reach both and are the generator's alone: to the dashboard they are blocked.

Not here: what is drawn (`output.dashboard`), which command draws it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from protocol.printable import printable_json

from ..config import Config
from ..measure.intervals import Interval, joined
from ..outcome import Outcome
from ..sink import Plan, Sink
from .dashboard import PER_SECOND
from .records import interval_record
from .report import header

__all__ = ["Backlog", "Dashboard", "plan_record"]

#: Seconds for the dashboard to start, or to end; without it there are lines.
PATIENCE = 5.0
#: Leave the alternate screen, show the cursor, plain characters.
RESTORE = "\x1b[?1049l\x1b[?25h\x1b[0m"

#: Seconds that an interval may come early and still be sent: a timer of a quarter second is not exact.
_EARLY = 0.02


def plan_record(config: Config, target: str) -> dict[str, Any]:
    """What is known before the run: the words of its header, and what says how far it has come."""
    return {
        "header": header(config, target),
        "open": config.rate is not None,
        "duration_s": config.duration,
        "requests": config.requests,
        "warmup_s": config.warmup,
        "interval_s": config.interval,
    }


class Backlog:
    """Intervals not sent yet. It joins the intervals of a phase, so that there are never more than phases."""

    def __init__(self) -> None:
        self._waiting: list[Interval] = []

    def add(self, interval: Interval) -> None:
        if self._waiting and self._waiting[-1].phase == interval.phase:
            self._waiting[-1] = joined((self._waiting[-1], interval))
        else:
            self._waiting.append(interval)

    def take(self) -> list[Interval]:
        taken, self._waiting = self._waiting, []
        return taken


class Dashboard:
    """A `Sink` whose screen is another process, which `command` starts. `close` may be called any time.

    `instead` takes over if that fails; `terminal` is the descriptor of the terminal that is given back then.
    Making one waits until the process is ready, so that neither its start nor its imports are beside
    the load. The terminal is touched when the run begins.
    """

    def __init__(self, command: Sequence[str], instead: Sink, terminal: int = 2) -> None:
        self._command = list(command)
        self._instead = instead
        self._terminal = terminal
        self._process: subprocess.Popen[bytes] | None = None
        self._backlog = Backlog()
        self._percentiles: tuple[float, ...] = ()
        self._unwritten = b""  # the end of a line that did not fit the pipe
        self._due = 0.0
        self._failed = False
        try:
            self._start()
        except OSError:
            self._fail()

    def begin(self, plan: Plan) -> None:
        self._instead.begin(plan)
        self._percentiles = plan.config.percentiles
        self._write(plan_record(plan.config, plan.target))

    def interval(self, interval: Interval) -> None:
        if self._failed:
            self._instead.interval(interval)
            return
        self._backlog.add(interval)
        now = time.monotonic()
        if now < self._due or not self._flush():
            return
        self._due = now + 1 / PER_SECOND - _EARLY
        for each in self._backlog.take():
            self._write(interval_record(each, self._percentiles))

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
                os.write(self._terminal, RESTORE.encode())

    def _start(self) -> None:
        root = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        ours = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGQUIT))
        try:
            self._process = process = subprocess.Popen(
                self._command,
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

    def _write(self, record: dict[str, Any]) -> None:
        """As much as fits; `_flush` writes the rest."""
        self._unwritten += printable_json(record).encode() + b"\n"
        self._flush()

    def _flush(self) -> bool:
        """Is the pipe done with all that was written?"""
        if self._process is None:
            return False
        try:
            while self._unwritten:
                written = os.write(_stream(self._process.stdin).fileno(), self._unwritten)
                self._unwritten = self._unwritten[written:]
        except BlockingIOError:
            return False  # the dashboard is busy, or stopped
        except OSError:
            self._fail()
            return False
        return True

    def _fail(self) -> None:
        self._failed = True
        self.close()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
