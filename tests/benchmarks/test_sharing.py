"""Do several processes on one port serve as one, and is it counted whom the kernel gave what?"""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import sharing
from benchmarks.processes import cores
from benchmarks.sharing import LOAD, Group, share_port
from benchmarks.visit import Settings, Visit


class Server:
    """What a group asks of a server."""

    port = 4711

    def __init__(self, seconds: float, words: str, ended: bool = False) -> None:
        self._seconds, self._words, self.ended = seconds, words, ended

    def cpu_seconds(self) -> float:
        return self._seconds

    def said(self) -> str:
        return self._words


def test_a_group_is_visited_as_one_server() -> None:
    servers: list[Any] = [Server(1.5, "one"), Server(2.0, "two")]
    group = Group(servers)
    assert (group.port, group.cpu_seconds(), group.said(), group.ended) == (4711, 3.5, "one\ntwo", False)
    assert Group([*servers, Server(0.0, "gone", ended=True)]).ended  # type: ignore[list-item]


def test_what_the_kernel_dealt_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def visit(group: Group, load: object, *rest: object) -> Visit:
        seen.append(group)
        return Visit(LOAD.name, "ours", 0, rate=1234.0, cpu_us=9.0)

    monkeypatch.setattr(sharing, "DEALT", 60)
    monkeypatch.setattr(sharing, "visit", visit)
    told: list[str] = []
    found = share_port(2, Settings(1, 0.01, 0.0, 1, *cores()), told.append)
    assert found.fewest + found.most == 60
    assert found.fewest <= found.most
    assert (found.processes, found.rate, found.cpu_us, found.broken) == (2, 1234.0, 9.0, "")
    assert len(seen[0].servers) == 2
    assert told == ["sharing: 2 processes on one port"]
