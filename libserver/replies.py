"""How do replies leave in request order, when some are ready later than others?

A `PendingReply` is not ready, or waits behind one that is not. A connection with none of
them sends each reply as it is made; with one, everything after it queues up in its `ReplyQueue`.
Contents, and errors, are encoded at once, so that it is known how much memory waits; headers only
when a reply's turn has come, because whether it says `keep-alive` or `close` depends on those before it.

Not here: who makes the outcomes (`libserver.message`), the bytes (`protocol.connection`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from protocol import Codec, Connection, Frame, Header, ProtocolError
from protocol.content import encode_error, encode_result

from .binary_reply import BytesLike, binary_reply

__all__ = ["PendingReply", "ReplyQueue", "encode"]

Failure = Callable[[BaseException], ProtocolError]


class PendingReply:
    """One reply to come. `content` is what it says once that is known, in the binary `content_type`
    (None: JSON), and `size` its length in bytes. No exception is kept: it would keep what led to it.
    """

    __slots__ = ("content", "content_type", "deadline", "header")

    def __init__(self, header: Header | None, deadline: float | None = None) -> None:
        self.header = header
        self.deadline = deadline
        self.content: BytesLike | None = None
        self.content_type: str | None = None

    @property
    def size(self) -> int:
        return 0 if self.content is None else len(self.content)

    def settle(self, outcome: object, failure: Failure) -> None:
        """`outcome` is the `ProtocolError` to answer, or a handler's result."""
        try:
            if isinstance(outcome, ProtocolError):
                self.content = encode_error(outcome)
            elif self.header is None or self.header.is_json:
                self.content = encode_result(outcome)
            else:
                reply = binary_reply(self.header, outcome)
                self.content, self.content_type = reply.content, reply.content_type
        except BaseException as error:
            self.content = encode_error(failure(error))

    def frame(self, connection: Connection) -> Frame:
        """The reply's bytes, once its turn has come."""
        assert self.content is not None
        if self.content_type is not None and self.header is not None:
            return connection.send_binary(self.header, self.content_type, self.content)
        return connection.send_json(self.header, bytes(self.content))


class ReplyQueue:
    """The replies one connection owes, in request order; `size` is what is ready and waits, in bytes."""

    __slots__ = ("_queue", "size")

    def __init__(self) -> None:
        #: made on first need: an empty deque holds 600 bytes, and most connections owe nothing when they end
        self._queue: deque[PendingReply] | None = None
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._queue)

    def __len__(self) -> int:
        return len(self._queue) if self._queue else 0

    def __contains__(self, reply: PendingReply) -> bool:
        return self._queue is not None and reply in self._queue

    def is_behind(self, reply: PendingReply, other: PendingReply) -> bool:
        """Of two that are here, does `reply` leave after `other`?"""
        assert self._queue is not None
        return self._queue.index(reply) > self._queue.index(other)

    @property
    def all_ready(self) -> bool:
        """Nothing is waited for: all could leave."""
        return all(reply.content is not None for reply in self._queue or ())

    @property
    def oldest(self) -> PendingReply | None:
        """The next to leave."""
        return self._queue[0] if self._queue else None

    def append(self, reply: PendingReply) -> None:
        """It leaves behind all that are here."""
        if self._queue is None:
            self._queue = deque()
        self._queue.append(reply)

    def settle(self, reply: PendingReply, outcome: object, failure: Failure) -> None:
        """What `reply` says is known now."""
        reply.settle(outcome, failure)
        self.size += reply.size

    def release(self, connection: Connection, most: int) -> list[BytesLike]:
        """Frame what is ready at the front; nothing more once that holds `most` bytes."""
        parts: list[BytesLike] = []
        room = most
        while room > 0 and self._queue and self._queue[0].content is not None:
            reply = self._queue.popleft()
            self.size -= reply.size
            room -= reply.size
            parts += reply.frame(connection)
        return parts


def encode(
    connection: Connection | None, codec: Codec, header: Header | None, outcome: object, failure: Failure
) -> Frame:
    """Frame an outcome as the reply to `header`'s request, on a connection that is kept alive if it is None.

    `failure` says what the peer is told of a result that JSON can't carry, or that is no bytes.
    """
    if not isinstance(outcome, ProtocolError) and header is not None:
        try:
            if header.is_json:
                return _frame_json(connection, codec, header, encode_result(outcome))
            reply = binary_reply(header, outcome)
            if connection is not None:
                return connection.send_binary(header, reply.content_type, reply.content)
            return codec.binary_reply_header(reply.content_type, len(reply.content), header.id), reply.content
        except BaseException as error:
            outcome = failure(error)
    assert isinstance(outcome, ProtocolError)
    return _frame_json(connection, codec, header, encode_error(outcome))


def _frame_json(connection: Connection | None, codec: Codec, header: Header | None, content: bytes) -> Frame:
    if connection is not None:
        return connection.send_json(header, content)
    return codec.json_reply_header(len(content), header.id if header is not None else None), content
