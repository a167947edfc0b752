"""How does the server look that a tutorial ends with?

    python -m suites.detection.naive HOST PORT

Written from the wire's description, the short way: one recv's worth at a time into a buffer, one
request, one reply, close. It answers every well-behaved client. What it does not think of is what
the conformance suite's starred cases are about: a header that lies, a second request behind the
first, a content that is false, text that can't be encoded.

Rules: no check that a demonstration would not have; nothing of ours is imported. It lives on when
a connection fails, so that every case finds it running.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import struct
import sys
from typing import Any

ENTRIES = {
    "morpheus": "Follow the white rabbit. \N{RABBIT FACE}",
    "ring": "In the caves beneath the Misty Mountains. \N{RING}",
    "\N{DOG FACE}": "\N{PAW PRINTS} Playing ball! \N{VOLLEYBALL}",
}

JSON = "text/json"


class Conversation:
    """One connection: a request in, a reply out, the end."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.header: dict[str, Any] | None = None
        self.content: Any = None
        self.reply = b""

    def readable(self) -> None:
        data = self.sock.recv(4096)
        if not data:
            raise ConnectionError("the peer has gone")
        self.received += data
        if self.header is None:
            self.read_header()
        if self.header is not None:
            self.read_content()

    def read_header(self) -> None:
        if len(self.received) >= 2:
            (length,) = struct.unpack(">H", self.received[:2])
            if len(self.received) >= 2 + length:
                self.header = json.loads(self.received[2 : 2 + length])
                self.received = self.received[2 + length :]

    def read_content(self) -> None:
        assert self.header is not None
        length = self.header["content-length"]
        if len(self.received) >= length:
            self.content = self.received[:length]
            if self.header["content-type"] == JSON:
                self.content = json.loads(self.content.decode(self.header["content-encoding"]))

    def writable(self) -> bool:
        """Answer if there is something to answer; returns whether all is said."""
        if self.content and not self.reply:
            self.reply = self.answer()
        if self.reply:
            sent = self.sock.send(self.reply)
            self.reply = self.reply[sent:]
            return not self.reply
        return False

    def answer(self) -> bytes:
        assert self.header is not None
        if self.header["content-type"] != JSON:
            first = b"First 10 bytes of request: " + self.content[:10]
            return framed("binary/custom-server-binary-type", "binary", first)
        action = self.content.get("action")
        if action == "search":
            value = self.content.get("value")
            result = ENTRIES.get(value) or f"No match for '{value}'."
        elif action == "echo":
            result = self.content.get("value")
        else:
            result = f"Error: invalid action '{action}'."
        return framed(JSON, "utf-8", json.dumps({"result": result}, ensure_ascii=False).encode())


def framed(content_type: str, encoding: str, content: bytes) -> bytes:
    header = {
        "byteorder": sys.byteorder,
        "content-type": content_type,
        "content-encoding": encoding,
        "content-length": len(content),
    }
    text = json.dumps(header).encode()
    return struct.pack(">H", len(text)) + text + content


def serve(listener: socket.socket) -> None:
    """For ever."""
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, mask in selector.select():
                if key.data is None:
                    sock, _ = listener.accept()
                    sock.setblocking(False)
                    selector.register(sock, selectors.EVENT_READ, Conversation(sock))
                elif step(key.data, mask):
                    selector.unregister(key.data.sock)
                    key.data.sock.close()
                elif key.data.content is not None:
                    selector.modify(key.data.sock, selectors.EVENT_WRITE, key.data)


def step(conversation: Conversation, mask: int) -> bool:
    """Do what can be done; returns whether the conversation is over."""
    try:
        if mask & selectors.EVENT_READ:
            conversation.readable()
        if mask & selectors.EVENT_WRITE:
            return conversation.writable()
    except Exception as error:
        print(f"naive: a connection failed: {error!r}", file=sys.stderr)
        return True
    return False


def main(host: str, port: str) -> None:
    listener = socket.create_server((host, int(port)))
    print(f"Listening on tcp://{host}:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        serve(listener)


if __name__ == "__main__":
    main(*sys.argv[1:])
