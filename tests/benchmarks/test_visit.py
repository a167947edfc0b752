"""Does a visit measure the window and nothing else, and notice every wrong reply?"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.compiling import GENERATOR, CannotCompile, compiled
from benchmarks.loads import LOADS, Load
from benchmarks.processes import ServerProcess, cores, cpu_seconds
from benchmarks.requests import Variant, mixed, pack, repeated
from benchmarks.visit import Settings, Visit, Visited, _at, visit
from tests.support.scripted import Caller, ScriptedServer
from tests.support.wire import KEEP, message

Start = Callable[[str], ServerProcess]


@pytest.fixture
def settings() -> Settings:
    try:
        compiled(GENERATOR)
    except CannotCompile as error:
        pytest.skip(str(error))
    server, generator = cores()
    return Settings(rounds=1, seconds=0.1, warmup=0.05, seed=1, server_core=server, generator_core=generator)


def visited(server: Visited, load: Load, variants: list[Variant], settings: Settings, tmp_path: Path) -> Visit:
    requests = tmp_path / "requests"
    requests.write_bytes(pack(variants))
    return visit(server, load, "ours", 0, requests, settings)


@pytest.mark.parametrize("name", ["64x1", "64x16-mixed", "oneshot"])
def test_a_right_server_is_measured(start: Start, settings: Settings, tmp_path: Path, name: str) -> None:
    load = LOADS[name]
    result = visited(start("ours"), load, load.variants(), settings, tmp_path)
    assert result.broken == ""
    assert result.requests > 0
    assert result.rate > 0
    assert result.cpu_us > 0
    assert 0 < result.p50_us <= result.p99_us <= result.max_us


class InThisProcess:
    """A server as a visit asks for it, in a thread of ours."""

    ended = False

    def __init__(self, port: int) -> None:
        self.port = port

    def said(self) -> str:
        return ""

    def cpu_seconds(self) -> float:
        return cpu_seconds(os.getpid())


def late(peer: Caller) -> None:
    """Answers right, the first time a while late."""
    peer.request()
    threading.Event().wait(0.3)
    while True:
        peer.send(message(repeated()[0].content, **KEEP))
        peer.request()


def test_a_window_without_a_reply_goes_on_until_there_is_one(settings: Settings, tmp_path: Path) -> None:
    """On a busy machine a short window may pass before the server, or the generator, gets a turn."""
    shortly = replace(settings, seconds=0.01, warmup=0.0)
    with ScriptedServer(late) as server:
        result = visited(InThisProcess(server.port), LOADS["1x1"], repeated(), shortly, tmp_path)
    assert result.broken == ""
    assert result.requests >= 1
    assert result.max_us > 0.2e6


def test_one_wrong_content_among_many_is_noticed(start: Start, settings: Settings, tmp_path: Path) -> None:
    variants = mixed()
    variants[17] = variants[17]._replace(content=variants[17].content.replace(b"result", b"resulT"))
    result = visited(start("ours"), LOADS["64x16-mixed"], variants, settings, tmp_path)
    assert "wrong_content" in result.broken


def test_a_missing_header_field_is_noticed(start: Start, settings: Settings, tmp_path: Path) -> None:
    variants = [repeated()[0]._replace(header_text=b'"id": 1')]
    assert "wrong_header" in visited(start("ours"), LOADS["64x1"], variants, settings, tmp_path).broken


def test_a_server_that_closes_is_noticed(start: Start, settings: Settings, tmp_path: Path) -> None:
    variants = repeated(keep=False)  # it closes after each reply, and the load does not expect that
    assert "closed_early" in visited(start("ours"), LOADS["64x1"], variants, settings, tmp_path).broken


def test_processor_time_is_interpolated_to_the_windows_ends() -> None:
    samples = [(1.0, 0.0), (2.0, 0.4), (3.0, 1.4)]
    assert _at(samples, 1.5) == pytest.approx(0.2)
    assert _at(samples, 2.25) == pytest.approx(0.65)


def test_processor_time_outside_the_samples_is_the_nearest() -> None:
    samples = [(1.0, 0.1), (2.0, 0.4)]
    assert _at(samples, 0.0) == 0.1
    assert _at(samples, 9.0) == 0.4


def test_processor_time_of_a_process_grows() -> None:
    before = cpu_seconds(os.getpid())
    sum(range(200_000))
    assert cpu_seconds(os.getpid()) > before


def test_only_a_generator_busier_than_the_server_is_the_bottleneck() -> None:
    assert Visit("l", "p", 0, generator_cpu=0.97, server_cpu=0.5).generator_bound
    assert not Visit("l", "p", 0, generator_cpu=0.97, server_cpu=0.99).generator_bound
    assert not Visit("l", "p", 0, generator_cpu=0.5, server_cpu=0.5).generator_bound
