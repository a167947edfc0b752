"""Does accepting stay steady up to as many connections as one process may have?

Connections come at a steady rate, each asks once, is served, and stays. For each slice of them:
what one costs the server, how long it waited, and how the server has grown; then what the kernel
holds for all of them. Both ends are on this machine, so the kernel's growth is for two sockets
per connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.crowd import Crowd
from benchmarks.kernel import Kernel
from benchmarks.peers import Peer
from benchmarks.processes import ServerProcess, resident_bytes

__all__ = ["Accepted", "Slice", "accept_many"]

HOST = "127.0.0.1"
SLICES = 19


@dataclass(frozen=True)
class Slice:
    """Up to `connections` open: microseconds from connect to reply, server CPU per connection."""

    connections: int
    cpu_us: float
    median_us: float
    slowest_us: float


@dataclass(frozen=True)
class Accepted:
    """All of them. Bytes are per connection; `kernel_bytes` for both ends (slabs and socket buffers)."""

    connections: int
    seconds: float
    slices: list[Slice]
    resident_bytes: float
    kernel_bytes: float

    @property
    def rate(self) -> float:
        return self.connections / self.seconds


def accept_many(peer: Peer, connections: int, rate: float, core: int, say: Callable[[str], None]) -> Accepted:
    """Raises `CannotStart`, or `CrowdFailed` if not every one is served."""
    with ServerProcess(peer.command_line(HOST, 0, *peer.room_for(connections)), core) as server:
        with Crowd(server.port) as warm_up:
            warm_up.open(10)
        kernel, resident = Kernel(), resident_bytes(server.pid)
        slices = []
        seconds = 0.0
        with Crowd(server.port) as crowd:
            for number in range(1, SLICES + 1):
                say(f"accepting: {len(crowd)} of {connections} connections")
                count = connections * number // SLICES - len(crowd)
                before = server.cpu_seconds()
                took, spent = crowd.open(count, rate), server.cpu_seconds() - before
                seconds += crowd.seconds
                slices.append(Slice(len(crowd), spent / count * 1e6, median(took) * 1e6, max(took) * 1e6))
            grown = resident_bytes(server.pid) - resident
            held = Kernel().since(kernel)
    return Accepted(
        connections,
        seconds,
        slices,
        grown / connections,
        (held["slab_bytes"] + held["buffer_bytes"]) / connections,
    )
