"""How does a test read the events that a server has sent? By the conformance suite's own reading of the wire."""

from __future__ import annotations

import json
from typing import Any

from protocol.push import Gap, Published
from tests.support.wire import Reply, in_frames

__all__ = ["as_event", "events_in"]


def events_in(data: bytes) -> list[Published | Gap]:
    """Of a stream of whole events."""
    return [_event(json.loads(head[2:])["event"], json.loads(content)) for head, content in in_frames(data)]


def as_event(reply: Reply) -> Published | Gap:
    """Of a message that came, which must be one."""
    return _event(reply.header["event"], json.loads(reply.content))


def _event(name: str, content: dict[str, Any]) -> Published | Gap:
    if name == "gap":
        assert set(content) == {"topic", "from", "to", "dropped"}
        return Gap(content["topic"], content["from"], content["to"], content["dropped"])
    assert name == "message"
    assert set(content) - {"from"} == {"topic", "seq", "value"}
    return Published(content["topic"], content["seq"], content["value"], content.get("from"))
