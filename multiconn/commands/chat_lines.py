"""How does a command that has a loop read the lines of its standard input?

A thread reads and hands over, `call_soon_threadsafe`: epoll takes no file and no /dev/null, and a select of our own
beside the loop's would wait twice.

    reader = LineReader(loop, 0, lines=print, ended=loop.stop)
    reader.more()

Rules:

* Nothing is read before `more`, and then so many lines as one read brings: a file of a gigabyte waits in the file.
* `close` ends the thread at once, also while it waits for a terminal: what is typed later is another program's.
* A line without an end is cut at `LONGEST` bytes, so it takes no memory.
* A byte that is no UTF-8 is no error: it becomes a lone surrogate, and is shown as its escape.

Not here: a line that is edited while others talk (`chat_terminal`).
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from eventloop import EventLoop

__all__ = ["LineReader"]

#: Bytes of a line that are kept, and that one read takes.
LONGEST = 64 * 1024


class LineReader:
    """Reads descriptor `number`. On the loop, `lines` gets a list of lines without their ends, and `ended` is called
    behind the last.
    """

    def __init__(
        self, loop: EventLoop, number: int, lines: Callable[[list[str]], object], ended: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._number = number
        self._lines = lines
        self._ended = ended
        self._wanted = threading.Event()
        self._closed = False
        self._woken, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
        self._thread.start()

    def more(self) -> None:
        """There is room for more lines."""
        self._wanted.set()

    def close(self) -> None:
        """Read no more."""
        if self._closed:
            return
        self._closed = True
        os.write(self._waker, b"\0")
        self._wanted.set()
        self._thread.join()
        os.close(self._waker)
        os.close(self._woken)

    def _run(self) -> None:
        rest = b""
        while self._wait():
            data = self._read()
            if data is None:
                continue
            *whole, rest = (rest + data).split(b"\n")
            rest = rest[:LONGEST]
            if not data and rest:
                whole.append(rest)
            if whole:
                self._wanted.clear()
                self._loop.call_soon_threadsafe(
                    self._lines, [line.decode("utf-8", "surrogateescape") for line in whole]
                )
            if not data:
                self._loop.call_soon_threadsafe(self._ended)
                return

    def _wait(self) -> bool:
        """Until lines are wanted and there are some, or it is closed."""
        self._wanted.wait()
        if not self._closed:
            select.select([self._number, self._woken], [], [])
        return not self._closed

    def _read(self) -> bytes | None:
        """What there is: no bytes at the end, None if another program that shares it was faster."""
        try:
            return os.read(self._number, LONGEST)
        except BlockingIOError:
            return None
        except OSError:  # a closed one, a terminal that is gone
            return b""
