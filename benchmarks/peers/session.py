"""What does every Python peer do with the bytes, whatever moves them?

One connection of the message server, sans I/O: `receive(data)` gives the replies' parts, in
order, for one write. All Python peers share it, so that they differ by their loop alone, and it
is what a good engineer would write: honest `json.loads` and `json.dumps` for each header and
content, by offsets in one `bytes` object, no buffer scanned twice, large contents joined once.

What is *not* here, on purpose, is what `protocol` does beyond that (caches, a prepared encoder):
that difference is what the benchmark is about. Nor are its limits, timeouts and error codes:
a peer that serves less per request can only look faster.
"""

from __future__ import annotations

import json
import sys
from typing import Any

__all__ = ["LARGE", "BrokenFrame", "Part", "Session", "answer"]

Part = bytes | memoryview

#: From this size on replies are better handed over in parts than joined (asyncio's own flow
#: control begins at 64 KiB too).
LARGE = 64 * 1024

ENTRIES = {
    "morpheus": "Follow the white rabbit. \N{RABBIT FACE}",
    "ring": "In the caves beneath the Misty Mountains. \N{RING}",
    "\N{DOG FACE}": "\N{PAW PRINTS} Playing ball! \N{VOLLEYBALL}",
}


class BrokenFrame(Exception):
    """The peer does not speak this protocol: close the connection."""


def answer(request: Any) -> dict[str, Any]:
    """The application: what a JSON request is answered."""
    action = request["action"]
    if action == "search":
        value = request.get("value")
        found = ENTRIES.get(value) if isinstance(value, str) else None
        return {"result": found or f"No match for '{value}'."}
    if action == "echo":
        return {"result": request.get("value")}
    message = f"invalid action '{action}'."
    return {"result": f"Error: {message}", "error": {"code": "unknown-action", "message": message}}


class Session:
    """One connection. `finished`: nothing more will be served; write what there is and close."""

    __slots__ = ("_chunks", "_granted", "_have", "_need", "_persistent", "finished")

    def __init__(self) -> None:
        self.finished = False
        self._persistent = False
        self._granted = False
        self._chunks: list[bytes] = []  # an incomplete message, as it came
        self._have = 0  # bytes in _chunks
        self._need = 0  # bytes the message must have before another look is worth while

    def receive(self, data: bytes) -> list[Part]:
        """Every reply that `data` completes: header, content, header, content ...

        Raises `BrokenFrame` if there is no message in these bytes.
        """
        if self._chunks:
            self._chunks.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._chunks)
            self._chunks = []
        replies: list[Part] = []
        at, available = 0, len(data)
        while at < available and not self.finished:
            start = at + 2
            if start > available:
                self._need = 2
                break
            start += data[at] << 8 | data[at + 1]
            if start > available:
                self._need = start - at
                break
            try:
                header = json.loads(data[at + 2 : start].decode())
                end = start + header["content-length"]
                if end > available:
                    self._need = end - at
                    break
                content = data[start:end] if end - start < LARGE else memoryview(data)[start:end]
                self._reply(header, content, replies)
            except (ValueError, KeyError, TypeError, LookupError) as error:
                raise BrokenFrame(str(error)) from error
            at = end
        if at < available and not self.finished:
            self._chunks.append(data[at:] if at else data)
            self._have = available - at
        return replies

    def _reply(self, header: dict[str, Any], content: bytes | memoryview, replies: list[Part]) -> None:
        content_type, encoding = header["content-type"], "binary"
        if content_type == "text/json":
            encoding = "utf-8"
            request = json.loads(str(content, header["content-encoding"]))
            content = json.dumps(answer(request), ensure_ascii=False).encode()
        elif content_type != "binary/echo":
            content_type = "binary/custom-server-binary-type"
            content = b"First 10 bytes of request: " + content[:10]
        reply = {
            "byteorder": sys.byteorder,
            "content-type": content_type,
            "content-encoding": encoding,
            "content-length": len(content),
        }
        connection = header.get("connection")
        if connection == "keep-alive":
            self._persistent = True
        if connection == "close" or not self._persistent:
            self.finished = True
            if self._persistent:
                reply["connection"] = "close"
        elif not self._granted:
            self._granted = True
            reply["connection"] = "keep-alive"
        if "id" in header:
            reply["id"] = header["id"]
        framed = json.dumps(reply).encode()
        replies.append(len(framed).to_bytes(2, "big") + framed)
        replies.append(content)
