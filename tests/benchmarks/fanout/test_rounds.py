"""Is every server visited once a round under every row, and is one that does not start told?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.fanout import rounds
from benchmarks.fanout.drive import Driven, Row
from benchmarks.fanout.rounds import run
from benchmarks.fanout.servers import OURS, PEERS
from benchmarks.visit import Settings, Visit

SETTINGS = Settings(rounds=4, seconds=0.1, warmup=0.0, seed=1, server_core=0, generator_core=0)


def test_rows_of_a_group_are_visited_in_the_same_rounds_in_changing_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        rounds, "drive", lambda server, peer, row, number, settings: Driven(Visit(row.name, peer.name, number))
    )
    said: list[str] = []
    groups = [[Row(2, 1), Row(2, 1, stalled=1)], [Row(3, 1)]]
    found = list(run(groups, [PEERS["bare"], PEERS[OURS]], SETTINGS, said.append))
    visits = [(driven.visit.load, driven.visit.peer, driven.visit.round) for _, _, driven in found]
    first, second = visits[:16], visits[16:]
    assert sorted(first) == sorted(
        (row, name, number) for row in ("2x1", "2x1+1") for name in ("bare", OURS) for number in range(4)
    )
    assert [number for _, _, number in first] == [number for number in range(4) for _ in range(4)]
    orders = {tuple(first[at + i][:2] for i in range(4)) for at in range(0, 16, 4)}
    assert len(orders) > 1
    assert {load for load, _, _ in second} == {"3x1"}
    assert said[0].startswith("2x1")
    assert len(said) == len(visits)


def test_a_server_that_cannot_start_is_told_at_each_visit() -> None:
    peer = replace(PEERS["bare"], arguments=("benchmarks.fanout.peers.nothing",))
    found = list(run([[Row(1, 1)]], [peer], replace(SETTINGS, rounds=2), lambda text: None))
    assert len(found) == 2
    for _, _, driven in found:
        assert driven.visit.broken.startswith("it could not be started: ")
        assert "benchmarks.fanout.peers.nothing" in driven.visit.broken
