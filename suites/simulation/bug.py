"""What is a seeded bug?

A patch of the real code that somebody could have written, with the invariant that must catch it. Nothing here is
ever applied but by the tests, and by `python -m suites.simulation --bug NAME`.

Not here: which there are (`bugs`, `push_bugs`).
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple
from unittest import mock

__all__ = ["SEEDS", "Bug", "method"]

#: So many seeds are tried, from `Bug.seed` on.
SEEDS = 60


class Bug(NamedTuple):
    """`breaks` is the invariant that catches it, `seed` one of those in which it does."""

    name: str
    breaks: str
    seed: int
    words: str
    patch: Any  #: makes a context manager

    def applied(self) -> contextlib.AbstractContextManager[Any]:
        manager: contextlib.AbstractContextManager[Any] = self.patch()
        return manager


def method(owner: type, name: str, replacement: Any) -> Any:
    return lambda: mock.patch.object(owner, name, replacement)
