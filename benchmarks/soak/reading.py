"""Which replies are in these bytes?

A reader of its own, after docs/look-up/wire.md: the project's decoder is under test.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from benchmarks.requests import Variant

__all__ = ["Replies", "Reply"]


class Reply(NamedTuple):
    """Header and content, as they came."""

    header: bytes
    content: bytes

    def fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = json.loads(self.header)
        return fields

    def answers(self, variant: Variant) -> bool:
        """Is it, byte for byte, the right content under the right type?"""
        return self.content == variant.content and variant.header_text in self.header

    def error_code(self) -> str:
        """The error's code; empty if it is none."""
        try:
            return str(json.loads(self.content)["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return ""


class Replies:
    """Cuts a stream of replies apart. `rest` is what has begun and is not whole."""

    def __init__(self) -> None:
        self.rest = bytearray()
        self._length: tuple[int, int] | None = None  # where the content begins and ends

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes. Raises `ValueError` for what is no reply."""
        self.rest += data
        found = []
        while (reply := self._next()) is not None:
            found.append(reply)
        return found

    def _next(self) -> Reply | None:
        rest = self.rest
        if self._length is None:
            if len(rest) < 2:
                return None
            begin = 2 + int.from_bytes(rest[:2], "big")
            if len(rest) < begin:
                return None
            try:
                self._length = begin, begin + int(json.loads(rest[2:begin])["content-length"])
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"no reply's header: {bytes(rest[:begin])[:200]!r}") from error
        begin, end = self._length
        if len(rest) < end:
            return None
        reply = Reply(bytes(rest[2:begin]), bytes(rest[begin:end]))
        del rest[:end]
        self._length = None
        return reply
