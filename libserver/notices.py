"""What does an operator hear of what may happen at any rate?

Each kind of it (its `event`) is logged `TOLD` times within `WITHIN` seconds; the rest is counted,
and told as a number when these seconds are over. So nobody outside can fill a disk, and nothing
happens without a word. Of the rest not even the words are made: a flood of refusals costs a
dictionary's entry each.

Not here: the form of a line (`multiconn.commands.server_log`), what is told (whoever calls).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from eventloop import EventLoop

__all__ = ["Notices", "Source"]

log = logging.getLogger("multiconn.server")

#: The numbers are those of Linux's printk_ratelimit.
TOLD = 10
WITHIN = 5.0

#: What a line says about a connection, asked for only when the line is written.
Facts = Callable[[], Mapping[str, object]]


class Source(Protocol):
    """A connection that a line of the log is about."""

    def facts(self) -> Mapping[str, object]:
        """What the line says of it."""


class Notices:
    """Log records with fields, limited for each kind."""

    __slots__ = ("_loop", "_seen")

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._seen: Counter[tuple[str, int]] = Counter()  # since the last sum was due, by event and level

    def due(self, event: str, level: int = logging.WARNING) -> bool:
        """It has happened once more: is it to be told?"""
        kind = (event, level)
        if not self._seen[kind]:
            self._loop.call_later(WITHIN, self._sum_up, kind)
        self._seen[kind] += 1
        return self._seen[kind] <= TOLD

    def tell(self, event: str, text: str, *args: object, facts: Facts | None = None, **fields: object) -> None:
        """A warning, if one is due. `facts` are of the connection it happened on."""
        if self.due(event):
            known = facts() if facts is not None else {}
            log.warning(text, *args, extra={"event": event, **known, **fields})

    def sum_up(self) -> None:
        """Tell now how many were only counted: it ends."""
        for kind in [*self._seen]:
            self._sum_up(kind)

    def _sum_up(self, kind: tuple[str, int]) -> None:
        event, level = kind
        untold = self._seen.pop(kind, 0) - TOLD
        if untold > 0:
            log.log(level, "%s: %d more within %g s", event, untold, WITHIN, extra={"event": event, "count": untold})
