"""How many bytes has a connection carried, and who was its peer, when it is already closed?

The kernel counts a TCP connection's bytes anyway (tcp_info, Linux 4.19 and later), so nothing here
counts them: it is asked when a line of the log is really written. A socket can't be asked any more
once it is closed; where the log has a line for each close, it is a `Remembering` one, which asks
then. A UNIX socket keeps no such count: its lines go without.

Not here: the lines (`libserver.server`).
"""

from __future__ import annotations

import socket
import struct
from typing import Any

__all__ = ["Remembering", "volume"]

#: Offsets in struct tcp_info (linux/tcp.h): the state, bytes_received, bytes_sent and bytes_retrans.
_STATE, _RECEIVED, _SENT = 0, 128, 200
_SIZE = 216
_TWO = struct.Struct("=QQ")
_ONE = struct.Struct("=Q")

#: The states in which the peer's FIN has come, which bytes_received counts for a byte: TIME_WAIT,
#: CLOSE_WAIT, LAST_ACK and CLOSING; and CLOSE, which is also that of one that was reset.
_HAS_FIN = frozenset({6, 8, 9, 11})
_CLOSE = 7

_TCP_INFO = getattr(socket, "TCP_INFO", None)


def volume(sock: Any, was_reset: bool = True) -> dict[str, object]:
    """`received` and `sent`, in bytes of messages; nothing where the system does not tell."""
    info = sock.told if isinstance(sock, Remembering) and sock.told is not None else _ask(sock)
    if len(info) < _SIZE:
        return {}
    (received,) = _ONE.unpack_from(info, _RECEIVED)
    sent, again = _TWO.unpack_from(info, _SENT)
    state = info[_STATE]
    fin = state in _HAS_FIN or (state == _CLOSE and not was_reset)
    return {"received": max(0, received - fin), "sent": sent - again}


def _ask(sock: Any) -> bytes:
    if _TCP_INFO is None or not isinstance(sock, socket.socket):  # a recorder's, a test's
        return b""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _SIZE)
    except OSError:  # a UNIX socket, or a closed one
        return b""


class Remembering(socket.socket):
    """A socket that tells who its peer was, and what it carried, also after it is closed."""

    __slots__ = ("peer", "told")

    def __init__(self, accepted: socket.socket, peer: Any) -> None:
        """Takes over the accepted socket's descriptor."""
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.setblocking(False)
        self.peer = peer
        self.told: bytes | None = None

    def getpeername(self) -> Any:
        return self.peer

    def close(self) -> None:
        if self.told is None:
            self.told = _ask(self)
        super().close()
