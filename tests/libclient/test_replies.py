"""`libclient.replies`: reading many replies in one step must equal the slow path."""

from __future__ import annotations

from typing import Any

import pytest

from libclient.replies import whole_replies
from protocol import CLIENT, Codec, Connection, Header, Limits, Rejected, Response
from protocol.limits import CACHED_HEADERS, MAX_CONTENT_DEPTH
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
    "as deep as may be": message(b"[" * MAX_CONTENT_DEPTH + b"]" * MAX_CONTENT_DEPTH) + request(2),
    "one level deeper": message(b"[" * MAX_CONTENT_DEPTH + b"[]" + b"]" * MAX_CONTENT_DEPTH) + request(2),
    "contents that are one only together": message(b"[1") + message(b"2]") + request(3),
    "an encoding and an id": message('{"a": 1}'.encode("utf-16"), encoding="utf-16", id=5) + request(2),
    "an encoding, and a content as long in UTF-8": message(b"1 ", encoding="latin-1")
    + message(b"[]", encoding="cp437"),
    "bytes that look like what stands for them": message(b"null", "binary/x") * 2 + request(None),
    "bytes and nothing else": message(b"\0\1", "binary/x"),
    "a header too long to be remembered": request(1, x="x" * 400) * 2 + request(2),
    "empty JSON": message(b"") + request(2),
    "bad header": request(1) + framed(b"[]") + request(2),
    "empty header": request(1) + b"\0\0" + request(2),
    "long header": request(1) + header(0, "x" * 600),
    "content too large": request(1) + header(5000, "binary/x"),
}


def fresh(codec: Codec | None = None) -> Connection:
    connection = Connection(codec or Codec(CLIENT, Limits(max_header=500, max_content=4000)))
    connection.persistent = True
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


class Step:
    """Reads as `Message.data_received` does, with so many replies awaited."""

    def __init__(self, codec: Codec, awaited: int) -> None:
        self.connection = fresh(codec)
        self.awaited = awaited

    def read(self, data: bytes) -> list[Any]:
        replies: list[tuple[Header, object]] = []
        if self.awaited > 0 and self.connection.persistent and self.connection.between_messages:
            replies, taken = whole_replies(self.connection.codec, data, self.awaited)
            data = data[taken:]
        said = [shown(*reply) for reply in replies] + walked(self.connection, data)
        self.awaited -= sum(not isinstance(entry, str) for entry in said)
        return said


@pytest.mark.parametrize("awaited", [EXPECTED, 1])
@pytest.mark.parametrize("name", STREAMS)
def test_the_step_equals_the_slow_path_at_every_cut(name: str, awaited: int) -> None:
    stream = STREAMS[name]
    codec = fresh().codec  # in which headers come to be remembered
    for place in cuts(stream):
        slow, step = fresh(), Step(codec, awaited)
        walk = walked(slow, stream[:place]) + walked(slow, stream[place:])
        assert step.read(stream[:place]) + step.read(stream[place:]) == walk, place
        assert summary(step.connection) == summary(slow), place


def test_ordinary_replies_need_no_slow_path() -> None:
    codec = fresh().codec
    for most in (3, 1):
        replies, taken = whole_replies(codec, ORDINARY, most)
        assert len(replies) == most
    replies, taken = whole_replies(codec, ORDINARY, EXPECTED)
    assert [value for _, value in replies] == [{"result": 1}, {"result": "ü🐰"}, b"\0\1"]
    assert taken == len(ORDINARY)


def test_a_header_seen_before_is_not_parsed_again() -> None:
    codec = fresh().codec
    whole_replies(codec, request(1) + request(2), EXPECTED)
    assert len(codec.headers) == 1


def test_headers_that_are_forgotten_meanwhile_are_read_again() -> None:
    codec = fresh().codec
    for n in range(CACHED_HEADERS - 1):
        codec.header(header(n, x=n))
    first = request(1)
    codec.header(first[: -len("1")])
    replies, taken = whole_replies(codec, first + request("a new length"), EXPECTED)
    assert [(header.content_length, value) for header, value in replies] == [(1, 1), (14, "a new length")]
    assert taken == len(first + request("a new length"))
