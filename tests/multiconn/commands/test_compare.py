"""`app_client.py compare` tells two saved runs apart, and says what speaks against it."""

import json
from functools import partial

import pytest

from multiconn.commands.client import main
from multiconn.loadtest.judge.bootstrap import changes
from multiconn.loadtest.measure.intervals import WARMUP, Interval
from multiconn.loadtest.output.files import SUMMARY, TIMESERIES
from multiconn.loadtest.output.records import interval_record
from tests.multiconn.loadtest.blocks import DRAWS, saved


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("multiconn.loadtest.judge.compare.changes", partial(changes, draws=DRAWS))


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
        rest = json.dumps(interval_record(Interval(0.0, 1.0, WARMUP), (50.0,)))
        (tmp_path / side / TIMESERIES).write_text("".join(f"{rest}\n{line}\n" for line in lines))
    assert main(["compare", *sides]) == 0
    out = capsys.readouterr().out
    assert "10 pairs of blocks, in turns" in out
    assert "careful" not in out
