"""A handler that keeps everybody else waiting is named; a turn that takes long for another reason is told."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import pytest

from libserver import Actions, Server
from libserver.slowness import SLOW
from tests.fakes.clock import FakeClock
from tests.support.server import ANY_PORT, Caught, Turned, caught, turned
from tests.support.wire import ask, binary, keep


def sleepy(times: dict[str, float]) -> tuple[Actions, dict[str, Turned]]:
    """Each action takes so many seconds of the server's own clock."""
    actions = Actions()
    house: dict[str, Turned] = {}

    def taking(seconds: float) -> Any:
        def handler(request: Any) -> bytes | str:
            house["it"].clock.advance(seconds)
            return b"" if isinstance(request, (bytes, bytearray)) else "done"

        return handler

    for name, seconds in times.items():
        if "/" in name:
            actions.add_binary(name)(taking(seconds))
        else:
            actions.add(name)(taking(seconds))
    return actions, house


REGISTERED = inspect.getsourcelines(sleepy)[1]
TIMES = {"quick": 0.001, "sleepy": 1.0, "also sleepy": 2.0, "binary/sleepy": 1.5}


def told(home: Turned) -> list[tuple[str, dict[str, Any]]]:
    records = [record for record in home.log.records if record.levelno == logging.WARNING]
    return [(record.getMessage(), vars(record)) for record in records]


def at_rest(home: Turned) -> Any:
    peer = home.peer()
    peer.send(keep("quick"))
    peer.reply()
    home.log.records.clear()
    return peer


@pytest.mark.parametrize("way", ["first of a connection", "at rest", "byte by byte", "pipelined", "among others"])
@pytest.mark.parametrize(
    ("name", "words"), [("sleepy", "action 'sleepy'"), ("binary/sleepy", "the handler of 'binary/sleepy'")]
)
def test_a_handler_that_blocks_the_loop_is_named_with_the_cure(way: str, name: str, words: str) -> None:
    actions, house = sleepy(TIMES)
    with turned(actions) as home:
        house["it"] = home
        request = binary(b"x", name, connection="keep-alive") if "/" in name else keep(name)
        if way == "first of a connection":
            peer = home.peer()
            peer.send(request)
        elif way == "byte by byte":
            peer = at_rest(home)
            for at in range(len(request)):
                peer.send(request[at : at + 1])
                home.quiet()
        elif way == "pipelined":
            peer = at_rest(home)
            peer.send(keep("echo") * 5 + request + keep("echo"))
            peer.replies(6)
        elif way == "among others":
            others = [at_rest(home) for _ in range(5)]
            peer = others[3]
            asked = [keep("echo")] * 3 + [request, keep("echo")]
            for message, data in zip([*home.server.connections], asked, strict=True):
                home.server.loop.ready = 5
                message.data_received(data)  # type: ignore[union-attr]
        else:
            peer = at_rest(home)
            peer.send(request)
        peer.reply()
        host, port = peer.sock.getsockname()
        [(text, fields)] = told(home)
    assert words in text
    assert f"kept everybody else waiting for {TIMES[name]:.2f} s" in text
    assert "register it with blocking=True" in text
    assert fields["event"] == "slow-handler"
    assert name in fields["action"]
    assert fields["peer"] == f"{host}:{port}"
    assert fields["held"] == pytest.approx(TIMES[name], abs=0.01)
    line = int(fields["registered"].split(", ")[-1].rpartition(":")[2]) if way != "pipelined" else REGISTERED
    assert REGISTERED <= line < REGISTERED + 20


def test_two_in_one_turn_are_told_apart() -> None:
    actions, house = sleepy(TIMES)
    with turned(actions) as home:
        house["it"] = home
        first, second = home.peer(), home.peer()
        first.send(ask("sleepy"))
        second.send(ask("also sleepy"))
        for peer in (first, second):
            peer.reply()
        texts = sorted(text for text, _ in told(home))
    assert len(texts) == 2
    assert "action 'also sleepy' kept everybody else waiting for 2.00 s" in texts[0]
    assert "action 'sleepy' kept everybody else waiting for 1.00 s" in texts[1]


@pytest.mark.parametrize("way", ["first of a connection", "at rest", "in two pieces"])
def test_nobody_is_named_for_what_others_took_before_it_in_one_turn(way: str) -> None:
    """A thousand clients come at once: that is nobody's handler."""
    part = SLOW * 0.6
    actions, house = sleepy({"quick": 0.0, "a while": part})
    with turned(actions) as home:
        house["it"] = home
        peers = [home.peer() if way == "first of a connection" else at_rest(home) for _ in range(6)]
        request = keep(
            "a while", "x" * 2000
        )  # large: two are answered in a turn, since one of those that were put off is
        if way == "in two pieces":
            for peer in peers:
                peer.send(request[:50])
            request = request[50:]
        home.quiet()
        for peer in peers:
            peer.send(request)
        turns: list[float] = []
        while sum(turns) < part * (len(peers) - 0.5):
            begun = home.clock()
            home.turn()
            turns.append(home.clock() - begun)
        assert max(turns) > SLOW, "one of them was slow"
        assert told(home) == []


def test_one_that_is_quick_or_in_the_pool_is_not_told() -> None:
    actions, house = sleepy({"quick": SLOW * 0.9})
    with turned(actions) as home:
        house["it"] = home

        @actions.add("in the pool", blocking=True)
        def blocks(request: Any) -> None:
            return None

        peer = home.peer()
        for request in (keep("quick"), ask("in the pool")) * 3:
            peer.send(request)
            peer.reply()
        assert told(home) == []


def run_a_turn(clock: FakeClock, seconds: float, log: Caught) -> None:
    with Server((ANY_PORT,), clock=clock) as server:

        def takes_its_time() -> None:
            clock.advance(seconds)
            server.loop.stop()

        server.loop.call_soon(takes_its_time)
        server.loop.run()
        assert server.accepted == 0


@pytest.mark.parametrize(("seconds", "lines"), [(SLOW * 0.9, 0), (SLOW * 3, 1)])
def test_a_turn_that_takes_long_for_another_reason_is_told(seconds: float, lines: int) -> None:
    with caught() as log:
        run_a_turn(FakeClock(), seconds, log)
    texts = log.texts(logging.WARNING)
    assert len(texts) == lines
    assert all("a turn of the loop took 0.30 s: 0 were ready, 0 connections are open" in text for text in texts)


def test_what_a_handler_was_told_for_is_not_told_again_for_its_turn() -> None:
    actions, house = sleepy(TIMES)
    with turned(actions) as home:
        house["it"] = home
        peer = home.peer()
        peer.send(ask("sleepy"))
        peer.reply()
        home.server.slowness.turned(1.0)
        assert len(told(home)) == 1
