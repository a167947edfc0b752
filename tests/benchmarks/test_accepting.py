"""Is every slice of the connections counted, and does each cost the server something?"""

from __future__ import annotations

import pytest

from benchmarks.accepting import SLICES, Accepted, Slice, accept_many
from benchmarks.crowd import CrowdFailed
from benchmarks.peers import PEERS
from benchmarks.processes import cores


def test_all_are_accepted_served_and_told_slice_by_slice() -> None:
    told: list[str] = []
    found = accept_many(PEERS["ours"], 2 * SLICES, 5000.0, cores()[0], told.append)
    assert [one.connections for one in found.slices] == [2 * number for number in range(1, SLICES + 1)]
    assert all(0 < one.median_us <= one.slowest_us for one in found.slices)
    assert sum(one.cpu_us for one in found.slices) > 0
    assert found.rate == pytest.approx(2 * SLICES / found.seconds)
    assert told[-1] == f"accepting: {2 * SLICES - 2} of {2 * SLICES} connections"


def test_a_server_that_refuses_some_is_no_figure() -> None:
    few = PEERS["ours"].command_line("127.0.0.1", 0, "--max-connections", "20")
    with pytest.raises(CrowdFailed):
        accept_many(_Fixed(few), 4 * SLICES, 5000.0, cores()[0], lambda text: None)  # type: ignore[arg-type]


class _Fixed:
    """A peer that is started in one way, whatever it is asked to have room for."""

    def __init__(self, command: list[str]) -> None:
        self._command = command

    def room_for(self, connections: int) -> tuple[str, ...]:
        return ()

    def command_line(self, host: str, port: int, *options: str) -> list[str]:
        return self._command


def test_the_rate_is_of_all_of_them() -> None:
    assert Accepted(100, 4.0, [Slice(100, 1.0, 2.0, 3.0)], 450.0, 4000.0).rate == 25.0
