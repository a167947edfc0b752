"""How many replies came within the measured window?

Replies count when they come within it, whenever their requests left: replies to the warm-up's last requests stand for
replies after the window's end. A run that takes turns with another has several windows, which add up.

Not here: when it opens and closes (`engine.runner`).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Counted", "Window"]


class Counted(NamedTuple):
    """Counts: right replies, all replies, bytes sent and received."""

    ok: int
    replies: int
    bytes_sent: int
    bytes_received: int


class Window:
    """`total` is what came within all windows so far, up to the last one's end."""

    def __init__(self) -> None:
        self.total = Counted(0, 0, 0, 0)
        self._before = self.total

    def open(self, counted: Counted) -> None:
        """It begins; `counted` is all there has been so far."""
        self._before = counted

    def close(self, counted: Counted, *, replies: tuple[int, int] | None = None) -> None:
        """It ends. `replies`, right ones and all, replaces the counted ones.

        That is for a window that ends with the last of so many requests: it leaves none in flight, so the
        warm-up's replies stand for none.
        """
        came = [now - then for now, then in zip(counted, self._before, strict=True)]
        if replies is not None:
            came[:2] = replies
        self.total = Counted(*(before + more for before, more in zip(self.total, came, strict=True)))
