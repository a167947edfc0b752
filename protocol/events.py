"""What can a peer's bytes mean?

`Connection.receive_data` turns bytes into these. They are plain slotted records; a server's
`Dispatcher`, which takes whole requests out of a read, builds none of them. Not here: how they are made,
what is done about them.

Written out, and no dataclasses: to import `dataclasses` (with `inspect`) and have it write seven classes
takes a client that asks once as long as all that it has to say.
"""

from __future__ import annotations

from .content import decode_json
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


class _Record:
    """Two of one kind with equal fields are equal; `repr` shows the fields."""

    __slots__: tuple[str, ...] = ()
    _silent: frozenset[str] = frozenset()  #: slots that say nothing more of it

    def _fields(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__ if name not in self._silent}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Record) or other.__class__ is not self.__class__:
            return NotImplemented
        return self._fields() == other._fields()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._fields().items())
        return f"{self.__class__.__name__}({fields})"


class HeaderReceived(_Record):
    """A header is whole and valid; its content follows. A `deadline-ms` is counted from here."""

    __slots__ = ("header",)

    def __init__(self, header: Header) -> None:
        self.header = header


class Request(_Record):
    """A whole request. `content` is the decoded JSON value, or bytes-like for every other type.

    Bytes-like: `bytes`, or the `bytearray` a large content was received into. `encoded` is what a large JSON content
    was decoded from: whoever can't answer yet had better keep that, for a fiftieth of the memory.
    """

    __slots__ = ("content", "encoded", "header")
    _silent = frozenset({"encoded"})

    def __init__(self, header: Header, content: object, encoded: bytes | bytearray | None = None) -> None:
        self.header = header
        self.content = content
        self.encoded = encoded

    def undecode(self) -> None:
        """Keep the content as it came, if that is the smaller."""
        if self.encoded is not None:
            self.content = None

    def decode_again(self) -> bool:
        """Have the value that was given up; False if it was not. Raises as `decode_json`."""
        if self.encoded is None:
            return False
        self.content = decode_json(self.encoded, self.header.content_encoding)
        return True


class Response(_Record):
    """A whole reply to the oldest unanswered request; `content` as in `Request`."""

    __slots__ = ("content", "header")

    def __init__(self, header: Header, content: object) -> None:
        self.header = header
        self.content = content


class Notification(_Record):
    """A message with an `event` name: it answers no request. A client skips what it did not ask for.

    `content` is None if it can't be decoded.
    """

    __slots__ = ("content", "header")

    def __init__(self, header: Header, content: object) -> None:
        self.header = header
        self.content = content


class Rejected(_Record):
    """A message whose frame was whole and whose content can't be decoded: answer `error`, go on."""

    __slots__ = ("error", "header")

    def __init__(self, header: Header, error: AnswerableError) -> None:
        self.header = header
        self.error = error


class Failed(_Record):
    """Nothing more can be read: answer `error`, then lingering close. `header` if it had validated."""

    __slots__ = ("error", "header")

    def __init__(self, header: Header | None, error: FatalError) -> None:
        self.header = header
        self.error = error


class EndOfInput(_Record):
    """The peer sends no more. `truncated`: it stopped inside a message."""

    __slots__ = ("truncated",)

    def __init__(self, truncated: bool) -> None:
        self.truncated = truncated


Event = HeaderReceived | Request | Response | Notification | Rejected | Failed | EndOfInput
