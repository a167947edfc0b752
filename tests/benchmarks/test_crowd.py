"""Is every connection of a crowd served, and a reply that fails noticed?"""

from __future__ import annotations

import pytest

from benchmarks.crowd import Crowd, CrowdFailed
from benchmarks.peers import PEERS
from benchmarks.processes import ServerProcess, cores


def test_a_crowd_is_served_asked_again_and_gone() -> None:
    with ServerProcess(PEERS["ours"].command_line("127.0.0.1", 0), cores()[0]) as server, Crowd(server.port) as crowd:
        assert len(crowd.open(40)) == 40
        assert len(crowd.open(10, rate=10_000)) == 10
        crowd.ask_all()
        assert len(crowd) == 50
        server.stop()
        with pytest.raises(CrowdFailed):
            crowd.ask_all()
