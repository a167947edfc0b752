"""What may the handler of a binary content return?

Bytes, in the request's own content type; or a `BinaryReply`, with a type of its own choice.

Not here: what a JSON action may return (`protocol.content`).
"""

from __future__ import annotations

from protocol import Header
from protocol.content import UnsendableResult
from protocol.limits import MAX_CONTENT_TYPE

__all__ = ["BinaryReply", "BytesLike", "binary_reply"]

BytesLike = bytes | bytearray | memoryview


class BinaryReply:
    """A binary handler's answer with a content type of its own choice.

    `content` is bytes (`bytes`, `bytearray` or `memoryview`), sent as they are.
    """

    __slots__ = ("content", "content_type")

    def __init__(self, content: BytesLike, content_type: str) -> None:
        self.content = content
        self.content_type = content_type


def binary_reply(request: Header, result: object) -> BinaryReply:
    """What a binary handler returned, bytes-like in the request's own type or a `BinaryReply`, as the latter.

    Its content's length is that in bytes. Raises `UnsendableResult` for anything else.
    """
    content_type, returned = request.content_type, result
    if isinstance(result, BinaryReply):
        content_type, result = result.content_type, result.content
    if not isinstance(result, (bytes, bytearray, memoryview)):
        words = f"a binary handler must return bytes or a BinaryReply, not {type(result).__name__}"
        raise UnsendableResult(words, returned)
    if not isinstance(content_type, str) or len(content_type) > MAX_CONTENT_TYPE:
        raise UnsendableResult(f"a content type is a string of at most {MAX_CONTENT_TYPE} characters", returned)
    if isinstance(result, memoryview):
        try:
            result = result.cast("B")  # of bytes, as content-length is
        except TypeError as error:
            raise UnsendableResult(f"{error}", returned) from error  # it is not contiguous
    return BinaryReply(result, content_type)
