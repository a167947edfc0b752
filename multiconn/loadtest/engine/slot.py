"""What does the load tester know of one of its N slots for a connection?

A slot outlives the connections in it: one that ended is replaced. Plain data, shared by those who
open connections (`engine.slots`), send (`engine.senders`) and count (`engine.collector`).

Not here: any decision.
"""

from __future__ import annotations

from typing import Any

from libclient.message import Message

__all__ = ["NEVER", "Slot"]

#: Later than any time stamp: nothing is measured yet.
NEVER = 1 << 62


class Slot:
    """One of the N slots. `dialled` (ns), `out`, `sent` and `replies` are of the connection now in it.

    `out` requests were handed over and are not answered; `thinking` replies are not followed up
    yet; `batch` is what is about to be sent; `listed`: the open model's sender knows it has room.
    """

    __slots__ = (
        "batch",
        "confirmed",
        "dialled",
        "listed",
        "message",
        "number",
        "open",
        "out",
        "replies",
        "sent",
        "settled",
        "thinking",
        "used",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.message: Message | None = None
        self.open = False
        self.settled = False  # its first connection has opened or failed
        self.used = False  # has had a connection before
        self.listed = False
        self.dialled = 0
        self.out = 0
        self.sent = 0
        self.replies = 0
        self.confirmed = 0  # of the replies, those that count themselves
        self.thinking = 0
        self.batch: list[Any] = []
