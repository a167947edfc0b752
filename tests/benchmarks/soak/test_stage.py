"""Do many peers act at once, each as its script says, and is it counted how they ended?"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks.soak import stage
from benchmarks.soak.settings import Settings
from benchmarks.soak.stage import READ, TOO_MANY, Kind, NotAsPromised, Peer, Script, Stage
from tests.support.scripted import Caller, ScriptedServer
from tests.support.wire import ask, error_reply, reply

PATIENCE = 20.0
SETTINGS = Settings(quiet=0.1, chaos=60.0, timeout=0.2, of_each=2)


@pytest.fixture(autouse=True)
def breathless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next of a kind comes at once."""
    monkeypatch.setattr(stage, "BREATH", 0.01)


def answering(peer: Caller) -> None:
    while True:
        peer.reply(peer.right(peer.request()))


@pytest.fixture
def port() -> Iterator[int]:
    with ScriptedServer(answering) as server:
        yield server.port


def play(port: int, script: Callable[[Peer], Script], done: Callable[[Stage], object], **more: Kind) -> Stage:
    """Until then; nobody is left."""
    made = Stage(port, {"it": Kind(script), **more}, SETTINGS)
    deadline = time.monotonic() + PATIENCE
    try:
        while not done(made):
            assert time.monotonic() < deadline, (made.played, made.told)
            made.turn(time.monotonic() + 0.05)
    finally:
        made.leave()
    assert made.open == 0
    return made


def test_a_script_that_comes_to_its_end_is_played_and_the_next_one_comes(port: int) -> None:
    def asks(peer: Peer) -> Script:
        peer.connect()
        yield from peer.send(ask("echo", 7, connection="keep-alive"))
        replies = yield from peer.receive(PATIENCE)
        assert replies is not None
        assert b"7" in replies[0].content
        yield from peer.pause(0)

    made = play(port, asks, lambda made: made.played["it"] >= 5)
    assert (made.broken, made.refused) == (0, 0)
    assert made.made >= 5


def test_a_promise_that_is_broken_is_told_with_its_kind(port: int) -> None:
    def complains(peer: Peer) -> Script:
        peer.connect()
        yield from peer.pause(0)
        raise NotAsPromised("it said nothing")

    made = play(port, complains, lambda made: made.broken >= 3)
    assert set(made.told) == {"it: it said nothing"}
    assert not made.played["it"]


def test_a_peer_waits_for_readiness_or_for_its_time(port: int) -> None:
    seen: list[bool] = []

    def waits(peer: Peer) -> Script:
        peer.connect()
        seen.append((yield from peer.wait(READ, 0.05)))  # nothing was asked: nothing comes
        yield from peer.send(ask("echo", 1, connection="keep-alive"))
        seen.append((yield from peer.wait(READ, PATIENCE)))

    play(port, waits, lambda made: made.played["it"] >= 2)
    assert not seen[0]
    assert seen.count(False) >= 2
    assert seen.count(True) >= 2


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (lambda peer: peer.reset(), "instead of an end in good order"),
        (lambda peer: peer.send(b"\0\2{}"), "no reply's header"),
        (lambda peer: peer.send(reply(1)[:-2]), "closed inside a reply"),
        (lambda peer: peer.sock.recv(4096), "not closed within 0.1 s"),
    ],
)
def test_an_end_that_is_not_in_good_order_is_no_end(serve: Callable[[Caller], object], words: str) -> None:
    def reads(peer: Peer) -> Script:
        peer.connect()
        yield from peer.read_all(0.1 if words.startswith("not") else PATIENCE)

    with ScriptedServer(lambda peer: serve(peer) and None) as server:  # type: ignore[func-returns-value]
        made = play(server.port, reads, lambda made: made.broken)
    assert words in made.told[0]


def test_who_is_told_that_the_server_is_full_is_counted_by_itself() -> None:
    def reads(peer: Peer) -> Script:
        peer.connect()
        yield from peer.read_all(PATIENCE)

    with ScriptedServer(lambda peer: peer.send(error_reply("overloaded"))) as server:
        made = play(server.port, reads, lambda made: made.refused >= 2)
    assert (made.broken, made.played["it"]) == (0, 0)


def test_a_crowd_is_more_than_the_server_takes_and_while_it_is_there_nobody_else_comes(port: int) -> None:
    begun: list[str] = []

    def stays(peer: Peer) -> Script:
        begun.append("crowd")
        peer.connect()
        yield from peer.pause(PATIENCE)

    def asks(peer: Peer) -> Script:
        begun.append("it")
        peer.connect()
        yield from peer.pause(0)

    lasting = dataclasses.replace(SETTINGS, timeout=60.0)  # a crowd stays for the header timeout
    made = Stage(port, {"it": Kind(asks), "crowd": Kind(stays, in_crowds=True)}, lasting)
    try:
        deadline = time.monotonic() + PATIENCE
        while made.played["it"] < 3:
            assert time.monotonic() < deadline
            made.turn(time.monotonic() + 0.01)
        there = made.open
        made._crowd("crowd")
        room = lasting.max_connections - lasting.connections
        assert begun.count("crowd") == room - there + TOO_MANY
        others = begun.count("it")
        for _ in range(10):
            made.turn(time.monotonic() + 0.01)
        assert begun.count("it") == others
    finally:
        made.leave()


@pytest.mark.parametrize(
    ("serve", "broken"),
    [
        (lambda peer: peer.reset(), False),
        (lambda peer: peer.send(reply(1)), False),
        (lambda peer: peer.sock.recv(4096), True),
    ],
)
def test_who_must_be_lost_is_lost_by_a_reset_or_an_end_and_not_by_silence(
    serve: Callable[[Caller], object], broken: bool
) -> None:
    def waits(peer: Peer) -> Script:
        peer.connect()
        yield from peer.lost(0.1 if broken else PATIENCE)

    with ScriptedServer(lambda peer: serve(peer) and None) as server:  # type: ignore[func-returns-value]
        made = play(server.port, waits, lambda made: made.broken + made.played["it"])
    assert (made.told[:1] == ["it: not cut within 0.1 s"]) is broken


def test_what_the_kernel_takes_no_more_is_sent_when_it_does(port: int) -> None:
    whole = ask("echo", "x" * 5_000_000, connection="keep-alive")

    def sends(peer: Peer) -> Script:
        peer.connect()
        assert (yield from peer.send(whole, PATIENCE)) == len(whole)
        assert (yield from peer.receive(PATIENCE))

    assert play(port, sends, lambda made: made.played["it"]).broken == 0


def test_a_peer_comes_from_an_address_of_its_own() -> None:
    peer = Peer(1, SETTINGS, random.Random(1), "127.0.0.5")
    with peer.sock:
        assert peer.sock.getsockname()[0] == "127.0.0.5"
