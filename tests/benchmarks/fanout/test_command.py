"""Does the command print its tables, skip what is missing, and fail where something was lost?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.fanout import command
from benchmarks.fanout.servers import OURS, PEERS, Peer
from benchmarks.fanout.waiting import Held, WaitingFailed
from benchmarks.processes import CannotStart
from benchmarks.visit import Settings

SHORT = ["--rounds", "1", "--seconds", "0.1", "--warmup", "0.05"]


def test_a_short_run_prints_its_rows_and_writes_json(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fanout.json"
    arguments = ["--peers", "ours,bare", "--rows", "5x1,20x16", *SHORT, "--json", str(path)]
    assert main(["fanout", *arguments]) == 0
    told = capsys.readouterr().out
    assert "5 subscribers, 1 in flight:" in told
    assert "20 subscribers, 16 in flight:" in told
    assert told.index("bare") < told.index("ours"), "the order is the list's, not that of the visits"
    found = json.loads(path.read_text())
    assert found["kind"] == "fanout"
    assert sorted((visit["load"], visit["peer"]) for visit in found["visits"]) == [
        ("20x16", "bare"),
        ("20x16", "ours"),
        ("5x1", "bare"),
        ("5x1", "ours"),
    ]


def test_a_lost_delivery_fails_the_run_and_is_said(
    settings: Settings,
    faulty: Callable[[str], Peer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(PEERS, "lose", faulty("lose"))
    arguments = ["--peers", "lose", "--rows", "3x2", "--rounds", "1", "--seconds", "0.5"]
    assert main(["fanout", *arguments]) == 1
    told = capsys.readouterr()
    assert " lost" in told.err
    assert "NOT DELIVERED AS IT SHOULD BE: " in told.out


def test_what_is_not_installed_is_skipped_with_its_reason(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Peer, "missing", lambda peer: f"{peer.program} is not installed")
    assert main(["fanout", "--peers", "nats"]) == 1, "nothing was visited: nothing holds"
    assert capsys.readouterr().err == "skipped: nats: nats-server is not installed\n"


def test_an_unknown_peer_is_refused_with_those_there_are(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fanout", "--peers", "kafka"]) == 2
    assert "there is no peer kafka; there are redis, nats, " in capsys.readouterr().err


def test_somebody_must_read(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fanout", "--stalled", "5", "--subscribers", "5"]) == 2
    assert "at least one must read" in capsys.readouterr().err


@pytest.mark.parametrize(("least", "code"), [(0.0, 0), (1e9, 1)])
def test_a_stalled_subscriber_that_costs_more_than_promised_fails_the_run(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    least: float,
    code: int,
) -> None:
    monkeypatch.setattr("benchmarks.fanout.stalled.RATE_LEAST", least)
    monkeypatch.setattr("benchmarks.fanout.stalled.P99_MOST", 1e9)
    arguments = ["--stalled", "1", "--subscribers", "4", "--in-flight", "8", "--peers", OURS, *SHORT]
    assert main(["fanout", *arguments]) == code
    told = capsys.readouterr().out
    assert told.startswith("1 of 4 subscribers do not read\n")
    assert ("DOES NOT HOLD" in told) == bool(code)


def test_memory_is_measured_with_as_many_subscribers_as_descriptors_allow(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(stalled: int, messages: int, size: int, *_: object) -> Held:
        return Held(stalled, messages, size + 150.0, 2**20, 2 * 2**20, 1000, "" if size > 100 else "1 lost")

    monkeypatch.setattr(command, "measure", measured)
    monkeypatch.setattr(command, "raise_descriptor_limit", lambda: 1000)
    path = tmp_path / "memory.json"
    assert main(["fanout", "--memory", "--json", str(path)]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("the descriptor limit of 1000 allows 800 subscribers only\n")
    assert told.out.startswith("800 subscribers that do not read, 1,000 messages, 1,174 bytes as sent\n")
    found = json.loads(path.read_text())
    assert (found["kind"], found["held"]["stalled"]) == ("fanout-memory", 800)
    assert main(["fanout", "--memory", "--subscribers", "10", "--size", "16"]) == 1
    assert "1 lost" in capsys.readouterr().out


@pytest.mark.parametrize("failure", [WaitingFailed("no room"), CannotStart("no room")])
def test_a_measurement_of_memory_that_fails_is_told(
    failure: Exception, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(*_: object) -> Held:
        raise failure

    monkeypatch.setattr(command, "measure", measured)
    assert main(["fanout", "--memory", "--subscribers", "10"]) == 1
    assert "benchmarks fanout: no room" in capsys.readouterr().err
