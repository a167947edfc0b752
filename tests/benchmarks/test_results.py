"""Is the arithmetic right?"""

from __future__ import annotations

import pytest

from benchmarks.results import summarize
from benchmarks.visit import Visit


def visits(peer: str, *rates: float, load: str = "64x1", **more: object) -> list[Visit]:
    return [Visit(load, peer, number, rate=rate, **more) for number, rate in enumerate(rates)]  # type: ignore[arg-type]


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_medians() -> None:
    own, base = summarize([*visits("ours", 100, 300, 80), *visits("uvloop", 50, 100, 80)])
    assert own.ratios["uvloop"].median == 2.0  # of 2, 3 and 1; the medians' ratio would be 1.25
    assert (own.ratios["uvloop"].low, own.ratios["uvloop"].high) == (1.0, 3.0)
    assert base.ratios["uvloop"].median == 1.0


def test_a_broken_visit_counts_for_nothing_and_its_reason_is_kept() -> None:
    wrong = Visit("64x1", "ours", 2, rate=10**9, broken="3 wrong_content")
    (own, _) = summarize([*visits("ours", 100, 200), wrong, *visits("uvloop", 100, 100, 100)])
    assert own.rounds == 2
    assert own.rate == 150
    assert own.ratios["uvloop"].rounds == 2
    assert own.broken == ("3 wrong_content",)


def test_a_round_whose_base_is_broken_has_no_ratio() -> None:
    base = [Visit("64x1", "uvloop", 0, broken="it hung"), Visit("64x1", "uvloop", 1, rate=100)]
    (own, _) = summarize([*visits("ours", 999, 200), *base])
    assert own.ratios["uvloop"].median == 2.0
    assert own.ratios["uvloop"].rounds == 1


def test_without_the_base_there_is_no_ratio() -> None:
    (own,) = summarize(visits("ours", 1, 2))
    assert own.ratios == {}


def test_loads_are_not_mixed() -> None:
    mixed = [*visits("ours", 100, load="a"), *visits("uvloop", 50, load="a"), *visits("ours", 100, load="b")]
    first, _, second = summarize(mixed)
    assert first.ratios["uvloop"].median == 2.0
    assert second.ratios == {}


def test_the_worst_latency_and_starvation_of_all_rounds_are_told() -> None:
    own = [Visit("l", "ours", n, rate=1, max_us=m, starved=s) for n, (m, s) in enumerate([(10, 0), (90, 3), (20, 1)])]
    (summary,) = summarize(own)
    assert (summary.max_us, summary.median_max_us, summary.starved) == (90, 20, 3)


def test_less_processor_time_is_a_higher_ratio() -> None:
    (own, _) = summarize([*visits("ours", 1, cpu_us=5.0), *visits("c", 1, cpu_us=2.0)])
    assert own.cpu_ratios["c"].median == pytest.approx(0.4)


def test_the_generator_is_blamed_if_it_was_the_limit_in_most_rounds() -> None:
    busy, free = {"generator_cpu": 0.98, "server_cpu": 0.4}, {"generator_cpu": 0.4, "server_cpu": 0.98}
    most = [Visit("l", "c", n, rate=1, **figures) for n, figures in enumerate([busy, busy, free])]  # type: ignore[arg-type]
    few = [Visit("l", "c", n, rate=1, **figures) for n, figures in enumerate([busy, free, free])]  # type: ignore[arg-type]
    assert summarize(most)[0].generator_bound
    assert not summarize(few)[0].generator_bound


def test_nothing_but_broken_visits_still_makes_a_summary() -> None:
    (summary,) = summarize([Visit("l", "ours", 0, broken="it could not be started")])
    assert (summary.rounds, summary.rate) == (0, 0.0)
