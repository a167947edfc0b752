"""Which servers do these tests talk to? Each peer is started once, when a test first needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from benchmarks.loads import LOADS
from benchmarks.peers import OURS, PEERS
from benchmarks.processes import ServerProcess, cores


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
            return running[name]

        yield started
