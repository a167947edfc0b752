"""What does the kernel hold for connections, and what of it can be read here?

Linux' own figures: /proc/net/sockstat counts sockets and the pages of their buffers, /proc/meminfo
the memory of all slabs, /proc/slabinfo (root only, often) the size of each kind of object, /proc/net/tcp
the queues of each connection.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["PER_CONNECTION", "Kernel", "object_sizes", "unread_bytes"]

#: What one established connection costs its end of the kernel: the socket, its inode, the file, its
#: directory entry, and its place in an epoll set.
PER_CONNECTION = ("TCP", "sock_inode_cache", "filp", "dentry", "eventpoll_epi")

#: A state of a connection, as /proc/net/tcp has it.
ESTABLISHED = "01"


class Kernel:
    """A reading; subtract an earlier one. Bytes of slabs and of socket buffers, and TCP sockets in use."""

    def __init__(self) -> None:
        self.slab = _meminfo("Slab:")
        tcp = _sockstat()
        self.sockets = tcp.get("inuse", 0)
        self.buffers = tcp.get("mem", 0) * os.sysconf("SC_PAGESIZE")

    def since(self, before: Kernel) -> dict[str, int]:
        return {
            "slab_bytes": self.slab - before.slab,
            "buffer_bytes": self.buffers - before.buffers,
            "sockets": self.sockets - before.sockets,
        }


def _meminfo(name: str) -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _sockstat() -> dict[str, int]:
    try:
        for line in Path("/proc/net/sockstat").read_text().splitlines():
            if line.startswith("TCP:"):
                words = line.split()[1:]
                return {name: int(count) for name, count in zip(words[::2], words[1::2], strict=True)}
    except OSError:
        pass
    return {}


def object_sizes() -> dict[str, int]:
    """Bytes of each of `PER_CONNECTION`'s objects; empty where /proc/slabinfo can't be read."""
    sizes = {}
    try:
        for line in Path("/proc/slabinfo").read_text().splitlines():
            words = line.split()
            if words and words[0] in PER_CONNECTION:
                sizes[words[0]] = int(words[3])
    except OSError:
        pass
    return sizes


def unread_bytes(port: int) -> int:
    """What the server on `port` has sent to clients on this machine and they have not read, on all connections.

    What has arrived and is not yet acknowledged, a delayed acknowledgement's time, counts twice.
    """
    unread = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        local, remote = (int(word.rpartition(":")[2], 16) for word in words[1:3])
        unsent, unread_here = (int(word, 16) for word in words[4].split(":"))
        if words[3] == ESTABLISHED and local == port:
            unread += unsent
        elif words[3] == ESTABLISHED and remote == port:
            unread += unread_here
    return unread
