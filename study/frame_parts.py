"""Which part of a frame is each byte of a stream?

`Splitter` follows one direction of a connection and says where the prefix, the header and the
content of each message begin and end, as their bytes go by. It knows as much as a listener on the
wire, and nothing of roles, limits or validity: bytes that can't be a frame are `lost` from there on.

It is a second reading of docs/look-up/wire.md, on purpose: a trace that took its frames from the code
it traces could not show a disagreement.

Of an event it also reads which of its topic's messages it is, or which a gap stands for: a reader counts them. What was
published is not looked at.

Not here: what a header means (`protocol.frames`).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

__all__ = ["CONTENT", "HEADER", "LOST", "PREFIX", "Part", "Splitter"]

PREFIX = "prefix"
HEADER = "header"
CONTENT = "content"
LOST = "lost"

PREFIX_LENGTH = 2
#: Bytes of an event's content above which it is not read.
MOST_READ = 1 << 20
#: What is read of it, by the event's name.
OF_AN_EVENT = {"message": ("topic", "seq"), "gap": ("topic", "from", "to", "dropped")}


class Part(NamedTuple):
    """A part that is whole. `message` counts from 0, `offset` and `length` are bytes of the stream.

    `value` is a prefix's number, a header's object, or of an event's content its fields in `OF_AN_EVENT`.
    """

    kind: str
    message: int
    offset: int
    length: int
    value: Any = None


class Splitter:
    """Feed it the bytes in order; it gives the parts that became whole. `offset` is how many have gone by."""

    __slots__ = ("_begun", "_event", "_kept", "_kind", "_length", "message", "offset")

    def __init__(self) -> None:
        self.offset = 0
        self.message = 0
        self._kind = PREFIX
        self._begun = 0  # where the part being read began
        self._length = PREFIX_LENGTH  # of the part being read
        self._kept = bytearray()  # its bytes so far; of a content none are kept, unless it is an event's
        self._event: str | None = None  # of the message being read, if it is an event whose content is kept

    @property
    def reading(self) -> str:
        """The part that the next byte belongs to."""
        return self._kind

    def feed(self, data: bytes | bytearray | memoryview) -> list[Part]:
        view = memoryview(data)
        whole: list[Part] = []
        while self._kind != LOST and (len(view) or not self._length):
            count = min(len(view), self._begun + self._length - self.offset)
            if self._kind != CONTENT or self._event is not None:
                self._kept += view[:count]
            self.offset += count
            view = view[count:]
            if self.offset < self._begun + self._length:
                return whole
            whole.append(self._next())
        self.offset += len(view)
        return whole

    def _next(self) -> Part:
        """The part being read is whole: begin the next one."""
        kind, begun, length, message = self._kind, self._begun, self._length, self.message
        value: Any = None
        if kind == PREFIX:
            value = int.from_bytes(self._kept, "big")
            self._begin(HEADER if value else LOST, value)
        elif kind == HEADER:
            value, content_length = _read(bytes(self._kept))
            event = value.get("event") if content_length is not None and content_length <= MOST_READ else None
            self._event = event if isinstance(event, str) and event in OF_AN_EVENT else None
            self._begin(LOST if content_length is None else CONTENT, content_length or 0)
        else:
            if self._event is not None:
                value = _read_event(self._event, bytes(self._kept))
                self._event = None
            self.message += 1
            self._begin(PREFIX, PREFIX_LENGTH)
        return Part(kind, message, begun, length, value)

    def _begin(self, kind: str, length: int) -> None:
        self._kind = kind
        self._begun = self.offset
        self._length = length
        self._kept.clear()


def _read(raw: bytes) -> tuple[Any, int | None]:
    """A header's object and its `content-length`; None if it has no usable one."""
    try:
        value = json.loads(raw.decode())
        length = value["content-length"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return raw[:200].decode("utf-8", "replace"), None
    usable = length.__class__ is int and length >= 0
    return value, length if usable else None


def _read_event(event: str, raw: bytes) -> dict[str, Any] | None:
    """Which messages of which topic it is about; None if it does not say."""
    try:
        content = json.loads(raw.decode())
        return {name: content[name] for name in OF_AN_EVENT[event]}
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
