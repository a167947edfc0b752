"""How long, how many, how fast, and with which limits is the server started?

The server's timeouts are shortened, so that a minute of soak reaches each of them many times. The
sizes are lowered, so that one peer of a modest machine can reach them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

__all__ = ["HOST", "KIB", "Settings"]

HOST = "127.0.0.1"
KIB = 1024


@dataclass(frozen=True)
class Settings:
    """Seconds and bytes. `timeout` is the server's for headers, contents and sending; idling may last twice that."""

    quiet: float
    chaos: float
    idle: float = 1.5  #: over which the run takes the server's CPU time when all peers are gone
    patience: float = 12.0  #: after which what is still open counts as lost: lingering may last for 5
    seed: int = 1
    timeout: float = 1.0
    rate: float = 100.0  #: good requests a second on kept-alive connections
    newcomers: float = 5.0  #: good one-shot requests a second, each on a connection of its own
    connections: int = 8  #: kept alive by the good traffic
    of_each: int = 4  #: bad peers of each kind at once
    max_connections: int = 160
    max_header: int = 8 * KIB
    max_content: int = 2048 * KIB
    output_limit: int = 1024 * KIB
    server: tuple[str, ...] = (sys.executable, "app_server.py")  #: what is started

    @classmethod
    def lasting(cls, seconds: float, seed: int) -> Settings:
        """A fifth of the time, at most a minute, is quiet."""
        quiet = min(60.0, seconds / 5)
        return cls(quiet, seconds - quiet, seed=seed)

    @property
    def idle_timeout(self) -> float:
        return 2 * self.timeout

    def command_line(self) -> list[str]:
        """The server on a free port, with its limits in reach."""
        limits = {
            "--max-connections": self.max_connections,
            "--max-header": self.max_header,
            "--max-content": self.max_content,
            "--output-limit": self.output_limit,
            "--header-timeout": f"{round(self.timeout * 1000)}ms",
            "--content-timeout": f"{round(self.timeout * 1000)}ms",
            "--send-timeout": f"{round(self.timeout * 1000)}ms",
            "--idle-timeout": f"{round(self.idle_timeout * 1000)}ms",
        }
        options = [text for name, value in limits.items() for text in (name, str(value))]
        return [*self.server, HOST, "0", *options]
