"""What would a million connections take?

Arithmetic on measured figures, for servers like this one, each process with its descriptor limit.
Nothing here was tried: it says where the limits would be met first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Million", "million"]

CONNECTIONS = 1_000_000
#: Descriptors that the server keeps back (`libserver.limits`).
KEPT_BACK = 32
#: Ports that Linux gives out by default, 32768 to 60999, for each pair of client address and server port.
PORTS_PER_ADDRESS = 28_232


@dataclass(frozen=True)
class Million:
    """Bytes for all of them; processes and client addresses needed; seconds to accept them in one process."""

    python_bytes: float
    kernel_bytes: float
    processes: int
    accept_seconds: float
    client_addresses: int


def million(
    resident_per_connection: float, kernel_per_connection: float, accept_rate: float, descriptor_limit: int
) -> Million:
    """`kernel_per_connection` is the server's end alone; `descriptor_limit` that of one process."""
    return Million(
        python_bytes=CONNECTIONS * resident_per_connection,
        kernel_bytes=CONNECTIONS * kernel_per_connection,
        processes=math.ceil(CONNECTIONS / max(1, descriptor_limit - KEPT_BACK)),
        accept_seconds=CONNECTIONS / accept_rate,
        client_addresses=math.ceil(CONNECTIONS / PORTS_PER_ADDRESS),
    )
