"""Which phases has a soak, and what is looked at in each?

    quiet       the good traffic alone, to know its times
    chaos       the bad peers beside it
    aftermath   all peers are gone: descriptors are back, nothing spins
    end         SIGTERM; the server's summary is its books

The server has a core of its own if there are two. It is watched from outside, through /proc.

Beside it, on the same core, runs its control: a second server of the same program, which has the same
good traffic and no bad peers. What delays both is the machine's doing; what delays the first alone
is what its bad peers cost the good ones.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from array import array
from collections.abc import Callable
from types import FrameType
from typing import Any

from benchmarks.processes import ROOT, ServerProcess, cores, on_core, resident_bytes
from benchmarks.soak.figures import Figures, Sample, closes, percentile
from benchmarks.soak.scripts import KINDS
from benchmarks.soak.settings import Settings
from benchmarks.soak.stage import Stage

__all__ = ["Interrupt", "Soak"]

#: Seconds between two samples: this many in a run, but not more than four a second.
SAMPLES = 1200
OFTENEST = 0.25


class Interrupt:
    """The first Ctrl-C, SIGTERM or SIGHUP ends the phase; a second one is `KeyboardInterrupt`."""

    def __init__(self) -> None:
        self.came = False
        self._before: dict[int, object] = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


class GoodTraffic:
    """`benchmarks.soak.good` as a process: its lines, as they come."""

    def __init__(self, port: int, settings: Settings) -> None:
        arguments = (port, settings.rate, settings.newcomers, settings.connections, settings.seed)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.soak.good", *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._begun = b""

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def lines(self) -> list[dict[str, Any]]:
        """The new ones since the last look."""
        assert self._process.stdout is not None
        data = self._process.stdout.read() or b""
        *whole, self._begun = (self._begun + data).split(b"\n")
        return [json.loads(line) for line in whole]

    def finish(self) -> None:
        """Ask no more, and end once every reply is here."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def __enter__(self) -> GoodTraffic:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


class Soak:
    """One run. `figures` hold what there is, at any time; `say(text)` gets the progress."""

    def __init__(self, settings: Settings, say: Callable[[str], None], interrupt: Interrupt) -> None:
        self.settings = settings
        self.figures = Figures(timeout=settings.timeout, bad_played=dict.fromkeys(KINDS, 0))
        self._say = say
        self._interrupt = interrupt
        self._every = max(OFTENEST, (settings.quiet + settings.chaos) / SAMPLES)
        self._recent: list[int] = []

    def run(self) -> None:
        """All phases. Raises `CannotStart`."""
        server_core, generator_core = cores()
        command = self.settings.command_line()
        with ServerProcess(command, server_core) as server, ServerProcess(command, server_core) as control:
            self._began = time.monotonic()
            self._cpu = time.monotonic(), server.cpu_seconds()
            self.figures.descriptors_before = descriptors(server.pid)
            with (
                on_core(generator_core),
                GoodTraffic(server.port, self.settings) as good,
                GoodTraffic(control.port, self.settings) as self._control,
            ):
                try:
                    self._play(server, good)
                except OSError:
                    if not server.ended:  # else /proc has nothing of it any more, and its exit code says the rest
                        raise
            self._end(server)

    def _play(self, server: ServerProcess, good: GoodTraffic) -> None:
        self._phase("quiet", server, good, self.settings.quiet, None)
        stage = Stage(server.port, KINDS, self.settings)
        begun = time.monotonic()
        try:
            self._phase("chaos", server, good, self.settings.chaos, stage)
        finally:
            self.figures.chaos_seconds = time.monotonic() - begun
            stage.leave()
            self._take_from(stage)
        good.finish()
        self._control.finish()
        self._say("all peers leave")
        self._aftermath(server, good)

    def _phase(self, name: str, server: ServerProcess, good: GoodTraffic, seconds: float, stage: Stage | None) -> None:
        end = time.monotonic() + seconds
        sample_at = time.monotonic() + self._every
        while not self._interrupt.came and not server.ended and time.monotonic() < end:
            until = min(sample_at, end, time.monotonic() + OFTENEST)
            if stage is None:
                time.sleep(max(0.0, until - time.monotonic()))
            else:
                while time.monotonic() < until:
                    stage.turn(until)
            self._take(good, self.figures.quiet_us if name == "quiet" else self.figures.chaos_us)
            for line in self._control.lines():
                if name == "chaos":
                    self.figures.control_us.extend(line["latencies"])
            if time.monotonic() >= sample_at:
                sample_at += self._every
                self._sample(name, server, stage)

    def _take(self, good: GoodTraffic, latencies: array[int]) -> None:
        figures = self.figures
        for line in good.lines():
            latencies.extend(line["latencies"])
            self._recent += line["latencies"]
            figures.good_failures += line["failures"]
            figures.good_right, figures.good_refused = line["right"], line["refused"]
            figures.good_failed, figures.good_made = line["failed"], line["made"]

    def _take_from(self, stage: Stage) -> None:
        figures = self.figures
        figures.bad_made, figures.bad_refused, figures.bad_broken = stage.made, stage.refused, stage.broken
        figures.bad_told = stage.told
        figures.bad_played |= stage.played

    def _sample(self, phase: str, server: ServerProcess, stage: Stage | None) -> None:
        now, used = time.monotonic(), server.cpu_seconds()
        before, used_before = self._cpu
        self._cpu = now, used
        sample = Sample(
            round(now - self._began, 2),
            phase,
            resident_bytes(server.pid),
            descriptors(server.pid),
            round((used - used_before) / (now - before), 4),
            percentile(self._recent, 0.99),
            stage.open if stage is not None else 0,
        )
        self.figures.samples.append(sample)
        bad = f", {sample.bad_open} bad peers of {stage.made:,}, {stage.broken} broken" if stage is not None else ""
        self._say(
            f"{sample.at:5.0f} s {phase}: {self.figures.good_right:,} right, {self.figures.good_failed} not, "
            f"p99 {sample.good_p99_us / 1000:.2f} ms{bad}; server: {sample.resident / 2**20:.1f} MiB, "
            f"{sample.descriptors} descriptors, {100 * sample.cpu:.0f} % CPU"
        )
        self._recent = []

    def _aftermath(self, server: ServerProcess, good: GoodTraffic) -> None:
        """Wait for what may still linger; then the server must be as it was, and sleep."""
        begun = time.monotonic()
        while time.monotonic() < begun + self.settings.patience and not server.ended:
            over = good.ended
            self._take(good, self.figures.chaos_us)
            self.figures.good_finished = over
            self.figures.descriptors_after = descriptors(server.pid)
            self.figures.descriptors_seconds = time.monotonic() - begun
            if over and self.figures.descriptors_after == self.figures.descriptors_before:
                break
            time.sleep(0.05)
        used = server.cpu_seconds()
        begun = time.monotonic()
        time.sleep(self.settings.idle)
        self.figures.idle_cpu = (server.cpu_seconds() - used) / (time.monotonic() - begun)

    def _end(self, server: ServerProcess) -> None:
        figures = self.figures
        figures.exit_code = server.end()
        log = server.said()
        figures.accepted, figures.closed_by = closes(log)
        figures.tracebacks = log.count("Traceback")
        figures.log_lines = log.count("\n")


def descriptors(pid: int) -> int:
    """How many the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
