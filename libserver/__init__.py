"""The message server: many connections, one thread, one loop.

    from libserver import Actions, Server

Start reading at `libserver.message`, then `libserver.server`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .action_error import ActionError
    from .actions import Actions, BinaryReply, Reply
    from .chat import add_chat
    from .limits import ServerLimits
    from .listeners import CannotListen
    from .message import Message
    from .reasons import CloseReason
    from .server import Server
    from .session import Session
    from .topics import Receipt, Topics

__all__ = [
    "ActionError",
    "Actions",
    "BinaryReply",
    "CannotListen",
    "CloseReason",
    "Message",
    "Receipt",
    "Reply",
    "Server",
    "ServerLimits",
    "Session",
    "Topics",
    "add_chat",
]

#: Each imports those before it at most. None is imported before it is asked for: `--help` needs none.
_MODULES = (
    "reasons",
    "limits",
    "listeners",
    "session",
    "action_error",
    "actions",
    "topics",
    "message",
    "server",
    "chat",
)


def __getattr__(name: str) -> object:
    """One of the names above, when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    homes = (import_module(f".{module}", __name__) for module in _MODULES)
    value = globals()[name] = next(getattr(home, name) for home in homes if hasattr(home, name))
    return value
