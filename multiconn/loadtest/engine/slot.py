"""What does the load tester know of one of its N slots for a connection?

A slot outlives its connections: the next one replaces an ended one. The modules that open connections
(`engine.slots`), send (`engine.senders`) and count (`engine.collector`) read it; each change has a method, which says
what happened.

Not here: any decision.
"""

from __future__ import annotations

from libclient.message import Message

__all__ = ["Slot"]


class Slot:
    """One of the N slots. `dialled` (ns), `sent` and `replies` are of the connection now in it.

    `sent` requests were handed over; `thinking` replies are not followed up yet; `listed`: the
    open model's sender knows it has room; `confirmed`, of the replies, count themselves. `settled`: its first
    connection has opened or failed, or it came later than the run's beginning.
    """

    __slots__ = (
        "_used",
        "confirmed",
        "dialled",
        "listed",
        "message",
        "number",
        "open",
        "replies",
        "sent",
        "settled",
        "thinking",
    )

    def __init__(self, number: int, *, settled: bool = False) -> None:
        self.number = number
        self.message: Message | None = None
        self.open = False
        self.settled = settled
        self._used = False
        self.listed = False
        self.dialled = 0
        self.sent = 0
        self.replies = 0
        self.confirmed = 0
        self.thinking = 0

    # --- its connection ------------------------------------------------------------------

    def dial(self, now: int) -> None:
        """A connection of its own begins, at `now` (ns)."""
        self.dialled = now
        self.sent = self.replies = self.confirmed = self.thinking = 0
        self.listed = False

    def hold(self, message: Message) -> None:
        """This is the connection."""
        self.message = message

    def connected(self) -> bool:
        """It is there; returns whether there was one before."""
        again, self._used = self._used, True
        self.open = True
        return again

    def settle(self) -> bool:
        """Its first connection has opened or failed; returns whether that is news."""
        news, self.settled = not self.settled, True
        return news

    def disconnected(self) -> bool:
        """The connection is gone; returns whether it was ever there."""
        was_open, self.open = self.open, False
        self.message = None
        return was_open

    # --- its requests --------------------------------------------------------------------

    @property
    def out(self) -> int:
        """Requests handed over and not answered: what is on its way, and what its message has not begun to send.

        Not the message's two numbers, which know nothing of what a sender has taken for it in this turn.
        """
        return self.sent - self.replies

    def sending(self, count: int) -> None:
        """`count` requests are handed over."""
        self.sent += count

    def answered(self, count: int) -> None:
        """`count` replies came."""
        self.replies += count

    def confirm(self) -> None:
        """A reply that counts itself came."""
        self.confirmed += 1

    def think(self) -> None:
        """A reply is to be followed up later."""
        self.thinking += 1

    def thought(self, dialled: int) -> bool:
        """The time to follow it up has come, if the connection of then is still there."""
        if self.dialled != dialled or not self.thinking:
            return False
        self.thinking -= 1
        return True

    def enlist(self) -> None:
        """The open model's sender lists it among those with room."""
        self.listed = True

    def delist(self) -> None:
        """It has no room any more."""
        self.listed = False
