"""Is every descriptor closed again that was opened meanwhile?"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator

__all__ = ["no_descriptor_left"]

OPEN = "/proc/self/fd"


@contextlib.contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Afterwards as many are open as before, no more and no fewer; where the system tells (Linux).

    What earlier tests left in cycles is frozen meanwhile: a socket that the collector closes would count for one that
    was closed by mistake.
    """
    gc.freeze()
    try:
        before = _count()
        yield
        assert _count() == before, "a descriptor is left, or somebody else's was closed"
    finally:
        gc.unfreeze()


def _count() -> int:
    return len(os.listdir(OPEN)) if os.path.isdir(OPEN) else 0
