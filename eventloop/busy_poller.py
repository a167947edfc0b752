"""Is it worth asking once more before going to sleep?

A process that sleeps in `select` until the next request comes pays for it twice: the sender's
system call has to wake it, and it starts again with cold caches. Between machines that is lost
in the network's time; on one machine, with one client that waits for each answer, it is most of
the round trip. So the loop may ask again some times, without sleeping, before it sleeps: as Go's
scheduler spins before it parks a thread, and as the kernel's `busy_poll` does for a socket.

It is a bet, and `BusyPoller` makes it only while it pays: what came while spinning counts for it,
a spin that was for nothing counts against it, and when the account is empty only one sleep in
`REST` is preceded by a spin, to see whether times have changed. So a server that waits for
seconds, or shares its only core with its clients, spins on one turn in a hundred.

Counted in polls, not in seconds: an extra look at the clock would cost a tenth of each poll, and
a simulated clock would never move.

Not here: the loop (`eventloop.loop`). What it brings and costs: docs/understand/performance.md.
"""

from __future__ import annotations

import selectors

__all__ = ["BusyPoller"]

#: The most bets in a row that may be lost.
MAX_CREDIT = 8
#: Sleeps without a spin once the account is empty.
REST = 100

Ready = list[tuple[selectors.SelectorKey, int]]


class BusyPoller:
    """Asks `selector` up to `polls` times before it sleeps, as long as that pays; 0: never."""

    __slots__ = ("_credit", "_rest", "polls", "selector")

    def __init__(self, selector: selectors.BaseSelector, polls: int) -> None:
        self.selector = selector
        self.polls = polls
        self._credit = MAX_CREDIT
        self._rest = 0

    def select(self, timeout: float | None) -> Ready:
        """What is ready, after at most `timeout` seconds (None: whenever something is) and a spin."""
        select = self.selector.select
        if timeout == 0 or not self.polls:
            return select(timeout)
        if self._rest:
            self._rest -= 1
            return select(timeout)
        ready = select(0)
        if ready:
            return ready  # it would not have slept: nothing was won
        for _ in range(self.polls):
            ready = select(0)
            if ready:
                self._credit = min(self._credit + 1, MAX_CREDIT)
                return ready
        self._credit -= 1
        if self._credit <= 0:
            self._credit = 1
            self._rest = REST
        return select(timeout)
