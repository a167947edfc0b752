"""How do replies leave in request order, when some are ready later than others?

`Owed` is a reply that is not ready, or waits behind one that is not. A connection with none of
them sends each reply as it is made; with one, everything after it queues up here. Contents are
encoded at once, so that it is known how much memory waits; headers only when a reply's turn has
come, because whether it says `keep-alive` or `close` depends on those before it.

Not here: who makes the outcomes (`libserver.message`), the bytes (`protocol.connection`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from protocol import Connection, Frame, Header, ProtocolError
from protocol.batch import BinaryReply, BytesLike, send_binary_result
from protocol.content import encode_result

__all__ = ["Owed", "Replies", "encode"]

Failure = Callable[[BaseException], ProtocolError]


class Owed:
    """One reply to come. `size` is that of its content in bytes, once it is `ready`.

    `outcome` is then the `ProtocolError` to answer, a JSON content, or a binary handler's result.
    """

    __slots__ = ("deadline", "header", "outcome", "ready", "size")

    def __init__(self, header: Header | None, deadline: float | None = None) -> None:
        self.header = header
        self.deadline = deadline
        self.outcome: object = None
        self.ready = False
        self.size = 0

    def settle(self, outcome: object, failure: Failure) -> None:
        if not isinstance(outcome, ProtocolError) and self.header is not None and self.header.is_json:
            try:
                outcome = encode_result(outcome)
            except (Exception, SystemExit) as error:
                outcome = failure(error)
        content = outcome.content if isinstance(outcome, BinaryReply) else outcome
        self.size = len(content) if isinstance(content, (bytes, bytearray, memoryview)) else 0
        self.outcome = outcome
        self.ready = True


class Replies:
    """The replies one connection owes, in request order; `size` is what is ready and waits, in bytes."""

    __slots__ = ("_owed", "size")

    def __init__(self) -> None:
        #: made on first need: an empty deque holds 600 bytes, and most connections owe nothing when they end
        self._owed: deque[Owed] | None = None
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._owed)

    def owe(self, owed: Owed) -> None:
        if self._owed is None:
            self._owed = deque()
        self._owed.append(owed)

    def settle(self, owed: Owed, outcome: object, failure: Failure) -> None:
        """An owed reply is known now."""
        owed.settle(outcome, failure)
        self.size += owed.size

    def release(self, connection: Connection, failure: Failure, most: int) -> list[BytesLike]:
        """Frame what is ready at the front; nothing more once that holds `most` bytes."""
        parts: list[BytesLike] = []
        room = most
        while room > 0 and self._owed and self._owed[0].ready:
            owed = self._owed.popleft()
            self.size -= owed.size
            room -= owed.size
            if owed.header is not None and owed.header.is_json and isinstance(owed.outcome, bytes):
                parts += connection.send_json(owed.header, owed.outcome)
            else:
                parts += encode(connection, owed.header, owed.outcome, failure)
        return parts


def encode(connection: Connection, header: Header | None, outcome: object, failure: Failure) -> Frame:
    """Frame an outcome as the reply to `header`'s request.

    `failure` says what the peer is told of a result that JSON can't carry, or that is no bytes.
    """
    if not isinstance(outcome, ProtocolError) and header is not None:
        try:
            if header.is_json:
                return connection.send_json(header, encode_result(outcome))
            return send_binary_result(connection, header, outcome)
        except (Exception, SystemExit) as error:
            outcome = failure(error)
    assert isinstance(outcome, ProtocolError)
    return connection.send_error(header, outcome)
