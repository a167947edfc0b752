"""Is a server started on its core, watched from outside, and stopped?"""

from __future__ import annotations

import pytest

from benchmarks.peers import PEERS
from benchmarks.processes import CannotStart, ServerProcess, cores


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(CannotStart, match="No module named"):
        ServerProcess([*PEERS["asyncio"].command_line("127.0.0.1", 0)[:2], "benchmarks.peers.nobody"], cores()[0])
