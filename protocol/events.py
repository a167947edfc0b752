"""What can a peer's bytes mean?

`Connection.receive_data` turns bytes into these. They are plain slotted records; the batch path
(`protocol.batch`) builds none of them. Not here: how they are made, what is done about them.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import AnswerableError, FatalError
from .frames import Header

__all__ = [
    "EndOfInput",
    "Event",
    "Failed",
    "HeaderReceived",
    "Notification",
    "Rejected",
    "Request",
    "Response",
]


@dataclass(slots=True)
class HeaderReceived:
    """A header is whole and valid; its content follows. A `deadline-ms` is counted from here."""

    header: Header


@dataclass(slots=True)
class Request:
    """A whole request. `content` is the decoded JSON value, or bytes-like for every other type.

    Bytes-like: `bytes`, or the `bytearray` a large content was received into.
    """

    header: Header
    content: object


@dataclass(slots=True)
class Response:
    """A whole reply to the oldest unanswered request; `content` as in `Request`."""

    header: Header
    content: object


@dataclass(slots=True)
class Notification:
    """A message with an `event` name: it answers no request. A client skips what it did not ask for.

    `content` is None if it can't be decoded.
    """

    header: Header
    content: object


@dataclass(slots=True)
class Rejected:
    """A message whose frame was whole and whose content can't be decoded: answer `error`, go on."""

    header: Header
    error: AnswerableError


@dataclass(slots=True)
class Failed:
    """Nothing more can be read: answer `error`, then lingering close. `header` if it had validated."""

    header: Header | None
    error: FatalError


@dataclass(slots=True)
class EndOfInput:
    """The peer sends no more. `truncated`: it stopped inside a message."""

    truncated: bool


Event = HeaderReceived | Request | Response | Notification | Rejected | Failed | EndOfInput
