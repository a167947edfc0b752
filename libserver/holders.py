"""Who holds this port?

On Linux /proc says: the listening sockets with their inodes, and each process's open
descriptors. What the system does not tell (another user's process, another system) is simply
not said. Stands for `ss -ltnp` where nothing is installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from eventloop import Address
from eventloop.addresses import ECHO_UDP, UNIX

__all__ = ["who_listens_on"]

_LISTEN = "0A"  # of /proc/net/tcp's column st


def who_listens_on(address: Address, proc: Path = Path("/proc")) -> str:
    """` by process 123 (python3 app_server.py)`, or an empty string if the system does not tell."""
    try:
        inodes = set(_unix_inodes(address.path, proc) if address.scheme == UNIX else _inet_inodes(address, proc))
        return _name(inodes, proc) if inodes else ""
    except (OSError, ValueError, IndexError):
        return ""


def _inet_inodes(address: Address, proc: Path) -> Iterator[str]:
    tables = ("udp", "udp6") if address.scheme == ECHO_UDP else ("tcp", "tcp6")
    for table in tables:
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            port = int(columns[1].rpartition(":")[2], 16)
            if port == address.port and (columns[3] == _LISTEN or address.scheme == ECHO_UDP):
                yield columns[9]


def _unix_inodes(path: str, proc: Path) -> Iterator[str]:
    for line in (proc / "net" / "unix").read_text().splitlines()[1:]:
        columns = line.split(maxsplit=7)
        if len(columns) == 8 and columns[7] == path:
            yield columns[6]


def _name(inodes: set[str], proc: Path) -> str:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for directory in proc.iterdir():
        if not directory.name.isdigit():
            continue
        try:
            if any(os.readlink(link) in wanted for link in (directory / "fd").iterdir()):
                words = (directory / "cmdline").read_bytes().split(b"\0")
                command = b" ".join(words).decode(errors="replace").strip()
                return f" by process {directory.name} ({command[:80]})"
        except OSError:
            continue  # it has gone, or is somebody else's
    return ""
