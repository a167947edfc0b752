"""Why did a connection end?

One closed set, shared by the log, the counters and the trace: every connection ends with
exactly one of these, the first cause winning.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["CloseReason"]


class CloseReason(Enum):
    """The value is the word that stands in the log."""

    SERVED = "served"  #: one-shot or `close`: the last reply left
    PEER_CLOSED = "peer-closed"  #: the peer finished between messages
    TRUNCATED = "truncated"  #: the peer finished inside a message
    RESET = "reset"  #: the peer reset, or the network broke
    BAD_FRAMING = "bad-framing"  #: bad-header, header-too-large, content-too-large
    HEADER_TIMEOUT = "header-timeout"
    CONTENT_TIMEOUT = "content-timeout"
    IDLE_TIMEOUT = "idle-timeout"
    SEND_TIMEOUT = "send-timeout"
    OUTPUT_LIMIT = "output-limit"
    OVERLOADED = "overloaded"  #: one connection too many
    SHUTDOWN = "shutdown"  #: drained
    CUT = "cut"  #: still busy at the drain timeout, or at a second signal
    INTERNAL_ERROR = "internal-error"  #: a bug of ours; the log has the traceback

    # One object each, so identity will do; Enum's own hash is a Python call per closed connection.
    __hash__ = object.__hash__
