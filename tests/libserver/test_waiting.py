"""While what a connection sent waits in the batch nothing of it is lost, and no timer runs out on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from libserver import Actions, CloseReason, Message
from protocol.states import Machine, Row
from tests.support.peer import PATIENCE, Peer, arrived, connected
from tests.support.server import Turned, turned
from tests.support.wire import ask, binary, framed, json_message, keep


class Scene:
    """A server with a handler that takes time, and one that a thread runs until `release`."""

    def __init__(self) -> None:
        self.actions = Actions()
        self.begun = threading.Event()
        self.goes_on = threading.Event()
        self.home: Turned
        self.actions.add("tick")(self.tick)
        self.actions.add("slow", blocking=True)(self.slow)

    def tick(self, request: Any) -> str:
        self.home.clock.advance(request["value"])
        return "tick"

    def slow(self, request: Any) -> str:
        self.begun.set()
        assert self.goes_on.wait(PATIENCE)
        return "slow"

    def release(self) -> None:
        """The handler returns: what it hands back is in the loop's queue, and there was no turn since."""
        queued = len(self.home.server.loop._soon)
        self.goes_on.set()
        until(lambda: len(self.home.server.loop._soon) > queued)

    def kept(self) -> tuple[Peer, Any]:
        """A client that is kept alive, and the server's socket of it."""
        peer = self.home.peer()
        assert peer.ask(keep("echo", 0)).result == 0
        return peer, self.sock(peer)

    def sock(self, peer: Peer) -> Any:
        name = peer.sock.getsockname()
        socks = (message.transport.sock for message in self.home.server.connections)
        return next(sock for sock in socks if sock.getpeername() == name)

    def newcomer(self) -> Peer:
        """It has connected, and is not accepted yet."""
        peer = Peer(connected(self.home.server.addresses[0]), self.home.turn)
        self.home.peers.append(peer)
        return peer


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline


@contextmanager
def scene(**options: Any) -> Iterator[Scene]:
    made = Scene()
    with turned(made.actions, **options) as made.home:
        try:
            yield made
        finally:
            made.goes_on.set()


def test_bytes_that_were_put_off_are_kept_when_a_handler_returns_meanwhile() -> None:
    with scene() as it:
        peer, sock = it.kept()
        peer.send(keep("slow"))
        it.home.until(it.begun.is_set)
        whole = keep("echo", "x" * 40_000)
        peer.send(whole[:12_000])
        it.home.until(lambda: any(message.buffered > 11_000 for message in it.home.server.connections))
        other = it.home.peer()
        it.release()
        other.send(ask("tick", 0.03))  # the turn is over with it
        peer.send(whole[12_000:])
        arrived(sock, len(whole) - 12_000)
        it.home.quiet()
        assert [reply.result for reply in peer.replies(2)] == ["slow", "x" * 40_000]


@pytest.mark.parametrize("size", [1, 2000], ids=["behind another's", "put off"])
def test_no_reply_says_close_while_a_request_of_its_connection_waits(size: int) -> None:
    with scene(drain_grace=5.0, drain_timeout=20.0) as it:
        peer, sock = it.kept()
        other, others = it.kept()
        peer.send(keep("slow"))
        it.home.until(it.begun.is_set)
        it.home.server.drain()
        it.home.quiet()
        it.release()
        if size == 1:
            first = keep("echo", "y" * 1500)
            other.send(first)
            arrived(others, len(first))
        request = keep("echo", "x" * size)
        peer.send(request)
        arrived(sock, len(request))
        it.home.quiet()
        replies = peer.replies(2)
        assert [reply.result for reply in replies] == ["slow", "x" * size]
        assert [reply.connection for reply in replies] == [None, "close"]


def test_a_one_shot_whose_client_sends_on_is_lingered_for_though_that_waits() -> None:
    with scene() as it:
        peer = it.home.peer()
        peer.send(ask("slow"))
        it.home.until(it.begun.is_set)
        it.home.quiet()
        it.release()
        peer.send(b"z" * 2000)
        arrived(it.sock(peer), 2000)
        it.home.quiet()
        assert peer.reply().result == "slow"
        assert [message.state for message in it.home.server.connections] == ["LINGERING"]


def test_no_timer_runs_out_on_a_message_that_has_come_and_waits() -> None:
    with scene(header_timeout=10.0, min_data_rate=0) as it:
        (peer, sock), (slow, slows), (late, lates) = (it.kept() for _ in range(3))
        peer.send(keep("slow"))
        it.home.until(it.begun.is_set)
        request = keep("echo", 5)
        end = 2 + int.from_bytes(request[:2], "big")
        whole = framed(request[2 : end - 1] + b" " * 9000 + b"}") + request[end:]
        peer.send(whole[:50])
        it.home.until(lambda: any(message.buffered for message in it.home.server.connections))
        it.home.clock.advance(9.8)
        it.home.quiet()
        new = it.home.peer()
        it.home.quiet()
        it.release()
        new.send(ask("tick", 0.03))
        for client, theirs, data in (
            (slow, slows, json_message({"action": "tick", "value": 0.05, "pad": "p" * 9000}, connection="keep-alive")),
            (late, lates, keep("echo", "y" * 9000)),
            (peer, sock, whole[50:]),
        ):
            client.send(data)
            arrived(theirs, len(data))
        it.home.server.loop.run_once(0)
        it.home.clock.advance(0.2)  # now the header's time would be over
        it.home.quiet()
        assert [reply.result for reply in peer.replies(2)] == ["slow", 5]


def test_a_connection_that_is_lost_while_it_waits_is_asked_of_no_handler() -> None:
    with scene(send_timeout=60.0, idle_timeout=0) as it:
        called: list[object] = []
        it.actions.add("noted")(called.append)
        peer, sock = it.kept()
        other, others = it.kept()
        message = next(m for m in it.home.server.connections if m.transport.sock is sock)
        assert isinstance(message, Message)
        for client, theirs, data in (
            (other, others, keep("echo", 1)),
            (peer, sock, ask("noted", connection="close")),
        ):
            client.send(data)
            arrived(theirs, len(data))
        it.home.server.loop.call_soon(message.abort, CloseReason.SEND_TIMEOUT)  # as its timer would
        it.home.turn()
        it.home.quiet()
        assert called == []
        assert other.reply().result == 1


def test_a_crowd_of_newcomers_with_slow_handlers_is_not_all_of_one_turn() -> None:
    with scene() as it:
        for _ in range(40):
            it.newcomer().send(ask("tick", 0.06))
        longest = 0.0
        for _ in range(100):
            begun = it.home.clock()
            it.home.turn()
            longest = max(longest, it.home.clock() - begun)
        assert longest < 0.5


LARGE = binary(b"x" * 70_000, connection="keep-alive")


@pytest.mark.parametrize(
    ("more", "replies"),
    [
        ((keep("echo", 2),), [2]),
        ((keep("echo", 2) + LARGE[:5000],), [2]),
        ((keep("echo", 2) + LARGE,), [2, "large"]),
        ((LARGE[:-1], LARGE[-1:]), ["large"]),
        ((ask("echo", 2, connection="close"),), [2]),
        ((keep("echo", 2), b""), [2]),
        ((b"",), []),
    ],
    ids=["another", "and a part", "and a large one", "a large one", "the last", "and FIN", "FIN"],
)
def test_behind_an_interrupt_replies_still_leave_in_order(more: tuple[bytes, ...], replies: list[Any]) -> None:
    with scene() as it:

        @it.actions.add("interrupt")
        def interrupt(request: Any) -> None:
            raise KeyboardInterrupt

        (one, ones), (other, others) = it.kept(), it.kept()
        for client, theirs, data in ((one, ones, keep("echo", 1)), (other, others, keep("interrupt"))):
            client.send(data)
            arrived(theirs, len(data))
        with pytest.raises(KeyboardInterrupt):
            it.home.turn()
        for part in more:
            if part:
                one.send(part)
            else:
                one.finish()
            it.home.quiet()
        got = [one.reply() for _ in range(1 + len(replies))]
        said = ["large" if reply.header["content-type"] != "text/json" else reply.result for reply in got]
        assert said == [1, *replies]


class Silent:
    def transition(self, subject: object, machine: Machine, row: Row) -> None: ...


@pytest.mark.parametrize("connection", ["close", None, "keep-alive"])
@pytest.mark.parametrize("observer", [None, Silent])
def test_a_handler_may_end_its_own_connection(connection: str | None, observer: Any) -> None:
    with scene(observer=observer) as it:

        @it.actions.add("end")
        def end(request: Any) -> None:
            for message in [*it.home.server.connections]:
                message.abort(CloseReason.CUT)

        peer = it.home.peer()
        peer.send(ask("end", **({"connection": connection} if connection else {})))
        it.home.quiet()
        assert it.home.ended() == {"cut": 1}


def test_who_has_sent_what_waits_was_not_silent() -> None:
    with scene() as it:
        peer, slow, large = (it.home.peer() for _ in range(3))
        slow.send(ask("tick", 0.2))
        requests = {large: keep("echo", "y" * 20_000), peer: keep("echo", "x" * 9000)[:-1]}
        for client, data in requests.items():
            client.send(data)
            arrived(it.sock(client), len(data))
        it.home.server.loop.run_once(0)
        peer.reset()
        it.home.quiet()
        assert "silent" not in it.home.reasons


def test_a_newcomer_that_the_drain_takes_out_of_the_batch_is_read_on() -> None:
    with scene(drain_timeout=30.0) as it:
        kept, sock = it.kept()
        it.home.quiet()
        whole = keep("echo", "x" * 3000)
        peer = it.newcomer()
        peer.send(whole[:2000])
        kept.send(keep("echo", 1))
        arrived(sock, len(keep("echo", 1)))
        it.home.server.drain()
        it.home.turn()
        peer.send(whole[2000:])
        it.home.quiet()
        assert peer.reply().result == "x" * 3000
