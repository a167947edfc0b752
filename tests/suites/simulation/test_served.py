"""Is the real server in the made-up world the real one, and does the world hear of each end?"""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from libserver import CloseReason, Server, Topics
from suites.simulation.ear import Ear
from suites.simulation.happenings import Arrival, Terminate
from suites.simulation.peers import Peer, Script
from suites.simulation.plan import Plan
from suites.simulation.served import LONGEST_STALL, Log, WatchedServer, WatchedTopics
from suites.simulation.tracks import Place
from suites.simulation.world import World
from tests.support.wire import ask, keep, take_reply

ANSWERS: list[Any] = []


def asks_for_all(peer: Peer) -> Script:
    """Every action that the crowd has, and what a handler raises."""
    ANSWERS.clear()
    yield from peer.connect()
    for name, value in (("echo", 1), ("slow", 2), ("stall", 3), ("big", 5), ("boom", None)):
        yield from peer.send(keep(name, value))
        received = bytearray()
        while (reply := take_reply(received)) is None:
            yield from peer.wait(30)
            received += peer.read() or b""
        ANSWERS.append(json.loads(reply.content)["result"])
    yield from peer.send(ask("echo", "last", connection="close"))
    yield from peer.read_for(5)


def ran(plan: Plan) -> World:
    world = World(plan)
    world.run()
    assert world.violations == []
    return world


def test_it_serves_the_crowd_s_actions_and_every_end_is_heard() -> None:
    world = ran(Plan(observed=1.0, happenings=(Arrival(0.1, asks_for_all, 1),), end=Terminate(60.0)))
    assert ANSWERS[:4] == [1, 2, 3, "xxxxx"]
    assert ANSWERS[4].startswith("Error: ")
    assert world.report.connections == 1
    assert sum(world.report.reasons.values()) == 1
    assert any(row[0] == "LIFECYCLE" for row in world.report.rows), "an observer walked with it"


def test_nothing_of_the_server_is_replaced_but_what_it_is_made_for() -> None:
    changed = {name for name in vars(WatchedServer) if not name.startswith("__") and hasattr(Server, name)}
    assert changed == {"forget"}
    assert "__init__" in vars(WatchedServer)


def test_nothing_of_the_topics_is_replaced_but_what_the_chronicle_hears() -> None:
    changed = {name for name in vars(WatchedTopics) if not name.startswith("__") and hasattr(Topics, name)}
    assert changed == {"_publish", "subscribe"}


def test_with_topics_it_tells_what_is_published_and_who_subscribes() -> None:
    heard: list[Ear] = []

    def listens_and_speaks(peer: Peer) -> Script:
        ear = Ear("it", peer.target.complain)
        heard.append(ear)
        ear.connected()
        yield from peer.connect()
        values = [{"token": n} for n in range(2)]
        asks = (
            ear.asks("join", topic="t", to="t", values=values),
            ear.asks("later", topic="t", values=[{"token": 2}]),
            ear.asks("say", topic="t", values=[{"token": 3}], fails=True),
        )
        yield from peer.send(b"".join(asks))
        until = peer.kernel.clock.now + 50
        while peer.kernel.clock.now < until:
            ear.hear(peer.read() or b"")
            yield from peer.wait(1.0)

    world = ran(Plan(topics=True, happenings=(Arrival(0.1, listens_and_speaks, 1),), end=Terminate(60.0)))
    (ear,) = heard
    assert world.chronicle is not None
    assert sorted(world.chronicle.published) == [0, 1, 2, 3]  # type: ignore[type-var]
    assert [*ear.answered.values()] == [{"topic": "t", "epoch": "epoch-1", "seq": 1, "missed": 0}, 1]
    assert ear.events == 3, "all but the first, which was published before"
    assert ear.known == {"t": Place("epoch-1", 4)}


def test_a_server_tells_who_ended_after_it_has_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[object] = []
    monkeypatch.setattr(Server, "forget", lambda self, accepted, reason: order.append("forgotten"))
    server = object.__new__(WatchedServer)
    server._ended = lambda accepted, reason: order.append((accepted, reason))
    server.forget("it", CloseReason.SERVED)
    assert order == ["forgotten", ("it", CloseReason.SERVED)]


def test_a_stall_is_bounded_whatever_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stalled: list[float] = []
    monkeypatch.setattr(World, "stall", lambda self, seconds: stalled.append(seconds))

    def asks_for_an_hour(peer: Peer) -> Script:
        yield from peer.connect()
        yield from peer.send(ask("stall", 3_600_000))
        yield from peer.read_for(5)

    ran(Plan(happenings=(Arrival(0.1, asks_for_an_hour, 1),), end=Terminate(60.0)))
    assert stalled == [LONGEST_STALL / 1000]


def test_the_log_keeps_warnings_and_no_less() -> None:
    log, logger = Log(), logging.getLogger("of a test of served")
    logger.propagate = False
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    logger.info("no")
    logger.warning("yes")
    assert [record.getMessage() for record in log.records] == ["yes"]
