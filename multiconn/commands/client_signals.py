"""What do SIGTERM, and a terminal that closes, do to a running command?

They end it as Ctrl-C does: by an exception, so that every `finally` on the way runs, and the command
writes its trace to the end and prints the answers so far. SIGHUP is as SIGTERM, in its exit code too;
under `nohup`, which has it ignored, it stays ignored.

Not here: `load`, which first waits for its replies (`multiconn.loadtest.process.signals`).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

from . import SIGNAL

__all__ = ["ended_by_signals", "woken_by_signals"]

TERMINATED = SIGNAL + signal.SIGTERM


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


class Sleeper(Protocol):
    """A loop, or a client that has one."""

    def wake_on_signals(self) -> None: ...


def woken_by_signals(sleeper: Sleeper) -> None:
    """Have a signal that comes just before `sleeper` sleeps end that sleep, too (see `EventLoop.wake_on_signals`)."""
    with suppress(ValueError):  # not the main thread, which alone has signals
        sleeper.wake_on_signals()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP raise `SystemExit`. Outside the main thread, which has no signals, nothing changes."""
    before = {}
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, _end)
    except ValueError:  # not the main thread
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
