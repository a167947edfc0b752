"""What does a connection ask of its server?

`libserver.message.Message` and `libserver.echo.EchoConnection` are given their server and use of it what stands
here. `libserver.server.Server` is what has it all.

Not here: what a server asks of a connection (`start`, `drain`, `abort`, ...: `libserver.server.Accepted`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from eventloop import EventLoop, WaterMarks
from protocol import Codec, ProtocolError

from .dispatcher import Dispatcher
from .ending import Endable, Ending
from .limits import ServerLimits
from .notices import Notices, Source
from .pool import HandlerPool
from .pool_queue import PoolQueue, Waiter
from .reasons import CloseReason
from .receive_timeouts import ReceiveTimeouts
from .request_batch import RequestBatch
from .slowness import Slowness
from .topics import Topics

__all__ = ["Host", "StreamHost"]

A = TypeVar("A", contravariant=True)


class Timer(Protocol[A]):
    """A queue of those that wait equally long (`eventloop.TimeoutQueue`)."""

    def start(self, waiter: A) -> None:
        """Its time runs from now."""

    def stop(self, waiter: A) -> None:
        """It waits no more."""

    def __contains__(self, waiter: A) -> bool:
        """Does its time run?"""


class StreamHost(Protocol[A]):
    """For any connection: the loop, and the books of who is open."""

    @property
    def loop(self) -> EventLoop: ...
    @property
    def marks(self) -> WaterMarks: ...
    @property
    def send_timer(self) -> Timer[A]: ...

    def facts(self, accepted: A, requests: int) -> dict[str, object]:
        """What a line of the log says of it."""

    def forget(self, accepted: A, reason: CloseReason) -> None:
        """Its socket is closed."""


class Served(Endable, Waiter, Protocol):
    """A connection that is asked: a `libserver.message.Message`."""


M = TypeVar("M", bound=Served)


class Host(StreamHost[M], Protocol[M]):
    """For a connection that is asked: codec, handlers, turns, timers, and what is told of it."""

    #: how many requests a connection may make; 0: no limit
    max_requests: int

    @property
    def limits(self) -> ServerLimits: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def dispatcher(self) -> Dispatcher: ...
    @property
    def batch(self) -> RequestBatch[M]: ...
    @property
    def slowness(self) -> Slowness: ...
    @property
    def notices(self) -> Notices: ...
    @property
    def pool(self) -> HandlerPool: ...
    @property
    def pool_queue(self) -> PoolQueue[M]: ...
    @property
    def receive_timeouts(self) -> ReceiveTimeouts[M]: ...
    @property
    def topics(self) -> Topics | None: ...
    @property
    def linger_timer(self) -> Timer[M]: ...
    @property
    def refused_timer(self) -> Timer[M]: ...
    @property
    def unwatched_timer(self) -> Timer[M]: ...
    @property
    def ending(self) -> Ending[M]: ...

    @property
    def tap(self) -> Callable[[M, Any], Any] | None:
        """Given an observed message and its socket, the socket to use in its place."""

    def failure(self, error: BaseException, source: Source, asked: object) -> ProtocolError:
        """What its peer is told of what a handler raised that was asked this."""

    def count_error(self, error: ProtocolError) -> None:
        """It is replied."""

    def sent_foreign(self, message: M, looks_like: str) -> None:
        """It sent no message, but what looks like another protocol."""
