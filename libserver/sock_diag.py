"""Which TCP sockets are bound to a port, and neither listen nor are connected?

They hold it as well as any other, and /proc/net/tcp has no line for them. Linux tells of them since 6.8, by
the netlink interface that `ss --bound-inactive` uses (sock_diag(7)). Where there is none, none are found.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

__all__ = ["bound_sockets"]

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST_ALL = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_BOUND_INACTIVE = 1 << 13  # of states: TCP_BOUND_INACTIVE

_HEAD = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ASK = struct.Struct("=BBBxI48x")  # inet_diag_req_v2: family, protocol, extensions, states, no socket in particular
_TELL = struct.Struct("=BxxxHxx16s")  # inet_diag_msg: family, source port (sent big-endian), source address
_PORT = struct.Struct(">4xH")
_INODE = struct.Struct("=I")
_INODE_AT = 68

#: Answers read at the most: the kernel says when it is done, this is for one that does not.
_MOST_ANSWERS = 10_000


def bound_sockets() -> Iterator[tuple[bytes, int, str]]:
    """Address (packed), port and inode of each."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as asked:
            asked.settimeout(1.0)
            for family in (socket.AF_INET, socket.AF_INET6):
                request = _ASK.pack(family, socket.IPPROTO_TCP, 0, _BOUND_INACTIVE)
                asked.send(_HEAD.pack(_HEAD.size + len(request), _BY_FAMILY, _REQUEST_ALL, family, 0) + request)
                yield from _answers(asked)
    except (AttributeError, OSError, struct.error):
        return  # not Linux, or not allowed


def _answers(asked: socket.socket) -> Iterator[tuple[bytes, int, str]]:
    for _ in range(_MOST_ANSWERS):
        data = asked.recv(1 << 16)
        while len(data) >= _HEAD.size:
            length, kind, _, _, _ = _HEAD.unpack_from(data)
            if kind in (_ERROR, _DONE) or length < _HEAD.size:
                return
            one, data = data[_HEAD.size : length], data[(length + 3) & ~3 :]
            family, _, host = _TELL.unpack_from(one)
            yield (
                host[:4] if family == socket.AF_INET else host,
                _PORT.unpack_from(one)[0],
                str(_INODE.unpack_from(one, _INODE_AT)[0]),
            )
