"""A line of a session stands for the bytes that its reader means, wrong ones too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol import CLIENT, SERVER
from study import typed


def header_and_content(message: bytes) -> tuple[dict[str, Any], bytes]:
    end = 2 + int.from_bytes(message[:2], "big")
    return json.loads(message[2:end]), message[end:]


def test_text_and_hexadecimal_digits_are_the_bytes_themselves() -> None:
    assert typed.text(["h\N{LATIN SMALL LETTER E WITH ACUTE}", "you"]) == b"h\xc3\xa9 you"
    assert typed.hexadecimal(["00", "02", "7b7d"]) == b"\x00\x02{}"
    with pytest.raises(ValueError, match="pairs of hexadecimal digits"):
        typed.hexadecimal(["0"])


def test_a_frame_is_a_request_to_a_server_and_a_reply_to_a_client() -> None:
    header, content = header_and_content(typed.frame(["search", "the", "one"], SERVER))
    assert json.loads(content) == {"action": "search", "value": "the one"}
    assert header["content-length"] == len(content)
    _, content = header_and_content(typed.frame(["Follow", "the", "rabbit"], CLIENT))
    assert json.loads(content) == {"result": "Follow the rabbit"}


def test_fields_at_the_end_go_into_the_header_as_they_are_wrong_ones_too() -> None:
    words = ["search", "a=b", "x", "connection=keep-alive", "id=7", "content-length=-3"]
    header, content = header_and_content(typed.frame(words, SERVER))
    assert json.loads(content)["value"] == "a=b x", "only what stands at the end is a field"
    assert (header["connection"], header["id"], header["content-length"]) == ("keep-alive", 7, -3)
    raw = typed.frame(["x", 'id="\N{DOG FACE}"'], SERVER)
    assert "\N{DOG FACE}".encode() in raw, "not in escapes: what is written is what is sent"


def test_a_binary_message_has_its_type_and_its_text() -> None:
    header, content = header_and_content(typed.binary(["image/x", "abc", "def", "id=1"]))
    assert content == b"abc def"
    assert (header["content-type"], header["content-encoding"], header["id"]) == ("image/x", "binary", 1)


@pytest.mark.parametrize("line", [lambda: typed.frame([], SERVER), lambda: typed.binary([])])
def test_a_line_of_which_no_message_can_be_made_says_what_to_write(line: Any) -> None:
    with pytest.raises(ValueError, match="such as: "):
        line()
