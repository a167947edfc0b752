"""Who waits, so that both the smallest and the one that has waited longest are at hand?

A row for each power of two of the size, and all of them in the order they came: every step takes the same time,
however many wait. Among those of a row (up to twice the size) who came first is first.

Not here: what the sizes are of, and who is served when (`libserver.request_batch`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

__all__ = ["BySize"]

W = TypeVar("W", bound=Hashable)
D = TypeVar("D")


class BySize(Generic[W, D]):
    """A queue of subjects that each wait once, with what each has with it.

    `row_of` is to be read only: who waits, in the order they came. Whether anybody does is asked of it with
    each request, and of a dictionary that is no call.
    """

    __slots__ = ("_rows", "row_of")

    def __init__(self) -> None:
        self.row_of: dict[W, int] = {}
        self._rows: dict[int, dict[W, D]] = {}  # none of them empty

    def __len__(self) -> int:
        return len(self.row_of)

    def __contains__(self, subject: W) -> bool:
        return subject in self.row_of

    def __iter__(self) -> Iterator[W]:
        """Those that wait now."""
        return iter([*self.row_of])

    def add(self, subject: W, data: D, size: int) -> None:
        self.remove(subject)
        row = self.row_of[subject] = size.bit_length()
        self._rows.setdefault(row, {})[subject] = data

    def get(self, subject: W) -> D | None:
        """What it has with it; None if it does not wait."""
        row = self.row_of.get(subject)
        return None if row is None else self._rows[row][subject]

    def remove(self, subject: W) -> None:
        """It waits no more, if it did."""
        if subject in self.row_of:
            self._take(subject)

    def take_smallest(self) -> tuple[W, D]:
        """Raises `ValueError` if nobody waits."""
        return self._take(next(iter(self._rows[min(self._rows)])))

    def take_oldest(self) -> tuple[W, D]:
        """Raises `StopIteration` if nobody waits."""
        return self._take(next(iter(self.row_of)))

    def clear(self) -> None:
        self.row_of.clear()
        self._rows.clear()

    def _take(self, subject: W) -> tuple[W, D]:
        number = self.row_of.pop(subject)
        row = self._rows[number]
        data = row.pop(subject)
        if not row:
            del self._rows[number]
        return subject, data
