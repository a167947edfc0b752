"""How short a visit do these tests make, and which servers have a fault?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.compiling import FANOUT_DRIVER, CannotCompile, compiled
from benchmarks.fanout.servers import PEERS, Peer
from benchmarks.processes import cores
from benchmarks.visit import Settings


@pytest.fixture
def settings() -> Settings:
    try:
        compiled(FANOUT_DRIVER)
    except CannotCompile as error:
        pytest.skip(str(error))
    server, driver = cores()
    return Settings(rounds=1, seconds=0.1, warmup=0.05, seed=1, server_core=server, generator_core=driver)


@pytest.fixture
def faulty() -> Callable[[str], Peer]:
    """`faulty(fault)` is the bare server with it (`faulty_server`)."""
    module = "tests.benchmarks.fanout.faulty_server"
    return lambda fault: replace(PEERS["bare"], name=fault, arguments=(module, f"--{fault}"))
