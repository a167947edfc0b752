"""From which address of ours does a connection go?

Rules:

* A source address reaches only the target's addresses of its own family.
* The kernel is asked to choose the port when it connects, not when it binds: then two connections to different servers
  may share one.

Not here: the turns (`engine.slots`), whether it is an address of this machine (`engine.preflight`).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from eventloop import Endpoint
from eventloop.addresses import numeric_sockaddr
from eventloop.connector import open_socket

__all__ = ["bound_endpoints", "open_bound_socket"]

#: Linux' IP_BIND_ADDRESS_NO_PORT, which Python's socket module does not name.
_BIND_WITHOUT_PORT = 24


def bound_endpoints(endpoints: Sequence[Endpoint], sources: Sequence[str]) -> list[list[Endpoint]]:
    """The endpoints that each source address reaches: only endpoints of its own family."""
    if not sources:
        return [list(endpoints)]
    choices = []
    for source in sources:
        family, sockaddr = numeric_sockaddr(source)
        mine = [e._replace(source=sockaddr) for e in endpoints if e.family == family]
        if not mine:
            raise ValueError(f"--source-ip {source}: the target has no address of that family; leave it out")
        choices.append(mine)
    return choices


def open_bound_socket(endpoint: Endpoint) -> Any:
    """As `open_socket`, for a socket that is bound to an address before it connects."""
    sock = open_socket(endpoint)
    if endpoint.source is not None:
        try:
            sock.setsockopt(socket.IPPROTO_IP, _BIND_WITHOUT_PORT, 1)
        except OSError:
            pass  # not Linux: the port is chosen when it binds
    return sock
