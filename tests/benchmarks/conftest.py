"""Which servers do these tests talk to? Each peer is started once, when a test first needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from benchmarks.peers import PEERS
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
                command = PEERS[name].command_line("127.0.0.1", 0)
                running[name] = alive.enter_context(ServerProcess(command, cores()[0]))
            return running[name]

        yield started
