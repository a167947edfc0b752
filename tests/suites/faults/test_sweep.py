"""Are the faults of a sweep counted, and does it say which one the loop did not survive?"""

from __future__ import annotations

from suites.faults.sweep import Tally


def test_the_tally_counts_pairs_faults_and_runs() -> None:
    tally = Tally()
    tally.note("recv", "EPIPE", 2)
    tally.note("recv", "EPIPE", 1)
    tally.note("send", "EPIPE", 1)
    other = Tally()
    other.runs = 5
    other.note("recv", "EIO", 3)
    tally.add(other)
    assert str(tally).splitlines()[-1] == "2 calls, 3 pairs of call and errno, 4 faults in 5 runs"
    assert tally.latest["recv"] == 3
