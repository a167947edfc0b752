"""Is the naive server a good one on a good day?"""

from __future__ import annotations

from suites.conformance.case import OK
from suites.detection.detect import NAIVE, look


def test_the_naive_server_passes_cases_that_no_star_marks() -> None:
    """It is naive, not dead: otherwise failing would prove nothing."""
    results = look(NAIVE, ["FR1", "FR2.2", "EN12.3", "EN14", "HV14", "PL8"])
    assert {id: result.verdict for id, result in results.items()} == dict.fromkeys(results, OK)
