"""Are the two visits of a round divided, and is our server judged by what it promises?"""

from __future__ import annotations

import pytest

from benchmarks.fanout.drive import Driven
from benchmarks.fanout.servers import OURS, PEERS
from benchmarks.fanout.stalled import Effect, effects, rows
from benchmarks.visit import Visit


def effect(rates: tuple[float, float], p99s: tuple[float, float]) -> Effect:
    """Of our server: three rounds without and with, each slower than the one before."""
    visits = []
    for number in range(3):
        slower = 1 / (1 + number)
        for at, row in enumerate(rows(100, 1, 1)):
            rate, p99 = rates[at] * slower, p99s[at] / slower
            visit = Visit(row.name, OURS, number, rate=rate, cpu_us=1.0, p99_us=p99, requests=1)
            visits.append((row, PEERS[OURS], Driven(visit, at)))
    (found,) = effects(visits)
    return found


def test_as_many_read_with_as_without() -> None:
    without, with_them = rows(100, 3, 16)
    assert (without.subscribers, without.stalled) == (97, 0)
    assert (with_them.subscribers, with_them.stalled) == (97, 3)


@pytest.mark.parametrize(
    ("rates", "p99s", "holds"),
    [
        ((1000, 960), (100, 109), True),
        ((1000, 940), (100, 100), False),
        ((1000, 1000), (100, 111), False),
    ],
)
def test_a_slow_reader_may_cost_a_twentieth_of_the_rate_and_a_tenth_of_the_p99(
    rates: tuple[float, float], p99s: tuple[float, float], holds: bool
) -> None:
    found = effect(rates, p99s)
    assert found.rate == pytest.approx(rates[1] / rates[0])
    assert found.p99 == pytest.approx(p99s[1] / p99s[0])
    assert found.holds == holds
    assert (found.reading, found.cut) == (99, 1)


def test_what_is_not_known_does_not_hold() -> None:
    without, with_them = rows(10, 1, 1)
    visits = [
        (without, PEERS[OURS], Driven(Visit(without.name, OURS, 0, rate=9.0, cpu_us=1.0, p99_us=1.0))),
        (with_them, PEERS[OURS], Driven(Visit(with_them.name, OURS, 0, broken="2 lost"))),
    ]
    (found,) = effects(visits)
    assert not found.holds
    assert found.broken == ["2 lost"]
    assert effects(visits[:1]) == []
