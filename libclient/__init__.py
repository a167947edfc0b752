"""The client side: one `Message` per outgoing connection, many of them on one loop.

Start reading at `libclient.message`.
"""

from .message import Ending, Message, Owner, Pair, Shared
from .outgoing import Outgoing, action_request, json_request
from .reasons import EndReason

__all__ = [
    "EndReason",
    "Ending",
    "Message",
    "Outgoing",
    "Owner",
    "Pair",
    "Shared",
    "action_request",
    "json_request",
]
