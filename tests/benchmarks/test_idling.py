"""Is a crowded server compared with an empty one, round by round, and a broken visit left out?"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import idling
from benchmarks.idling import LOAD, Crowded, cost_of_idling
from benchmarks.peers import PEERS
from benchmarks.processes import cores
from benchmarks.visit import Settings, Visit


@pytest.fixture
def settings() -> Settings:
    return Settings(3, 0.01, 0.0, 1, *cores())


def by_script(monkeypatch: pytest.MonkeyPatch, *visits: dict[str, Visit]) -> list[str]:
    """The visits of each round come from here; returns which server each was made to."""
    made: list[str] = []

    def visit(server: Any, load: Any, name: str, number: int, *rest: object) -> Visit:
        made.append(name)
        return visits[(len(made) - 1) // 2][name]

    monkeypatch.setattr(idling, "visit", visit)
    return made


def of(cpu_us: float, p99_us: float = 1.0, broken: str = "") -> Visit:
    return Visit(LOAD.name, "ours", 0, cpu_us=cpu_us, p99_us=p99_us, broken=broken)


def test_the_ratio_is_of_the_same_round_and_a_broken_one_counts_for_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = [
        {"empty": of(10.0), "crowded": of(20.0, 5.0)},
        {"empty": of(100.0), "crowded": of(110.0, 7.0)},
        {"empty": of(1.0), "crowded": of(999.0, broken="3 wrong_content")},
    ]
    made = by_script(monkeypatch, *rounds, *rounds)
    told: list[str] = []
    first, second = cost_of_idling(PEERS["ours"], [0, 30], settings, told.append)
    assert (first.idle, second.idle) == (0, 30)
    assert (first.ratio.low, first.ratio.median, first.ratio.high, first.ratio.rounds) == (1.1, 1.55, 2.0, 2)
    assert (first.cpu_us, first.p99_us) == (65.0, 6.0)
    assert second.broken == ["30 idle, crowded: 3 wrong_content"]
    assert [sorted(made[at : at + 2]) for at in range(0, len(made), 2)] == [["crowded", "empty"]] * 6
    assert told[0] == "idling: 0 connections, round 1 of 3"


def test_without_one_right_round_there_is_no_figure() -> None:
    found = idling._crowded(7, [], ["why"])
    assert isinstance(found, Crowded)
    assert (found.idle, found.ratio.rounds, found.broken) == (7, 0, ["why"])
