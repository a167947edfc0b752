"""Is the same seed the same world, line by line?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from suites.simulation.clients import KINDS
from suites.simulation.world import World

ROOT = Path(__file__).parents[3]


def ran(seed: int) -> World:
    world = World(seed)
    world.run()
    return world


def test_the_same_seed_has_the_same_trace_and_another_seed_another() -> None:
    lines = list(ran(5).trace.lines())
    assert len(lines) > 100
    assert list(ran(5).trace.lines()) == lines
    assert list(ran(6).trace.lines()) != lines


def test_the_trace_is_byte_identical_in_processes_that_hash_differently() -> None:
    world = World(17)
    kinds = {type(client) for client in world.clients}
    assert kinds == set(KINDS), "choose a seed with clients of every kind"
    assert world.plan.topics, "and with topics"
    world.close()
    traces = [
        subprocess.run(
            [sys.executable, "-m", "suites.simulation", "--replay", "17", "--trace"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            check=True,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert traces[0] == traces[1]
    assert len(traces[0].splitlines()) > 100
