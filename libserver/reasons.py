"""Why did a connection end?

One closed set, shared by the log, the counters and the trace: every connection ends with
exactly one of these, the first cause winning. One IN_GOOD_ORDER counts only if it was reached:
a one-shot whose reply could not be sent was not served.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["IN_GOOD_ORDER", "CloseReason"]


class CloseReason(Enum):
    """The value is the word that stands in the log."""

    SERVED = "served"  #: one-shot or `close`: the last reply left
    PEER_CLOSED = "peer-closed"  #: the peer finished between messages
    SILENT = "silent"  #: the peer went, in whatever way, without having sent a byte: a health check, a scan
    TRUNCATED = "truncated"  #: the peer finished inside a message
    RESET = "reset"  #: the peer reset, or the network broke
    BAD_FRAMING = "bad-framing"  #: bad-header, header-too-large, content-too-large
    HEADER_TIMEOUT = "header-timeout"
    CONTENT_TIMEOUT = "content-timeout"
    SLOW = "slow"  #: a message arrived below the least data rate
    IDLE_TIMEOUT = "idle-timeout"
    SEND_TIMEOUT = "send-timeout"
    OUTPUT_LIMIT = "output-limit"
    SLOW_CONSUMER = "slow-consumer"  #: it reads too slowly for a subscription of its own
    OVERLOADED = "overloaded"  #: one connection too many: in all, of one IP, or waiting for a handler thread
    RETIRED = "retired"  #: it had its `max_requests`, or was open for `max_age`
    SHUTDOWN = "shutdown"  #: drained
    CUT = "cut"  #: still busy at the drain timeout, or at a second signal
    INTERNAL_ERROR = "internal-error"  #: a bug of ours; the log has the traceback

    # One object each, so identity will do; Enum's own hash is a Python call per closed connection.
    __hash__ = object.__hash__


#: Ends that are reached once all that was owed has left.
IN_GOOD_ORDER = frozenset({CloseReason.SERVED, CloseReason.PEER_CLOSED, CloseReason.RETIRED, CloseReason.SHUTDOWN})
