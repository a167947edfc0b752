"""How does a client look that pipelines, and is careless about events?

    python -m suites.detection.pipeliner MISTAKE HOST PORT COUNT

Makes COUNT echo requests over one kept-alive connection, eight under way at once, and ends with exit code 1 if one was
not answered with its own value. MISTAKE is one of `MISTAKES`, or none: then every event is skipped, as it should be.

Rule: nothing of ours is imported; what reads the stream is as short as a demonstration has it.
"""

from __future__ import annotations

import json
import socket
import sys
from collections import deque
from typing import Any

#: What it does with an event.
MISTAKES = {
    "counts-events": "takes every message for a reply",
    "trusts-ids": "takes an event for a reply if it has an id",
    "knows-two-events": "skips the events message and gap, and takes others for replies",
    "reads-events": "fails if an event can't be decoded",
    "drops-the-rest": "throws away what came in one read with an event",
    "no-large-events": "fails if an event is larger than 64 KiB",
}

UNDER_WAY = 8
LARGE = 65536


class Wrong(Exception):
    """A request was not answered rightly."""


def framed(value: int) -> bytes:
    content = json.dumps({"action": "echo", "value": value}).encode()
    header = {
        "byteorder": sys.byteorder,
        "content-type": "text/json",
        "content-encoding": "utf-8",
        "content-length": len(content),
        "connection": "keep-alive",
        "id": value,
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(2, "big") + text + content


def is_reply(mistake: str, header: dict[str, Any], content: bytes) -> bool:
    """Does it take this message for a reply?"""
    if "event" not in header or mistake == "counts-events":
        return True
    if mistake == "no-large-events" and len(content) > LARGE:
        raise Wrong("too large an event")
    if mistake == "reads-events":
        json.loads(content)
    return (mistake == "trusts-ids" and "id" in header) or (
        mistake == "knows-two-events" and header["event"] not in ("message", "gap")
    )


def main(mistake: str, host: str, port: str, count: str) -> int:
    values = iter(range(int(count)))
    awaited: deque[int] = deque()
    data = b""
    with socket.create_connection((host, int(port))) as sock:

        def ask(most: int) -> None:
            while len(awaited) < most and (value := next(values, None)) is not None:
                awaited.append(value)
                sock.sendall(framed(value))

        ask(1)  # more once keep-alive is granted
        while awaited:
            while len(data) < 2 or len(data) < (end := 2 + int.from_bytes(data[:2], "big")):
                data += received(sock)
            header = json.loads(data[2:end])
            while len(data) < end + header["content-length"]:
                data += received(sock)
            content, data = data[end : end + header["content-length"]], data[end + header["content-length"] :]
            if not is_reply(mistake, header, content):
                if mistake == "drops-the-rest":
                    data = b""
                continue
            value = awaited.popleft()
            if json.loads(content).get("result") != value:
                raise Wrong(f"{content[:60]!r} to {value}")
            ask(UNDER_WAY)
    print("all were answered rightly")
    return 0


def received(sock: socket.socket) -> bytes:
    sock.settimeout(5.0)
    if not (data := sock.recv(1 << 20)):
        raise Wrong("the end of the stream")
    return data


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Exception as error:
        sys.exit(f"pipeliner: {error!r}")
