"""The schedule is fixed in advance: by rate, arrival, stages and seed, and by nothing else."""

import math
import tracemalloc
from itertools import cycle, pairwise

import pytest

from multiconn.loadtest.engine.schedule import BLOCK, Schedule
from multiconn.loadtest.profile import CONSTANT, POISSON, Profile, Stage


def kinds():
    return cycle(range(3))


def schedule(rate=1000.0, stages=(), **more):
    return Schedule(Profile(rate, [Stage(*stage) for stage in stages]), kinds=kinds, **more)


def times(made):
    return [at for at, _ in made.take_until()]


def test_constant_arrivals_are_equally_far_apart_to_the_nanosecond():
    assert times(schedule(rate=3.0, end=2.0)) == [int(k * 1e9 / 3) for k in range(6)]


def test_the_end_is_no_part_of_it_and_neither_is_what_comes_after():
    assert times(schedule(rate=10.0, end=1.0))[-1] == 900_000_000
    assert len(times(schedule(rate=1000.0, end=2.5))) == 2500


@pytest.mark.parametrize("n", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 1000])
def test_a_number_of_requests_is_exact_and_begins_after_the_warm_up(n):
    made = times(schedule(requests=n, warmup=0.3))
    assert sum(at >= 300_000_000 for at in made) == n
    assert sum(at < 300_000_000 for at in made) == 300


def test_kinds_go_with_the_times():
    assert [kind for _, kind in schedule(rate=10.0, end=0.5).take_until()] == [0, 1, 2, 0, 1]


def test_poisson_arrivals_have_the_rate_and_the_spread_of_independent_ones():
    made = times(schedule(arrival=POISSON, seed=1, end=100.0))
    gaps = [(b - a) / 1e9 for a, b in pairwise(made)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert len(made) == pytest.approx(100_000, rel=0.02)
    assert deviation == pytest.approx(mean, rel=0.03)  # an exponential's two are equal
    assert sum(gap > 0.003 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-3), rel=0.1)


@pytest.mark.parametrize("arrival", [CONSTANT, POISSON])
@pytest.mark.parametrize(
    ("rate", "stages"),
    [(1000.0, [(2, 3000)]), (3000.0, [(1, 1000), (1, 1000)]), (1.0, [(0, 2000), (2, 2000)]), (4000.0, [(2, 0)])],
)
def test_a_ramp_has_as_many_requests_as_the_area_under_it(arrival, rate, stages):
    profile = Profile(rate, [Stage(*stage) for stage in stages])
    made = [at / 1e9 for at in times(schedule(rate, stages, arrival=arrival, end=2.0))]
    for until in (0.5, 1.0, 1.5, 2.0):
        slack = 1 if arrival == CONSTANT else 4 * math.sqrt(profile.mass(until)) + 1
        assert sum(at < until for at in made) == pytest.approx(profile.mass(until), abs=slack)
    assert made == sorted(made)


def test_a_rate_that_ends_at_nothing_ends_the_schedule():
    assert len(times(schedule(100.0, [(2, 0)]))) == 100


@pytest.mark.parametrize("arrival", [CONSTANT, POISSON])
def test_the_same_load_has_the_same_hash_and_another_has_another(arrival):
    def hashed(**more):
        made = schedule(**{"arrival": arrival, "seed": 1, "end": 1.0, **more})
        times(made)
        return made.sha256

    assert hashed() == hashed()
    others = [hashed(seed=2), hashed(rate=1001.0), hashed(end=1.5), hashed(stages=[(1, 1001)])]
    if arrival == CONSTANT:
        assert others.pop(0) == hashed()  # nothing in it is left to chance
    assert len({hashed(), *others}) == len(others) + 1


def test_what_is_read_ahead_does_not_change_the_hash():
    one, other = schedule(arrival=POISSON, end=2.0), schedule(arrival=POISSON, end=2.0)
    times(one)
    other.ahead(10**9)
    times(other)
    assert one.sha256 == other.sha256


@pytest.mark.parametrize("arrival", [CONSTANT, POISSON])
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_workers_share_a_schedule_without_a_request_lost_or_sent_twice(arrival, n):
    whole = schedule(arrival=arrival, end=1.7)
    parts = [schedule(arrival=arrival, end=1.7, share=(i, n)) for i in range(n)]
    assert sorted(at for part in parts for at in times(part)) == times(whole)
    assert {part.sha256 for part in parts} == {whole.sha256}


def test_more_workers_than_requests_leave_some_without_any():
    parts = [schedule(rate=1.0, end=2.0, share=(i, 5)) for i in range(5)]
    assert [part.next_at for part in parts] == [0, 10**9, None, None, None]


def test_those_that_are_due_and_not_taken_are_counted():
    made = schedule(rate=100.0, arrival=POISSON, end=30.0)
    due = times(schedule(rate=100.0, arrival=POISSON, end=30.0))
    for now in (0, 10**9, 2 * 10**9, 29 * 10**9, 40 * 10**9):
        assert made.ahead(now) == sum(at <= now for at in due) - made.taken
        for _ in range(50):
            if made.next_at is not None:
                made.take()
    assert made.taken == 250


def test_memory_does_not_grow_with_the_schedule():
    made = schedule(rate=40_000.0, arrival=POISSON, end=1.0)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in made.take_until():
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.taken > 38_000
    assert peak - before < 200_000
