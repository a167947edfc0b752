"""What does a server ask of the operating system, besides what its loop's sockets and selector do?

The loop is passed in with its selector, clock and waker; what is left is here, so that a server
can run where there is no operating system at all (suites/simulation): listening sockets, the
descriptor limit, the reserve descriptor, and threads.

Nothing here is asked per connection, let alone per request.

Not here: what is done with them (`libserver.server`, `eventloop.listener`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from eventloop import Address
from eventloop.quiesce import refuse_new

from .limits import ServerLimits, raise_descriptor_limit
from .listeners import Bound, listen
from .pool import HandlerPool

__all__ = ["System"]


def open_reserve() -> int:
    """A descriptor to be given up when there is no other (`eventloop.listener`)."""
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


class System(NamedTuple):
    """The real one, unless told otherwise.

    `listen` gives what it has bound, `raise_descriptor_limit` how many descriptors there may be,
    `pool(threads, hand_back)` what runs blocking handlers; `refuse_new` has a listening socket begin no
    further connection (`eventloop.quiesce`).
    """

    listen: Callable[[Address, ServerLimits], list[Bound]] = listen
    raise_descriptor_limit: Callable[[], int] = raise_descriptor_limit
    open_reserve: Callable[[], int] = open_reserve
    close_reserve: Callable[[int], None] = os.close
    pool: Callable[[int, Callable[..., None]], HandlerPool] = HandlerPool
    refuse_new: Callable[[Any], float] = refuse_new
