"""What do several server processes on one port bring?

With `--reuse-port` the kernel deals new connections out among the processes that listen. Measured:
how evenly it does so, and the throughput of all together. They are spread over every core but the
generator's: where that is one core, they can only share it, and nothing is to be gained but the
proof that it works.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.crowd import Crowd
from benchmarks.loads import LOADS
from benchmarks.peers import PEERS
from benchmarks.processes import ServerProcess
from benchmarks.requests import pack
from benchmarks.visit import Settings, visit

__all__ = ["Group", "Shared", "share_port"]

HOST = "127.0.0.1"
LOAD = LOADS["64x1-mixed"]
DEALT = 2000  # connections whose distribution is counted


@dataclass(frozen=True)
class Shared:
    """`fewest` and `most`: connections of one process, of `DEALT` in all."""

    processes: int
    cores: int
    fewest: int
    most: int
    rate: float
    cpu_us: float
    broken: str


class Group:
    """Several servers on one port, visited as one."""

    def __init__(self, servers: Sequence[ServerProcess]) -> None:
        self.servers = servers
        self.port = servers[0].port

    @property
    def ended(self) -> bool:
        return any(server.ended for server in self.servers)

    def said(self) -> str:
        return "\n".join(server.said() for server in self.servers)

    def cpu_seconds(self) -> float:
        return sum(server.cpu_seconds() for server in self.servers)


def share_port(count: int, settings: Settings, say: Callable[[str], None]) -> Shared:
    """`count` of the project's servers. Raises `CannotStart` or `CrowdFailed`."""
    say(f"sharing: {count} processes on one port")
    cores = sorted(os.sched_getaffinity(0) - {settings.generator_core}) or [settings.server_core]
    ours = PEERS["ours"]
    with ExitStack() as alive, tempfile.TemporaryDirectory(prefix="multiconn-benchmarks-") as directory:
        servers: list[ServerProcess] = []
        for number in range(count):
            port = servers[0].port if servers else 0
            command = ours.command_line(HOST, port, "--reuse-port")
            servers.append(alive.enter_context(ServerProcess(command, cores[number % len(cores)])))
        before = [_descriptors(server) for server in servers]
        with Crowd(servers[0].port) as crowd:
            crowd.open(DEALT)
            dealt = [_descriptors(server) - had for server, had in zip(servers, before, strict=True)]
        requests = Path(directory) / LOAD.name
        requests.write_bytes(pack(LOAD.variants()))
        result = visit(Group(servers), LOAD, "ours", 0, requests, settings)
    return Shared(count, min(count, len(cores)), min(dealt), max(dealt), result.rate, result.cpu_us, result.broken)


def _descriptors(server: ServerProcess) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))
