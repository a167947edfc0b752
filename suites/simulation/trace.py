"""What happened, in which order, in words that are the same for the same seed?

One line per system call, fault, transition and end. No line holds a memory address, a real descriptor
or a real time; so two runs of a seed can be compared byte by byte, and the digest of one stands for it.

Not here: what may not happen (`invariants`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from .clock import SimClock

__all__ = ["Trace"]


class Trace:
    """Notes of one run. They are put into words only when somebody reads them."""

    __slots__ = ("_clock", "_notes")

    def __init__(self, clock: SimClock) -> None:
        self._clock = clock
        self._notes: list[tuple[float, tuple[object, ...]]] = []

    def note(self, *words: object) -> None:
        self._notes.append((self._clock.now, words))

    def lines(self, last: int | None = None) -> Iterator[str]:
        """All lines, or the `last` few: seconds since the beginning, then the words."""
        start = self._clock.started
        for when, words in self._notes if last is None else self._notes[-last:]:
            yield f"{when - start:14.6f}  {' '.join(map(str, words))}"

    def digest(self) -> str:
        """SHA-256 of all lines."""
        digest = hashlib.sha256()
        for line in self.lines():
            digest.update(line.encode("utf-8", "backslashreplace") + b"\n")
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._notes)
