"""The message server: many connections, one thread, one loop.

    from libserver import Actions, Server

Start reading at `libserver.message`, then `libserver.server`.
"""

from .actions import ActionError, Actions, BinaryReply, Reply
from .limits import ServerLimits
from .listeners import CannotListen
from .message import Message
from .reasons import CloseReason
from .server import Server
from .session import Session

__all__ = [
    "ActionError",
    "Actions",
    "BinaryReply",
    "CannotListen",
    "CloseReason",
    "Message",
    "Reply",
    "Server",
    "ServerLimits",
    "Session",
]
