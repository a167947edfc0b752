"""What does the kernel hold for connections, and what of it can be read here?

Linux' own figures: /proc/net/sockstat counts sockets and the pages of their buffers, /proc/meminfo
the memory of all slabs, /proc/slabinfo (root only, often) the size of each kind of object.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["PER_CONNECTION", "Kernel", "object_sizes"]

#: What one established connection costs its end of the kernel: the socket, its inode, the file, its
#: directory entry, and its place in an epoll set.
PER_CONNECTION = ("TCP", "sock_inode_cache", "filp", "dentry", "eventpoll_epi")


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
