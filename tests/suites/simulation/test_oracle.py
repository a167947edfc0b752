"""Does the second reading of the wire judge rightly, on bytes written down by hand?"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from protocol import Limits
from protocol.states import PROTOHEADER
from suites.conformance.wire import action, framed, header
from suites.simulation.oracle import Conversation, _depth


class Judged:
    """A conversation as the server has it, and what was wrong with it."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.talk = Conversation(Limits(max_content=100_000), self.complaints.append)
        self.connection = SimpleNamespace(state=PROTOHEADER, closing=False, winding_down=False)
        self.talk.message = SimpleNamespace(connection=self.connection)

    def drain(self) -> None:
        """What begins from here on has begun too late."""
        self.connection.closing = True

    def reads(self, *parts: bytes) -> None:
        self.talk.received(b"".join(parts))

    def says(self, body: dict[str, Any], **fields: object) -> None:
        content = json.dumps(body).encode()
        header = {"content-type": "text/json", "content-length": len(content), **fields}
        self.talk.sent(framed(header, content))

    def fails(self, code: str, **fields: object) -> None:
        self.says({"result": "Error: x", "error": {"code": code, "message": "x"}}, **fields)


@pytest.fixture
def judged() -> Judged:
    return Judged()


FIRST, SECOND, THIRD = (action("echo", n, id=n, connection="keep-alive") for n in (1, 2, 3))


def test_what_follows_a_message_that_was_begun_before_the_drain_has_begun_after_it(judged: Judged) -> None:
    """Seed 920175: the rest of a message that began too late was taken for one that had begun in time."""
    judged.reads(FIRST[:50])
    judged.drain()
    judged.reads(FIRST[50:], SECOND[:20])  # the second begins in what came after the drain
    judged.reads(SECOND[20:])
    judged.says({"result": 1}, id=1)
    judged.fails("shutting-down", connection="close")
    assert judged.complaints == []
    assert judged.talk.owed == 0


def test_a_message_of_which_a_byte_came_before_the_drain_is_owed_its_reply(judged: Judged) -> None:
    judged.reads(FIRST, SECOND[:1])
    judged.drain()
    judged.reads(SECOND[1:])
    judged.says({"result": 1}, id=1)
    judged.fails("shutting-down", connection="close")  # without the id of the second: it does not stand for it
    assert judged.complaints == ["shutting-down overtakes the reply to request 2"]


def test_a_content_too_large_that_began_after_the_drain_has_begun_after_it_as_any_other(judged: Judged) -> None:
    """Seed 90056022: it stood behind two that had begun too late, and was taken for one that had begun in time."""
    judged.reads(FIRST)
    judged.drain()
    judged.reads(SECOND, header(100_001))
    judged.says({"result": 1}, id=1)
    judged.fails("shutting-down", id=2, connection="close")
    assert judged.complaints == []
    assert not judged.talk.told_of_cut


def test_who_is_cut_is_told_in_the_place_of_the_oldest_reply(judged: Judged) -> None:
    judged.reads(FIRST, SECOND, THIRD)
    judged.says({"result": 1}, id=1)
    judged.fails("shutting-down", id=2, connection="close")
    assert judged.complaints == []
    assert judged.talk.told_of_cut
    assert judged.talk.owed == 0
    judged.says({"result": 3}, id=3)
    assert judged.complaints == ["a reply follows the last one (shutting-down): b'{\"result\": 3}'"]


def test_nobody_is_told_of_a_cut_in_the_place_of_another_reply(judged: Judged) -> None:
    judged.reads(FIRST, SECOND)
    judged.fails("shutting-down", id=2, connection="close")
    assert judged.complaints == ["shutting-down overtakes the reply to request 1"]
    assert not judged.talk.told_of_cut


@pytest.mark.parametrize(
    ("text", "depth"),
    [("1", 0), ("[]", 1), ('{"a": [[], [[]]]}', 4), (r'["[[[", "\"[[", "\\", [2]]', 2), ('"[[', 0), ('["\\', 1)],
)
def test_the_depth_of_a_text_is_that_of_its_brackets_outside_of_strings(text: str, depth: int) -> None:
    assert _depth(text) == depth
