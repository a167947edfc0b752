"""How is a message tested without a network?

`Bench` puts messages on a loop with a fake selector and a fake clock, and gives them sockets that
stand alone (`FaultySocket()`): connecting succeeds at once, what they send is recorded, what they
receive is fed. The bench is the owner too, and writes down what it is told.

Not here: real sockets (`test_client.py`).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from eventloop import Address, Endpoint, EventLoop, WaterMarks
from libclient import Ending, Message, Shared
from protocol import SERVER, Codec, Connection, Limits, Request
from protocol.states import Observer
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_socket import Errno, FaultySocket
from tests.fakes.selector import FakeSelector

READ, WRITE = 1, 2

REFUSED = Errno(errno.ECONNREFUSED)
ENDPOINT = Endpoint(socket.AF_UNIX, "/nowhere")


class FakeNetwork:
    """A loop on fakes, for owners of many messages. `sockets` are those that were opened.

    `refuse` lets so many next connections fail; `resolved` counts the names that were looked up.
    """

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.selector = FakeSelector(self.clock)
        self.loop = EventLoop(self.selector, self.clock)
        self.sockets: list[FaultySocket] = []
        self.refuse = 0
        self.resolved = 0
        self.shared = Shared(self.loop, timeout=10.0, open_socket=self._open)

    def _open(self, endpoint: Endpoint) -> FaultySocket:
        sock = FaultySocket()
        if self.refuse:
            self.refuse -= 1
            sock.script("connect_ex", REFUSED)
        self.sockets.append(sock)
        return sock

    def resolve(self, address: Address) -> list[Endpoint]:
        self.resolved += 1
        return [ENDPOINT]

    def turn(self) -> None:
        self.loop.run_once(0)
        self.loop.run_once(0)

    def feed(self, data: bytes, sock: FaultySocket | None = None) -> None:
        sock = sock or self.sockets[-1]
        sock.feed(data)
        self.selector.ready(sock, READ)
        self.turn()

    def end(self, sock: FaultySocket | None = None, fault: Errno | None = None) -> None:
        sock = sock or self.sockets[-1]
        if fault is not None:
            sock.script("recv", fault)
        else:
            sock.feed_eof()
        self.selector.ready(sock, READ)
        self.turn()

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.turn()

    def asked(self, sock: FaultySocket | None = None) -> list[Any]:
        """The JSON requests that were sent on a socket."""
        connection = Connection(Codec(SERVER))
        connection.persistent = True
        events = connection.receive_data(bytes((sock or self.sockets[-1]).sent))
        return [event.content for event in events if isinstance(event, Request)]


class Bench:
    """One owner, its loop, and the sockets its messages were given, the newest last."""

    def __init__(
        self,
        timeout: float = 10.0,
        linger: float = 5.0,
        limits: Limits | None = None,
        marks: WaterMarks | None = None,
        make_socket: Callable[[], FaultySocket] = FaultySocket,
        observer: Callable[[], Observer | None] | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.selector = FakeSelector(self.clock)
        self.loop = EventLoop(self.selector, self.clock)
        self.sockets: list[FaultySocket] = []
        self.make_socket = make_socket
        self.told: list[tuple[Any, ...]] = []
        self.ending: Ending | None = None
        self.on_opened: Callable[[Message], object] = lambda message: None
        self.on_response: Callable[[Message, Any], object] = lambda message, context: None
        self.shared = Shared(
            self.loop,
            timeout=timeout,
            linger=linger,
            limits=limits,
            marks=marks,
            open_socket=self._open,
            observer=observer,
        )

    def _open(self, endpoint: Endpoint) -> FaultySocket:
        self.sockets.append(self.make_socket())
        return self.sockets[-1]

    def close(self) -> None:
        self.loop.close()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the owner -------------------------------------------------------------------

    def opened(self, message: Message) -> None:
        self.told.append(("opened",))
        self.on_opened(message)

    def response(self, message: Message, context: Any, value: object, header: object) -> None:
        self.told.append(("response", context, value))
        self.on_response(message, context)

    def closed(self, message: Message, ending: Ending) -> None:
        assert self.ending is None, "closed is told once"
        self.told.append(("closed", ending.reason))
        self.ending = ending

    @property
    def answers(self) -> list[tuple[Any, Any]]:
        """Context and result (or value) of every reply."""
        return [
            (context, value["result"] if isinstance(value, dict) else value)
            for kind, context, value in (entry for entry in self.told if entry[0] == "response")
        ]

    # --- moving ----------------------------------------------------------------------

    @property
    def sock(self) -> FaultySocket:
        return self.sockets[-1]

    def message(self, *, settle: bool = True, **more: Any) -> Message:
        """A new message; with `settle` its connection is made."""
        made = Message(self.shared, self, [ENDPOINT], **more)
        if settle:
            self.turn()
        return made

    def turn(self) -> None:
        self.loop.run_once(0)

    def feed(self, data: bytes) -> None:
        """The peer sends `data`, in one piece."""
        self.sock.feed(data)
        self.read()

    def feed_eof(self) -> None:
        self.sock.feed_eof()
        self.read()

    def read(self) -> None:
        self.selector.ready(self.sock, READ)
        self.turn()

    def writable(self) -> None:
        self.selector.ready(self.sock, WRITE)
        self.turn()

    def wait(self, seconds: float) -> None:
        """Time goes by, with nothing happening but what is due."""
        self.clock.advance(seconds)
        self.turn()

    def sent(self) -> list[Any]:
        """The requests that left, decoded as a server would."""
        connection = Connection(Codec(SERVER))
        connection.persistent = True  # a test may have cleared the first ones away
        return [event for event in connection.receive_data(bytes(self.sock.sent)) if hasattr(event, "content")]
