"""How does the dashboard of a load test draw on the terminal?

The process that `output.live` starts: it reads a plan and records from standard input, a line of JSON each, and
draws them on the terminal that standard error is. It needs the package rich (the extra `tui`).

Rules:

* It draws the last record, at most `PER_SECOND` times a second. It looks the terminal's size up each time,
  so that resizing needs no signal.
* It gives the terminal back whatever happens: at the end of the input, on SIGTERM, on an exception, while
  stopped by Ctrl-Z.

Not here: the picture (`output.dashboard`).
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable

from multiconn.loadtest.output.dashboard import ASCII, BLOCKS, PER_SECOND, Screen

from . import DONE, stdio

__all__ = ["main"]

_SMALLEST = (20, 5)


class _Over(Exception):
    """SIGTERM."""


def main() -> int:
    """Draw until the input ends."""
    stdio.prepare()  # a terminal in non-blocking mode gets the whole picture
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(file=sys.stderr, force_terminal=True, highlight=False, markup=False, emoji=False)
    utf = (sys.stderr.encoding or "").lower().replace("-", "").startswith("utf")
    screen = Screen(BLOCKS if utf else ASCII)

    def draw(size: os.terminal_size, now: float) -> None:
        console.size = size
        columns, rows = (max(*pair) for pair in zip(size, _SMALLEST, strict=True))
        lines = [Text.assemble(*line, no_wrap=True, overflow="crop") for line in screen.lines(columns, rows, now)]
        live.update(Text("\n").join(lines), refresh=True)

    live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    _handle_signals(live.stop, lambda: live.start(refresh=True))
    os.write(1, b"\n")  # ready
    try:
        select.select([0], [], [])
        live.start()  # not before the first record: errors go to the ordinary screen
        _follow(screen, draw)
    except _Over:
        pass
    finally:
        live.stop()
    return DONE


def _handle_signals(leave: Callable[[], None], enter: Callable[[], None]) -> None:
    def ended(number: int, frame: object) -> None:
        raise _Over

    def stopped(number: int, frame: object) -> None:
        leave()
        os.kill(os.getpid(), signal.SIGSTOP)  # and here SIGCONT finds us
        enter()

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGHUP, ended)
    signal.signal(signal.SIGTSTP, stopped)


def _follow(screen: Screen, draw: Callable[[os.terminal_size, float], None]) -> None:
    """Read and draw until the generator closes the pipe."""
    received, size, drawn, news = b"", os.terminal_size((0, 0)), 0.0, False
    while True:
        if select.select([0], [], [], 1 / PER_SECOND)[0]:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, received = (received + data).split(b"\n")
            for line in lines:
                screen.tell(json.loads(line), time.monotonic())
            news = True
        now, seen = time.monotonic(), _size()
        if (news or seen != size or now - drawn >= 1.0) and now - drawn >= 1 / PER_SECOND:
            draw(seen, now)
            size, drawn, news = seen, now, False


def _size() -> os.terminal_size:
    try:
        return os.get_terminal_size(2)
    except OSError:
        return os.terminal_size((80, 24))


if __name__ == "__main__":
    sys.exit(main())
