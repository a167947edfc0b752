"""Do the clients see every loss, and send again only what was certainly not carried out?"""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from benchmarks.restart.clients import KEEP_ALIVE, KINDS, ONE_SHOT, PIPELINED, SHAPES, Traffic
from eventloop import EventLoop, parse_address
from libclient.connect import resolve
from tests.support.scripted import Caller, ScriptedServer
from tests.support.wire import error_reply, granting


def traffic(kind: str, port: int, monkeypatch: pytest.MonkeyPatch, until: Callable[[Traffic], bool]) -> Traffic:
    """One connection of that kind, until then, and to its end."""
    monkeypatch.setitem(SHAPES, kind, (1, SHAPES[kind][1]))
    loop = EventLoop()
    try:
        made = Traffic(loop, resolve(parse_address(f"tcp://127.0.0.1:{port}")), kind)
        made.start()
        while not made.settled:
            if until(made):
                made.stop()
            assert loop.run_once(20), "nothing happens any more"
        return made
    finally:
        loop.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_that_is_read_and_not_answered_is_lost(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(peer: Caller) -> None:
        number = peer.request()["value"]
        if peer.number % 2:  # every second connection is answered
            peer.reply({"result": number}, connection=None)

    with ScriptedServer(serve) as server:
        made = traffic(kind, server.port, monkeypatch, lambda made: bool(made.lost and made.answered))
    assert made.lost
    assert all(one.port is not None and one.made < one.ended for one in made.lost)
    assert made.sent_again == 0


def test_what_stands_behind_a_close_is_sent_again_and_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def serve(peer: Caller) -> None:
        for connection in ("keep-alive", "close"):  # behind the second stands all that came with it
            seen.append(peer.request()["value"])
            peer.reply({"result": seen[-1]}, connection)
        peer.sock.shutdown(socket.SHUT_WR)
        while peer.sock.recv(65536):
            pass

    with ScriptedServer(serve) as server:
        made = traffic(PIPELINED, server.port, monkeypatch, lambda made: made.answered > 5)
    assert made.lost == []
    assert made.sent_again
    assert len(seen) == len(set(seen)) == made.answered


def test_an_error_in_place_of_the_reply_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(peer: Caller) -> None:
        peer.request()
        peer.send(error_reply("shutting-down"))

    with ScriptedServer(serve) as server:
        made = traffic(ONE_SHOT, server.port, monkeypatch, lambda made: bool(made.lost))
    assert "shutting-down" in made.lost[0].why
    assert made.answered == 0


def test_a_reply_that_comes_twice_is_no_reply_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(peer: Caller) -> None:
        peer.send(2 * granting(peer.request()["value"]))
        while True:
            peer.request()

    with ScriptedServer(serve) as server:
        made = traffic(KEEP_ALIVE, server.port, monkeypatch, lambda made: bool(made.ends))
    assert made.ends["mismatch"] or made.lost
