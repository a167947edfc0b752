"""The client side: one `Message` per outgoing connection, many of them on one loop.

    with Client("127.0.0.1:65432") as c:
        print(c.request("search", "morpheus"))

Start reading at `libclient.client`; below it `libclient.pool`, and `libclient.message` at the bottom.
"""

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
from .message import Message
from .outgoing import Outgoing, action_request, json_request
from .owner import Ending, Owner, Pair, Shared
from .pool import Pool
from .reasons import EndReason

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
    "Message",
    "NoDescriptors",
    "NoPermission",
    "NoPorts",
    "NoSuchSocket",
    "Outgoing",
    "Owner",
    "Pair",
    "Pool",
    "Refused",
    "ReplyTimeout",
    "Shared",
    "UnknownHost",
    "Unreachable",
    "action_request",
    "json_request",
]
