"""What can go wrong with a message, what goes on the wire about it, and what happens next?

Every error states its consequence in its type:

* `FatalError`: where the next message begins is no longer known, or nothing more is
  served. The peer gets the error as the last reply and the connection closes.
* `AnswerableError`: this message failed but its frame was whole. The peer gets the error
  as this message's reply and the connection goes on.

`code` is the word on the wire (wire.md, "Errors"); `str(error)` is the sentence beside it.
Not here: how an error becomes bytes (`protocol.frames`), who catches it.
"""

from __future__ import annotations

from typing import TypeVar

__all__ = [
    "CODES",
    "AnswerableError",
    "BadContent",
    "BadHeader",
    "BadRequest",
    "ContentTooLarge",
    "DeadlineExceeded",
    "FatalError",
    "HandlerFailed",
    "HeaderTooLarge",
    "LocalError",
    "Overloaded",
    "ProtocolError",
    "ShuttingDown",
    "TimedOut",
    "UnknownAction",
    "UnsupportedEncoding",
    "bare",
]


class LocalError(Exception):
    """*Our* side asked for something the protocol does not allow, such as a reply to no request."""


class ProtocolError(Exception):
    """The remote side's bytes, or a request's fate, as an error that has a word on the wire."""

    code = "protocol-error"


P = TypeVar("P", bound=ProtocolError)


def bare(error: P) -> P:
    """The error without what led to it: for whoever keeps it after it was caught.

    A traceback holds the frames, these hold the content that was decoded, and one of them mostly holds
    the error: a cycle, so that megabytes wait for the collector.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


class FatalError(ProtocolError):
    """Consequence: error reply, then lingering close.

    `looks_like`: what was sent looks like this other protocol (`protocol.foreign`), or None. It is for the people on
    this side: `with_guess` says it behind the error's own words, which the peer gets.
    """

    looks_like: str | None = None

    def with_guess(self) -> str:
        return f"{self}; it looks like {self.looks_like}" if self.looks_like is not None else str(self)


class AnswerableError(ProtocolError):
    """Consequence: error reply; the connection stays usable."""


class BadHeader(FatalError):
    """The header can't be trusted, so framing is lost."""

    code = "bad-header"


class HeaderTooLarge(FatalError):
    """The two-byte length is above the limit; decided at the prefix."""

    code = "header-too-large"


class ContentTooLarge(FatalError):
    """The declared length is above the limit; decided at the header."""

    code = "content-too-large"


class TimedOut(FatalError):
    """A message had begun and did not arrive in time, or too slowly."""

    code = "timeout"


class Overloaded(FatalError):
    """One connection too many."""

    code = "overloaded"


class ShuttingDown(FatalError):
    """The request began after the drain did, or had to be cut at its end."""

    code = "shutting-down"


class UnsupportedEncoding(AnswerableError):
    """`content-encoding` is not a text encoding we know."""

    code = "unsupported-encoding"


class BadContent(AnswerableError):
    """The content is not what its header says: bad bytes, bad JSON, NaN, too deep, too long a number."""

    code = "bad-content"


class BadRequest(AnswerableError):
    """The JSON is not an object with an `action` string."""

    code = "bad-request"


class UnknownAction(AnswerableError):
    """No such action."""

    code = "unknown-action"


class HandlerFailed(AnswerableError):
    """A handler raised. The message names no internals; the log has the traceback."""

    code = "handler-failed"


class DeadlineExceeded(AnswerableError):
    """The request outlived its own `deadline-ms`."""

    code = "deadline-exceeded"


def _leaves(kind: type[ProtocolError]) -> list[type[ProtocolError]]:
    children = kind.__subclasses__()
    return [leaf for child in children for leaf in _leaves(child)] if children else [kind]


#: Every word that can stand in `error.code`, with its class (so with its consequence).
CODES: dict[str, type[ProtocolError]] = {kind.code: kind for kind in _leaves(ProtocolError)}
