"""Which name does a connection's end go by?

`Message` says why it ended in its own closed set of reasons (`libclient.reasons`); a load test's readers have
another (docs/look-up/load-files.md). This is the translation, with a sentence of detail.

Not here: wrong replies on a healthy connection (`engine.workload`), counting (`measure.ledger`).
"""

from __future__ import annotations

import errno

from eventloop import Address
from eventloop.addresses import UNIX
from libclient.connect import not_connected
from libclient.owner import Ending
from libclient.reasons import EndReason
from protocol.errors import BadHeader, FatalError, HeaderTooLarge

from ..measure.errors import (
    BAD_HEADER,
    BAD_PREFIX,
    BROKEN_PIPE,
    CONNECT_REFUSED,
    CONNECT_TIMEOUT,
    CONNECT_UNREACHABLE,
    EOF_BEFORE_REPLY,
    EOF_MID_MESSAGE,
    FD_LIMIT,
    PORTS_EXHAUSTED,
    READ_TIMEOUT,
    RESET,
    SERVER_ERROR,
    VERIFY_MISMATCH,
)

__all__ = ["classify_error"]

_CONNECT = {
    errno.ECONNREFUSED: CONNECT_REFUSED,
    errno.ECONNRESET: CONNECT_REFUSED,  # some systems' word for a full backlog
    errno.ETIMEDOUT: CONNECT_TIMEOUT,
    errno.EMFILE: FD_LIMIT,
    errno.ENFILE: FD_LIMIT,
    errno.EADDRNOTAVAIL: PORTS_EXHAUSTED,
}

#: Our own limits come first: they say more about the run than what another address answered.
_OURS = (FD_LIMIT, PORTS_EXHAUSTED)

#: Ends that are no failure if nothing was left unanswered.
_CLEAN = {EndReason.ONE_SHOT, EndReason.LAST_REPLY, EndReason.PEER_CLOSED, EndReason.DONE, EndReason.ABORTED}


def classify_error(ending: Ending, target: Address) -> tuple[str, str] | None:
    """The error's name and details, or None if nothing went wrong."""
    reason = ending.reason
    if reason in _CLEAN:
        return (EOF_BEFORE_REPLY, _unserved(ending)) if ending.unanswered else None
    detail = "; ".join(_words(error) for error in ending.errors)
    if reason is EndReason.NOT_CONNECTED:
        names = [_connect_name(error, target) for error in ending.errors]
        return next((name for name in names if name in _OURS), names[-1]), str(not_connected(target, ending.errors))
    if reason is EndReason.TRUNCATED:
        return EOF_MID_MESSAGE, "the server closed the connection inside a reply"
    if reason is EndReason.REPLY_TIMEOUT:
        return READ_TIMEOUT, f"no reply in time, with {len(ending.unanswered):,} in flight"
    if reason is EndReason.BAD_FRAMING:
        return (BAD_PREFIX if _at_the_prefix(ending) else BAD_HEADER), detail
    if reason is EndReason.MISMATCH:
        return VERIFY_MISMATCH, detail
    if reason is EndReason.REFUSED:
        return SERVER_ERROR, f"{detail}: {getattr(ending.errors[0], 'value', None)}"
    codes = [error.errno for error in ending.errors if isinstance(error, OSError)]
    return (BROKEN_PIPE if errno.EPIPE in codes else RESET), detail


def _connect_name(error: Exception, target: Address) -> str:
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EAGAIN:  # a UNIX socket's queue was full for all of the time; of TCP: connect(2), "no more ports"
        return CONNECT_TIMEOUT if target.scheme == UNIX else PORTS_EXHAUSTED
    return _CONNECT.get(code or 0, CONNECT_UNREACHABLE)


def _words(error: Exception) -> str:
    """Without the number that Python puts before a system error's words."""
    if isinstance(error, FatalError):
        return error.with_guess()
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _at_the_prefix(ending: Ending) -> bool:
    """Did the two bytes alone say it: a length of 0, or above the limit?"""
    error = ending.errors[0]
    return isinstance(error, HeaderTooLarge) or (isinstance(error, BadHeader) and "empty" in str(error))


def _unserved(ending: Ending) -> str:
    if ending.reason is EndReason.PEER_CLOSED:
        return "the server closed the connection without answering"
    return "the server closed the connection after its last reply, leaving requests behind it unserved"
