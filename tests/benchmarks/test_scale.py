"""Are the four questions of scale asked in turn, and is what was found told in tables?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scale
from benchmarks.accepting import Accepted, Slice
from benchmarks.cli import main
from benchmarks.crowd import CrowdFailed
from benchmarks.idling import Crowded
from benchmarks.results import Ratio
from benchmarks.sharing import Shared

ACCEPTED = Accepted(38, 2.0, [Slice(19, 30.0, 100.0, 400.0), Slice(38, 50.0, 300.0, 900.0)], 450.0, 8000.0)


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[object]]:
    """What was asked for; the answers are given."""
    asked: dict[str, list[object]] = {"accepting": [], "idling": [], "sharing": []}

    def accept_many(peer: object, connections: int, rate: float, *rest: object) -> Accepted:
        asked["accepting"].append((connections, rate))
        return ACCEPTED

    def cost_of_idling(peer: object, levels: list[int], *rest: object) -> list[Crowded]:
        asked["idling"].append(levels)
        return [Crowded(level, 9.5, 120.0, Ratio(1.02, 0.98, 1.1, 5), []) for level in levels]

    def share_port(count: int, *rest: object) -> Shared:
        asked["sharing"].append(count)
        return Shared(count, 1, 900, 1100, 50_000.0, 12.0, "closed_early" if count == 3 else "")

    monkeypatch.setattr(scale, "compiled", lambda source: source)
    monkeypatch.setattr(scale, "raise_descriptor_limit", lambda: 20_032)
    monkeypatch.setattr(scale, "object_sizes", lambda: {"TCP": 2304, "filp": 256})
    for name, call in (("accept_many", accept_many), ("cost_of_idling", cost_of_idling), ("share_port", share_port)):
        monkeypatch.setattr(scale, name, call)
    return asked


def test_each_question_has_its_table_and_its_figures(
    measured: dict[str, list[object]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scale.json"
    where = ["--connections", "38", "--rate", "100", "--idle", "0,10,9999", "--processes", "1,2", "--json", str(path)]
    assert main(["scale", *where]) == 0
    assert measured == {"accepting": [(38, 100.0)], "idling": [[0, 10]], "sharing": [1, 2]}
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["all,", "at", "19", "a", "second", "40", "200", "900"] in lines
    assert ["10", "9.50", "1.02", "(0.98", "to", "1.10)", "120"] in lines
    assert ["2", "1", "50,000", "12.00", "900", "to", "1,100"] in lines
    assert ["accepting", "and", "serving", "once,", "of", "one", "core", "40", "us", "40", "s"] in lines
    assert ["processes", "at", "20,032", "descriptors", "each", "1", "descriptor", "50"] in lines
    found = json.loads(path.read_text())
    assert set(found["tables"]) == {"accepting", "idling", "sharing", "million"}
    assert found["measured"]["accepting"]["connections"] == 38


def test_the_kernel_s_part_is_half_of_both_ends_where_it_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scale, "object_sizes", dict)
    assert main(["scale"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "half of both ends' growth" in line)
    assert line.split()[-4:] == ["4,000", "bytes", "3,815", "MiB"]


def test_what_is_broken_is_told_and_the_rest_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scale", "--processes", "1,3"]) == 1
    told = capsys.readouterr()
    assert "900 to 1,100 BROKEN: closed_early" in told.out
    assert "benchmarks: closed_early" in told.err

    def failed(*arguments: object) -> None:
        raise CrowdFailed("only 3 of 38 connections were served")

    monkeypatch.setattr(scale, "accept_many", failed)
    assert main(["scale"]) == 1
    assert "benchmarks: only 3 of 38 connections were served" in capsys.readouterr().err


def test_more_connections_than_descriptors_are_not_tried(
    measured: dict[str, list[object]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scale, "raise_descriptor_limit", lambda: 1024)
    assert main(["scale"]) == 0
    assert measured["accepting"] == [(824, 3000.0)]
    assert "the descriptor limit of 1024 allows 824 connections only" in capsys.readouterr().err
