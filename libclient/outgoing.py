"""What does a request look like before it is sent?

`Outgoing` is content and header fields, checked when it is made, so that sending can't fail for
what it says. It knows nothing of a connection: the same one may be sent many times and over many
connections, which is what a load tester does, and its frame is then built once.

Not here: when it is sent, what comes back (`libclient.message`).
"""

from __future__ import annotations

from protocol import CLOSE, JSON_ENCODING, JSON_TYPE, encode_json
from protocol.frames import encode_header
from protocol.limits import MAX_CONTENT_TYPE, MAX_DEADLINE_MS, MAX_ID_INTEGER, MAX_ID_LENGTH

__all__ = ["BINARY_ENCODING", "JOIN_BELOW", "Outgoing", "action_request", "json_request"]

BytesLike = bytes | bytearray | memoryview

#: What the tutorial writes as the encoding of contents that have none.
BINARY_ENCODING = "binary"

#: Up to this many bytes header and content are joined; larger contents are sent in place (sendmsg).
JOIN_BELOW = 64 * 1024


class Outgoing:
    """A request to be sent, any number of times.

    `content` is bytes-like and must not change while it is being sent. `id` comes back in the
    reply; `deadline_ms` tells the server how long an answer is worth having, in milliseconds.
    `framed` is what goes out on a connection that is known to be kept alive: header and content,
    joined if they are small. `size` is its length in bytes. With `last` it says that nothing follows, so that the
    peer closes the connection.

    Raises `ValueError` for a field that wire.md doesn't allow.
    """

    __slots__ = ("content", "content_encoding", "content_type", "deadline_ms", "framed", "id", "size")

    def __init__(
        self,
        content_type: str,
        content: BytesLike,
        content_encoding: str = BINARY_ENCODING,
        *,
        id: str | int | None = None,
        deadline_ms: int | None = None,
        last: bool = False,
    ) -> None:
        if not isinstance(content_type, str) or len(content_type) > MAX_CONTENT_TYPE:
            raise ValueError(f"a content type is a string of at most {MAX_CONTENT_TYPE} characters")
        _check_id(id)
        if deadline_ms is not None and not (_is_integer(deadline_ms) and 0 <= deadline_ms <= MAX_DEADLINE_MS):
            raise ValueError(f"a deadline is from 0 to {MAX_DEADLINE_MS} milliseconds")
        if isinstance(content, memoryview):
            content = content.cast("B")  # of bytes, as content-length is
        self.content_type = content_type
        self.content = content
        self.content_encoding = content_encoding
        self.id = id
        self.deadline_ms = deadline_ms
        head = encode_header(
            content_type,
            content_encoding,
            len(content),
            connection=CLOSE if last else None,
            id=id,
            deadline_ms=deadline_ms,
        )
        self.size = len(head) + len(content)
        self.framed: tuple[BytesLike, ...] = (head + content,) if self.size < JOIN_BELOW else (head, content)

    def __repr__(self) -> str:
        return f"<Outgoing {self.content_type} of {len(self.content)} bytes>"


def json_request(value: object, *, id: str | int | None = None, deadline_ms: int | None = None) -> Outgoing:
    """A `text/json` request of any value. Raises `ValueError` or `TypeError` if JSON can't carry it."""
    try:
        content = encode_json(value)
    except RecursionError:
        raise ValueError("the value is nested too deeply, or contains itself") from None
    return Outgoing(JSON_TYPE, content, JSON_ENCODING, id=id, deadline_ms=deadline_ms)


def action_request(
    action: str, value: object = None, *, id: str | int | None = None, deadline_ms: int | None = None
) -> Outgoing:
    """The tutorial's kind of request: `{"action": ..., "value": ...}`."""
    return json_request({"action": action, "value": value}, id=id, deadline_ms=deadline_ms)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_id(id: object) -> None:
    if id is None or (isinstance(id, str) and len(id) <= MAX_ID_LENGTH):
        return
    if isinstance(id, int) and _is_integer(id) and -MAX_ID_INTEGER <= id <= MAX_ID_INTEGER:
        return
    raise ValueError(f"an id is a string of at most {MAX_ID_LENGTH} characters or an integer within 2^53")
