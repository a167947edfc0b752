"""How does a message look on the wire?

    2 bytes, big-endian: length of the header | header: UTF-8 JSON, one object | content

Messages are built here, right ones and wrong ones, and taken out of a stream. No project's code is
known: the contract is read here a second time, on purpose, so that a mistake in the first reading
shows.

Not here: a connection, and how what comes on it is judged (`peer`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = [
    "ABSENT",
    "DOG",
    "JSON",
    "KEEP",
    "MORPHEUS",
    "RING",
    "Reply",
    "action",
    "binary",
    "fields_in",
    "framed",
    "header",
    "in_frames",
    "json_message",
    "message",
    "raw_header",
    "search",
    "shown",
    "take",
]

JSON: Final = "text/json"
KEEP: Final = {"connection": "keep-alive"}

#: The tutorial's three answers.
MORPHEUS: Final = "Follow the white rabbit. \N{RABBIT FACE}"
RING: Final = "In the caves beneath the Misty Mountains. \N{RING}"
DOG: Final = "\N{PAW PRINTS} Playing ball! \N{VOLLEYBALL}"

#: No such field.
ABSENT: Final = "<absent>"

#: Bytes of a value that a report shows.
SHOWN = 160

# --- building ---------------------------------------------------------------------------


def framed(header: bytes | dict[str, Any], content: bytes = b"") -> bytes:
    """Prefix, header, content, whatever they say. A header that is a dictionary is written as JSON."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(2, "big") + raw + content


def raw_header(length: object, type: object = JSON, encoding: object = "utf-8", **more: object) -> dict[str, object]:
    """The four required fields, and `more` (`deadline_ms` is `deadline-ms`). ABSENT as a value leaves a field out."""
    fields: dict[str, object] = {
        "byteorder": sys.byteorder,
        "content-type": type,
        "content-encoding": encoding,
        "content-length": length,
    }
    fields.update((name.replace("_", "-"), value) for name, value in more.items())
    return {name: value for name, value in fields.items() if value is not ABSENT}


def header(length: object = 0, type: object = JSON, encoding: object = "utf-8", **more: object) -> bytes:
    """Prefix and header. Takes any value for any field, right or wrong."""
    return framed(raw_header(length, type, encoding, **more))


def message(content: bytes | str, type: object = JSON, encoding: object = "utf-8", **more: object) -> bytes:
    """A message with this content, as UTF-8 if it is text, and its true length."""
    data = content.encode() if isinstance(content, str) else content
    return header(len(data), type, encoding, **more) + data


def json_message(value: object, encoding: str = "utf-8", **more: object) -> bytes:
    """A message whose content is this value as JSON, in this encoding."""
    return message(json.dumps(value, ensure_ascii=False).encode(encoding, "surrogatepass"), JSON, encoding, **more)


def action(name: object, value: object = ABSENT, encoding: str = "utf-8", **more: object) -> bytes:
    """A JSON request, in this encoding."""
    content: dict[str, object] = {"action": name}
    if value is not ABSENT:
        content["value"] = value
    return json_message(content, encoding, **more)


def search(value: object, encoding: str = "utf-8", **more: object) -> bytes:
    return action("search", value, encoding, **more)


def binary(content: bytes, type: object = "binary/echo", **more: object) -> bytes:
    return message(content, type, "binary", **more)


# --- taking out of a stream -------------------------------------------------------------


def fields_in(header: bytes) -> dict[str, Any]:
    """Those of a right header: UTF-8 and nothing else, which `json.loads` alone would not insist on."""
    fields: dict[str, Any] = json.loads(header.decode())
    return fields


def take(
    buffer: bytearray, fields_of: Callable[[bytes], dict[str, Any]] = fields_in
) -> tuple[bytes, dict[str, Any], bytes] | None:
    """The first whole message, taken out of the buffer: prefix and header, the header's fields, the content.

    None if it has not come whole. `fields_of` reads the header, and may raise what it likes.
    """
    start = 2 + int.from_bytes(buffer[:2], "big")
    if len(buffer) < max(2, start):
        return None
    fields = fields_of(bytes(buffer[2:start]))
    end = start + fields["content-length"]
    if len(buffer) < end:
        return None
    taken = bytes(buffer[:start]), fields, bytes(buffer[start:end])
    del buffer[:end]
    return taken


def in_frames(stream: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Of each message in a stream of whole ones: prefix and header, and the content."""
    left = bytearray(stream)
    while left:
        taken = take(left)
        if taken is None:
            raise ValueError(f"{len(left)} bytes are no whole message")
        yield taken[0], taken[2]


# --- reading ------------------------------------------------------------------------------


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


class Reply:
    """One reply, or an event: its header's fields, its content, and for JSON what the content says.

    `frame`: all its bytes, of an event alone.
    """

    __slots__ = ("content", "frame", "header", "value")

    def __init__(self, header: dict[str, Any], content: bytes, frame: bytes = b"") -> None:
        self.header = header
        self.content = content
        self.frame = frame
        self.value: Any = json.loads(content) if self.is_json else None

    @property
    def is_json(self) -> bool:
        return bool(self.header["content-type"] == JSON)

    @property
    def result(self) -> Any:
        return self.value.get("result", ABSENT) if isinstance(self.value, dict) else ABSENT

    @property
    def code(self) -> str | None:
        """The error's code; None for a success."""
        error = self.value.get("error") if isinstance(self.value, dict) else None
        return str(error.get("code")) if isinstance(error, dict) else None

    @property
    def is_event(self) -> bool:
        """It answers nothing."""
        return "event" in self.header

    def __str__(self) -> str:
        extra = {name: self.header[name] for name in ("id", "connection") if name in self.header}
        what = f"error {self.code}" if self.code else f"result {shown(self.result)}"
        if not self.is_json:
            what = f"{self.header['content-type']} {shown(self.content)}"
        if self.is_event:
            what = f"{shown(self.header['event'])} {shown(self.value if self.is_json else self.content)}"
        return f"{'event' if self.is_event else 'reply'}: {what}" + (f" {extra}" if extra else "")
