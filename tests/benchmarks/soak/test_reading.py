"""Are replies cut apart wherever the bytes are?"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.requests import mixed, repeated
from benchmarks.soak.reading import Replies
from tests.support.wire import framed


def reply_to(variant: Any) -> bytes:
    return framed({"content-type": "text/json", "content-length": len(variant.content)}, variant.content)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 20])
def test_replies_are_cut_apart_wherever_the_bytes_are(size: int) -> None:
    variants = mixed(40)
    wire = b"".join(map(reply_to, variants))
    replies = Replies()
    found = [reply for at in range(0, len(wire), size) for reply in replies.feed(wire[at : at + size])]
    assert len(found) == 40
    assert all(reply.answers(variant) for reply, variant in zip(found, variants, strict=True))
    assert not replies.rest
    assert not found[0].answers(repeated()[0])


def test_what_is_no_reply_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(ValueError, match="no reply"):
        Replies().feed(b"\0\2{}")
