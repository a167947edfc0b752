"""`libclient.outgoing`: what is checked when a request is made, and how it is framed."""

from __future__ import annotations

from typing import Any

import pytest

from libclient import Outgoing, action_request, json_request
from protocol import SERVER, Codec, Connection, Request


def decoded(request: Outgoing) -> Request:
    connection = Connection(Codec(SERVER))
    (event,) = [e for e in connection.receive_data(b"".join(request.framed)) if isinstance(e, Request)]
    return event


def test_an_action_is_what_the_tutorial_sends() -> None:
    assert decoded(action_request("search", "ring")).content == {"action": "search", "value": "ring"}


def test_size_is_the_length_of_the_frame() -> None:
    for request in (json_request([1]), Outgoing("a/b", b""), Outgoing("a/b", bytes(10**6))):
        assert request.size == sum(map(len, request.framed))


@pytest.mark.parametrize("size", [1, 10**6])
def test_the_last_request_says_so_on_a_connection_that_is_kept_alive(size: int) -> None:
    last, other = (Outgoing("a/b", bytes(size), id=1, last=last) for last in (True, False))
    assert (decoded(last).header.connection, decoded(other).header.connection) == ("close", None)
    assert last.size == sum(map(len, last.framed)) > other.size


def test_a_memoryview_counts_in_bytes() -> None:
    request = Outgoing("a/b", memoryview(b"12345678").cast("I"))
    assert decoded(request).content == b"12345678"


@pytest.mark.parametrize("id", ["", "x" * 64, 0, -(2**53), 2**53])
def test_ids_at_the_edge_are_taken(id: Any) -> None:
    assert decoded(json_request(1, id=id)).header.id == id


@pytest.mark.parametrize("id", ["x" * 65, 2**53 + 1, True, 1.0, b"x"])
def test_ids_beyond_it_are_refused(id: Any) -> None:
    with pytest.raises(ValueError, match="an id is"):
        json_request(1, id=id)


@pytest.mark.parametrize("deadline", [-1, 86_400_001, True, 1.5])
def test_deadlines_that_wire_md_does_not_allow_are_refused(deadline: Any) -> None:
    with pytest.raises(ValueError, match="a deadline is"):
        json_request(1, deadline_ms=deadline)


def test_content_types_have_a_length() -> None:
    with pytest.raises(ValueError, match="content type"):
        Outgoing("x" * 2000, b"")


def test_what_json_cannot_carry_is_refused_when_it_is_made() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        json_request(loop)
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_request(float("nan"))
    with pytest.raises(TypeError, match="bytes"):
        json_request(b"x")
