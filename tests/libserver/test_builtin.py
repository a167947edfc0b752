"""Are the tutorial's answers given word for word?"""

from __future__ import annotations

import pytest

from libserver import Actions
from libserver.builtin import ENTRIES, confirm, echo, echo_bytes, first_ten_bytes, ping, search
from protocol.errors import BadRequest
from tests.libserver.conftest import OpenHouse
from tests.support.wire import ask, binary


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("morpheus", "Follow the white rabbit. 🐰"),
        ("ring", "In the caves beneath the Misty Mountains. 💍"),
        ("🐶", "🐾 Playing ball! 🏐"),
        ("Morpheus", "No match for 'Morpheus'."),
        ("", "No match for ''."),
    ],
)
def test_search_finds_the_tutorials_entries(house: OpenHouse, value: str, result: str) -> None:
    peer = house().peer()
    peer.send(ask("search", value))
    assert peer.reply().body == {"result": result}
    assert len(ENTRIES) == 3


@pytest.mark.parametrize("value", [None, True, 0, 1.5, [], ["ring"], {}, {"ring": 1}])
def test_search_takes_any_value(value: object) -> None:
    assert search({"value": value}) == f"No match for '{value}'."


def test_without_a_value_what_needs_one_says_so_and_does_not_count() -> None:
    session: dict[str, object] = {}
    with pytest.raises(BadRequest, match="search needs a value, such as morpheus"):
        search({})
    with pytest.raises(BadRequest, match="confirm needs a value, such as hello"):
        confirm({}, session)
    assert confirm({"value": None}, session).fields == {"result": "Received: None", "count": 1}
    assert echo({}) is None


def test_confirm_counts_in_its_session() -> None:
    session: dict[str, object] = {}
    assert [confirm({"value": "x"}, session).fields["count"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("content", [b"", b"123456789", b"0123456789", b"0123456789a", bytes(1000)])
def test_any_binary_content_is_answered_with_its_first_ten_bytes(house: OpenHouse, content: bytes) -> None:
    peer = house().peer()
    peer.send(binary(content, "binary/custom-client-binary-type"))
    reply = peer.reply()
    assert reply.content == b"First 10 bytes of request: " + content[:10]
    assert reply.header["content-type"] == "binary/custom-server-binary-type"
    assert reply.header["content-encoding"] == "binary"


def test_large_contents_may_come_as_a_bytearray() -> None:
    content = bytearray(b"0123456789abc")
    assert echo_bytes(content) is content
    assert bytes(first_ten_bytes(content).content) == b"First 10 bytes of request: 0123456789"


def test_the_built_in_actions_are_these() -> None:
    assert Actions().names == ["search", "ping", "echo", "confirm"]
    assert ping({"action": "ping"}) == "pong"
