"""What does the recorder write of one message, when a test is all that is around it?

A `Bench` is a recorder with a clock that stands, a file that can fill up, and one message over a socket pair.

Not here: a conversation with the real server (`tests/study/recording.py`).
"""

from __future__ import annotations

import errno
import io
import selectors
import socket
from typing import Any

from protocol import SERVER, Codec, Connection
from protocol.states import LIFECYCLE, OPEN, begin
from study.recorder import Recorder
from study.trace import Trace, load
from tests.fakes.clock import FakeClock


class File(io.BytesIO):
    """Keeps what was written after it was closed; `full_after` bytes it has no room for more."""

    full_after = 1 << 30
    kept = b""
    flushed = 0

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self.full_after:
            raise OSError(errno.ENOSPC, "no space left")
        return super().write(data)

    def flush(self) -> None:
        self.flushed += 1

    def close(self) -> None:
        self.kept = self.getvalue()
        super().close()


class Message:
    """What the recorder asks of a message, and no more."""

    state: str

    def __init__(self, trail: Any) -> None:
        self.observer = trail
        self.connection = Connection(Codec(SERVER), trail)
        self.levels: dict[str, Any] = {"buffered": 0, "reason": None}
        begin(self, LIFECYCLE, OPEN)

    def gauges(self) -> dict[str, Any]:
        return dict(self.levels)


class Bench:
    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.file = File()
        self.failures: list[Exception] = []
        self.recorder = Recorder(
            self.file, "server", clock=self.clock, wall_clock=lambda: 5.0, failed=self.failures.append, **options
        )
        self.selector = self.recorder.selector(selectors.DefaultSelector())
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.message = Message(self.recorder.observer())
        self.sock: Any = self.recorder.tap(self.message, self.ours)

    def turn(self) -> None:
        self.selector.select(0)

    def trace(self) -> Trace:
        self.recorder.close()
        return load(io.BytesIO(self.file.kept))

    def names(self) -> list[str]:
        return [event.name for event in self.trace().events]

    def close(self) -> None:
        self.selector.close()
        self.ours.close()
        self.theirs.close()
