"""Which machine does a test run on, and which world is shrunk?

Every test that asks for a machine runs twice: over this one's kernel, and over the simulated one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from suites.simulation.shrink import Shrunk, shrunk
from tests.suites.simulation.machines import RealMachine, SimulatedMachine
from tests.suites.simulation.shrinking import FIRST, TIMERS_FIRST


@pytest.fixture(params=[RealMachine, SimulatedMachine], ids=["real", "simulated"])
def machine(request: pytest.FixtureRequest) -> Iterator[Any]:
    built = request.param()
    yield built
    built.close()


@pytest.fixture(scope="session")
def found() -> Shrunk:
    """`FIRST`, shrunk to what its bug needs; once, for it takes a hundred worlds."""
    with TIMERS_FIRST.applied():
        return shrunk(FIRST)
