"""Why did one of our connections end?

One closed set: every `Message` ends with exactly one of these, the first cause winning. Which
sentence a person reads about it is decided in `libclient.connect` and `libclient.client`.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["EndReason"]


class EndReason(Enum):
    """The value is the word that stands in a log."""

    NOT_CONNECTED = "not-connected"  #: every address failed; `Ending.errors` has one error for each
    ONE_SHOT = "one-shot"  #: the reply came and keep-alive was not granted: a success
    LAST_REPLY = "last-reply"  #: the peer said `close` with its last reply
    PEER_CLOSED = "peer-closed"  #: the peer finished between messages
    TRUNCATED = "truncated"  #: the peer finished inside a message
    RESET = "reset"  #: the peer reset, or the network broke; `Ending.errors` says how
    BAD_FRAMING = "bad-framing"  #: a reply whose frame can't be trusted
    MISMATCH = "mismatch"  #: a reply to nothing that was asked, or with another request's id
    REFUSED = "refused"  #: the peer sent an error before anything was asked, such as `overloaded`
    REPLY_TIMEOUT = "reply-timeout"  #: a reply did not come, or not whole, in time
    DONE = "done"  #: closed by us, with everything answered that was sent
    ABORTED = "aborted"  #: cut by us
