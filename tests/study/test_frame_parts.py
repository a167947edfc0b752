"""The parts of a stream are the same however it was cut, and what is no frame is lost, never an error."""

from __future__ import annotations

import pytest

from protocol.push import Gap, encode_gap, encode_published
from study.frame_parts import CONTENT, HEADER, LOST, MOST_READ, PREFIX, Part, Splitter
from tests.support.wire import framed


def frame(content: bytes, **fields: object) -> bytes:
    """With no more in its header than the parts are told by."""
    return framed({"content-length": len(content)} | fields, content)


STREAM = frame(b"hello") + frame(b"") + frame(b"x" * 300, id="\N{DOG FACE}")


def parts_of(stream: bytes, size: int) -> list[Part]:
    splitter = Splitter()
    return [part for at in range(0, len(stream), size) for part in splitter.feed(stream[at : at + size])]


def test_every_part_is_told_where_it_stands():
    parts = parts_of(STREAM, len(STREAM))
    assert [part.kind for part in parts] == [PREFIX, HEADER, CONTENT] * 3
    assert [part.message for part in parts] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    at = 0
    for part in parts:
        assert part.offset == at
        at += part.length
    assert at == len(STREAM)
    assert parts[0].value == parts[1].length
    assert parts[7].value == {"content-length": 300, "id": "\N{DOG FACE}"}
    assert parts[8].value is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_they_are_the_same_however_the_stream_is_cut(size):
    assert parts_of(STREAM, size) == parts_of(STREAM, len(STREAM))


def test_what_has_not_come_whole_is_not_told():
    splitter = Splitter()
    assert splitter.feed(STREAM[:1]) == []
    assert splitter.reading == PREFIX
    assert [part.kind for part in splitter.feed(STREAM[1:5])] == [PREFIX]
    assert splitter.reading == HEADER
    assert splitter.offset == 5


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x00",
        b"\x00\x02[]",
        b"\x00\x02{}",
        b"\x00\x01\xff",
        framed(b'{"content-length": -1}'),
        framed(b'{"content-length": true}'),
        framed(b"[" * 60000),
    ],
    ids=["empty header", "no object", "no length", "no text", "negative", "no number", "deep"],
)
def test_bytes_that_are_no_frame_are_lost_from_there_on(raw):
    splitter = Splitter()
    before = splitter.feed(raw)
    assert [part.kind for part in before] == [PREFIX, HEADER][: len(before)]
    assert splitter.reading == LOST
    assert splitter.feed(STREAM) == []
    assert splitter.offset == len(raw) + len(STREAM)


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_of_an_event_it_is_told_which_messages_it_is_about(size):
    stream = encode_published("t", 7, b'{"seq": 9}', "ann") + frame(b'{"topic": "t", "seq": 1}')
    stream += encode_gap(Gap("t", 8, 11, 4)) + encode_gap(Gap("t", "1-0", "2-0", None))
    contents = [part for part in parts_of(stream, size) if part.kind == CONTENT]
    assert [part.value for part in contents] == [
        {"topic": "t", "seq": 7},
        None,  # a reply
        {"topic": "t", "from": 8, "to": 11, "dropped": 4},
        {"topic": "t", "from": "1-0", "to": "2-0", "dropped": None},
    ]


@pytest.mark.parametrize(
    ("content", "event"),
    [
        (b"", "message"),
        (b"not JSON", "message"),
        (b"\xff", "message"),
        (b"[1]", "message"),
        (b'{"topic": "t"}', "message"),
        (b'{"topic": "t", "seq": 1}', "gap"),
        (b'{"topic": "t", "seq": 1}', "later"),
        (b'{"topic": "t", "seq": 1}', ["message"]),
        (b"[" * 60_000, "message"),
        (b'{"topic": "t", "seq": 1, "value": "' + b"x" * MOST_READ + b'"}', "message"),
    ],
    ids=["empty", "no JSON", "no text", "no object", "no seq", "a gap's", "unknown", "no name", "deep", "large"],
)
def test_an_event_that_does_not_say_is_a_content_as_any(content, event):
    stream = frame(content, event=event) + STREAM
    told = parts_of(stream, 4096)
    assert [part.kind for part in told] == [PREFIX, HEADER, CONTENT] * 4
    assert told[2].value is None
