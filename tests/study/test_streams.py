"""The bytes of one direction are put together from what both ends kept, and each is a part of a frame."""

from __future__ import annotations

from base64 import b64decode

from protocol.push import Gap, encode_gap, encode_published
from study.streams import Stream
from tests.study.scribe import Scribe
from tests.support.wire import request


def test_bytes_come_from_the_end_that_kept_more_of_them():
    client, server = Scribe("client"), Scribe("server")
    client.begin("1", "a", "b")
    server.begin("1", "b", "a")
    data = request({"value": "x" * 100})
    client.moved("1", "out", data, keep=4)
    server.moved("1", "in", data[:50], keep=10)
    server.moved("1", "in", data[50:])
    stream = Stream(client.trace().events, server.trace().events, server.trace().events)
    assert stream.read(0, 10) == data[:10]
    assert stream.read(9, 2) is None
    assert stream.read(50, len(data) - 50) == data[50:]
    assert stream.read(len(data) - 1, 2) is None


def alone(*pieces: bytes) -> Stream:
    """What a server that was recorded alone read of these."""
    server = Scribe("server")
    server.begin("1", "a", "b")
    for piece in pieces:
        server.moved("1", "in", piece)
    return Stream([], server.trace().events, server.trace().events)


def test_every_byte_is_in_one_region_however_it_came():
    data = request({"value": 1}) + request({"value": 2}, id=7)
    for size in (1, 7, len(data)):
        stream = alone(*(data[at : at + size] for at in range(0, len(data), size)))
        assert [region["kind"] for region in stream.regions] == ["prefix", "header", "content"] * 2
        assert sum(region["length"] for region in stream.regions) == stream.length == len(data)
        assert stream.where["header", 1] == 4
        assert stream.read(0, len(data)) == data


def test_what_has_come_of_a_part_is_one_with_the_length_that_it_will_have():
    data = request({"value": 1})
    for come, kind, expected in (
        (1, "prefix", 2),
        (5, "header", data[1]),
        (len(data) - 1, "content", len('{"value": 1}')),
    ):
        last = alone(data[:come]).regions[-1]
        assert (last["kind"], last["expected"]) == (kind, expected)
    nothing = alone()
    assert (nothing.length, nothing.regions) == (0, [])


def test_an_error_reply_is_marked_by_its_code():
    error = {"result": "Error", "error": {"code": "unknown-action", "message": "no such action"}}
    stream = alone(request(error) + request({"result": 'a word about an "error"'}) + request({"error": 3}))
    stream.mark_errors()
    assert [region.get("error") for region in stream.regions if region["kind"] == "content"] == [
        *("unknown-action", None, None)
    ]


def test_a_header_too_long_to_show_is_cut():
    shown = alone(request(1, note="x" * 1000)).regions[1]["text"]
    assert shown.startswith('{"')
    assert shown.endswith("x…")
    assert len(shown) == 401


def test_what_is_packed_for_the_page_holds_the_bytes_and_where_they_begin():
    data = request({"value": 1})
    packed = alone(data).packed()
    assert packed["length"] == len(data)
    assert [(begin, b64decode(run)) for begin, run in packed["runs"]] == [(0, data)]


def test_a_reply_behind_an_event_says_which_request_it_answers():
    """In the order of the requests, past the events. One more than there are requests, a last word, answers none."""
    event, gap = encode_published("t", 1, b"1"), encode_gap(Gap("t", 2, 3, 2))
    stream = alone(request(0) + event + gap + request(1) + event + request(2) + request(3))
    stream.number_replies(3)
    told = {(r["message"], r["kind"]): (r.get("event"), r.get("answers")) for r in stream.regions}
    assert [told[message, "header"] for message in range(7)] == [
        (None, None), ("message", None), ("gap", None), (None, 1), ("message", None), (None, 2), (None, None),
    ]  # fmt: skip
    assert told[1, "content"] == ("seq 1 of 't'", None)
    assert told[2, "content"] == ("gap: seq 2 to 3 of 't', 2 left out", None)
    assert [told[message, "prefix"] for message in range(7)] == [(None, None)] * 7
    plain = alone(request(0) + request(1))
    plain.number_replies(2)
    assert not any("answers" in region or "event" in region for region in plain.regions)
