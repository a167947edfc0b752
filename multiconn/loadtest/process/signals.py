"""What do Ctrl-C, SIGTERM and a terminal that closes do to a run?

The first one stops it: no more requests, wait for replies, print what there is. The second one,
or the first while there is nothing to stop gently yet, quits at once: `Quit` is raised wherever
the program is, and everything that must not be left behind is in a `finally`.

SIGHUP is as SIGTERM, in its exit code too: a closed window is no reason to lose the results, which `-o` keeps. Under
`nohup`, which has it ignored, it stays ignored.

Not here: stopping gently (`engine.runner`), exit codes (`outcome`).
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType

__all__ = ["Interrupts", "Quit"]


class Quit(BaseException):
    """Leave now; `number` is the signal that says which exit code (128 + number)."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP, for as long as the `with` block lasts.

    `stop_by` says how a run is stopped gently, while one can be. Outside the main thread Python has no signal
    handlers and this does nothing.
    """

    def __init__(self) -> None:
        self._stop: Callable[[int], None] | None = None
        self._first: int | None = None
        self._before: dict[int, object] = {}

    def stop_by(self, stop: Callable[[int], None] | None) -> None:
        """From now on the first signal calls `stop` with its number, from a signal handler; None: it quits."""
        self._stop = stop

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            number = signal.SIGTERM
        if self._first is not None or self._stop is None:
            raise Quit(self._first or number)
        self._first = number
        self._stop(number)

    def __enter__(self) -> Interrupts:
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._caught)
        except ValueError:  # not the main thread
            pass
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
