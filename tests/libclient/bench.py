"""How is a message tested without a network?

`Bench` puts messages on a loop with a fake selector and a fake clock, and gives them sockets that
stand alone (`FaultySocket()`): connecting succeeds at once, what they send is recorded, what they
receive is fed. The bench is the owner too, and writes down what it is told.

Not here: real sockets (`test_client.py`).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from eventloop import Endpoint, EventLoop, WaterMarks
from libclient import Ending, Message, Shared
from protocol import SERVER, Codec, Connection, Limits
from protocol.states import Observer
from tests.fakes.clock import FakeClock
from tests.fakes.faulty_socket import FaultySocket
from tests.fakes.selector import FakeSelector

READ, WRITE = 1, 2

ENDPOINT = Endpoint(socket.AF_UNIX, "/nowhere")


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
