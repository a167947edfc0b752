"""Does what all Python peers share speak the wire, wherever the bytes are cut?"""

from __future__ import annotations

import pytest

from benchmarks.peers.session import LARGE, BrokenFrame, Session, answer
from tests.support.wire import Reply, ask, binary, keep, take_reply


def replies(session: Session, *pieces: bytes) -> list[Reply]:
    written = bytearray(b"".join(bytes(part) for piece in pieces for part in session.receive(piece)))
    found = []
    while (reply := take_reply(written)) is not None:
        found.append(reply)
    assert not written
    return found


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_requests_are_answered_in_order_wherever_they_are_cut(size: int) -> None:
    stream = keep("search", "ring") + keep("echo", [1], id=7) + keep("echo", 2, id=None)
    found = replies(Session(), *(stream[at : at + size] for at in range(0, len(stream), size)))
    assert [reply.result for reply in found] == ["In the caves beneath the Misty Mountains. \N{RING}", [1], 2]
    assert [reply.connection for reply in found] == ["keep-alive", None, None], "granted once"
    assert [reply.header.get("id", "none") for reply in found] == ["none", 7, None]


def test_without_keep_alive_one_request_is_served_and_no_more() -> None:
    session = Session()
    assert len(replies(session, ask("echo", 1) + ask("echo", 2))) == 1
    assert session.finished
    session = Session()
    found = replies(session, keep("echo", 1) + ask("echo", 2, connection="close") + keep("echo", 3))
    assert [reply.connection for reply in found] == ["keep-alive", "close"]
    assert session.finished


def test_binary_is_echoed_or_shown_and_a_large_content_is_not_copied() -> None:
    content = b"x" * LARGE
    framed = binary(content, connection="keep-alive")
    parts = Session().receive(framed)
    assert isinstance(parts[1], memoryview)
    assert parts[1] == content
    (reply,) = replies(Session(), binary(b"0123456789abc", "image/x"))
    assert reply.content == b"First 10 bytes of request: 0123456789"


@pytest.mark.parametrize("broken", [b"\0\2{}", b"\0\2[]", b"\0\1{", ask("echo")[:-1] + b"x"])
def test_what_is_no_message_is_broken(broken: bytes) -> None:
    with pytest.raises(BrokenFrame):
        Session().receive(broken)


def test_an_action_that_is_not_known_is_an_error() -> None:
    assert answer({"action": "fly"})["error"]["code"] == "unknown-action"
    assert answer({"action": "search", "value": ["ring"]}) == {"result": "No match for '['ring']'."}
