"""Is it measured what a good client waits beside peers that ask for as much as they may?"""

from __future__ import annotations

import json
import time

import pytest

from benchmarks.peers import PEERS
from benchmarks.processes import ServerProcess, cores
from benchmarks.requests import repeated
from benchmarks.soak import beside
from benchmarks.soak.beside import LEVELS, deep, latencies_beside, percentile, wide
from tests.support.scripted import Caller, ScriptedServer
from tests.support.wire import keep


@pytest.mark.parametrize("size", [1_000, 65_536, 1_000_000])
def test_what_is_asked_is_json_of_that_size_at_most(size: int) -> None:
    for content, action in ((deep(size), "search"), (wide(size), "echo")):
        assert size - 3 * LEVELS < len(content) <= size
        assert json.loads(content)["action"] == action


def test_lists_are_as_deep_as_they_may_be() -> None:
    depth, value = 0, json.loads(deep(2_000))["value"][0]
    while value != []:
        depth, value = depth + 1, value[0]
    assert depth + 1 == LEVELS


@pytest.mark.parametrize(("part", "value"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_one_of_the_values(part: float, value: int) -> None:
    assert percentile(range(1, 101), part) == value


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "HEAD_START", 0.5)


def test_a_good_client_is_answered_beside_a_flood_and_its_times_are_told() -> None:
    with ServerProcess(PEERS["ours"].command_line("127.0.0.1", 0), cores()[0]) as server:
        found = latencies_beside(server.port, 2, repeated()[0].request, 0.3)
    assert len(found) > 10
    assert found == sorted(found)
    assert found[0] > 0


def test_a_good_request_that_is_answered_wrongly_is_no_figure() -> None:
    def wrong(peer: Caller) -> None:
        while True:
            peer.request()
            peer.reply({"result": "no"}, peer.header.get("connection"))
            if "connection" not in peer.header:
                return

    with ScriptedServer(wrong) as server, pytest.raises(ConnectionError, match="of the good requests"):
        latencies_beside(server.port, 0, b"", 0.1)


def test_so_many_peers_ask_again_and_again_and_who_is_refused_comes_again() -> None:
    ended: list[int] = []

    def serve(peer: Caller) -> None:
        if peer.number == 0:
            ended.append(peer.number)
            return  # refused: it comes again
        while True:
            peer.reply(peer.right(peer.request()))

    with ScriptedServer(serve) as server:
        beside._flood(server.port, 3, keep("echo", "x" * 1000), 0.3)
        assert server.connections == 3 + len(ended)
        assert server.requests > 6


def test_without_peers_the_time_passes_all_the_same() -> None:
    begun = time.monotonic()
    beside._flood(0, 0, b"", 0.05)
    assert time.monotonic() - begun >= 0.05
