"""What may a binary handler return, and what becomes of anything else?"""

from __future__ import annotations

import json

import pytest

from libserver.binary_reply import BinaryReply, binary_reply
from protocol import Header
from tests.protocol.feeding import server


def binary_frame(result: object) -> tuple[dict, bytes]:
    reply = binary_reply(Header("x/y", "?", 3, id=5), result)
    connection = server()
    connection.in_flight = 1
    head, content = connection.send_binary(Header("x/y", "?", 3, id=5), reply.content_type, reply.content)
    return json.loads(head[2:]), bytes(content)


@pytest.mark.parametrize("content", [b"ab", bytearray(b"ab"), memoryview(b"ab"), memoryview(b"xabx")[1:3]])
def test_bytes_like_results_are_sent_in_the_requests_own_type_or_another(content):
    fields, sent = binary_frame(content)
    assert (fields["content-type"], fields["content-length"], fields["id"], sent) == ("x/y", 2, 5, b"ab")
    fields, sent = binary_frame(BinaryReply(content, "a/b"))
    assert (fields["content-type"], fields["content-length"], sent) == ("a/b", 2, b"ab")


def test_a_view_of_anything_is_counted_in_bytes():
    wide = memoryview(b"12345678").cast("I")
    assert len(wide) == 2
    assert binary_frame(wide) == (
        {**binary_frame(b"12345678")[0], "content-length": 8},
        b"12345678",
    )


@pytest.mark.parametrize(
    "result",
    [None, "text", 5, ["x"], {}, BinaryReply("text", "a/b"), BinaryReply(None, "a/b"), memoryview(b"abcd")[::2]],
)
def test_any_other_result_is_refused(result):
    with pytest.raises(TypeError):
        binary_reply(Header("x/y", "?", 3), result)
