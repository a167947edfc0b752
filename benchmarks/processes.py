"""How is a server started on a core of its own, watched from outside, and stopped?

Everything measured of a server is read from the kernel, not asked of the server: a peer can't
count its own time differently from another's.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType

__all__ = [
    "ENDS",
    "LISTENING",
    "CannotStart",
    "ServerProcess",
    "cores",
    "cpu_seconds",
    "on_core",
    "raise_descriptor_limit",
    "resident_bytes",
]

ROOT = Path(__file__).parent.parent
#: Modules with actions for `app_server.py --app`.
APPLICATIONS = ROOT / "benchmarks" / "applications"
START_SECONDS = 20.0
STOP_SECONDS = 5.0
#: What our own programs say.
LISTENING = re.compile(r"Listening on (?:tcp://)?[\d.]+:(\d+)")

#: Exit codes of a server that was asked to end: it ended in order, or by SIGTERM.
ENDS = (0, -15, 143)


class CannotStart(Exception):
    """The text is what the server said on its way out."""


def cores() -> tuple[int, int]:
    """The server's core and the generator's. They are one and the same where there is only one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextlib.contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started in here runs on that core: children inherit it before their first instruction."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, all its threads, also those that have ended.

    The process's CPU clock (clock_getcpuclockid(3) makes its number like this), in nanoseconds:
    /proc/PID/stat has the same figure in ticks of 10 ms, too coarse for a short window.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """VmRSS."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def raise_descriptor_limit() -> int:
    """To the hard limit, which is returned. Children inherit it: generator and server need one each per connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class ServerProcess:
    """A server that listens on `port`, started in `root`; leave the context to stop it.

    `listening`: how it says where, with the port as its group. `ends`: exit codes that are no failure. Raises
    `CannotStart` if it ends, or says nothing, before it listens.
    """

    def __init__(
        self,
        command: Sequence[str],
        core: int,
        root: Path = ROOT,
        listening: re.Pattern[str] = LISTENING,
        ends: Collection[int] = ENDS,
    ) -> None:
        self._listening = listening
        self._ends = ends
        # A file, not a pipe: no reader is needed while the server runs.
        self._said = tempfile.TemporaryFile(mode="w+", errors="replace")  # noqa: SIM115 - closed by stop
        environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{APPLICATIONS}", "PYTHONDONTWRITEBYTECODE": "1"}
        with on_core(core):
            self._process = subprocess.Popen(
                command,
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                start_new_session=True,  # Ctrl-C is for us, and we stop them
            )
        self.pid = self._process.pid
        try:
            self.port = self._wait_for_port(time.monotonic() + START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def _wait_for_port(self, until: float) -> int:
        while time.monotonic() < until:
            ended = self._process.poll() is not None
            said = self.said()
            if found := self._listening.search(said):
                return int(found[1])
            if ended:
                raise CannotStart(said.strip()[-500:] or f"it ended with {self._process.returncode}")
            time.sleep(0.02)
        raise CannotStart(f"it did not say where it listens within {START_SECONDS:.0f} s: {self.said().strip()[-300:]}")

    def said(self) -> str:
        """What it wrote so far."""
        return os.pread(self._said.fileno(), 1 << 20, 0).decode(errors="replace")

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    def end(self, patience: float = STOP_SECONDS) -> int | None:
        """Ask it to end, and wait; its exit code, None if it had to be killed. What it said can still be read."""
        self._process.terminate()
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.returncode not in self._ends:
            print(f"a server ended with {self._process.returncode}: {self.said().strip()[-500:]}", file=sys.stderr)
        self._said.close()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
