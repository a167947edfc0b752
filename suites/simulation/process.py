"""Which descriptors does a process have, and how does a system call of its fail?

Descriptor numbers are the lowest free ones, and there may be none left (EMFILE). That is how a number is reused in
the middle of a turn, as it is in life.

Not here: what a descriptor stands for (`sockets`, `kernel`), what a process does (`programs`).
"""

from __future__ import annotations

import errno
import heapq
import os
from typing import Any

__all__ = ["Process", "failure"]

#: Descriptors that a process has from its parent.
FIRST_FREE = 3


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))  # Python picks the subclass by number


class Process:
    """A program's descriptors: at most `limit` numbers, the lowest free one first. `calls` counts system calls."""

    def __init__(self, name: str, limit: int = 1024) -> None:
        self.name = name
        self.limit = limit
        self.files: dict[int, Any] = {}
        self.calls = 0
        self._free: list[int] = []
        self._next = FIRST_FREE

    def open(self, file: Any) -> int:
        """Raises EMFILE if there is no number below the limit."""
        number = self._free[0] if self._free else self._next
        if number >= self.limit:
            raise failure(errno.EMFILE)
        if self._free:
            heapq.heappop(self._free)
        else:
            self._next += 1
        self.files[number] = file
        return number

    def release(self, number: int) -> None:
        if self.files.pop(number, None) is None:
            raise failure(errno.EBADF)
        heapq.heappush(self._free, number)
