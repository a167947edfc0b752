"""Is each message that the peers send whole, and is what it deserves what its bytes say?"""

from __future__ import annotations

import json

import pytest

pytest.importorskip("hypothesis", reason="hypothesis is not installed: pip install multiconn[test]")

from hypothesis import find, given, settings

from suites.model.messages import messages
from suites.model.model import Sent


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(messages)
def test_a_message_is_whole_and_its_fields_are_those_of_its_header(sent: Sent) -> None:
    assert sent.header_size == 2 + int.from_bytes(sent.data[:2], "big")
    assert sent.decided <= len(sent.data)
    if sent.fatal:
        assert sent.answer == "bad-header"
        return
    header = json.loads(sent.data[2 : sent.header_size])
    assert header["content-length"] == len(sent.data) - sent.header_size
    assert (header.get("connection"), header.get("id")) == (sent.connection, sent.id)
    content = sent.data[sent.header_size :]
    if header["content-type"] == "binary/echo":
        assert sent.answer == content
    elif header["content-type"] == "text/json" and sent.answer not in ("bad-content", "unsupported-encoding"):
        request = json.loads(content)
        known = isinstance(request, dict) and request["action"] in ("echo", "search", "confirm")
        assert (sent.answer in ("unknown-action", "bad-request")) is not known


@pytest.mark.parametrize(
    "answer",
    ["confirm", "unknown-action", "bad-request", "bad-content", "unsupported-encoding", "bad-header"],
)
def test_every_kind_of_answer_is_asked_for(answer: str) -> None:
    found = find(messages, lambda sent: sent.answer == answer, settings=settings(database=None, deadline=None))
    assert found.answer == answer
