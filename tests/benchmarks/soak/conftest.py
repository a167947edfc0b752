"""Of which run do these tests tell? Of a good one, from which each takes something away."""

from __future__ import annotations

from array import array

import pytest

from benchmarks.soak.figures import MIB, Figures, Sample
from benchmarks.soak.scripts import KINDS


@pytest.fixture
def figures() -> Figures:
    """Of a server that does all it should."""
    figures = Figures(
        quiet_us=array("L", range(1000, 2000)),
        chaos_us=array("L", range(1500, 2500)),
        control_us=array("L", range(1000, 2000)),
        good_right=2000,
        good_made=100,
        good_finished=True,
        bad_made=900,
        bad_played=dict.fromkeys(KINDS, 10),
        chaos_seconds=60.0,
        descriptors_before=8,
        descriptors_after=8,
        accepted=1000,
        exit_code=0,
    )
    figures.samples = [Sample(at, "chaos", 25 * MIB, 40, 0.1, 2000, 30) for at in range(60)]
    reasons = (
        "served peer-closed truncated reset bad-framing header-timeout content-timeout idle-timeout send-timeout "
        "output-limit slow"
    )
    figures.closed_by = dict.fromkeys(reasons.split(), 80) | {"overloaded": 120}
    return figures
