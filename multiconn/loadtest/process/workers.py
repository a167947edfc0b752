"""How do several generator processes make one run?

One Python process fills one core. `-w N` starts N, each a `Runner` with its share of everything that is a
total; what they measured is added up, histograms bin by bin, so nothing is lost.

    parent                          worker
                       <-  CONNECTED    all its connections have had their first outcome
    GO (a time)         ->               the load begins in all of them at that time
                       <-  INTERVAL     one per interval and phase
    STOP, ABORT         ->               Ctrl-C and SIGTERM; --abort-on
                       <-  OUTCOME, or FAILED with words

Rules:

* Workers begin together, and share one schedule (`engine.schedule`), one seed and one clock.
* A watcher gets one interval out of all workers'. The parent does not wait for one that a worker has gone beyond.
* A worker whose parent has gone reads the end of its pipe and ends. SIGINT, SIGTERM and SIGHUP are the parent's.
* A worker that dies without a word makes the run worth nothing: `WorkerError`.

Not here: what one of them does (`engine.runner`).
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from selectors import EVENT_READ
from typing import Any

from eventloop import Address, Endpoint

from ..config import Config
from ..engine.runner import Runner, clock
from ..engine.workload import Workload
from ..judge.thresholds import abort_reason, parse
from ..measure.intervals import CONNECTING, DRAINING, MEASURING, OVER, WARMUP, Interval, total
from ..measure.server_cpu_monitor import ServerCpuMonitor
from ..outcome import Outcome, together
from ..sink import Plan, Sink

__all__ = ["WorkerError", "Workers"]

CONNECTED, INTERVAL, OUTCOME, FAILED = "connected", "interval", "outcome", "failed"
GO, STOP, ABORT = "go", "stop", "abort"

#: Nanoseconds between saying GO and the load: a message's way to all workers.
SOON = 50_000_000
#: Seconds after which the parent looks up from waiting: for signals.
LOOK_UP = 0.1
#: Seconds for a worker that was asked to end, or is done, to be gone.
LEAVE = 5.0

_PHASES = (CONNECTING, WARMUP, MEASURING, DRAINING, OVER)


class WorkerError(Exception):
    """A worker ended without its outcome; the sentence says which and how."""


class Workers:
    """A `Runner` made of several: the same `run`, `interrupt` and `abort`."""

    def __init__(
        self,
        config: Config,
        target: Address,
        endpoints: Sequence[Endpoint],
        sinks: Sequence[Sink] = (),
        *,
        server: ServerCpuMonitor | None = None,
    ) -> None:
        self._config = config
        self._target = target
        self._endpoints = list(endpoints)
        self._sinks = list(sinks)
        self._server = server
        self._abort_on = [parse(text) for text in config.abort_on]
        self._merge = _Merge(config.workers)
        self._outcomes: dict[int, Outcome] = {}
        self._said: list[tuple[str, Any]] = []  # to be passed on to all workers
        self._connected: set[int] = set()
        self._gone = False

    def interrupt(self, number: int) -> None:
        """Safe in a signal handler."""
        self._said.append((STOP, number))

    def abort(self, why: str) -> None:
        self._said.append((ABORT, why))

    def run(self) -> Outcome:
        """Run to the end. Raises `WorkerError`, `AccountingError`, and what a signal handler raises."""
        context = multiprocessing.get_context("spawn")
        began = clock()
        processes: list[Any] = []
        pipes: dict[Connection, int] = {}
        try:
            with _signals_are_ours():
                for index in range(self._config.workers):
                    ours, theirs = context.Pipe()
                    part = self._config.part(index, self._config.workers)
                    process = context.Process(
                        target=_work, args=(theirs, part, self._target, self._endpoints, began), daemon=True
                    )
                    process.start()
                    theirs.close()
                    processes.append(process)
                    pipes[ours] = index
            self._serve(dict(pipes), processes)
        finally:
            for pipe in pipes:
                pipe.close()
            for process in processes:
                process.join(LEAVE if len(self._outcomes) == len(processes) else 0)
                if process.is_alive():
                    process.kill()
                    process.join()
        for interval in self._merge.remaining():
            self._emit(interval)
        outcomes = [self._outcomes[index] for index in sorted(self._outcomes)]
        fingerprint = Workload(self._config).fingerprint(*self._config.paced)
        server_cpu = None if self._server is None else self._server.cpu
        return together(outcomes, self._config, fingerprint, server_cpu)

    def _serve(self, pipes: dict[Connection, int], processes: Sequence[Any]) -> None:
        everyone = list(pipes)
        while pipes:
            while self._said:
                message = self._said.pop(0)
                for pipe in everyone:
                    if pipe in pipes:
                        _send(pipe, message)
            ready = set(wait(list(pipes), LOOK_UP))
            for pipe in [pipe for pipe in pipes if pipe in ready]:
                index = pipes[pipe]
                try:
                    kind, value = pipe.recv()
                except (EOFError, OSError):
                    processes[index].join(LEAVE)
                    raise WorkerError(
                        f"worker {index} ended without a result (exit code {processes[index].exitcode})"
                    ) from None
                if kind == OUTCOME:
                    self._outcomes[index] = value
                    del pipes[pipe]
                self._heard(index, kind, value, pipes)

    def _heard(self, index: int, kind: str, value: Any, pipes: dict[Connection, int]) -> None:
        if kind == FAILED:
            raise WorkerError(f"worker {index}: {value}")
        if kind == INTERVAL:
            self._merge.add(index, *value)
        elif kind == OUTCOME:
            self._merge.finished(index)
        elif kind == CONNECTED:
            self._connected.add(index)
        if not self._gone and self._connected and len(self._connected | set(self._outcomes)) == self._config.workers:
            self._gone = True
            self._said.append((GO, clock() + SOON))
        for interval in self._merge.whole():
            self._emit(interval)

    def _emit(self, interval: Interval) -> None:
        if self._server is not None:
            self._server.interval(interval)
        for sink in self._sinks:
            sink.interval(interval)
        why = abort_reason(self._abort_on, interval)
        if why is not None:
            self.abort(why)


class _Merge:
    """Adds the workers' intervals up, in order. A key is (phase, number within the phase)."""

    def __init__(self, workers: int) -> None:
        self._parts: dict[tuple[int, int], list[Interval]] = {}
        self._latest: list[tuple[int, int]] = [(-1, 0)] * workers

    def add(self, index: int, number: int, interval: Interval) -> None:
        key = (_PHASES.index(interval.phase), number)
        self._parts.setdefault(key, []).append(interval)
        self._latest[index] = key

    def finished(self, index: int) -> None:
        self._latest[index] = (len(_PHASES), 0)

    def whole(self) -> Iterator[Interval]:
        """Those to which no worker will add anything."""
        reached = min(self._latest)
        for key in sorted(key for key in self._parts if key <= reached):
            yield total(self._parts.pop(key))

    def remaining(self) -> Iterator[Interval]:
        for key in sorted(self._parts):
            yield total(self._parts.pop(key))


@contextmanager
def _signals_are_ours() -> Iterator[None]:
    """What is started within never sees SIGINT and SIGHUP: the terminal sends both to all of a group."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(pipe: Connection, message: tuple[str, Any]) -> None:
    try:
        pipe.send(message)
    except OSError:
        pass  # it is ending: what it had to say is still to be read


# --- in the worker -------------------------------------------------------------------


def _work(pipe: Connection, config: Config, target: Address, endpoints: list[Endpoint], began: int) -> None:
    """A worker process, from beginning to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a signal to the whole group means the parent, which says STOP
    try:
        connected = partial(_send, pipe, (CONNECTED, None))
        runner = Runner(config, target, endpoints, [_ToParent(pipe)], began=began, on_connected=connected)
        _Orders(pipe, runner)
        _send(pipe, (OUTCOME, runner.run()))
    except Exception as error:
        _send(pipe, (FAILED, f"{type(error).__name__}: {error}"))


class _ToParent:
    """A `Sink`: passes each interval on, numbered within its phase."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._phase = ""
        self._number = 0

    def begin(self, plan: Plan) -> None:
        """The parent's sinks heard it."""

    def interval(self, interval: Interval) -> None:
        self._number = self._number + 1 if interval.phase == self._phase else 0
        self._phase = interval.phase
        _send(self._pipe, (INTERVAL, (self._number, interval)))

    def end(self, outcome: Outcome) -> None:
        """The outcome is passed on by itself."""


class _Orders:
    """What the parent says, on the worker's own loop."""

    def __init__(self, pipe: Connection, runner: Runner) -> None:
        self._pipe = pipe
        self._runner = runner
        runner.loop.register(pipe, EVENT_READ, self)

    def on_readable(self) -> None:
        try:
            kind, value = self._pipe.recv()
        except (EOFError, OSError):
            self._runner.loop.register(self._pipe, 0, self)
            self._runner.interrupt(signal.SIGTERM)
            return
        if kind == GO:
            self._runner.begin(value)
        elif kind == STOP:
            self._runner.interrupt(value)
        elif kind == ABORT:
            self._runner.abort(value)

    def on_writable(self) -> None:
        """Never asked for."""
