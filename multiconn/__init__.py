"""The one name of ours that collides with nobody's: what a script or an application imports.

    from multiconn import Client                     # libclient.Client
    from multiconn import ActionError, Actions       # of libserver

It gives the public names of `libclient` and `libserver`, the very same objects, and works where those
two can't be imported: beside the tutorial's own `libclient.py` and `libserver.py` (see
`multiconn.parts`). A name is fetched when it is first asked for: `import multiconn` costs nothing, and
a client never loads the server.

Not here: anything of its own. `Message` is not among the names, since there are two: one accepted
connection (`libserver.Message`) and one outgoing (`libclient.Message`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .parts import part

if TYPE_CHECKING:
    from libclient import (
        Answer,
        Backoff,
        BadReply,
        Call,
        Client,
        ClosedEarly,
        ClosedMidMessage,
        ConnectionFailed,
        ConnectionReset,
        ConnectTimeout,
        Ending,
        EndReason,
        ErrorReply,
        NoDescriptors,
        NoPermission,
        NoPorts,
        NoSuchSocket,
        Outgoing,
        Owner,
        Pair,
        Pool,
        Refused,
        ReplyTimeout,
        Shared,
        UnknownHost,
        Unreachable,
        action_request,
        json_request,
    )
    from libserver import (
        ActionError,
        Actions,
        BinaryReply,
        CannotListen,
        CloseReason,
        Reply,
        Server,
        ServerLimits,
        Session,
    )
    from protocol import Limits

__all__ = [
    "ActionError",
    "Actions",
    "Answer",
    "Backoff",
    "BadReply",
    "BinaryReply",
    "Call",
    "CannotListen",
    "Client",
    "CloseReason",
    "ClosedEarly",
    "ClosedMidMessage",
    "ConnectTimeout",
    "ConnectionFailed",
    "ConnectionReset",
    "EndReason",
    "Ending",
    "ErrorReply",
    "Limits",
    "NoDescriptors",
    "NoPermission",
    "NoPorts",
    "NoSuchSocket",
    "Outgoing",
    "Owner",
    "Pair",
    "Pool",
    "Refused",
    "Reply",
    "ReplyTimeout",
    "Server",
    "ServerLimits",
    "Session",
    "Shared",
    "UnknownHost",
    "Unreachable",
    "action_request",
    "json_request",
]

_OF_SERVER = {
    "ActionError",
    "Actions",
    "BinaryReply",
    "CannotListen",
    "CloseReason",
    "Reply",
    "Server",
    "ServerLimits",
    "Session",
}
_OF_PROTOCOL = {"Limits"}


def __getattr__(name: str) -> object:
    """PEP 562: what is asked for the first time."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "libserver" if name in _OF_SERVER else "protocol" if name in _OF_PROTOCOL else "libclient"
    value: object = getattr(part(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
