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

__all__ = [
    "CLIENT",
    "CLOSE",
    "CODES",
    "JSON_ENCODING",
    "JSON_TYPE",
    "KEEP_ALIVE",
    "SERVER",
    "AnswerableError",
    "Codec",
    "Connection",
    "EndOfInput",
    "Event",
    "Failed",
    "FatalError",
    "Frame",
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
    "encode_json",
]
