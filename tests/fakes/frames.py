"""Which messages are in a stream, by the wire format alone?"""

from __future__ import annotations

import json
from collections.abc import Iterator

__all__ = ["in_frames"]


def in_frames(stream: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Of each whole message: prefix and header, and the content."""
    while stream:
        start = 2 + int.from_bytes(stream[:2], "big")
        end = start + json.loads(stream[2:start])["content-length"]
        yield stream[:start], stream[start:end]
        stream = stream[end:]
