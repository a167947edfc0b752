"""What leaves when everybody who is ready has been read?

A send to a peer that sleeps wakes it, and the waking is done inside our system call. A client with
many connections that gets its replies one by one, each where it is made, finds one, sleeps again,
and is woken by the next. Sent right after each other they find it awake. Redis does so
(`beforeSleep`), and uvloop at the end of a turn.

Rules:

* While the loop tells its handlers who is ready, `put` keeps one piece for each sender; at the end
  of that it is sent, in the order of the puts. At any other time `put` sends at once.
* Nobody waits long for others: what waits is also sent when it is of `TOGETHER` senders, or when
  it is `WITHIN` seconds since the last of that. So who comes behind a slow handler does not wait
  for the next one too.
* It goes by `sender.write(data)`, and an error costs no other sender its bytes.
* A sender that does anything else with its bytes must `take` back what waits here first.

Not here: what a sender is (`eventloop.transport`), when a turn begins (`eventloop.loop`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Outbox", "Sender"]

#: The first of a thousand would wait for the last; more than so many together brought nothing.
TOGETHER = 32
#: Seconds. 32 reads of 16 requests take 1 or 2 ms; what takes longer is a handler that does.
WITHIN = 0.005


class Sender(Protocol):
    """Whose bytes can wait."""

    def write(self, data: Any, /) -> None: ...


class Outbox:
    """What the senders of one turn have to send, one piece each. `failed` hears of what a sender raises."""

    __slots__ = ("_clock", "_failed", "_gathering", "_since", "waiting")

    def __init__(self, clock: Callable[[], float], failed: Callable[[object, Exception], None]) -> None:
        self.waiting: dict[Sender, Any] = {}
        self._clock = clock
        self._failed = failed
        self._gathering = False
        self._since = 0.0

    def begin(self, now: float) -> None:
        """From here on others may still be read: what is put waits."""
        self._gathering = True
        self._since = now

    def end(self) -> None:
        """All have been read."""
        self._gathering = False
        if self.waiting:
            self.send()

    def put(self, sender: Sender, data: Any) -> None:
        """Have `sender` write `data` soon."""
        waiting = self.waiting
        if not self._gathering or sender in waiting:  # it takes what waits back, and sends that first
            sender.write(data)
            return
        waiting[sender] = data
        if len(waiting) >= TOGETHER or self._clock() - self._since > WITHIN:
            self.send()
            self._since = self._clock()

    def take(self, sender: Sender) -> Any:
        """What waits of `sender`, which does not wait any more; or None."""
        return self.waiting.pop(sender, None)

    def send(self) -> None:
        """Send now what waits: all of it, also when that is interrupted."""
        waiting = self.waiting
        try:
            for sender in tuple(waiting):
                data = waiting.pop(sender, None)
                if data is not None:  # else: it was taken back meanwhile
                    try:
                        sender.write(data)
                    except Exception as error:
                        self._failed(sender, error)
        finally:
            if waiting:
                self.send()
