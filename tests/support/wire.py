"""How do tests write requests and replies, and read replies?

As the conformance suite does (`suites.conformance.wire`), and never by `protocol`: a bug there must
not hide itself by being on both sides.

Not here: sockets (`peer`).
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from suites.conformance.wire import JSON, KEEP, action, binary, framed, header, in_frames, json_message, message, take

__all__ = [
    "JSON",
    "KEEP",
    "Reply",
    "ask",
    "binary",
    "error_reply",
    "framed",
    "granting",
    "header",
    "in_frames",
    "json_message",
    "keep",
    "message",
    "reply",
    "request",
    "take",
    "take_reply",
]


def ask(name: str, value: object = None, **fields: Any) -> bytes:
    """A JSON request; one-shot unless `connection` is among the fields."""
    return action(name, value, **fields)


def keep(name: str, value: object = None, **fields: Any) -> bytes:
    """A JSON request that asks for keep-alive."""
    return ask(name, value, connection="keep-alive", **fields)


def request(value: object, **fields: Any) -> bytes:
    """A `text/json` message of any value, in ASCII whatever encoding its header names."""
    return message(json.dumps(value), **fields)


def reply(result: object, **fields: Any) -> bytes:
    return request({"result": result}, **fields)


def granting(result: object, **fields: Any) -> bytes:
    """A reply that grants keep-alive."""
    return reply(result, connection="keep-alive", **fields)


def error_reply(code: str, **fields: Any) -> bytes:
    return request({"result": f"Error: {code}", "error": {"code": code, "message": f"about {code}"}}, **fields)


class Reply(NamedTuple):
    """`head`: prefix and header as they came."""

    head: bytes
    header: dict[str, Any]
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        assert self.header["content-type"] == "text/json"
        assert self.header["content-encoding"] == "utf-8"
        body = json.loads(self.content.decode())
        assert isinstance(body, dict)
        return body

    @property
    def result(self) -> Any:
        return self.body["result"]

    @property
    def code(self) -> str | None:
        """The error's code, None for a success."""
        error = self.body.get("error")
        if error is None:
            return None
        assert set(error) == {"code", "message"}
        assert self.body["result"] == f"Error: {error['message']}"
        return str(error["code"])

    @property
    def connection(self) -> str | None:
        return self.header.get("connection")


def take_reply(buffer: bytearray) -> Reply | None:
    """The first whole message in the buffer, taken out of it."""
    taken = take(buffer)
    return None if taken is None else Reply(*taken)
