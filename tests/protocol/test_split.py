"""The columns of whole common messages: what a naive reader of the same bytes finds."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from protocol import CLIENT, SERVER, Codec, Limits
from protocol.frames import one_whole, split, split_each
from protocol.limits import CACHED_HEADER_LENGTH, CACHED_HEADERS
from tests.support.wire import framed, header, in_frames, message, request

KEPT = {"connection": "keep-alive"}
FIRST = request({"action": "echo", "value": 1}, **KEPT)
NAMED = request({"action": "echo", "value": "a longer one"}, id="a", **KEPT)
NUMBERED = request({"action": "echo", "value": 2}, id=7, **KEPT)
OTHER = message('{"action": "echo"}'.encode("utf-16"), encoding="utf-16", **KEPT)
BYTES = message(b"0123456789", "x/y", **KEPT)


def seen(codec: Codec, *messages: bytes) -> None:
    """Their headers are known from now on."""
    for data in messages:
        codec.header(data[: 2 + int.from_bytes(data[:2], "big")])


def naive(stream: bytes, most: int) -> tuple[list[Any], dict[int, Any], list[int]]:
    """Values, ids and ends of the messages at the front that are JSON."""
    values, ids, ends = [], {}, []
    at = 0
    for head, content in [*in_frames(stream)][:most]:
        fields = json.loads(head[2:])
        if fields["content-type"] != "text/json":
            break
        if "id" in fields:
            ids[len(values)] = fields["id"]
        at += len(head) + len(content)
        values.append(json.loads(content.decode(fields["content-encoding"])))
        ends.append(at)
    return values, ids, ends


def columns(codec: Codec, data: bytes, at: int = 0, most: int = 100) -> tuple[list[Any], dict[int, Any], list[int]]:
    contents, ids, unreadable, ends, longest = split(codec, data, at, most)
    assert longest == max(map(len, contents), default=0)
    assert unreadable is None
    return [json.loads(one) for one in contents], {n: json.loads(id) for n, id in (ids or {}).items()}, ends


def test_a_stream_is_split_as_a_naive_reader_splits_it() -> None:
    chance = random.Random(8)
    codec = Codec(SERVER)
    seen(codec, FIRST, OTHER, BYTES)
    for _ in range(300):
        stream = b"".join(chance.choices([FIRST, NAMED, NUMBERED, OTHER, BYTES], [5, 3, 3, 3, 1], k=9))
        most = chance.randrange(1, 12)
        assert columns(codec, stream, 0, most) == naive(stream, most)


def test_it_begins_where_it_is_told_to() -> None:
    codec = Codec(SERVER)
    seen(codec, FIRST)
    assert columns(codec, BYTES + FIRST * 2, len(BYTES))[2] == [len(BYTES + FIRST), len(BYTES + FIRST * 2)]


@pytest.mark.parametrize("whole", [FIRST, NAMED, OTHER], ids=["common", "with an id", "another encoding"])
def test_a_part_of_a_message_is_left(whole: bytes) -> None:
    codec = Codec(SERVER)
    seen(codec, FIRST, OTHER)
    for size in range(len(whole)):
        assert columns(codec, FIRST + whole[:size])[2] == [len(FIRST)]


@pytest.mark.parametrize(
    "odd",
    [
        request({"action": "echo"}, connection="close"),
        request({"action": "echo"}, deadline_ms=0, **KEPT),
        request({"action": "echo"}, encoding="rot13", connection="close"),
        request({"action": "echo"}, encoding="rot13", deadline_ms=0, **KEPT),
        message(b"x", "x/y", **KEPT),
        message(b"{\0\0\xd8}\0", encoding="utf-16-le", **KEPT),
        message("[]", x="never seen", **KEPT),
        framed(b"[]"),
        b"\0\0",
    ],
)
def test_it_stops_at_what_is_not_common(odd: bytes) -> None:
    codec = Codec(SERVER)
    seen(codec, FIRST)
    if b"byteorder" in odd and b"never seen" not in odd:
        seen(codec, odd)
    assert columns(codec, FIRST + odd + FIRST)[2] == [len(FIRST)]
    assert split_each(codec, [FIRST, odd, FIRST])[2] == [0, 2]


def test_what_can_not_be_read_is_split_off_with_the_others() -> None:
    codec = Codec(SERVER)
    odd = request({"action": "echo"}, encoding="rot13", deadline_ms=5, **KEPT)
    seen(codec, FIRST, odd)
    contents, ids, unreadable, ends, _ = split(codec, odd + FIRST + odd + odd[:-1], 0, 100)
    assert [json.loads(content) for content in contents] == [None, {"action": "echo", "value": 1}, None]
    assert unreadable is not None
    assert {number: header.content_encoding for number, header in unreadable.items()} == {0: "rot13", 2: "rot13"}
    assert (ids, ends[-1]) == (None, len(odd + FIRST + odd))
    assert split_each(codec, [odd, FIRST])[2] == [1]


def test_a_client_takes_what_is_new_and_plain_and_wants_its_header() -> None:
    codec = Codec(CLIENT)
    data = FIRST + FIRST + NUMBERED + OTHER + OTHER + BYTES + BYTES
    contents, ids, odd, ends, longest = split(codec, data, 0, 100)
    assert [json.loads(content.decode()) for content in contents] == [
        {"action": "echo", "value": 1},
        {"action": "echo", "value": 1},
        {"action": "echo", "value": 2},
        {"action": "echo"},
        {"action": "echo"},
        None,
        None,
    ]
    assert (ids, ends[-1], longest) == (None, len(data), len(contents[0]))
    assert odd is not None
    assert [(number, header.id, header.content_type) for number, header in odd.items()] == [
        (0, None, "text/json"),
        (2, 7, "text/json"),
        (3, None, "text/json"),
        (4, None, "text/json"),
        (5, None, "x/y"),
        (6, None, "x/y"),
    ]


@pytest.mark.parametrize(
    "odd",
    [
        request(1, connection="close"),
        request(1, event="tick"),
        request(1, encoding="rot13"),
        message(b"{\0\0\xd8}\0", encoding="utf-16-le"),
        message(b"0" * 50, "x/y"),
        message(b"0" * 50),
        header(1, x="x" * 300),
        framed(b"[]"),
        b"\0\0",
    ],
)
def test_a_client_leaves_what_needs_care(odd: bytes) -> None:
    codec = Codec(CLIENT, Limits(max_content=40, max_header=300))
    for _ in range(2):
        assert split(codec, FIRST + odd + FIRST, 0, 100)[3] == [len(FIRST)]


def test_one_whole_message_is_found_if_its_header_is_remembered() -> None:
    codec = Codec(CLIENT)
    long = request(1, x="x" * 300)
    assert one_whole(codec, FIRST) is None
    seen(codec, FIRST, long)
    for whole in (FIRST, long):
        found = one_whole(codec, whole)
        assert found is not None
        one, start = found
        assert (one, start) == (codec.header(whole[:start]), len(whole) - one.content_length)
    for data in (b"", b"\0", FIRST[:1], FIRST[:-1], FIRST + b"\0", FIRST + FIRST):
        assert one_whole(codec, data) is None


def test_a_request_that_has_time_left_is_common() -> None:
    codec = Codec(SERVER)
    one = request({"action": "echo"}, deadline_ms=5, **KEPT)
    seen(codec, one)
    assert columns(codec, one * 2)[2] == [len(one), 2 * len(one)]


def test_a_header_of_more_than_255_bytes_is_found() -> None:
    codec = Codec(SERVER)
    long = request({"action": "echo"}, x="x" * 300, **KEPT)
    seen(codec, long)
    assert columns(codec, long * 2)[2] == [len(long), 2 * len(long)]
    assert split_each(codec, [long])[2] == [0]


def test_of_many_reads_those_that_are_one_common_message_are_taken() -> None:
    codec = Codec(SERVER)
    seen(codec, FIRST, OTHER)
    reads = [b"", b"\0", FIRST[:-1], FIRST[:40], FIRST * 2, OTHER, FIRST, NAMED, NAMED + b"\0", NUMBERED, FIRST]
    contents, ids, numbers, longest = split_each(codec, reads)
    assert numbers == [6, 7, 9, 10]
    assert [json.loads(content)["value"] for content in contents] == [1, "a longer one", 2, 1]
    assert ids == {1: b'"a"', 2: b"7"}
    assert longest == len(contents[1])
    assert split_each(codec, []) == ([], None, [], 0)


# --- headers that differ by their id alone ------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "simple"),
    [
        *((id, True) for id in (0, 5, 10**14, -3, "", "a", "12", "~ !#[]")),
        *((id, False) for id in (10**15, "é", 'a"b', True, None, 1.5, [1])),
    ],
)
def test_an_id_that_stands_last_is_cut_off_where_it_was_before(id: object, simple: bool) -> None:
    """By the second time what stands before it is known. Then it is asked for without a regular expression."""
    codec = Codec(SERVER)
    for _ in range(2):
        expected = (2, json.dumps(id).encode()) if simple else (None, b"")
        assert codec.common_around_id(header(2, **KEPT, id=id)) == expected
        for other in (1, "x", 12_345):
            assert codec.common_around_id(header(2, **KEPT, id=other))[0] == 2


@pytest.mark.parametrize("tail", ["01}", "1 }", "}", '1, "x": 2}', "1", "1}}"])
def test_what_stands_behind_the_last_fields_name_must_be_an_id_and_the_end(tail: str) -> None:
    codec = Codec(SERVER)
    known = header(2, **KEPT, id=1)
    before, _, _ = known.rpartition(b"1}")
    other = before[2:] + tail.encode()
    # of the same length as one that is known, so that only the id can tell them apart
    for number in (1, 12, 123, 12_345_678):
        codec.common_around_id(header(2, **KEPT, id=number))
    length, id = codec.common_around_id(framed(other))
    assert (length, id) == ((2, b"1") if tail in ("1 }", '1, "x": 2}') else (None, id))
    assert length is None or json.loads(other)["id"] == 1


def test_what_stands_before_a_last_id_is_remembered_within_bounds() -> None:
    codec = Codec(SERVER)
    for length in (1, 2):
        for n in range(CACHED_HEADERS // 2 + 5):
            codec.common_around_id(header(n % 20, **KEPT, id=1, x=n) if length == 1 else header(n, **KEPT, id=1))
        assert len(codec.last_ids) <= CACHED_HEADERS
    for digits in range(1, 15):
        for n in range(CACHED_HEADERS // 4):
            codec.common_around_id(header(n, **KEPT, id=10**digits))
        assert 0 < len(codec.last_ids) <= CACHED_HEADERS


@pytest.mark.parametrize(
    "id", ["é", 'a"b', "a\\b", "x" * 65, 2**53, 2**53 + 1, -(2**53) - 1, 10**30, True, None, 1.5, [1]]
)
def test_an_id_that_is_not_simple_is_read_by_the_parser(id):
    codec = Codec(SERVER)
    simple = header(2, id=1, **KEPT)
    assert codec.common_around_id(simple) == (2, b"1")
    assert codec.common_around_id(header(2, id=id, **KEPT)) == (None, b"")


@pytest.mark.parametrize(
    "raw",
    [
        header(2, x={"id": 1}, **KEPT),
        header(2, x=[{"id": 1}], **KEPT),
        framed(header(2, **KEPT)[2:-1] + b', "id": 1, "id": 2}'),
        framed(header(2, **KEPT)[2:-1] + b', "id": 1 "x": 2}'),
        framed(b'{"id": 1}'),
        framed(header(2, **KEPT)[2:-1] + b', "x": "\\"id\\": 1}'),
    ],
)
def test_a_place_that_is_not_the_ids_is_told_by_putting_another_there(raw):
    codec = Codec(SERVER)
    assert codec.common_around_id(raw)[0] is None
    assert codec.common_around_id(raw)[0] is None  # and it is remembered


def test_what_stands_around_ids_is_remembered_within_bounds():
    codec = Codec(SERVER)
    for n in range(CACHED_HEADERS + 10):
        assert codec.common_around_id(header(n, id=n)) == (n, b"%d" % n)
    assert len(codec.around_ids) == 10
    assert codec.common_around_id(header(2, id=1, x="x" * CACHED_HEADER_LENGTH)) == (None, b"")
    assert len(codec.around_ids) == 10


def test_a_header_around_an_id_is_held_to_the_limit():
    codec = Codec(SERVER, Limits(max_content=10))
    assert codec.common_around_id(header(10, id=1)) == (10, b"1")
    assert codec.common_around_id(header(11, id=1))[0] is None
    short = Codec(SERVER, Limits(max_header=60))
    assert short.common_around_id(header(10, id=1))[0] is None
