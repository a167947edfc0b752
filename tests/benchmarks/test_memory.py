"""Is a server's growth read while it idles, after it was asked again, and when all have gone?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import memory
from benchmarks.cli import main
from benchmarks.crowd import CrowdFailed
from benchmarks.memory import Footprint, measure
from benchmarks.peers import PEERS
from benchmarks.processes import cores


def test_growth_is_read_five_times_and_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = iter([1000, 1500, 1600, 1010, 1500])
    monkeypatch.setattr(memory, "resident_bytes", lambda pid: next(resident))
    found = measure(PEERS["ours"], 10, 0.0, cores()[0])
    assert found == Footprint(empty=1000, idle=50.0, asked_again=60.0, closed=1.0, second_wave=50.0)


def test_each_peer_is_a_row_and_one_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(peer: object, connections: int, settle: float, core: int) -> Footprint:
        if peer is PEERS["asyncio"]:
            raise CrowdFailed("a connection was lost")
        return Footprint(20 * 2**20, 430.0, 431.0, 12.5, connections + settle)

    monkeypatch.setattr(memory, "measure", measured)
    path = tmp_path / "memory.json"
    arguments = ["--peers", "ours,asyncio", "--connections", "7", "--settle", "0.5", "--json", str(path)]
    assert main(["memory", *arguments]) == 1
    told = capsys.readouterr()
    assert "ours                  20.0       430          431        12            8" in told.out
    assert told.err == "asyncio: a connection was lost\n"
    found = json.loads(path.read_text())
    assert (found["kind"], found["connections"], list(found["footprints"])) == ("memory", 7, ["ours"])


def test_an_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["memory", "--peers", "nobody"])
    assert ended.value.code == 2
    assert "there is no peer nobody" in capsys.readouterr().err
