"""Does the command sweep every scenario, and is one that does not live on named?"""

from __future__ import annotations

import pytest

from suites.faults import __main__ as command
from suites.faults.kernel import Faults
from suites.faults.sweep import Tally


@pytest.fixture(autouse=True)
def scenarios(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Two that live on."""

    def fine(faults: Faults) -> None:
        faults.armed = True
        faults.code("recv")
        faults.armed = False

    made: dict[str, object] = {"one": fine, "two": fine}
    monkeypatch.setattr(command, "ALL", made)
    return made


def test_the_table_adds_up_what_every_scenario_survived(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main() == 0
    told = capsys.readouterr().out
    assert "one: 13 faults" in told
    assert "1 calls, 13 pairs of call and errno, 26 faults in" in told
    assert told.splitlines()[-1].endswith("s, 0 scenarios failed")


def test_one_that_does_not_live_on_is_named_with_the_fault_and_the_others_go_on(
    scenarios: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(faults: Faults) -> None:
        faults.armed = True
        assert not faults.code("recv"), "it did not live on"
        faults.armed = False

    scenarios["one"] = breaks
    assert command.main() == 1
    told = capsys.readouterr().out
    assert "FAILED one: it did not live on" in told
    assert "with EAGAIN at call 1 of recv" in told
    assert "two: 13 faults" in told
    assert "1 scenarios failed" in told


def test_interrupted_it_tells_what_it_has(
    scenarios: dict[str, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = command.sweep

    def sweep(scenario: object) -> Tally:
        if scenario is scenarios["last"]:
            raise KeyboardInterrupt
        return whole(scenario)  # type: ignore[arg-type]

    scenarios["last"] = lambda faults: None
    monkeypatch.setattr(command, "sweep", sweep)
    assert command.main() == 1
    told = capsys.readouterr().out
    assert "interrupted; so far:" in told
    assert "26 faults" in told
