"""What does the server take of this machine?

A server on the same machine competes with its load generator. Its address says whether it
does; the kernel tells its processor time only if it is our own child (`process.child`).
So the verdict can say whether a generator at its limit met a server that waited for it, or one that
was at its own.

`ServerCpuMonitor` looks at the end of each interval, and the intervals of the measured window are what it adds up.

Rules:

* The first thread's time is the server's: ours has one that serves.
* The server asks again some times before it sleeps (`eventloop.busy_poller`), so it may seem a little busier
  than it is, never less busy.
* Only loopback and UNIX sockets are this machine for certain. An address of ours on the network is too;
  then the advice to use another machine comes a little late, and nothing worse.

Not here: the generator's own share (`measure.gauges`), what follows (`judge.verdict`).
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path

from eventloop import Endpoint

from .intervals import MEASURING, Interval

__all__ = ["ServerCpuMonitor", "is_local", "usable_cores"]


def is_local(endpoint: Endpoint) -> bool:
    """Is the other end on this machine for certain?"""
    if endpoint.family == socket.AF_UNIX:
        return True
    try:
        return ipaddress.ip_address(str(endpoint.sockaddr[0]).partition("%")[0]).is_loopback
    except ValueError:
        return False


def usable_cores() -> int:
    """On how many cores this process may run; 0 where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 0


class ServerCpuMonitor:
    """`cpu` is the process's share of a core over the measured window, None while it is not known."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        self._schedstat = proc / str(pid) / "schedstat"
        self._last = self._ran()
        self._spent = self._seconds = 0.0

    def _ran(self) -> float | None:
        """Seconds that it ran so far."""
        try:
            return int(self._schedstat.read_text().split()[0]) / 1e9
        except (OSError, ValueError, IndexError):
            return None  # not Linux, or it has ended

    @property
    def cpu(self) -> float | None:
        return self._spent / self._seconds if self._seconds > 0 else None

    def interval(self, interval: Interval) -> None:
        last, self._last = self._last, self._ran()
        if interval.phase == MEASURING and last is not None and self._last is not None:
            self._spent += self._last - last
            self._seconds += interval.seconds
