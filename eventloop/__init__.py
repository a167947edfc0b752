"""MOVEMENT: readiness, time, and bytes on their way. It knows nothing of what they mean.

No json, no struct, no protocol. Start reading at `eventloop.loop`, then `eventloop.transport`.
"""

from .addresses import Address, parse_address
from .connector import Connector, Endpoint
from .loop import EventHandler, EventLoop
from .timers import TimeoutQueue, Timer, Timers, TimerWheel, parse_duration
from .transport import StreamProtocol, Transport, WaterMarks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .listener import Listener

__all__ = [
    "Address",
    "Connector",
    "Endpoint",
    "EventHandler",
    "EventLoop",
    "Listener",
    "StreamProtocol",
    "TimeoutQueue",
    "Timer",
    "TimerWheel",
    "Timers",
    "Transport",
    "WaterMarks",
    "parse_address",
    "parse_duration",
]


def __getattr__(name: str) -> object:
    """`Listener`, when a server asks for it: a client of one request should not wait for its import."""
    if name != "Listener":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .listener import Listener

    return Listener
