"""How do replies leave in request order, when some are ready later than others?

`Owed` is a reply that is not ready, or waits behind one that is not. A connection with none of
them sends each reply as it is made; with one, everything after it queues up here. Replies are
encoded only when their turn has come, because whether one of them says `keep-alive` or `close`
depends on those before it.

Not here: who makes the outcomes (`libserver.message`), the bytes (`protocol.connection`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from protocol import Connection, Frame, Header, ProtocolError
from protocol.batch import BytesLike, send_binary_result
from protocol.content import encode_result

__all__ = ["Owed", "Replies", "encode"]

Failure = Callable[[Exception], ProtocolError]


class Owed:
    """One reply to come. `outcome` is a handler's result, or the `ProtocolError` to answer."""

    __slots__ = ("deadline", "header", "outcome", "ready")

    def __init__(self, header: Header | None, deadline: float | None = None) -> None:
        self.header = header
        self.deadline = deadline
        self.outcome: object = None
        self.ready = False

    def settle(self, outcome: object) -> None:
        self.outcome = outcome
        self.ready = True


class Replies:
    """The replies one connection owes, in request order."""

    __slots__ = ("_owed",)

    def __init__(self) -> None:
        self._owed: deque[Owed] = deque()

    def __bool__(self) -> bool:
        return bool(self._owed)

    def owe(self, owed: Owed) -> None:
        self._owed.append(owed)

    def release(self, connection: Connection, failure: Failure) -> list[BytesLike]:
        """Encode what is ready at the front."""
        parts: list[BytesLike] = []
        while self._owed and self._owed[0].ready:
            owed = self._owed.popleft()
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
        except Exception as error:
            outcome = failure(error)
    assert isinstance(outcome, ProtocolError)
    return connection.send_error(header, outcome)
