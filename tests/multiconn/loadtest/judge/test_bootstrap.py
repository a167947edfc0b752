"""Chance is told from change: on blocks made up, where the truth is known."""

import random

import pytest

from multiconn.loadtest.judge import bootstrap
from multiconn.loadtest.judge.bootstrap import MARGIN, Block, changes
from multiconn.loadtest.measure.histogram import Histogram
from tests.multiconn.loadtest.blocks import DRAWS, REQUESTS, constant, pair


def test_equal_servers_are_called_equal_and_one_ten_per_cent_slower_is_found_out():
    chance = random.Random(1)
    equal = slower = 0
    for _ in range(20):
        equal += any(c.worse for c in changes(*pair(chance, 1.0), chance, paired=True, draws=DRAWS))
        slower += any(c.worse for c in changes(*pair(chance, 1.1), chance, paired=True, draws=DRAWS))
    assert equal <= 1
    assert slower >= 18


def test_one_ten_per_cent_faster_is_better_and_no_regression():
    chance = random.Random(2)
    found = {c.metric: c for c in changes(*pair(chance, 0.9), chance, paired=True, draws=DRAWS)}
    assert found["throughput"].better
    assert found["p50"].better
    assert not any(change.worse for change in found.values())


def test_a_change_within_the_margin_is_nobody_s_fault_however_sure_it_is():
    exact = changes(constant(1, 1000, 1_000_000), constant(1, 985, 1_015_000), random.Random(3), paired=True)
    assert [round(change.change, 3) for change in exact] == [-0.015, 0.015, 0.015]
    assert all(change.high - change.low < 1 / 500 for change in exact)
    assert not any(change.worse for change in exact)
    beyond = changes(constant(1, 1000, 1_000_000), constant(1, 970, 1_030_000), random.Random(3), paired=True)
    assert all(change.worse for change in beyond)
    assert all(abs(change.change) > MARGIN for change in beyond)


def test_each_change_is_that_of_the_whole_runs():
    chance = random.Random(4)
    a, b = pair(chance, 1.2)
    whole = [Histogram(), Histogram()]
    for merged, blocks in zip(whole, (a, b), strict=True):
        for one in blocks:
            merged.merge(one.latency)
    throughput, p50, p99 = changes(a, b, chance, paired=True, draws=100)
    assert throughput.a == pytest.approx(10 * REQUESTS / sum(one.seconds for one in a))
    for change, percent in ((p50, 50), (p99, 99)):
        before, after = (merged.percentile(percent) / 1e9 for merged in whole)
        assert (change.a, change.b) == pytest.approx((before, after), rel=1 / 512)


def test_one_disturbance_makes_no_p99():
    """Two blocks of twelve had it by chance: it is most of the whole run's slowest hundredth."""
    chance = random.Random(7)
    a, b = pair(chance, 1.0, count=12, storm=0.0)
    for struck in b[3], b[8]:
        struck.latency.record(20_000_000, 10)
    p99 = changes(a, b, chance, paired=True, draws=DRAWS)[2]
    assert p99.change > 0.5
    assert not p99.worse
    for struck in b:
        struck.latency.record(20_000_000, 10)
    assert changes(a, b, chance, paired=True, draws=DRAWS)[2].worse


@pytest.mark.parametrize(("blocks", "left_out"), [(8, 0), (10, 0), (12, 1), (20, 4)])
def test_the_sign_test_s_interval_leaves_out_what_its_tables_say(blocks, left_out):
    ratios = [1.0 + step / 100 for step in range(blocks)]
    low, high = bootstrap._one_by_one([1.0] * blocks, ratios, paired=True)
    assert (low, high) == pytest.approx((left_out / 100, (blocks - 1 - left_out) / 100))


def test_pairs_take_the_weather_out_that_separate_runs_keep():
    chance = random.Random(5)
    a, b = pair(chance, 1.1, storm=0.3)
    widths = []
    for paired in (True, False):
        throughput = changes(a, b, chance, paired=paired, draws=DRAWS)[0]
        widths.append(throughput.high - throughput.low)
    assert widths[0] < widths[1] / 3


def test_the_same_seed_draws_the_same_interval():
    a, b = pair(random.Random(6), 1.0)
    first, again, other = (changes(a, b, random.Random(seed), paired=True, draws=200) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("share", "freedom", "t"), [(0.975, 9, 2.2622), (0.975, 30, 2.0423), (0.995, 9, 3.2498), (0.95, 7, 1.8946)]
)
def test_student_s_t_is_that_of_the_tables(share, freedom, t):
    assert bootstrap._student(share, freedom) == pytest.approx(t, abs=0.002)


def test_fewer_blocks_leave_less_out():
    tails = [bootstrap.tail(blocks) for blocks in (8, 10, 20, 60, 1000)]
    assert tails == sorted(tails)
    assert tails[0] < 0.001
    assert tails[-1] == pytest.approx(0.05 / 6, rel=0.02)


def test_too_few_blocks_are_not_judged():
    with pytest.raises(ValueError, match="7 blocks are too few: 8 or more"):
        changes(constant(1, 10, 1000, 7), constant(1, 10, 1000, 9), random.Random(0), paired=False)


def test_nothing_answered_is_not_compared():
    with pytest.raises(ValueError, match="too few replies"):
        changes(constant(1, 10, 1000), [Block(1.0, 0, Histogram())] * 8, random.Random(0), paired=True, draws=10)
