"""`libclient.replies`: the step that reads many replies must equal the walk."""

from __future__ import annotations

from typing import Any

import pytest

from libclient.replies import can_read_replies, read_replies
from protocol import CLIENT, Codec, Connection, Header, Limits, Rejected, Response
from tests.protocol.feeding import cuts, summary
from tests.support.wire import framed, header, message, request

EXPECTED = 6

ORDINARY = request({"result": 1}) + request({"result": "ü🐰"}, id="x") + message(b"\0\1", "binary/x")

STREAMS = {
    "ordinary": ORDINARY,
    "empty binary": message(b"", "binary/x") + request(1),
    "keep-alive said again": request(1, connection="keep-alive") + request(2),
    "unknown connection word": request(1, connection="upgrade") + request(2),
    "close in the middle": ORDINARY + request(1, connection="close") + request(2),
    "an event in the middle": request(1) + request("tick", event="tick") + request(2),
    "more than were asked for": request(1) * (EXPECTED + 2),
    "bad JSON": request(1) + message(b"{") + request(2),
    "JSON with a tail": request(1) + message(b"1 2") + request(2),
    "leading space": message(b"  1 ") + request(2),
    "bad UTF-8": message(b'"\xff"') + request(2),
    "NaN": message(b"NaN") + request(2),
    "another encoding": message('{"a": 1}'.encode("utf-16"), encoding="utf-16") + request(2),
    "an encoding that UTF-8 would misread": message('"Ã©"'.encode("latin-1"), encoding="latin-1") + request(2),
    "an encoding that UTF-8 would misread, without a BOM": message("1".encode("utf-16-le"), encoding="utf-16-le")
    + request(2),
    "no such encoding": message(b"1", encoding="nonsense") + request(2),
    "deep": message(b"[" * 100_000) + request(2),
    "empty JSON": message(b"") + request(2),
    "bad header": request(1) + framed(b"[]") + request(2),
    "empty header": request(1) + b"\0\0" + request(2),
    "long header": request(1) + header(0, "x" * 600),
    "content too large": request(1) + header(5000, "binary/x"),
}


def fresh(**more: Any) -> Connection:
    connection = Connection(Codec(CLIENT, Limits(max_header=500, max_content=4000)))
    connection.persistent = True
    connection.in_flight = EXPECTED
    for name, value in more.items():
        setattr(connection, name, value)
    return connection


def shown(header: Header, value: object) -> tuple[str, Any]:
    return repr(header), value


def walked(connection: Connection, data: bytes) -> list[Any]:
    replies: list[Any] = []
    for event in connection.receive_data(data):
        if isinstance(event, Response):
            replies.append(shown(event.header, event.content))
        elif isinstance(event, Rejected):
            replies.append((repr(event.header), event.error.code, str(event.error)))
        else:
            replies.append(type(event).__name__)
    return [entry for entry in replies if entry != "HeaderReceived"]


def stepped(connection: Connection, data: bytes) -> list[Any]:
    """As `Message.data_received` does it."""
    replies: list[tuple[Header, object]] = []
    if can_read_replies(connection):
        replies, taken = read_replies(connection, data)
        data = data[taken:]
    return [shown(*reply) for reply in replies] + walked(connection, data)


@pytest.mark.parametrize("name", STREAMS)
def test_the_step_equals_the_walk_at_every_cut(name: str) -> None:
    stream = STREAMS[name]
    for place in cuts(stream):
        by_walk, by_step = fresh(), fresh()
        expected = walked(by_walk, stream[:place]) + walked(by_walk, stream[place:])
        assert stepped(by_step, stream[:place]) + stepped(by_step, stream[place:]) == expected, place
        assert summary(by_step) == summary(by_walk), place


def test_a_header_seen_before_is_not_parsed_again() -> None:
    connection = fresh()
    stepped(connection, request(1) + request(2))
    assert len(connection.codec.headers) == 1


@pytest.mark.parametrize(
    "more", [{"persistent": False}, {"in_flight": 0}, {"observer": object()}, {"state": "CONTENT"}]
)
def test_it_is_not_used_where_the_walk_is_needed(more: dict[str, Any]) -> None:
    assert can_read_replies(fresh())
    assert not can_read_replies(fresh(**more))


def test_it_is_not_used_inside_a_message() -> None:
    connection = fresh()
    connection.feed(b"\0")
    assert not can_read_replies(connection)
