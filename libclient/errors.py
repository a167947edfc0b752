"""What can go wrong for a caller, and what does each mean for the request?

Two families:

* `ErrorReply`: the server answered, with an error. The request was understood as far as the
  code says, and is never repeated by us.
* `ConnectionFailed`: there is no answer. Each has one sentence that says what happened and what
  to do. `maybe_carried_out` tells whether the server may have acted on the request all the same.

Not here: which system error leads to which of them (`libclient.connect`).
"""

from __future__ import annotations

__all__ = [
    "BadReply",
    "ClosedEarly",
    "ClosedMidMessage",
    "ConnectTimeout",
    "ConnectionFailed",
    "ConnectionReset",
    "ErrorReply",
    "NoDescriptors",
    "NoPermission",
    "NoPorts",
    "NoSuchSocket",
    "Refused",
    "ReplyTimeout",
    "UnknownHost",
    "Unreachable",
]


class ErrorReply(Exception):
    """The server's answer is an error.

    `code` is its word on the wire, `message` its sentence, `reply` the whole decoded reply.
    """

    def __init__(self, code: str, message: str, reply: object = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.reply = reply

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ConnectionFailed(ConnectionError):
    """No answer; `str()` is a sentence for people that says what happened and what to do.

    `maybe_carried_out`: the request had begun to leave, so it may have been carried out. Subclasses: `Refused`,
    `UnknownHost`, `Unreachable`, `ConnectTimeout`, `NoSuchSocket`, `NoPermission`, `NoDescriptors` and `NoPorts`
    before a connection; `ConnectionReset`, `ClosedEarly`, `ClosedMidMessage`, `ReplyTimeout` and `BadReply` after.
    """

    maybe_carried_out = False


class Refused(ConnectionFailed):
    """Nothing listens there."""


class UnknownHost(ConnectionFailed):
    """The name has no address."""


class Unreachable(ConnectionFailed):
    """No way there, or no way for that kind of address."""


class ConnectTimeout(ConnectionFailed, TimeoutError):
    """No address answered in time."""


class NoSuchSocket(ConnectionFailed):
    """The UNIX socket's path is not there, or is not a socket."""


class NoPermission(ConnectionFailed):
    """The system does not let us connect."""


class NoDescriptors(ConnectionFailed):
    """This process, or the system, may open no more."""


class NoPorts(ConnectionFailed):
    """No local address or port is left to connect from."""


class ConnectionReset(ConnectionFailed):
    """The connection broke before the reply."""


class ClosedEarly(ConnectionFailed):
    """The server closed before a byte of the reply."""


class ClosedMidMessage(ConnectionFailed):
    """The server closed inside a reply."""


class ReplyTimeout(ConnectionFailed, TimeoutError):
    """The reply did not come in time."""


class BadReply(ConnectionFailed):
    """What came back is not a reply to our request, or can't be read: so the request was received."""

    maybe_carried_out = True
