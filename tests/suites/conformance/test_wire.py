"""Are messages built as they are told, and taken out of a stream where they end?

Not here: a connection (`test_peer.py`).
"""

from __future__ import annotations

import json
import sys

import pytest

from suites.conformance.wire import ABSENT, JSON, action, binary, framed, header, in_frames, json_message, message, take


def fields_of(whole: bytes) -> dict[str, object]:
    taken = take(bytearray(whole))
    assert taken is not None
    return taken[1]


def test_a_message_is_its_header_s_length_its_header_and_its_content() -> None:
    raw = (
        b'{"byteorder": "%s", "content-type": "text/json", "content-encoding": "utf-8", "content-length": 2}'
        % sys.byteorder.encode()
    )
    assert message(b"{}") == len(raw).to_bytes(2, "big") + raw + b"{}"
    assert message(b"{}") == framed(raw, b"{}") == framed(json.loads(raw)) + b"{}" == header(2) + b"{}"


def test_fields_are_added_changed_and_left_out() -> None:
    assert fields_of(message(b"x", deadline_ms=5, content_length=1, id=None)) == {
        "byteorder": sys.byteorder,
        "content-type": JSON,
        "content-encoding": "utf-8",
        "content-length": 1,
        "deadline-ms": 5,
        "id": None,
    }
    assert "byteorder" not in fields_of(message(b"", byteorder=ABSENT))
    assert fields_of(binary(b"x"))["content-type"] == "binary/echo"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_json_is_in_the_encoding_that_the_header_says(encoding: str) -> None:
    taken = take(bytearray(json_message(["\N{LATIN SMALL LETTER E WITH ACUTE}"], encoding)))
    assert taken is not None
    assert json.loads(taken[2].decode(encoding)) == ["é"]
    assert "\\u" not in taken[2].decode(encoding)


def test_an_action_has_a_value_only_if_it_is_given_one() -> None:
    contents = [content for _, content in in_frames(action("a") + action("a", None) + action("a", 0))]
    assert [json.loads(content) for content in contents] == [
        {"action": "a"},
        {"action": "a", "value": None},
        {"action": "a", "value": 0},
    ]


def test_a_message_is_taken_out_once_its_last_byte_has_come() -> None:
    first, second = message(b"abc", id=1), message(b"", id=2)
    buffer = bytearray()
    taken = []
    for at, byte in enumerate(first + second, 1):
        buffer.append(byte)
        if (one := take(buffer)) is not None:
            taken.append((at, *one[1:]))
    assert [(at, fields["id"], content) for at, fields, content in taken] == [
        (len(first), 1, b"abc"),
        (len(first + second), 2, b""),
    ]
    assert buffer == b""


def test_a_header_that_its_reader_refuses_is_not_taken() -> None:
    buffer = bytearray(framed(b"[1"))
    with pytest.raises(ValueError, match="delimiter"):
        take(buffer)
    assert buffer == framed(b"[1")


def test_a_header_in_another_encoding_than_utf_8_is_none() -> None:
    raw = json.dumps({"content-length": 0}).encode("utf-16")
    with pytest.raises(UnicodeDecodeError):
        take(bytearray(framed(raw)))


def test_a_stream_of_whole_messages_is_all_taken_and_one_that_is_not_is_an_error() -> None:
    stream = message(b"abc") + message(b"")
    assert list(in_frames(stream)) == [(header(3), b"abc"), (header(0), b"")]
    with pytest.raises(ValueError, match="no whole message"):
        list(in_frames(stream[:-1]))
