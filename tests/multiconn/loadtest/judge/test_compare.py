"""Chance is told from change: on blocks made up, where the truth is known, and on files of runs."""

import json
import random
from functools import partial
from pathlib import Path

import pytest

from multiconn.commands.client import main
from multiconn.loadtest.judge import bootstrap
from multiconn.loadtest.judge.bootstrap import FEWEST, MARGIN, Block, changes
from multiconn.loadtest.judge.compare import MOST, Side, Slice, blocks_of, compare
from multiconn.loadtest.measure.histogram import Histogram
from multiconn.loadtest.measure.intervals import CONNECTING, DRAINING, MEASURING, WARMUP, Interval
from multiconn.loadtest.output.files import SUMMARY, TIMESERIES, interval_object

REQUESTS = 60  # per block
DRAWS = 200  # a twentieth of the usual, in a twentieth of the time


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("multiconn.loadtest.judge.compare.changes", partial(changes, draws=DRAWS))


def block(chance, slower=1.0, weather=1.0):
    """Some hundred requests, one after the other; `weather` is what the machine did to this block."""
    latency, seconds = Histogram(), 0.0
    for _ in range(REQUESTS):
        took = 0.005 * slower * weather * (1 + chance.expovariate(10))
        seconds += took
        latency.record(int(took * 1e9))
    return Block(seconds, REQUESTS, latency)


def pair(chance, slower, count=10, storm=0.1):
    """Blocks of two servers that took turns: each pair has its weather in common."""
    weathers = [chance.lognormvariate(0, storm) for _ in range(count)]
    return [block(chance, 1.0, w) for w in weathers], [block(chance, slower, w) for w in weathers]


def constant(seconds, replies, latency_ns, count=FEWEST):
    histogram = Histogram()
    histogram.record(latency_ns, replies)
    return [Block(seconds, replies, histogram)] * count


# --- statistics --------------------------------------------------------------------------


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


# --- blocks ------------------------------------------------------------------------------


def part(phase, seconds=1.0, replies=10, latency=1000):
    histogram = Histogram()
    histogram.record(latency, replies)
    return Slice(phase, seconds, replies, histogram)


def test_a_visit_is_a_block_with_what_was_answered_after_it():
    slices = [part(CONNECTING), part(WARMUP), part(MEASURING), part(MEASURING, 0.4, 4), part(DRAINING, 0.1, 2)]
    slices += [part(WARMUP), part(MEASURING, 1.2, 12)]
    first, second = blocks_of(slices, visits=True)
    assert first[:2] == (1.4, 14)
    assert first.latency.count == 16
    assert second[:2] == (1.2, 12)


def test_an_interval_is_a_block_and_one_that_was_cut_off_is_part_of_the_last():
    slices = [part(WARMUP), part(MEASURING), part(MEASURING), part(MEASURING, 0.2, 1), part(DRAINING, 0.1, 3)]
    first, second = blocks_of(slices, visits=False)
    assert first[:2] == (1.0, 10)
    assert second[:2] == (1.2, 11)
    assert second.latency.count == 14


def test_a_long_run_has_no_more_blocks_than_it_needs():
    a, b = (Side(name, None, blocks_of([part(MEASURING)] * 601, visits=False)) for name in "ab")
    made = compare(a, b, interleaved=False)
    assert made.blocks == (-(-601 // 11), -(-601 // 11))
    assert max(made.blocks) <= MOST
    assert [change.change for change in made.changes] == [0, 0, 0]


def test_a_visit_that_one_of_them_lacks_is_left_out_and_one_cut_short_too():
    blocks = constant(1, 10, 1000, 9)
    short = [*blocks[:8], Block(0.3, 3, Histogram())]
    made = compare(Side("a", None, blocks), Side("b", None, short), interleaved=True)
    assert made.blocks == (8, 8)


# --- files and the command -----------------------------------------------------------------


def saved(directory, slower=1.0, count=10, seed=0, valid=True, **run):
    """A run's directory, as `load -o` writes it."""
    chance = random.Random(seed)
    directory.mkdir()
    with (directory / TIMESERIES).open("w") as file:
        for number in range(count):
            made = block(chance, slower)
            interval = Interval(number + 1.0, made.seconds, MEASURING, replies=made.replies, response=made.latency)
            file.write(json.dumps(interval_object(interval, (50.0, 99.0))) + "\n")
    config = {"model": "closed", "rate": None, "connections": 1, "pipeline": 1, **run.pop("config", {})}
    summary = {
        "schema": "appload/1",
        "run": {"name": "tcp://h:1", "config": config, "interrupted": False, "host": {}, "versions": {}, **run},
        "verdict": {"valid": valid, "reasons": [] if valid else ["it was the limit"]},
        "rate": {"target": config["rate"], "offered": 100.0 / slower},
        "accounting": {"sent": 1000, "failed": 0},
    }
    (directory / SUMMARY).write_text(json.dumps(summary))
    return str(directory)


def test_two_runs_that_did_not_take_turns_are_compared_with_a_warning(tmp_path, capsys):
    a, b = saved(tmp_path / "a", seed=1), saved(tmp_path / "b", seed=2)
    assert main(["compare", a, b]) == 0
    out = capsys.readouterr().out
    assert "no significant regression" in out
    assert "10 blocks each" in out
    assert "did not take turns" in out


def test_a_slower_run_is_exit_code_99_and_says_by_how_much(tmp_path, capsys):
    a, b = saved(tmp_path / "a", seed=1), saved(tmp_path / "b", slower=1.2, seed=2)
    assert main(["compare", a, b]) == 99
    out = capsys.readouterr().out
    assert "B is worse than A: throughput -16" in out
    assert out.count("WORSE") == 3
    assert main(["compare", b, a]) == 0
    assert capsys.readouterr().out.count("better") == 3


def test_the_comparison_as_json(tmp_path, capsys):
    a, b = saved(tmp_path / "a", seed=1), saved(tmp_path / "b", slower=1.2, seed=2)
    assert main(["compare", a, b, "--json"]) == 99
    told = json.loads(capsys.readouterr().out)
    assert told["regression"] is True
    assert set(told["changes"]) == {"throughput_per_s", "response_p50_s", "response_p99_s"}
    p50 = told["changes"]["response_p50_s"]
    assert p50["low"] <= p50["change"] <= p50["high"]
    assert p50["change"] == pytest.approx(p50["b"] / p50["a"] - 1)


def test_a_run_that_is_not_valid_is_judged_only_by_force(tmp_path, capsys):
    a, b = saved(tmp_path / "a", seed=1), saved(tmp_path / "b", slower=1.2, seed=2, valid=False)
    assert main(["compare", a, b]) == 5
    told = capsys.readouterr()
    assert "B is not valid: it was the limit" in told.out
    assert "--force" in told.err
    assert main(["compare", a, b, "--force"]) == 99


def test_a_run_that_was_killed_has_no_verdict(tmp_path, capsys):
    a, b = saved(tmp_path / "a", seed=1), saved(tmp_path / "b", seed=2)
    (tmp_path / "a" / SUMMARY).unlink()
    assert main(["compare", a, b]) == 5
    assert "A is not valid: it was killed before its end" in capsys.readouterr().out


def test_too_short_runs_are_not_judged_by_force_either(tmp_path, capsys):
    a, b = saved(tmp_path / "a", count=3), saved(tmp_path / "b", count=3)
    assert main(["compare", a, b, "--force"]) == 5
    assert "3 blocks are too few" in capsys.readouterr().out


def test_loads_that_differ_are_named(tmp_path, capsys):
    a = saved(tmp_path / "a", config={"connections": 10, "rate": 100.0})
    b = saved(tmp_path / "b", config={"connections": 20, "rate": 100.0}, slower=1.05, host={"name": "other"})
    main(["compare", a, b])
    out = capsys.readouterr().out
    assert "the offered loads differ: --connections 10 against 20" in out
    assert "100.0 requests/s against 95.2 were sent" in out
    assert "different machines" in out


@pytest.mark.parametrize(("offered", "differ"), [(104.0, False), (107.0, True)])
def test_a_request_more_or_less_per_visit_is_no_other_load(tmp_path, offered, differ):
    sides = []
    for name, rate in (("a", 100.0), ("b", offered)):
        path = Path(saved(tmp_path / name, config={"rate": 100.0}, slower=100.0 / rate, duration_s=2.0))
        summary = json.loads((path / SUMMARY).read_text())
        sides.append(Side(name, summary, constant(0.2, 20, 1_000_000, count=10)))
    # ten visits in two seconds: five requests a second are nobody's, and 1 %
    told = compare(*sides, interleaved=True).warnings
    assert any("requests/s against" in warning for warning in told) is differ
    assert any("requests/s against" in warning for warning in compare(*sides, interleaved=False).warnings)


def test_schedules_that_differ_are_named_by_the_seed_or_by_themselves(tmp_path, capsys):
    saved(tmp_path / "a", config={"seed": 1}, schedule_sha256="aa")
    others = {
        "seed": ({"config": {"seed": 2}, "schedule_sha256": "bb"}, "the offered loads differ: --seed 1 against 2"),
        "data": ({"config": {"seed": 1}, "schedule_sha256": "bb"}, "the offered loads differ: schedule_sha256"),
        "pause": ({"config": {"seed": 1, "duration": 5.0}}, "the offered loads differ: --duration none against 5.0"),
        # nothing was left to chance: the same requests at the same times
        "same": ({"config": {"seed": 2}, "schedule_sha256": "aa"}, None),
        "cut": ({"config": {"seed": 1}, "schedule_sha256": "bb", "interrupted": True}, None),
    }
    for name, (run, words) in others.items():
        main(["compare", str(tmp_path / "a"), saved(tmp_path / name, **run)])
        out = capsys.readouterr().out
        if words is None:
            assert "loads differ" not in out
        else:
            assert words in out
            assert out.count("loads differ") == 1
    assert "B was interrupted" in out


@pytest.mark.parametrize(
    ("names", "words"),
    [(("a", "a"), "are the same run"), (("a", "none"), "has no run"), (("a", "other"), "is no summary of a load test")],
)
def test_what_is_no_run_is_refused(tmp_path, capsys, names, words):
    saved(tmp_path / "a")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / SUMMARY).write_text("{}")
    assert main(["compare", *(str(tmp_path / name) for name in names)]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("line", ["{}", '{"latency_s": {"response": {"hdr": "HISTF"}}}', "[]", "x"])
def test_a_damaged_time_series_is_one_line_and_no_traceback(tmp_path, capsys, line):
    a, b = saved(tmp_path / "a"), saved(tmp_path / "b")
    (tmp_path / "b" / TIMESERIES).write_text(line + "\n")
    assert main(["compare", a, b]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_runs_of_one_pair_are_compared_in_pairs(tmp_path, capsys):
    turns = {"pair": "7", "order": "abba", "block_s": 1.0}
    sides = []
    for side in "ab":
        sides.append(saved(tmp_path / side, seed=1, turns={**turns, "side": side}))
        lines = (tmp_path / side / TIMESERIES).read_text().splitlines()
        rest = json.dumps(interval_object(Interval(0.0, 1.0, WARMUP), (50.0,)))
        (tmp_path / side / TIMESERIES).write_text("".join(f"{rest}\n{line}\n" for line in lines))
    assert main(["compare", *sides]) == 0
    out = capsys.readouterr().out
    assert "10 pairs of blocks, in turns" in out
    assert "careful" not in out
