"""MEANING: the wire format and its state machines, sans I/O.

No socket, no selector, no clock, no log: bytes in, events out; replies in, bytes out.
Start reading at `protocol.states`, then `protocol.connection`.
"""

from .connection import Connection, Frame
from .content import JSON_ENCODING, JSON_TYPE, Reply, encode_json
from .errors import CODES, AnswerableError, FatalError, LocalError, ProtocolError
from .events import (
    EndOfInput,
    Event,
    Failed,
    HeaderReceived,
    Notification,
    Rejected,
    Request,
    Response,
)
from .frames import CLIENT, CLOSE, KEEP_ALIVE, SERVER, Codec, Header
from .limits import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .batch import BinaryReply, Handlers, answer_batch, can_batch

__all__ = [
    "CLIENT",
    "CLOSE",
    "CODES",
    "JSON_ENCODING",
    "JSON_TYPE",
    "KEEP_ALIVE",
    "SERVER",
    "AnswerableError",
    "BinaryReply",
    "Codec",
    "Connection",
    "EndOfInput",
    "Event",
    "Failed",
    "FatalError",
    "Frame",
    "Handlers",
    "Header",
    "HeaderReceived",
    "Limits",
    "LocalError",
    "Notification",
    "ProtocolError",
    "Rejected",
    "Reply",
    "Request",
    "Response",
    "answer_batch",
    "can_batch",
    "encode_json",
]


def __getattr__(name: str) -> object:
    """What only servers need, when one asks for it: a client that asks once would wait for it."""
    if name not in ("BinaryReply", "Handlers", "answer_batch", "can_batch"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import batch

    return getattr(batch, name)
