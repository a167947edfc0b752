"""MOVEMENT: readiness, time, and bytes on their way. It knows nothing of what they mean.

No json, no struct, no protocol. Start reading at `eventloop.loop`, then `eventloop.transport`.
"""

from .addresses import Address, parse_address
from .connector import Connector, Endpoint
from .listener import Listener
from .loop import EventHandler, EventLoop
from .timers import Deadlines, Fifo, Timer, Timers, parse_duration
from .transport import StreamProtocol, Transport, WaterMarks

__all__ = [
    "Address",
    "Connector",
    "Deadlines",
    "Endpoint",
    "EventHandler",
    "EventLoop",
    "Fifo",
    "Listener",
    "StreamProtocol",
    "Timer",
    "Timers",
    "Transport",
    "WaterMarks",
    "parse_address",
    "parse_duration",
]
