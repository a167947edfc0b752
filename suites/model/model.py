"""What must a server do for one connection? A model in a page, as wire.md has it.

Given whole messages, an end, or time, it says which replies are owed, in which order, whether the
connection is still served, and why it ended.

Not here: time-outs of the sending side, water marks, blocking handlers (tests/libserver).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["CONTENT", "HEADER", "IDLE", "Model", "Sent"]

HEADER, CONTENT, IDLE = 10.0, 60.0, 300.0  # the server's timeouts


@dataclass(frozen=True)
class Sent:
    """A message on its way to the server; `answer` is what it deserves: a result, or an error's code."""

    data: bytes
    header_size: int
    answer: Any
    connection: str | None = None
    id: Any = None
    fatal: bool = False

    @property
    def decided(self) -> int:
        """After so many bytes its answer is known: what can't become a header is not waited for."""
        return 3 if self.data[2:3] not in (b"", b"{") else len(self.data)


class Model:
    """One connection, as wire.md has it."""

    def __init__(self, now: float) -> None:
        self.serving = True  # else: nothing is served any more, FIN has come or will
        self.persistent = False
        self.reason: str | None = None
        self.replies: list[tuple[Any, Any]] = []  # what was answered, and the id
        self.stream: list[Sent] = []  # messages not wholly arrived
        self.arrived = 0  # bytes of the first of them
        self.confirmed = 0
        self.draining = False
        self.began = self.last = now

    def end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.serving = False

    def receive(self, count: int, now: float) -> None:
        self.last = now
        if not self.arrived and self.replies:
            self.began = now  # the first message's time runs from accept
        self.arrived += count
        while self.serving and self.stream and self.arrived >= self.stream[0].decided:
            sent = self.stream.pop(0)
            self.arrived -= len(sent.data)
            self.began = now
            self.serve(sent)

    def serve(self, sent: Sent) -> None:
        if sent.answer == "confirm":
            self.confirmed += 1
        self.replies.append((self.confirmed if sent.answer == "confirm" else sent.answer, sent.id))
        self.persistent = (self.persistent or sent.connection == "keep-alive") and sent.connection != "close"
        if sent.fatal:
            self.end("bad-framing")
        elif self.draining or not self.persistent:
            self.end("served")

    def finish(self) -> None:
        if self.serving:
            self.end("truncated" if self.arrived else "peer-closed" if self.replies else "silent")

    def reset(self) -> None:
        if self.serving:
            self.reason = None  # a good end that was not reached
            self.end("reset" if self.replies or self.arrived else "silent")

    def drain(self) -> None:
        if self.serving:
            self.reason, self.draining, self.serving = "shutdown", True, bool(self.arrived)

    def wait(self, now: float) -> None:
        if not self.serving:
            return
        in_content = self.arrived and self.arrived >= self.stream[0].header_size
        if in_content and now - self.last >= CONTENT:
            self.time_out("content-timeout")
        elif not in_content and (self.arrived or not self.replies) and now - self.began >= HEADER:
            self.time_out("header-timeout")
        elif self.resting and now - self.last >= IDLE:
            self.end("idle-timeout")

    def time_out(self, reason: str) -> None:
        if self.arrived:  # else: FIN alone
            self.replies.append(("timeout", self.stream[0].id if reason == "content-timeout" else None))
        self.end(reason)

    @property
    def resting(self) -> bool:
        return self.serving and not self.arrived and bool(self.replies)
