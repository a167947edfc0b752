"""Is every server visited in every round, in an order that favours none?"""

from __future__ import annotations

import pytest

from benchmarks import rounds
from benchmarks.loads import LOADS
from benchmarks.peers import PEERS
from benchmarks.processes import cores
from benchmarks.visit import Settings, Visit


def test_every_round_visits_every_server_in_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []

    class Started:
        ended = False

        def __init__(self, command: object, core: int, root: object) -> None:
            started.append(self)

        def __enter__(self) -> Started:
            return self

        def __exit__(self, *exc: object) -> None: ...

    monkeypatch.setattr(rounds, "ServerProcess", Started)
    monkeypatch.setattr(rounds, "visit", lambda server, load, peer, number, *rest: Visit(load.name, peer, number))
    monkeypatch.setattr("benchmarks.peers.Peer.command_line", lambda *arguments: [])
    settings = Settings(8, 0.1, 0.0, 7, *cores())
    peers = list(PEERS.values())[:6]
    made = list(rounds.run([LOADS["1x1"]], peers, settings, lambda text: None))
    orders = [[visit.peer for visit in made if visit.round == number] for number in range(8)]
    assert all(sorted(order) == sorted(peer.name for peer in peers) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    assert len(started) == 6
    assert len(list(rounds.run([LOADS["1x1"]], peers, settings, lambda text: None, anew=True))) == 48
    assert len(started) == 6 + 48  # a process keeps what it drew at its start
