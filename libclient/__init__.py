"""The client side: one `Message` per outgoing connection, many of them on one loop.

    with Client("127.0.0.1:65432") as c:
        print(c.request("search", "morpheus"))

Start reading at `libclient.client`; below it `libclient.pool`, and `libclient.message` at the bottom.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .call import Backoff, Call
    from .client import Answer, Client
    from .errors import (
        BadReply,
        ClosedEarly,
        ClosedMidMessage,
        ConnectionFailed,
        ConnectionReset,
        ConnectTimeout,
        ErrorReply,
        NoDescriptors,
        NoPermission,
        NoPorts,
        NoSuchSocket,
        Refused,
        ReplyTimeout,
        UnknownHost,
        Unreachable,
    )
    from .message import Message, Owner
    from .outgoing import Outgoing, action_request, json_request
    from .owner import Ending, Pair, Shared
    from .pool import Pool
    from .reasons import EndReason
    from .subscriptions import Gap, Published, Subscription

__all__ = [
    "Answer",
    "Backoff",
    "BadReply",
    "Call",
    "Client",
    "ClosedEarly",
    "ClosedMidMessage",
    "ConnectTimeout",
    "ConnectionFailed",
    "ConnectionReset",
    "EndReason",
    "Ending",
    "ErrorReply",
    "Gap",
    "Message",
    "NoDescriptors",
    "NoPermission",
    "NoPorts",
    "NoSuchSocket",
    "Outgoing",
    "Owner",
    "Pair",
    "Pool",
    "Published",
    "Refused",
    "ReplyTimeout",
    "Shared",
    "Subscription",
    "UnknownHost",
    "Unreachable",
    "action_request",
    "json_request",
]

#: Each imports those before it at most. To import them all takes as long as ten requests, and a command that
#: sends one needs a part of them.
_MODULES = ("errors", "reasons", "outgoing", "call", "owner", "message", "pool", "client", "subscriptions")


def __getattr__(name: str) -> object:
    """One of the names above, when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    homes = (import_module(f".{module}", __name__) for module in _MODULES)
    value = globals()[name] = next(getattr(home, name) for home in homes if hasattr(home, name))
    return value
