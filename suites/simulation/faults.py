"""What goes wrong, how often, and how often did it?

Each seed draws its own rates, so that some worlds are calm, some have one plague and some have all.
`hit` decides by the seed's random numbers and counts what it decided. Each connection has luck of its own
(`SimSocket.luck`), so that it stays the same whoever else is there: that is what a world is shrunk by.

Not here: what a fault does (`sockets`, `kernel`, `world`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random

__all__ = ["NONE", "RATES", "Faults"]

#: Every fault with the highest chance it may have, per opportunity.
RATES: dict[str, float] = {
    "recv: fewer bytes than there are": 0.3,
    "send: fewer bytes than there is room": 0.3,
    "send: refused (EAGAIN) though there is room": 0.2,
    "select: spurious readiness": 0.05,
    "select: readiness told later": 0.2,
    "segment: cut small": 0.5,
    "segment: delayed": 0.05,
    "connection: reset at a byte": 0.15,
    "connection: stalled for seconds": 0.1,
    "reset: what was unread is lost": 0.5,
    "connect: first SYN lost": 0.1,
    "connect: SYN swallowed": 0.02,
    "accept: ECONNABORTED": 0.1,
    "accept: EPROTO": 0.05,
    "accept: ENOBUFS": 0.05,
    "accept: ENOMEM": 0.05,
}

#: No fault at all: what the contract test and calm worlds use.
NONE: Mapping[str, float] = {}


class Faults:
    """The chances of one world. `hits` counts by kind."""

    def __init__(self, random: Random, rates: Mapping[str, float]) -> None:
        self.random = random
        self.rates = rates
        self.hits: Counter[str] = Counter()

    @staticmethod
    def drawn(random: Random) -> dict[str, float]:
        """Rates: a third of the worlds is calm or nearly so; in the others each fault is there or not."""
        plague = random.choice((0.0, 0.3, 0.8))
        return {name: most * random.random() for name, most in RATES.items() if random.random() < plague}

    def hit(self, name: str, luck: Random | None = None) -> bool:
        """Does it happen now? `luck` is that of the connection it would happen to, None the world's."""
        rate = self.rates.get(name)
        if rate is None or (luck or self.random).random() >= rate:
            return False
        self.hits[name] += 1
        return True

    def count(self, name: str) -> None:
        """A fault that somebody else decided on."""
        self.hits[name] += 1

    def heal(self) -> None:
        """From here on nothing goes wrong any more."""
        self.rates = NONE
