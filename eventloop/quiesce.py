"""How does a listener stop without losing connections that the kernel has already made?

The kernel establishes a connection, which waits in the listener's queue until the server accepts it.
Closing the listener resets all connections that wait there, and every unfinished handshake. So there
are three steps, of which `Listener.finish` is the last two:

    refuse_new   no new handshake begins: those under way come into the queue within the time that it
                 returns
    accept       until the queue is empty
    close

`refuse_new` makes the end exact where the system lets it:

* TCP on Linux: a filter drops the SYN of a new connection. The client sends it again after a
  second, and then finds a successor, another server of the same port (SO_REUSEPORT), or no
  server. Refusing at once would be a RST, which a client takes for an answer.
* UNIX sockets: the kernel refuses `connect` from then on, and the server can still accept the queue.

Elsewhere it does nothing, and a connection made between the last accept and the close is lost.

Not here: when that happens (`libserver.server`), accepting (`eventloop.listener`).
The filter is Eric Dumazet's answer to "tcp: Allow to drain listening sockets" (netdev, 2016).
"""

from __future__ import annotations

import array
import contextlib
import socket
import sys
from typing import Any

__all__ = ["HANDSHAKE", "refuse_new"]

#: Seconds that a handshake needs which has begun: on one machine 20 microseconds, within a data centre less
#: than this. While we wait for longer ones, newcomers wait for a second: so no longer than needed.
HANDSHAKE = 0.005

#: asm-generic/socket.h; Python has no name for it.
_SO_ATTACH_FILTER = 26

#: Classic BPF over the TCP header: "SYN without ACK? then 0 bytes of it are kept, else all."
_NO_SYN = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # of them SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # keep
)


def refuse_new(sock: Any) -> float:
    """Let no further connection begin on this listening socket; begun ones can still be accepted.

    Returns the seconds after which all have come: 0 for a UNIX socket, which the caller must finish at
    once (it stays readable for ever), and where the system has no such means. A connection that
    is made afterwards inherits the filter, which no packet of an established connection meets.
    """
    with contextlib.suppress(OSError):
        if sock.family == getattr(socket, "AF_UNIX", None):
            sock.shutdown(socket.SHUT_RD)
        elif sys.platform == "linux":
            program = array.array("B", b"".join(_step(*step) for step in _NO_SYN))
            pointer = 8 if sys.maxsize > 2**32 else 4
            length = len(_NO_SYN).to_bytes(2, sys.byteorder).ljust(pointer, b"\0")
            address = program.buffer_info()[0].to_bytes(pointer, sys.byteorder)
            sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, length + address)  # struct sock_fprog
            return HANDSHAKE
    return 0.0


def _step(code: int, if_true: int, if_false: int, value: int) -> bytes:
    """One instruction: struct sock_filter."""
    return code.to_bytes(2, sys.byteorder) + bytes((if_true, if_false)) + value.to_bytes(4, sys.byteorder)
