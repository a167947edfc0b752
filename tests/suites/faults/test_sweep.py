"""Are the faults of a sweep counted, and does it say which one the loop did not survive?"""

from __future__ import annotations

import pytest

from suites.faults.errnos import ERRORS
from suites.faults.kernel import Faults
from suites.faults.sweep import Tally, sweep


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


def receives(faults: Faults, times: int = 3, survives: bool = True) -> None:
    """A scenario that makes this call so often."""
    faults.armed = True
    for _ in range(times):
        code = faults.code("recv")
        assert survives or not code, "it did not live on"
    faults.armed = False


def test_every_error_is_met_at_every_call() -> None:
    tally = sweep(receives)
    assert tally.fired == {("recv", error): 3 for error in ERRORS["recv"]}
    assert tally.latest == {"recv": 3}


def test_with_a_stride_the_first_call_meets_all_and_the_later_ones_some() -> None:
    tally = sweep(receives, stride=5)
    assert set(tally.fired) == {("recv", error) for error in ERRORS["recv"]}
    assert len(ERRORS["recv"]) < sum(tally.fired.values()) < 3 * len(ERRORS["recv"])
    assert sum(sweep(receives, stride=5, thorough=False).fired.values()) < len(ERRORS["recv"])


def test_calls_that_are_not_asked_for_are_not_failed() -> None:
    assert sweep(receives, ["send"]).fired == {}


def test_what_the_loop_did_not_survive_is_named() -> None:
    with pytest.raises(AssertionError, match="it did not live on") as failed:
        sweep(lambda faults: receives(faults, survives=False))
    assert failed.value.__notes__ == [f"with {ERRORS['recv'][0]} at call 1 of recv"]


def test_a_scenario_that_goes_on_for_ever_is_no_scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suites.faults.sweep.MOST_CALLS", 2)
    with pytest.raises(AssertionError, match="recv is called more than 2 times"):
        sweep(receives)
