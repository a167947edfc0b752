"""Which servers do these tests talk to, and of which run do they tell? Each peer is started once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from benchmarks.loads import LOADS
from benchmarks.peers import OURS, PEERS
from benchmarks.processes import ServerProcess, cores
from benchmarks.stored import Run
from benchmarks.visit import Visit
from tests.support.children import SHARED


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[[str], ServerProcess]]:
    """`start(name)` gives that peer, running; skips the test, with the reason, where it can't run."""
    running: dict[str, ServerProcess] = {}
    with ExitStack() as alive:

        def started(name: str) -> ServerProcess:
            if name not in running:
                if missing := PEERS[name].missing():
                    pytest.skip(missing)
                peer = PEERS[name]
                options = peer.options_for(LOADS["64x1-blocking"]) if peer.command == OURS else ()
                command = peer.command_line("127.0.0.1", 0, *options)
                running[name] = alive.enter_context(ServerProcess(command, cores()[0]))
                SHARED.add(running[name].pid)
            return running[name]

        yield started


@pytest.fixture
def run() -> Run:
    """Of four servers under two loads, as their visits would have left it."""
    visits = []
    for load in ("64x1", "64x16"):
        for number in range(3):
            visits += [
                Visit(load, "ours", number, rate=230 + number, cpu_us=4.0, p50_us=1, p99_us=2, max_us=3),
                Visit(load, "uvloop", number, rate=100, cpu_us=9.0),
                Visit(load, "c", number, rate=300, cpu_us=3.0, generator_cpu=0.95, server_cpu=0.5),
                Visit(load, "<odd> & co", number, rate=50, cpu_us=20.0),
            ]
    visits.append(Visit("64x1", "trio", 0, broken="it could not be started: no trio"))
    where = {"python": "3.11.7", "processor": "a processor", "cores": 2, "system": "Linux", "kernel": "6.1-x"}
    loads = {"64x1": "64 connections, depth 1", "64x16": "64 connections, depth 16"}
    peers = {"ours": "us", "uvloop": "them", "c": "the limit", "<odd> & co": "odd"}
    return Run(where, {"rounds": 3, "seconds": 1.0}, loads, peers, {"gevent": "not installed"}, visits)
