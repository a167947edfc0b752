"""What does the server answer out of the box?

The tutorial's application word for word (search, and the first ten bytes of anything binary),
and three of ours beside it: ping, echo and confirm. The contract is wire.md, "Replies".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from protocol import Reply
from protocol.errors import BadRequest
from protocol.shown import SHOWN, shown

from .binary_reply import BinaryReply

__all__ = ["BINARY_HANDLERS", "ENTRIES", "JSON_HANDLERS"]

#: What `search` finds. The entries and their answers are facts of the tutorial.
ENTRIES = {
    "morpheus": "Follow the white rabbit. \N{RABBIT FACE}",
    "ring": "In the caves beneath the Misty Mountains. \N{RING}",
    "\N{DOG FACE}": "\N{PAW PRINTS} Playing ball! \N{VOLLEYBALL}",
}


def _no_value(action: str, example: str) -> BadRequest:
    """Else the answer would be about a None that nobody wrote."""
    return BadRequest(f"{action} needs a value, such as {example}")


def search(request: dict[str, Any]) -> str:
    try:
        value = request["value"]
    except KeyError:
        raise _no_value("search", "morpheus") from None
    # Any JSON value may be searched for; only strings can be found, and not all others hash.
    if value.__class__ is str:
        answer = ENTRIES.get(value)
        if answer is not None:
            return answer
        if len(value) <= SHOWN:
            return f"No match for '{value}'."
    return f"No match for '{shown(value)}'."


def ping(request: dict[str, Any]) -> str:
    """For health checks: whoever hears this knows that requests are answered."""
    return "pong"


def echo(request: dict[str, Any]) -> object:
    return request.get("value")


def confirm(request: dict[str, Any], session: dict[str, Any]) -> Reply:
    """The "test server": says what it received and how many on this connection that makes."""
    try:
        value = request["value"]
    except KeyError:
        raise _no_value("confirm", "hello") from None
    count = session["confirmed"] = session.get("confirmed", 0) + 1
    return Reply(result=f"Received: {shown(value)}", count=count)


def first_ten_bytes(content: bytes | bytearray) -> BinaryReply:
    return BinaryReply(b"First 10 bytes of request: " + content[:10], "binary/custom-server-binary-type")


def echo_bytes(content: bytes | bytearray) -> bytes | bytearray:
    return content


#: The handlers of JSON, by action. A program's own may replace them.
JSON_HANDLERS: dict[str, Callable[..., Any]] = {"search": search, "ping": ping, "echo": echo, "confirm": confirm}
#: Those of bytes, by content type; "": of any other.
BINARY_HANDLERS: dict[str, Callable[..., Any]] = {"binary/echo": echo_bytes, "": first_ten_bytes}
