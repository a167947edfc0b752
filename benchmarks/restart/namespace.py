"""A network of its own, in which the kernel hands the accept queue on.

With net.ipv4.tcp_migrate_req=1 (Linux 5.14) what waits in the accept queue of a listening socket that is
closed goes to another one of the same SO_REUSEPORT group, instead of being reset. The setting is
the whole network namespace's; so that no other process's changes, it makes a new one, which ends with
the processes in it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cannot_migrate", "migrating"]

MIGRATE = Path("/proc/sys/net/ipv4/tcp_migrate_req")
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def cannot_migrate() -> str | None:
    """Why there can't be such a network here, or None."""
    if not MIGRATE.exists():
        return "this kernel has no net.ipv4.tcp_migrate_req (Linux 5.14 and newer have it)"
    if os.geteuid() != 0:
        return "only root may make a network namespace, and set net.ipv4.tcp_migrate_req in it"
    return None


@contextmanager
def migrating() -> Iterator[None]:
    """What this thread makes in here, sockets, processes and threads, is in that network. Raises `OSError`."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/self/task/{threading.get_native_id()}/ns/net", "rb") as before:
        _must(libc.unshare(_CLONE_NEWNET))
        try:
            _bring_up("lo")
            MIGRATE.write_text("1")
            yield
        finally:
            _must(libc.setns(before.fileno(), _CLONE_NEWNET))


def _must(code: int) -> None:
    if code:
        error = ctypes.get_errno()
        raise OSError(error, f"{os.strerror(error)}: no network namespace can be made")


def _bring_up(interface: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", interface.encode(), 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", interface.encode(), flags | _IFF_UP))
