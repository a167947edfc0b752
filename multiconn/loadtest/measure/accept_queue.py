"""Did connections wait because the server's accept queue was full?

A listening socket keeps the connections that are made and not accepted yet. When they are more than its backlog, Linux
drops the next SYN without a word, and the client's kernel sends it again: after 1 s, and then at whole seconds
(tcp(7), `tcp_syn_retries`, `tcp_syn_linear_timeouts`). So a connection that took a little more than a whole number
of seconds was not slow: it was not heard. Nothing else gathers there.

Where the server is on this machine the kernel's own count tells (`nstat TcpExtListenOverflows`). It is one for all
listening sockets, so it alone proves nothing about ours.

Not here: what follows (`judge.verdict`).
"""

from __future__ import annotations

from pathlib import Path

from .histogram import Histogram, bounds_of

__all__ = ["listen_overflows", "retried"]

_SECOND = 1_000_000_000

#: How far behind the whole second a connection may be: the way there and back, and a kernel that is late.
_WITHIN = 100_000_000

_NETSTAT = Path("/proc/net/netstat")


def listen_overflows(netstat: Path = _NETSTAT) -> int | None:
    """How often a listening socket of this machine had no room for a connection since it started; None if unknown."""
    try:
        names, values = [line.split() for line in netstat.read_text().splitlines() if line.startswith("TcpExt:")]
        return int(values[names.index("ListenOverflows")])
    except (OSError, ValueError, IndexError):
        return None


def retried(connect: Histogram) -> int:
    """How many connections took as long as a SYN that was sent again; 0 if slow ones took any time."""
    slow = again = 0
    for index, times in connect.counts.items():
        low, high = bounds_of(index)
        if high >= _SECOND:
            slow += times
            if high % _SECOND < _WITHIN or low % _SECOND < _WITHIN:
                again += times
    return again if 2 * again > slow else 0
