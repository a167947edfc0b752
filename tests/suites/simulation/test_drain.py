"""Does a SIGTERM at any moment lose a request that can be kept?

Worlds in which nothing else goes wrong, with clients that ask as fast as they are answered; the signal comes at
each of the server's system calls in turn. Every request must be answered that reached the server's machine
before the end of the grace, and no client may meet a reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest

from eventloop import Listener, Transport
from eventloop.listener import ACCEPT_BUDGET
from libserver.message import Message
from suites.conformance.wire import action, take
from suites.simulation.happenings import Arrival, Standstill, Terminate, TerminateAtCall
from suites.simulation.peers import Peer, Script
from suites.simulation.plan import Plan
from suites.simulation.world import World

SIZE = 256

Scripted = Callable[[Peer], Script]


@dataclass
class Books:
    """What the clients saw: `asked` and not answered counts what was sent before the word `close` came."""

    asked: int = 0
    answered: int = 0
    unserved: int = 0  # behind a reply that said `close`
    reset: int = 0
    lost: list[str] = field(default_factory=list)

    def script(self, depth: int, keep: bool = True, late: float | None = None) -> Scripted:
        """Asks `depth` at a time, and again when all are answered, until a reply says `close`. `late`: first silent."""

        def asks(peer: Peer) -> Script:
            try:
                yield from peer.connect()
            except OSError:
                return  # refused, or nobody hears: it has asked nothing
            if late is not None:
                yield late
            fields = {"connection": "keep-alive"} if keep else {}
            received, owed, over = bytearray(), 0, False
            try:
                while not over:
                    yield from peer.send(b"".join(sized(n, **fields) for n in range(depth)))
                    self.asked += depth
                    owed = depth
                    while owed and not over:
                        data = peer.read()
                        if data is None:
                            yield from peer.wait(10.0)
                            continue
                        if not data:
                            self.lost.append(f"{peer.name}: FIN, and {owed} owed")
                            return
                        received += data
                        while owed and (header := taken(received)) is not None:
                            owed -= 1
                            self.answered += 1
                            over = header.get("connection") == "close" or not keep
                            if over:
                                self.unserved += owed
                                owed = 0
            except OSError as error:
                self.reset += 1
                self.lost.append(f"{peer.name}: {error}, and {owed} owed")
            finally:
                peer.sock.close()

        return asks


def sized(number: int, **fields: object) -> bytes:
    """A request of 256 bytes: what one read takes ends between two of them."""
    padding = SIZE
    for _ in range(2):  # the length's own digits count too
        data = action("echo", f"{number} {'x' * padding}", **fields)
        padding -= len(data) - SIZE
    return action("echo", f"{number} {'x' * padding}", **fields)


def taken(received: bytearray) -> dict[str, Any] | None:
    """The first whole reply's header; the reply is taken out."""
    whole = take(received)
    if whole is None:
        return None
    _, header, content = whole
    assert b'"error"' not in content
    return header


def drained(signals: Any, books: Books, *crowd: tuple[Scripted, int], **options: Any) -> World:
    """A world in which this crowd is there from the beginning, ended by the signal."""
    signals = signals if isinstance(signals, tuple) else (signals,)
    arrivals = tuple(Arrival(0.001, script, 100 * n, count) for n, (script, count) in enumerate(crowd))
    limits = {"drain_grace": 1.0, **options.pop("limits", {})}
    world = World(Plan(happenings=(*arrivals, *signals), end=Terminate(20.0), limits=limits, **options))
    world.run()
    return world


@pytest.mark.parametrize("refuses_new", [True, False], ids=["refuses new ones", "can't refuse"])
@pytest.mark.parametrize("first", range(0, 400, 40))
def test_at_whatever_call_it_comes_nothing_is_lost(first: int, refuses_new: bool) -> None:
    for call in range(first, first + 40, 3):
        books = Books()
        crowd = [(books.script(1), 3), (books.script(4), 3), (books.script(1, keep=False), 4)]
        crowd.append((books.script(1, late=0.2), 2))
        world = drained(TerminateAtCall(0.0, None, call), books, *crowd, seed=call, refuses_new=refuses_new)
        assert world.violations == [], call
        assert books.lost == [], call
        assert books.asked == books.answered + books.unserved
        assert books.unserved == 0, "who awaits its replies together has sent nothing behind the last"


@pytest.mark.parametrize("silent", [0.02, 0.5, 0.98])
def test_a_client_that_has_connected_and_not_spoken_has_its_grace(silent: float) -> None:
    books = Books()
    world = drained(Terminate(0.01), books, (books.script(1, late=silent), 5), (books.script(1, False, silent), 5))
    assert world.violations == []
    assert (books.lost, books.asked, books.answered) == ([], 10, 10)


def test_more_than_one_turn_accepts_are_all_accepted() -> None:
    """And it would be noticed if they were not: the queue is reset when its listener is closed."""

    def run() -> tuple[World, Books]:
        books = Books()
        count = ACCEPT_BUDGET + 60
        stopped = Standstill(0.0005, 0.1)  # meanwhile they connect, and the signal comes
        crowd = (books.script(1, keep=False), count)
        return drained((stopped, Terminate(0.05)), books, crowd, refuses_new=False), books

    world, books = run()
    assert world.violations == []
    assert books.lost == []
    assert books.answered == books.asked == ACCEPT_BUDGET + 60
    with mock.patch.object(Listener, "finish", Listener.close):
        world, books = run()
    assert world.violations
    assert world.violations[0][0] == "a-drain-keeps-what-can-be-kept"


def looked_away(message: Any) -> int:
    return 0


def test_it_is_noticed_if_a_connection_is_closed_on_what_is_unread() -> None:
    """600 pipelined requests are more than one read: the signal comes between two."""

    def run(call: int) -> list[str]:
        books = Books()
        limits = {"drain_grace": 0.0}
        crowd, rooms = (books.script(600), 1), (1 << 18, 1 << 18)
        world = drained(TerminateAtCall(0.0, None, call), books, crowd, limits=limits, seed=call, rooms=rooms)
        return [name for name, _ in world.violations]

    calls = range(4, 16)
    assert not any(run(call) for call in calls)
    with mock.patch.object(Transport, "unread", looked_away):
        assert any("no-reply-is-lost-to-a-RST" in run(call) for call in calls)


def test_it_is_noticed_if_idle_clients_are_closed_at_once() -> None:
    books = Books()
    with mock.patch.object(Message, "wind_down", Message.drain):
        drained(Terminate(0.05), books, (books.script(1), 12))
    assert books.asked > books.answered + books.unserved
