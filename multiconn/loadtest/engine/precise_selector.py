"""How does the loop wake up on time, and not a millisecond later?

epoll sleeps in whole milliseconds, rounded up. A schedule of 100 requests a second, each sent when its time has
come, would have every one leave half a millisecond late on average, which on loopback is five
times what the server takes. Polling without sleep would be on time and use a whole core.

`PreciseSelector` sleeps in `select` on the epoll descriptor itself, which takes microseconds, and then
asks epoll what is ready. That is one more system call per sleep, and none while there is work.

Not here: systems without epoll. Their selectors take microseconds (kqueue) or are not worth it.
"""

from __future__ import annotations

import select
import selectors

__all__ = ["precise_selector"]

#: select takes no descriptor above this one; ours is opened early.
_HIGHEST = 1023


def precise_selector() -> selectors.BaseSelector:
    """The best selector of the system that wakes up on time."""
    if not hasattr(selectors, "EpollSelector"):
        return selectors.DefaultSelector()
    selector = PreciseSelector()
    if selector.fileno() > _HIGHEST:
        selector.close()
        return selectors.DefaultSelector()
    return selector


if hasattr(selectors, "EpollSelector"):

    class PreciseSelector(selectors.EpollSelector):
        """epoll that sleeps in microseconds."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                try:
                    select.select((self.fileno(),), (), (), timeout)
                except InterruptedError:
                    return []
                timeout = 0
            return super().select(timeout)
