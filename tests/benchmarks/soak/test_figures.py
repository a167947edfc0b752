"""Is each broken promise told by its name, and none that was kept?"""

from __future__ import annotations

import dataclasses
from array import array
from typing import Any

import pytest

from benchmarks.soak.figures import MIB, Figures, Sample, checks, closes, growth, percentile
from benchmarks.soak.scripts import KINDS


def test_of_a_good_run_every_promise_holds(figures: Figures) -> None:
    assert [check for check in checks(figures) if not check.held] == []


BREAKS: dict[str, tuple[str, dict[str, Any]]] = {
    "a wrong answer": ("good answers", {"good_failed": 1}),
    "no answer at all": ("good answers", {"good_right": 0}),
    "good traffic that did not end": ("good answers", {"good_finished": False}),
    "most newcomers refused": ("good answers", {"good_refused": 300}),
    "slow beside bad peers alone": ("good p99", {"chaos_us": array("L", [10_001] * 1000)}),
    "a promise to a bad peer broken": ("bad peers' due", {"bad_broken": 1}),
    "a kind that never came to its end": ("bad peers' due", {"bad_played": dict.fromkeys(KINDS, 1) | {"idles": 0}}),
    "a connection without a reason": ("accepted = closed", {"accepted": 1001, "bad_made": 901}),
    "no summary": ("accepted = closed", {"accepted": -1}),
    "a connection nobody made": ("accepted = made", {"bad_made": 899}),
    "a reason never seen": ("reasons", {"closed_by": {"served": 1000}}),
    "a descriptor kept": ("descriptors", {"descriptors_after": 9}),
    "a core busy for nothing": ("idle CPU", {"idle_cpu": 0.03}),
    "a traceback in the log": ("server's end", {"tracebacks": 1}),
    "another exit code": ("server's end", {"exit_code": None}),
    "no memory seen": ("memory", {"samples": []}),
}


@pytest.mark.parametrize("what", BREAKS)
def test_each_broken_promise_has_its_name(what: str, figures: Figures) -> None:
    name, values = BREAKS[what]
    broken = dataclasses.replace(figures, **values)
    assert name in [check.name for check in checks(broken) if not check.held]


def test_an_internal_error_is_a_reason_that_must_not_be_seen(figures: Figures) -> None:
    figures.closed_by |= {"served": 79, "internal-error": 1}
    assert [check.name for check in checks(figures) if not check.held] == ["reasons"]


def test_what_delays_the_control_as_well_is_the_machine_s_doing(figures: Figures) -> None:
    figures.chaos_us = array("L", [50_000] * 1000)
    figures.control_us = array("L", [20_000] * 1000)
    assert all(check.held for check in checks(figures))


@pytest.mark.parametrize(("step", "held"), [(0.0, True), (0.01, True), (0.4, False), (-0.4, True)])
def test_memory_that_grows_steadily_is_found_and_its_ups_and_downs_are_not(
    step: float, held: bool, figures: Figures
) -> None:
    figures.samples = [
        Sample(at, "chaos", round((25 + step * at + at % 5) * MIB), 40, 0.1, 2000, 30) for at in range(60)
    ]
    assert {check.name: check.held for check in checks(figures)}["memory"] is held


def test_what_grows_in_the_first_third_is_not_counted(figures: Figures) -> None:
    figures.samples = [Sample(at, "chaos", (10 + min(at, 18)) * MIB, 40, 0.1, 0, 0) for at in range(60)]
    assert {check.name: check.held for check in checks(figures)}["memory"]


def test_growth_is_what_the_least_squares_line_gains() -> None:
    assert growth([(at, 3.0 * at + 7) for at in range(11)]) == pytest.approx(30.0)
    assert growth([(0.0, 1.0), (1.0, 5.0), (2.0, 1.0)]) == pytest.approx(0.0)
    assert growth([]) == growth([(1.0, 1.0)]) == growth([(1.0, 1.0), (1.0, 2.0)]) == 0.0


def test_percentiles_are_by_nearest_rank() -> None:
    assert [percentile(range(1, 101), part) for part in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.99) == 0


def test_the_summary_is_read_from_the_server_s_last_words() -> None:
    log = "Listening on tcp://127.0.0.1:1\nDraining (SIGTERM)\nClosed: accepted 12 (served 4, peer-closed 8)\n"
    assert closes(log) == (12, {"served": 4, "peer-closed": 8})
    assert closes("Closed: accepted 0\n") == (0, {})
    assert closes("Traceback ...\n") == (-1, {})
