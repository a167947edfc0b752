"""The parts of a stream are the same however it was cut, and what is no frame is lost, never an error."""

from __future__ import annotations

import pytest

from study.frame_parts import CONTENT, HEADER, LOST, PREFIX, Part, Splitter
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
